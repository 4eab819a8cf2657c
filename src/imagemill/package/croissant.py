"""Croissant 1.0: metadata of a packaged dataset in JSON-LD, for search engines and ``mlcroissant``.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl

from imagemill.about import About
from imagemill.files import replacing
from imagemill.package.lots import Lot
from imagemill.tables import CONTENTS

FILE = "croissant.json"

ENCODING = {
    "coco": ("*.tar", "application/x-tar"),
    "hdf5": ("*.h5", "application/x-hdf5"),
    "imagefolder": ("*.tar", "application/x-tar"),
    "litdata": ("*/*.bin", "application/octet-stream"),
    "mds": ("*/*.mds", "application/octet-stream"),
    "parquet": ("*.parquet", "application/x-parquet"),
    "recordio": ("*/*", "application/octet-stream"),
    "webdataset": ("*/*.tar", "application/x-tar"),
}
"""The files of each format, and their type."""

_TYPES = {pl.String: "sc:Text", pl.Int32: "sc:Integer", pl.Int64: "sc:Integer"}

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def write(folder: Path, name: str, about: About, lot: Lot) -> None:
    """Write ``croissant.json`` of the format ``name`` to ``folder``, beside its manifest."""
    with replacing(folder / FILE) as part:
        text = json.dumps(describe(folder, name, about, lot), indent=2, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")


def describe(folder: Path, name: str, about: About, lot: Lot) -> dict[str, Any]:
    """Return the metadata: the manifest as records, a row for every image."""
    with (folder / CONTENTS.file).open("rb") as file:
        manifest = hashlib.file_digest(file, "sha256").hexdigest()
    pattern, encoding = ENCODING[name]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": about.title,
        "description": (
            f"{len(lot):,} images of {lot.images['label'].n_unique():,} labels as {name}; "
            f"credit: {about.credit}"
        ),
        "license": sorted({about.licence, *about.licences.values()}),
        "version": f"1.0.0+{manifest[:12]}",
        "creator": {"@type": "sc:Organization", "name": about.credit},
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "manifest",
                "name": CONTENTS.file,
                "contentUrl": CONTENTS.file,
                "encodingFormat": "application/x-parquet",
                "sha256": manifest,
            },
            {
                "@type": "cr:FileSet",
                "@id": "files",
                "name": "files",
                "encodingFormat": encoding,
                "includes": pattern,
            },
        ],
        "recordSet": [_records()],
    }


def _records() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "description": "One record an image of the package; derived copies have copy > 0.",
        "key": {"@id": "images/member"},
        "field": [_field(column, dtype) for column, dtype in CONTENTS.columns.items()],
    }


def _field(column: str, dtype: Any) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images/{column}",
        "name": column,
        "dataType": _TYPES[dtype],
        "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": column}},
    }
