"""What other tools flagged: their exports as evidence on our samples."""

import csv
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from io import StringIO
from itertools import islice
from pathlib import Path

import polars as pl

from imagemill.clean.naming import named
from imagemill.clean.settings import Audit
from imagemill.errors import BuildError, ConfigError, suggest
from imagemill.progress import say
from imagemill.tables import UNMATCHED

SAID = {
    "line": pl.Int64,
    "id": pl.String,
    "path": pl.String,
    "code": pl.String,
    "confidence": pl.Float64,
    "suggested": pl.String,
    "detail": pl.String,
}
"""Columns of a read export: one row for each flag of each row."""

FLAGGED = {"sample": pl.String, "source": pl.String, **SAID}
"""The same of the rows that name a sample; ``source`` is ``audit:NAME``."""

MANY = 50_000  # rows that are in memory as Python has them; the rest is a table by then

TOLD = ("id", "path", "label", "flag", "confidence", "suggested", "reason")
"""What a row may tell; see ``settings.Audit``."""

VOCABULARY = (
    *("mislabel", "outlier", "duplicate", "near_duplicate", "blur", "dark", "bright", "corrupt"),
    *("low_information", "odd_aspect_ratio", "odd_size", "grayscale", "ambiguous", "leak"),
)
"""Flags that rules may name though no export of today has them."""


def read(
    root: Path, audits: Mapping[str, Audit], samples: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what all exports say of ``samples``, as ``FLAGGED``, and ``tables.UNMATCHED``.

    Raises ``BuildError`` where a file is not there, lacks a column or is about something else.
    """
    flagged, unmatched = [pl.DataFrame(schema=FLAGGED)], [UNMATCHED.frame()]
    for name, audit in sorted(audits.items()):
        where = f"clean.audits.{name}: {audit.path}"
        said, broken = parse(_content(root, audit, where), audit, where)
        asked = samples if audit.source is None else _of(samples, audit.source, name)
        found, lost = named(said, asked)
        lost = pl.concat([lost, broken]).with_columns(pl.lit(name).alias("audit"))
        _refuse_foreign(said, lost, audit, where)
        flagged.append(found.with_columns(source=pl.lit(f"audit:{name}")).select(*FLAGGED))
        unmatched.append(lost.select(*UNMATCHED.columns))
        rows = said["line"].n_unique() + len(broken)
        say(f"clean: {audit.path}: {rows:,} rows, {len(lost):,} of them name no sample")
    return pl.concat(flagged), pl.concat(unmatched)


def _content(root: Path, audit: Audit, where: str) -> bytes:
    path = root / audit.path
    if audit.content is None or not path.is_file():
        raise ConfigError(f"{where}: there is no such file; put the export there")
    content = path.read_bytes()
    if sha256(content).hexdigest() != audit.content:
        raise BuildError(f"{where}: is not what the config was written for; run `dvc repro` again")
    return content


def _of(samples: pl.DataFrame, source: str, name: str) -> pl.DataFrame:
    known = samples["source"].unique().to_list()
    if source not in known:
        raise ConfigError(
            f"clean.audits.{name}.source: {source}: no such source{suggest(source, known)}"
        )
    return samples.filter(source=source)


def _refuse_foreign(said: pl.DataFrame, lost: pl.DataFrame, audit: Audit, where: str) -> None:
    rows = said["line"].n_unique()
    strange = lost.filter(pl.col("why") != "malformed")
    if not rows or (rows - len(strange)) / rows >= audit.min_matched:
        return
    first = strange.sort("line").row(0, named=True)
    raise BuildError(
        f"{where}: {rows - len(strange):,} of its {rows:,} rows name an image of this dataset, "
        f"expected at least {audit.min_matched:.0%}; line {first['line']} names "
        f"{first['path'] or first['id']}. Is it the export of another dataset? Otherwise set "
        "`min_matched`, or `columns`."
    )


def parse(content: bytes, audit: Audit, where: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what an export says, as ``SAID``, and its malformed rows as ``tables.UNMATCHED``."""
    table, broken = _table(content, audit.separator, where)
    column = {says: _column(says, table.columns, audit) for says in TOLD}
    if column["id"] is None and column["path"] is None:
        raise _no_column("image", ["path", "id"], table, audit, where)
    told = table.select("line", *[_told(says, name, audit) for says, name in column.items()])
    if audit.wide:
        told = _wide(table, told, audit, where)
    elif column["flag"] is None and "flag" not in audit.constants:
        raise _no_column("flag", ["flag"], table, audit, where)
    return _clean(told, audit), broken


def _column(says: str, there: list[str], audit: Audit) -> str | None:
    names = {name.strip().lower(): name for name in there}
    aliases: Mapping[str, list[str]] = dict(audit.columns.items())
    return next(
        (names[each.lower()] for each in aliases.get(says, []) if each.lower() in names), None
    )


def _no_column(
    what: str, says: list[str], table: pl.DataFrame, audit: Audit, where: str
) -> BuildError:
    aliases: Mapping[str, list[str]] = dict(audit.columns.items())
    looked = ", ".join(alias for each in says for alias in aliases.get(each, []))
    there = ", ".join(name for name in table.columns if name != "line")
    return BuildError(
        f"{where}: no column names the {what}: looked for {looked or 'none'}; there are {there}. "
        f"Name it under `columns.{says[0]}`."
    )


def _told(says: str, column: str | None, audit: Audit) -> pl.Expr:
    constants: Mapping[str, str] = dict(audit.constants.items())
    fixed = pl.lit(constants.get(says), pl.String)
    value = fixed if column is None else pl.coalesce(_text(column), fixed)
    return value.alias(says)


def _text(column: str) -> pl.Expr:
    text = pl.col(column).str.strip_chars()
    return pl.when(~text.str.to_lowercase().is_in(["", "nan", "none", "null"])).then(text)


def _wide(table: pl.DataFrame, told: pl.DataFrame, audit: Audit, where: str) -> pl.DataFrame:
    """Return one row for each flag that a row has, of columns that are one flag each."""
    flags = {name: found[1] for name in table.columns if (found := re.fullmatch(audit.wide, name))}
    if not flags:
        there = ", ".join(name for name in table.columns if name != "line")
        raise BuildError(f"{where}: no column is like {audit.wide!r}; there are {there}")
    parts = []
    for column, flag in flags.items():
        score = audit.score.format(flag)
        worst = 1 - _number(score) if score in table.columns else pl.lit(None, pl.Float64)
        held = table[column].str.to_lowercase().is_in(["true", "1", "1.0", "yes"]).fill_null(False)
        sure = table.select(worst.cast(pl.String).alias("confidence"))["confidence"]
        rows = told.with_columns(pl.lit(flag).alias("flag"), sure)
        parts.append(rows.filter(held))
    return pl.concat(parts)


def _clean(told: pl.DataFrame, audit: Audit) -> pl.DataFrame:
    ours = {_plainly(name): code for name, code in audit.rename.items()}
    written = pl.col("flag").str.to_lowercase().str.replace_all(r"[^\w]+", "_")
    return told.with_columns(
        code=written.str.strip_chars("_").replace(ours),
        confidence=_number("confidence"),
        detail=pl.col("reason"),
    ).select(*SAID)


def _plainly(flag: str) -> str:
    return re.sub(r"[^\w]+", "_", flag.lower()).strip("_")


def _number(column: str) -> pl.Expr:
    """Return a share of 1, also of one that is written in per cent."""
    text = pl.col(column)
    percent = text.str.ends_with("%")
    value = text.str.strip_suffix("%").str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(percent).then((value / 100).round(12)).otherwise(value)


def _table(content: bytes, separator: str, where: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of a CSV as text with ``line``, and those that are no rows."""
    text = list(StringIO(content.decode("utf-8-sig", errors="replace"), newline=""))
    header = [name.strip() for name in next(csv.reader(text, delimiter=separator), [])]
    if not header:
        raise BuildError(f"{where}: is empty; export it again")
    if len({*header, "line"}) <= len(header):
        raise BuildError(f"{where}:1: two columns are called the same, or one `line`; rename one")
    schema = {"line": pl.Int64, **dict.fromkeys(header, pl.String)}
    parts, odd = [pl.DataFrame(schema=schema)], []
    rows = islice(_rows(text, separator, len(header)), 1, None)
    while some := list(islice(rows, MANY)):
        good = [[line, *cells] for line, cells in some if cells]
        odd += [line for line, cells in some if not cells]
        parts.append(pl.DataFrame(good, schema, orient="row"))
    return pl.concat(parts), _broken(odd)


def _rows(text: list[str], separator: str, width: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each row begins, and its cells: none where it is malformed.

    A quote that nobody closes would swallow the rows after it: they are read again on their own.
    """
    start = 0
    while start < len(text):
        lines = (text[at] for at in range(start, len(text)))
        reader = csv.reader(lines, delimiter=separator, strict=True)
        at = start
        try:
            for cells in reader:
                if cells and len(cells) != width:
                    break
                if cells:
                    yield at + 1, cells
                at = start + reader.line_num
            else:
                return
        except csv.Error:
            pass
        yield at + 1, []
        start = at + 1


def _broken(lines: list[int]) -> pl.DataFrame:
    return UNMATCHED.frame([{"line": line, "why": "malformed"} for line in lines])
