"""Layouts: what a key, and the row of a table beside it, say about an image."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from imagemill.config import Section
from imagemill.errors import ConfigError, SourceError, suggest

SAYS = ("label", "identity", "group", "split")
"""What a layout can tell."""

Says = Literal["label", "identity", "group", "split"]


class Join(Section):
    """A table that says more about each key."""

    table: str
    """Name of the table in the config's ``tables``."""
    key: str
    """The table's column with the key."""
    columns: dict[Says, str]
    """What is told, by which column of the table."""
    prefix: str = ""
    """What the table's keys begin with and the source's do not, such as ``photos/``."""
    part: str = ""
    """A regular expression for the whole key with one group: the part of it that the table's
    column holds, such as ``(.+)[.]jpe?g``. Empty: all of it."""
    rename: dict[str, str] = Field(default={})
    """Other names for labels of the table."""


class Aliases(Section):
    """A table of other names, such as those that a person bears in several sources."""

    table: str
    """Name of the table in the config's ``tables``."""
    alias: str
    """Its column with what the source says."""
    name: str
    """Its column with what is said in its place; what has no row, or an empty name, stays."""


class ImageFolder(Section):
    """Folders whose names tell something, outermost first."""

    kind: Literal["imagefolder"]
    folders: list[Says]
    join: Join | None
    constants: dict[Says, str]
    aliases: dict[Says, Aliases] = Field(default={})

    def expression(self) -> str:
        """Return the regular expression that a key has to match."""
        levels = [f"(?P<{name}>[^/]+)/" for name in self.folders]
        return f"^{''.join(levels)}.+$"


class Flat(Section):
    """File names that tell something, by a pattern with named groups."""

    kind: Literal["flat"]
    pattern: str
    """A regular expression for the whole key, with groups such as ``(?P<identity>.+)``."""
    join: Join | None
    constants: dict[Says, str]
    aliases: dict[Says, Aliases] = Field(default={})

    def expression(self) -> str:
        """Return the regular expression that a key has to match."""
        return f"^(?:{self.pattern})$"


class TableLayout(Section):
    """Keys tell nothing; the table tells all."""

    kind: Literal["table"]
    join: Join
    constants: dict[Says, str]
    aliases: dict[Says, Aliases] = Field(default={})

    def expression(self) -> str:
        """Return the regular expression that a key has to match."""
        return "^.+$"


Layout = Annotated[ImageFolder | Flat | TableLayout, Field(discriminator="kind")]


def assign(
    listing: pl.DataFrame, layouts: Mapping[str, Layout], tables: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Add the columns of ``SAYS`` and ``misfit`` to a frame with ``source`` and ``key``.

    ``misfit`` is null or why nothing can be told: ``no_layout`` or ``no_label``. An identity
    that bears no label is its own label. Rows keep their order. Raises ``ConfigError`` when a
    source has no layout, or a layout cannot be used.
    """
    for name in sorted(set(listing["source"].unique()) - set(layouts)):
        raise ConfigError(
            f"sources.{name}.layout: needs a value; none is given. "
            f"Add `- /layout@sources.{name}.layout: imagefolder` to the dataset's `defaults`."
        )
    parts = [
        _assign_one(listing.with_row_index("row").filter(source=name), name, layout, tables)
        for name, layout in layouts.items()
    ]
    told = pl.concat([_nothing_told(listing), *parts]).sort("row").drop("row")
    return told.with_columns(pl.coalesce("label", "identity").alias("label")).with_columns(
        pl.when(pl.col("misfit").is_null() & pl.col("label").is_null())
        .then(pl.lit("no_label"))
        .otherwise("misfit")
        .alias("misfit")
    )


def unit() -> pl.Expr:
    """Return what ``min_images`` counts: the identity, or the label where there is none."""
    return pl.coalesce("identity", "label")


def joined(layouts: Mapping[str, Layout]) -> list[str]:
    """Return the names of the tables that layouts ask, sorted."""
    return sorted(
        {layout.join.table for layout in layouts.values() if layout.join}
        | {each.table for layout in layouts.values() for each in layout.aliases.values()}
    )


def _nothing_told(listing: pl.DataFrame) -> pl.DataFrame:
    empty = listing.clear().with_row_index("row")
    return empty.with_columns(pl.lit(None, pl.String).alias(name) for name in (*SAYS, "misfit"))


def _assign_one(
    rows: pl.DataFrame, name: str, layout: Layout, tables: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    columns = rows.columns
    rows = _told_by_source(rows, name, layout, tables)
    for says, aliases in layout.aliases.items():
        names = _names(aliases, tables, f"sources.{name}.layout.aliases.{says}")
        rows = rows.join(names, left_on=says, right_on="_alias", how="left", maintain_order="left")
        rows = rows.with_columns(pl.coalesce("_name", says).alias(says)).drop("_name")
    return rows.select(*columns, *SAYS, "misfit")


def _told_by_source(
    rows: pl.DataFrame, name: str, layout: Layout, tables: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    rows = _by_pattern(rows, name, layout.expression())
    if layout.join is not None:
        rows = _joined(rows, name, layout.join, tables)
    return rows.with_columns(
        pl.coalesce(key, pl.lit(value)).alias(key) for key, value in layout.constants.items()
    )


def _names(aliases: Aliases, tables: Mapping[str, pl.DataFrame], where: str) -> pl.DataFrame:
    """Return ``_alias`` and ``_name``, one row an alias."""
    table = _table(aliases.table, (aliases.alias, aliases.name), tables, where)
    said = table.select(
        _row=pl.int_range(1, pl.len() + 1),
        _alias=_nonempty(pl.col(aliases.alias)),
        _name=_nonempty(pl.col(aliases.name)),
    ).drop_nulls()
    several = said.filter(pl.col("_name").n_unique().over("_alias") > 1).sort("_alias", "_row")
    if len(several):
        count = several["_alias"].n_unique()
        shown = [
            f"{alias} is {name} in row {row:,}" for row, alias, name in several[:4].iter_rows()
        ]
        raise SourceError(
            f"tables.{aliases.table}: {count:,} of column {aliases.alias} have several names: "
            f"{', '.join(shown)}{', ...' * (len(several) > 4)}. Leave one name each."
        )
    return said.select("_alias", "_name").unique("_alias")


def _table(
    name: str, columns: Iterable[str], tables: Mapping[str, pl.DataFrame], where: str
) -> pl.DataFrame:
    if name not in tables:
        raise ConfigError(f"{where}.table: no table {name}{suggest(name, tables)}")
    for column in columns:
        if column not in tables[name].columns:
            raise ConfigError(f"{where}: no column {column}{suggest(column, tables[name].columns)}")
    return tables[name]


def _groups(pattern: str, where: str) -> list[str]:
    """Return the names of the groups of a pattern, which must be among ``SAYS``."""
    try:
        names = list(re.compile(pattern).groupindex)
        pl.Series([""]).str.contains(pattern)  # Polars knows less than Python: no look-ahead
    except (re.error, pl.exceptions.ComputeError) as error:
        lines = str(error).splitlines()
        said = next((line for line in lines if line.startswith("error:")), lines[0])
        raise ConfigError(f"{where}: {pattern}: {said}") from error
    for name in names:
        if name not in SAYS:
            raise ConfigError(f"{where}: group {name}: tells nothing{suggest(name, SAYS)}")
    return names


def _by_pattern(rows: pl.DataFrame, source: str, pattern: str) -> pl.DataFrame:
    names = _groups(pattern, f"sources.{source}.layout.pattern")
    fits = pl.col("key").str.contains(pattern)
    found = pl.col("key").str.extract_groups(pattern)
    told = [_nonempty(found.struct.field(name)).alias(name) for name in names]
    blank = [pl.lit(None, pl.String).alias(name) for name in SAYS if name not in names]
    misfit = pl.when(~fits).then(pl.lit("no_layout")).alias("misfit")
    return rows.with_columns(*told, *blank, misfit)


def _nonempty(text: pl.Expr) -> pl.Expr:
    """Return null for an empty text: a CSV has no other way to say nothing."""
    return pl.when(text.cast(pl.String) != "").then(text.cast(pl.String))


def _joined(
    rows: pl.DataFrame, name: str, join: Join, tables: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    where = f"sources.{name}.layout.join"
    table = _table(join.table, (join.key, *join.columns.values()), tables, where)
    said = table.select(
        pl.col(join.key).cast(pl.String).alias("_key"),
        *[_nonempty(pl.col(column)).alias(f"_{says}") for says, column in join.columns.items()],
    ).drop_nulls("_key")
    if "label" in join.columns:
        said = said.with_columns(pl.col("_label").replace(join.rename))
    said = said.unique()
    _refuse_contradictions(said, join)
    joined = rows.with_columns(_table_key(join, where)).join(said, on="_key", how="left")
    return joined.with_columns(
        *[pl.coalesce(f"_{says}", says).alias(says) for says in join.columns], _unlabelled(join)
    )


def _table_key(join: Join, where: str) -> pl.Expr:
    """Return the key under which the table has each object, as ``_key``."""
    key = pl.col("key")
    if join.part:
        _groups(join.part, f"{where}.part")
        if re.compile(join.part).groups != 1:
            raise ConfigError(f"{where}.part: {join.part}: needs one group, in round brackets")
        key = key.str.extract(f"^(?:{join.part})$", 1)
    return (join.prefix + key).alias("_key")


def orphans(
    listing: pl.DataFrame, layouts: Mapping[str, Layout], tables: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Return keys and aliases of tables that no listed object has: ``table``, ``column``, ``key``.

    Where several sources ask one table, an object of any of them will do.
    """
    named: dict[tuple[str, str], list[pl.DataFrame]] = {}
    for source, layout in layouts.items():
        rows = listing.filter(source=source).select("source", "key")
        if join := layout.join:
            had = rows.select(_table_key(join, f"sources.{source}.layout"))
            named.setdefault((join.table, join.key), []).append(had)
        told = _told_by_source(rows, source, layout, tables) if layout.aliases else rows
        for says, aliases in layout.aliases.items():
            had = told.select(_key=says).unique()
            named.setdefault((aliases.table, aliases.alias), []).append(had)
    parts = [listing.clear().select(table="key", column="key", key="key")]
    for (table, column), found in named.items():
        key = _nonempty(pl.col(column))
        keys = tables[table].select(table=pl.lit(table), column=pl.lit(column), key=key)
        lost = keys.drop_nulls().join(pl.concat(found), left_on="key", right_on="_key", how="anti")
        parts.append(lost.unique())
    return pl.concat(parts)


def _unlabelled(join: Join) -> pl.Expr:
    """Return the misfit of each row: a key that the table tells no label has none."""
    if "label" not in join.columns:
        return pl.col("misfit")
    missing = pl.col("misfit").is_null() & pl.col("_label").is_null()
    return pl.when(missing).then(pl.lit("no_label")).otherwise("misfit").alias("misfit")


def _refuse_contradictions(said: pl.DataFrame, join: Join) -> None:
    twice = said.filter(pl.col("_key").is_duplicated())["_key"].sort()
    if len(twice):
        raise SourceError(
            f"tables.{join.table}: {twice.n_unique():,} keys have several rows that say different "
            f"things, first {join.key} = {twice[0]}. Leave one row a key."
        )
