"""What insightface's arcface_torch must be told of an ImageFolder: its classes and images."""

import json
from pathlib import Path

import polars as pl

from imagemill.files import replacing

SPLIT = "train"
"""The split that is trained on, where a dataset has splits."""

JSON, PYTHON = "arcface.json", "arcface.py"

SNIPPET = """\
# {which} for insightface's recognition/arcface_torch. In your file of its configs/:
#   import runpy
#   config.update(runpy.run_path("<this folder>/{python}")["config"])
# or paste the last lines. The classes, in the order of their numbers, are in {json}.
import os

from easydict import EasyDict

config = EasyDict()
config.rec = {rec}
config.num_classes = {classes:_}  # folders of classes
config.num_image = {images:_}  # images in them
"""

RECORDIO = ("train.rec", "train.idx", "property")
"""Files of MXNet's RecordIO: insightface's loader prefers them to the images beside them."""


def files(contents: pl.DataFrame) -> dict[str, str]:
    """Return the text of ``arcface.json`` and ``arcface.py`` for ``tables.CONTENTS``.

    Figures are those of the split "train", or of everything where no sample has a split. Neither
    file for a dataset with other splits only, which has none to train on. ``num_image`` is what
    the loader will count, ``num_derived`` how many of them augmentation made.
    """
    divided = is_divided(contents)
    trained = contents.filter(split=SPLIT) if divided else contents
    if trained.is_empty():
        return {}
    # A number in the manifest is a label's place among all; ImageFolder sees the folders of one
    # split, and sorts them as Python does.
    folder = pl.col("member").str.split("/").list.get(-2)
    classes = sorted(trained.select(folder).to_series().unique().to_list())
    told = {
        "split": SPLIT if divided else None,
        "num_classes": len(classes),
        "num_image": len(trained),
        "classes": classes,
    }
    derived = int((trained["copy"].fill_null(0) > 0).sum())
    if derived:  # files like any other to who trains, and so among the images
        told["num_derived"] = derived
    return {
        JSON: json.dumps(told, ensure_ascii=False, indent=1) + "\n",
        PYTHON: _snippet(divided, len(classes), len(trained)),
    }


def is_divided(contents: pl.DataFrame) -> bool:
    """Tell whether a member is ``<split>/<label>/<file>``, and not ``<label>/<file>``."""
    return contents["split"].null_count() < len(contents)


def _snippet(divided: bool, classes: int, images: int) -> str:
    here = "os.path.dirname(os.path.abspath(__file__))"
    return SNIPPET.format(
        which=f"The split {SPLIT}" if divided else "This dataset",
        rec=f'os.path.join({here}, "{SPLIT}")' if divided else here,
        classes=classes,
        images=images,
        json=JSON,
        python=PYTHON,
    )


def write(folder: Path, contents: pl.DataFrame) -> None:
    """Write the files for ``contents`` to ``folder``, and remove those of other contents."""
    told = files(contents)
    for name in (JSON, PYTHON):
        if name not in told:
            (folder / name).unlink(missing_ok=True)
            continue
        with replacing(folder / name) as part:
            part.write_text(told[name], encoding="utf-8")
