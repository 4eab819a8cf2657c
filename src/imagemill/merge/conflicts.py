"""Images that are said to show several things: what to do is a policy, what was said is kept."""

import polars as pl

from imagemill.merge.marks import IN, out
from imagemill.tables import CONFLICTS


def identity_claims(rows: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Return what is said of bytes that are said to show several things, one row a sample.

    Columns: ``digest``, ``sample``, ``claim`` (null for a sample that names no identity where
    identities are disputed) and ``stays``, the claim that ``policy`` believes; null for none.
    Empty files are all alike and show nothing: ``measure`` has the word on them.
    """
    held = rows.filter(IN, pl.col("bytes") > 0)
    several = held.filter(pl.col("digest").is_duplicated())
    claims = several.select("digest", "sample", "_rank", claim=_claim())
    disputed = claims.filter(pl.col("claim").drop_nulls().n_unique().over("digest") > 1)
    return disputed.join(_believed(disputed, policy), on="digest", how="left")


def _claim() -> pl.Expr:
    """Return what each sample says that its bytes show: an identity, or else a label.

    Labels are compared where a sample names no identity, and the others name one between them.
    Several labels of one identity are for ``settle_labels`` to judge.
    """
    several = pl.col("identity").drop_nulls().n_unique().over("digest") > 1
    bare = pl.col("identity").is_null().any().over("digest")
    return pl.when(several | ~bare).then("identity").otherwise("label")


def _believed(claims: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Return ``digest`` and ``stays`` for the bytes of which one claim is believed."""
    named = claims.drop_nulls("claim")
    if policy == "first":
        first = named.sort("_rank", "sample").unique("digest", keep="first", maintain_order=True)
        return first.select("digest", stays="claim")
    counted = named.group_by("digest", "claim").len()
    most = counted.filter(pl.col("len") == pl.col("len").max().over("digest"))
    clear = most.filter(pl.len().over("digest") == 1, pl.lit(policy == "vote"))
    return clear.select("digest", stays="claim")


def settle_identities(rows: pl.DataFrame, claims: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Take out the samples whose claim is not believed."""
    if claims.is_empty():
        return rows
    said = pl.col("claim").drop_nulls().unique().sort().str.join(", ").over("digest")
    believed = (pl.col("claim") == pl.col("stays")).fill_null(False)
    wrong = claims.with_columns(_said=said).filter(~believed)
    marked = rows.join(wrong.select("sample", "_said"), on="sample", how="left")
    reason = "identity_review" if policy == "review" else "identity_conflict"
    detail = pl.lit("same bytes under ") + pl.col("_said")
    return out(marked, pl.col("_said").is_not_null(), reason, detail).drop("_said")


def table(claims: pl.DataFrame) -> pl.DataFrame:
    """Return who says what of each disputed image, as ``tables.CONFLICTS``."""
    named = claims.drop_nulls("claim").group_by("digest", "claim")
    stays = (pl.col("claim") == pl.col("stays")).fill_null(False).first()
    told = named.agg(pl.col("sample").sort().alias("samples"), stays.alias("stays"))
    return told.rename({"claim": "identity"}).select(*CONFLICTS.columns)


def settle_labels(rows: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Compare each label with the one that most distinct images of its identity bear.

    Where several are borne by as many, none is right.
    """
    borne = rows.filter(IN, pl.col("identity").is_not_null())
    labels = borne.select("identity", "label").unique()
    several = labels.filter(pl.col("identity").is_duplicated())["identity"].unique()
    if several.is_empty():
        return rows
    disputed = borne.filter(pl.col("identity").is_in(several.implode()))
    rows = rows.join(_majority(disputed), on="identity", how="left")
    if policy == "vote":
        rows = rows.with_columns(pl.coalesce(pl.when(IN).then("_major"), "label").alias("label"))
    wrong = pl.col("_several") & pl.col("label").ne_missing(pl.col("_major"))
    said = pl.col("_major").fill_null("no one label")
    detail = pl.format("labelled {}, its identity {}", "label", said)
    return out(rows, wrong.fill_null(False), "label_conflict", detail).drop("_several", "_major")


def _majority(rows: pl.DataFrame) -> pl.DataFrame:
    """Return for each identity ``_several``, and as ``_major`` its one most borne label or null."""
    counted = rows.group_by("identity", "label").agg(pl.col("digest").n_unique().alias("count"))
    most = counted.filter(pl.col("count") == pl.col("count").max().over("identity"))
    clear = pl.when(pl.len() == 1).then(pl.col("label").first())
    return most.group_by("identity").agg(_major=clear, _several=pl.lit(True))
