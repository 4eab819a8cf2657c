"""What was checked of a dataset's splits, and whether a package is still the one that was checked.

``certificate.json`` travels in the package and in what is exported from it, with ``seals.parquet``:
a short hash of each row of the package's manifest. So a row that was edited is named, and a file
that was swapped is not what its row says. Nothing here is signed: who rewrites manifest, seals and
certificate together makes a whole of their own. Its ``id``, known from elsewhere, tells the two
apart; where the dataset is built, what ``leaks`` issued does.
"""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.tables import CONTENTS

FILE, SEALS = "certificate.json", "seals.parquet"

SPLIT = ("digest", "split", "fold", "label")
"""Columns that a split is made of."""

SHORT = 16
"""Digits of an id that name a certificate."""

AT_ONCE = 8192  # rows whose text is in memory

KIND = "uncertified"
"""Of a difference between a package and its certificate."""

Certificate = Mapping[str, Any]
Difference = tuple[str, str, str]
"""Member or file, kind, and what is wrong with it; as in ``published.compare.DIFFERENCES``."""


def content(kept: pl.DataFrame) -> str:
    """Return the hash of a split: of what is where under which label, in no order."""
    return sha256(_lines(kept, SPLIT).sort().str.join("\n").item().encode()).hexdigest()


def _lines(rows: pl.DataFrame, columns: tuple[str, ...]) -> pl.Series:
    """Return each row as text that no other row of other values gives."""
    cells = []
    for name in columns:
        text = pl.col(name).cast(pl.String)
        cells.append(pl.format("{}:{}", text.str.len_bytes(), text).fill_null("-"))
    return rows.select(pl.concat_str(cells, separator=" ").alias("line")).to_series()


def write(path: Path, said: Certificate) -> None:
    """Write a certificate with its ``id``, the hash of all the rest."""
    whole = {"id": _id(said), **{key: value for key, value in said.items() if key != "id"}}
    with replacing(path) as part:
        text = json.dumps(whole, indent=2, ensure_ascii=False)
        part.write_text(f"{text}\n", encoding="utf-8")


def read(path: Path) -> Certificate:
    """Read a certificate. Raises ``BuildError`` where it is none."""
    try:
        return parse(path.read_text(encoding="utf-8"), f"{path}")
    except OSError as error:
        raise BuildError(f"{path} is not there, or cannot be read") from error


def parse(text: str, where: str) -> Certificate:
    """Return the certificate that ``text`` is. Raises ``BuildError`` where it is none."""
    try:
        said: Certificate = json.loads(text)
    except ValueError as error:
        raise BuildError(f"{where} is damaged") from error
    if not isinstance(said, dict) or not isinstance(said.get("leaks"), dict):
        raise BuildError(f"{where} is no certificate of imagemill")
    return said


def _id(said: Certificate) -> str:
    rest = {key: value for key, value in said.items() if key != "id"}
    return sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def seal(certificate: Path, package: Path) -> None:
    """Put a certificate into each format's folder of ``package``, bound to its manifest."""
    said = read(certificate)
    for manifest in sorted(package.glob(f"*/{CONTENTS.file}")):
        seals = pl.concat([_seals(piece) for piece in CONTENTS.pieces(manifest.parent)])
        _write_seals(manifest.parent, seals)
        write(manifest.with_name(FILE), {**said, "rows": len(seals), "seal": _sealed(seals)})


def unfold(folder: Path, text: str | None, contents: pl.DataFrame) -> None:
    """Put the certificate ``text`` of a published set into ``folder``; None leaves none there."""
    if text is None:
        for name in (FILE, SEALS):
            (folder / name).unlink(missing_ok=True)
        return
    _write_seals(folder, _seals(contents))
    with replacing(folder / FILE) as part:
        part.write_text(text, encoding="utf-8")


def _write_seals(folder: Path, seals: pl.Series) -> None:
    with replacing(folder / SEALS) as part:
        seals.sort().to_frame().write_parquet(part, compression="zstd")


def _seals(contents: pl.DataFrame) -> pl.Series:
    """Return 8 bytes of the hash of each row of ``tables.CONTENTS``."""
    short = np.empty(len(contents), np.uint64)
    for start in range(0, len(contents), AT_ONCE):
        lines = _lines(contents.slice(start, AT_ONCE), tuple(CONTENTS.columns))
        for number, line in enumerate(lines, start):
            short[number] = int.from_bytes(sha256(line.encode()).digest()[:8])
    return pl.Series("seal", short, pl.UInt64)


def _sealed(seals: pl.Series) -> str:
    return sha256(seals.sort().to_numpy().astype("<u8").tobytes()).hexdigest()


def differences(folder: Path, contents: pl.DataFrame) -> Iterator[Difference]:
    """Yield what is not as the certificate in ``folder`` says; ``contents`` is its manifest.

    Nothing where there is no certificate. That files are as the manifest says is for others.
    """
    if not (folder / FILE).exists():
        return
    try:
        said = read(folder / FILE)
        held = pl.read_parquet(folder / SEALS)["seal"]
    except (BuildError, OSError, pl.exceptions.PolarsError) as error:
        yield FILE, KIND, f"it cannot be read with {SEALS}: {str(error).splitlines()[0]}"
        return
    yield from disputed(said, contents, held)


def disputed(
    said: Certificate, contents: pl.DataFrame, held: pl.Series | None = None
) -> Iterator[Difference]:
    """Yield what is not as a certificate says; ``held`` are its seals, None where none are kept."""
    if held is None:
        held = _seals(contents)
    if said.get("id") != _id(said):
        yield FILE, KIND, "edited after it was written"
    if said.get("seal") != _sealed(held):
        yield SEALS, KIND, "not those that the certificate names"
    rows = list(_rows(contents, held))
    yield from rows
    own = contents.filter(pl.col("copy").fill_null(0) == 0)
    if not rows and said.get("content") != content(own):
        yield FILE, KIND, "another split was checked than the manifest has"


def refuse_other(found: str, place: str, known: str | None) -> None:
    """Raise ``BuildError`` unless ``known``, an id or its beginning, is the id ``found``."""
    if known is None:
        return
    if len(known) < SHORT:
        raise BuildError(f"verify: {known}: give {SHORT} digits of the certificate's id, or more")
    if not found.startswith(known.lower()):
        raise BuildError(
            f"verify: the certificate of {place} is not {known}, but {found[:SHORT] or 'missing'}: "
            "it is another package, or a forged one"
        )


def named(folder: Path) -> str:
    """Return the id of the certificate in ``folder``; empty where there is none."""
    return str(read(folder / FILE).get("id")) if (folder / FILE).exists() else ""


def unissued(folder: Path, issued: Path) -> Iterator[Difference]:
    """Yield a difference where the certificate in ``folder`` is not the one that was ``issued``."""
    if not (folder / FILE).exists():
        yield FILE, "missing", "it was issued, and is gone from the package"
        return
    bound = ("id", "rows", "seal")
    one, other = (
        {name: value for name, value in read(path).items() if name not in bound}
        for path in (folder / FILE, issued)
    )
    if one != other:
        yield FILE, KIND, f"not what {issued.parent.name} issued for this dataset"


def _rows(contents: pl.DataFrame, held: pl.Series) -> Iterator[Difference]:
    here = _seals(contents)
    strange = contents.filter(~here.is_in(held.implode()))
    for member in strange["member"]:
        yield member, KIND, f"its row of {CONTENTS.file} is not one that was packaged"
    gone = len(held.filter(~held.is_in(here.implode()))) - len(strange)
    if gone > 0:
        yield CONTENTS.file, KIND, f"{gone:,} rows are gone that were packaged"


def text(folder: Path) -> str:
    """Return what the certificate in ``folder`` says, in one line; that it verifies is known."""
    if not (folder / FILE).exists():
        return f"verify: {folder} has no {FILE}: nothing says that its splits were checked"
    return words(read(folder / FILE))


def words(said: Certificate) -> str:
    """Return what a certificate says, in one line."""
    left = {kind: each["left"] for kind, each in said["leaks"].items() if each["left"]}
    remain = ", ".join(f"{count:,} {kind}" for kind, count in left.items()) or "none"
    kinds = ", ".join(said["leaks"]) or "nothing"
    return (
        f"verify: {FILE} {said['id'][:SHORT]} verifies: checked for leaks of {kinds}; remaining: "
        f"{remain}"
    )
