"""Compare images with the manifest that names them: in folders, or in the packs of a package."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from imagemill import arcface, certificates, packaged, packs
from imagemill.engine import threads
from imagemill.errors import BuildError
from imagemill.exported import MANIFEST, digests, look
from imagemill.exported.filling import recordio
from imagemill.package import hdf5
from imagemill.packaged import Packaged, Place, work_through
from imagemill.packs import Member, Pack
from imagemill.progress import say
from imagemill.published.compare import DIFFERENCES, counted
from imagemill.tables import CONTENTS

SHOWN = 20  # differences that are named


def dataset(root: Path, name: str, known: str | None = None) -> str:
    """Return what the package of a dataset holds, a line for each format, after reading it all.

    ``known`` is the id that one of its certificates has to have, or its beginning. Raises
    ``BuildError`` where anything differs from its manifest, after saying what.
    """
    place = root / "data" / name / "package"
    _refuse_unissued(place, root / "data" / name / "leaks" / certificates.FILE)
    said = []
    if (place / "hdf5" / MANIFEST).exists():
        said += _arrays(place / "hdf5", name)
    images = place / "imagefolder"
    if packaged.is_unpacked(images):
        said.append(folder(images))
    elif images.exists() or not said:
        said.append(package(packaged.find(root, name)))
    ids = [certificates.named(path.parent) for path in sorted(place.glob(f"*/{MANIFEST}"))]
    chosen = next((one for one in ids if known and one.startswith(known.lower())), ids[0])
    certificates.refuse_other(chosen, str(place), known)
    return "\n".join(said)


def _refuse_unissued(place: Path, issued: Path) -> None:
    """Raise ``BuildError`` where a format has another certificate than ``leaks`` issued."""
    if not issued.exists():
        return
    for manifest in sorted(place.glob(f"*/{MANIFEST}")):
        for file, _, said in certificates.unissued(manifest.parent, issued):
            raise BuildError(
                f"verify: {manifest.parent / file}: {said}; "
                f"`dvc repro -sf package@{place.parent.name}` writes it anew"
            )


def folder(root: Path, known: str | None = None) -> str:
    """Return what the exported folder ``root`` holds, in one line, after reading every image.

    ``known`` is the id that its certificate has to have, or its beginning. Raises ``BuildError``
    where anything differs from its manifest, after saying what.
    """
    contents = _manifest(root)
    parts = [_images(root, contents), _beside(root, contents), _certified(root, contents)]
    wrong = pl.concat(parts).sort("member", "kind")
    mend = f"`imagemill export NAME --to {root} --check` writes what is missing or wrong"
    if (wrong["kind"] == "extra").any():
        mend += "; delete what is extra, or it is trained on"
    said = _told(root, contents, wrong, mend)
    certificates.refuse_other(certificates.named(root), str(root), known)
    return said


def _arrays(folder: Path, name: str) -> list[str]:
    """Return what the HDF5 file in ``folder`` holds, and what its certificate says."""
    images = hdf5.reread(folder, threads(1))
    wrong = _certified(folder, CONTENTS.read(folder))
    if len(wrong):
        _told(
            folder, CONTENTS.read(folder), wrong, f"`dvc repro -sf package@{name}` writes it anew"
        )
    return [f"verify: {folder} holds its {images:,} images", certificates.text(folder)]


def _certified(folder: Path, contents: pl.DataFrame) -> pl.DataFrame:
    """Return what is not as the certificate in ``folder`` says."""
    found = list(certificates.differences(folder, contents))
    return pl.DataFrame(found, DIFFERENCES, orient="row")


def _manifest(root: Path) -> pl.DataFrame:
    if not (root / MANIFEST).exists():
        what = "is not there" if not root.is_dir() else f"has no {MANIFEST}"
        raise BuildError(
            f"verify: {root} {what}: no export to it has come to its end. "
            f"`imagemill export NAME --to {root}` makes it whole; what is there is kept."
        )
    try:
        return CONTENTS.read(root)
    except pl.exceptions.PolarsError as error:
        raise BuildError(
            f"verify: {root / MANIFEST} is damaged or not of imagemill. Delete it and run "
            f"`imagemill export NAME --to {root}` again."
        ) from error


def _images(root: Path, contents: pl.DataFrame) -> pl.DataFrame:
    seen = look(root, contents)
    both = contents.join(seen.images, on="member", how="left", suffix="_here").sort("member")
    same = both.filter(pl.col("bytes_here") == pl.col("bytes"))
    same = same.with_columns(digests(root, same["member"], "verify"))
    return pl.concat(
        [
            _row(both.filter(pl.col("bytes_here").is_null()), "missing", pl.lit("")),
            _row(both.filter(pl.col("bytes_here") != pl.col("bytes")), "size", _lengths()),
            _row(
                same.filter(~pl.col("here").eq_missing(pl.col("packaged"))), "checksum", pl.lit("")
            ),
            _row(seen.foreign(contents), "extra", pl.lit("")),
            _row(_named(seen.useless()), "extra", pl.lit("a folder without images, or a link")),
        ]
    )


def _row(frame: pl.DataFrame, kind: str, said: pl.Expr) -> pl.DataFrame:
    return frame.select("member", pl.lit(kind).alias("kind"), said.alias("said"))


def _named(members: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"member": members}, {"member": pl.String})


def _lengths() -> pl.Expr:
    return pl.format("{} bytes, not {}", "bytes_here", "bytes")


def _beside(root: Path, contents: pl.DataFrame) -> pl.DataFrame:
    """Return what is wrong with the files beside the images."""
    wrong = []
    for path in recordio(root, contents):
        name = path.relative_to(root).as_posix()
        wrong.append((name, "extra", "insightface would read it in place of the images"))
    for name, text in arcface.files(contents).items():
        path = root / name
        if not path.exists():
            wrong.append((name, "missing", ""))
        elif path.read_bytes() != text.encode():
            wrong.append((name, "checksum", "not the figures of the manifest"))
    return pl.DataFrame(wrong, DIFFERENCES, orient="row")


def package(found: Packaged) -> str:
    """Return what the packs of ``found`` hold, in one line, after reading every image.

    Raises ``BuildError`` where anything differs from the manifest, after saying what.
    """
    placed = found.placed()
    parts = work_through("verify", placed, partial(_differing, found.folder))
    rows = [row for wrong in parts for row in wrong]
    rows += [*_headers(found.folder, placed), *_surplus(found.folder, placed)]
    rows += certificates.differences(found.folder, found.contents)
    wrong = pl.DataFrame(rows, DIFFERENCES, orient="row")
    mend = (
        f"delete these packs; `dvc pull package@{found.dataset}` fetches what is missing, or "
        f"`dvc repro package@{found.dataset}` writes it"
    )
    return _told(found.folder, found.contents, wrong, mend)


Difference = tuple[str, str, str]


def _differing(folder: Path, batch: list[Place]) -> list[Difference]:
    wrong = []
    with packs.Reader(folder) as reader:
        for member, digest, pack, offset, length in batch:
            if hashlib.sha256(reader.read(pack, offset, length)).hexdigest() != digest:
                wrong.append((f"{pack}: {member}", "checksum", f"at byte {offset:,}"))
    return wrong


def _headers(folder: Path, placed: pl.DataFrame) -> Iterator[Difference]:
    """Yield the packs that other readers of tar files would read otherwise."""
    for (pack,), rows in placed.group_by("pack", maintain_order=True):
        members = rows.select("member", "packaged", "bytes").iter_rows()
        if not packs.holds(folder, Pack(tuple(Member(*row) for row in members))):
            yield str(pack), "checksum", "its headers or its length"


def _surplus(folder: Path, placed: pl.DataFrame) -> list[Difference]:
    known = set(placed["pack"].unique())
    there = sorted(path.name for path in folder.glob("*.tar"))
    return [(name, "extra", "no pack of the manifest's") for name in there if name not in known]


def _told(place: Path, contents: pl.DataFrame, wrong: pl.DataFrame, mend: str) -> str:
    """Return that all is well, or name the differences and raise ``BuildError``."""
    for member, kind, said in wrong.head(SHOWN).iter_rows():
        say(f"{kind}: {member}{f': {said}' if said else ''}")
    if len(wrong) > SHOWN:
        say(f"... and {len(wrong) - SHOWN:,} more")
    if len(wrong):
        raise BuildError(f"verify: {place}: {counted(wrong)} of {len(contents):,} images; {mend}.")
    labels = contents["label"].n_unique()
    said = f"verify: {place} holds its {len(contents):,} images of {labels:,} labels"
    return f"{said}\n{certificates.text(place)}"
