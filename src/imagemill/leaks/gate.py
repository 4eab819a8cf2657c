"""The gate: which leaks may remain, and what is said when there are more."""

import polars as pl

from imagemill.leaks.counts import KINDS, NONE, Counts, Kind
from imagemill.leaks.settings import Allowed, Config, Gate

SHOWN = 6  # of the pairs that remain, the worst


def message(
    before: Counts, after: Counts, left: pl.DataFrame, config: Config, failing: list[Kind]
) -> str:
    """Return what is said of the leaks that remain, in one screen.

    ``left`` is ``tables.LEAKS`` of them, ``failing`` the kinds that stop the build: those are
    shown, or all that are too many where none does.
    """
    many = over(after, config.allowed)
    lines = [
        f"leaks: more remain than `leaks.allowed` says: {_sums(after, many)}",
        *_table(before, after, config.gate, config.allowed),
        *worst(left, failing or many),
        *_advice(failing or many, config),
    ]
    return "\n".join(lines)


def over(after: Counts, allowed: Allowed) -> list[Kind]:
    """Return the kinds of which more leaks remain than allowed, the surest first."""
    return [kind for kind in KINDS if after.get(kind, NONE).worth > getattr(allowed, kind)]


def _sums(after: Counts, kinds: list[Kind]) -> str:
    return ", ".join(f"{after[kind].worth:,} {kind}" for kind in kinds)


def _table(before: Counts, after: Counts, gate: Gate, allowed: Allowed) -> list[str]:
    lines = [f"  {'kind':<11}{'found':>11}{'left':>11}{'allowed':>11}  gate"]
    for kind, count in before.items():
        left, most = after[kind].worth, getattr(allowed, kind)
        said = getattr(gate, kind) if left > most else "passed"
        lines.append(f"  {kind:<11}{count.worth:>11,}{left:>11,}{most:>11,}  {said}")
    return lines


def worst(left: pl.DataFrame, kinds: list[Kind]) -> list[str]:
    """Return the leaks of some kinds that are the surest, a line each.

    Of a group one pair is shown; the groups with most images come first.
    """
    ranks = {kind: rank for rank, kind in enumerate(KINDS)}
    rank = pl.col("kind").replace_strict(ranks, return_dtype=pl.Int32)
    sets = left.filter(pl.col("kind").is_in(kinds)).with_columns(
        pl.when(pl.col("shared").is_not_null()).then(pl.len().over("kind", "shared")).alias("many"),
        pl.int_range(pl.len()).over("kind", "shared").alias("nth"),
    )
    ones = sets.filter(pl.col("shared").is_null() | (pl.col("nth") == 0))
    order = [rank, pl.col("score").neg(), "distance", pl.col("many").cast(pl.Int64).neg(), "a", "b"]
    chosen = ones.sort(order, nulls_last=True)
    lines = [_line(row) for row in chosen.head(SHOWN).iter_rows(named=True)]
    return ["The worst of them:" if len(chosen) > SHOWN else "They are:", *lines]


def _line(row: dict[str, object]) -> str:
    facts = [str(row["kind"])]
    if row["kind"] in ("group", "identity"):
        facts[0] += f" {row['shared']}"
    if row["distance"] is not None:
        facts.append(f"{row['distance']} bits apart")
    if row["kind"] == "semantic":
        facts.append(f"similarity {row['similarity']:.3f}")
    if row["score"] is not None:
        facts.append(f"likeness {row['score']:.3f}")
    ends = f"{row['a']} ({row['split_a']}) ~ {row['b']} ({row['split_b']})"
    return f"  {ends}: {', '.join(facts)}"


def _advice(kinds: list[Kind], config: Config) -> list[str]:
    if kinds == ["against"]:
        return [
            "`hits: remove` under `leaks.against` takes them out; `leaks.allowed.against` says how "
            "many may stay.",
        ]
    rest = "`leaks.allowed` and `leaks.gate` say what may stay."
    lose = "name the splits that may lose images in `leaks.remove_from`"
    if config.assigning is None:
        return [f"{lose.capitalize()}, or use `leaks=assigned`;", rest]
    if config.assigning.frozen is None:
        return [f"Add them to `leaks.assign.together` (or `identities: open`), or {lose};", rest]
    return [f"They are frozen apart: mend their lines in splits/, or {lose};", rest]
