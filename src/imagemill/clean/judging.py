"""One verdict for every sample, from everything that is said of it."""

import polars as pl

from imagemill.clean import annotations, audits, checks, copies, people, rules, suspects
from imagemill.clean.case import Inputs, Judgement, Touched
from imagemill.clean.checks import CHECKS
from imagemill.clean.evidence import ORDER, WISH, codes, gathered, piece
from imagemill.clean.settings import Config
from imagemill.errors import ConfigError, suggest
from imagemill.reviews.taxonomy import KEEP, RELABEL, REMOVE
from imagemill.tables import EVIDENCE

RULES, PEOPLE, COPIES = 2000, 3000, 4000
"""Where the reasons of each stand, after those of the checks."""

RELABELLED = "relabelled"
"""Flag of a sample that has a new label."""

FLAG = "flag"

DEEDS = {
    KEEP: "kept_by_rule",
    REMOVE: "removed_by_rule",
    RELABEL: "relabelled_by_rule",
}
"""What a rule's action is called among the evidence."""


def judge(inputs: Inputs, config: Config) -> Judgement:
    """Return one verdict for every sample, with all evidence."""
    _refuse_unknown(inputs, config)
    rows = _rows(inputs, config)
    annotated = annotations.reviewed(inputs.annotated, inputs.reviews)
    said = [*_checked(rows, config), *_flagged(rows, inputs, config)]
    deeds, touched = _ruled(rows, gathered(said), config)
    said += [deeds, *_reviewed(rows, inputs.reviews, annotated)]
    rows = _decided(rows, gathered(said))
    pairs = copies.believed(inputs.pairs, inputs.reviews)
    rows, of_copies = _copied(rows, pairs, config)
    evidence = _effects(rows, gathered([*said, *of_copies]))
    verdicts = _verdicts(rows, evidence)
    numbered = annotations.numbered(inputs.annotated)
    return Judgement(
        verdicts,
        evidence.select(*EVIDENCE.columns).sort(EVIDENCE.key),
        pairs,
        people.effects(inputs.reviews, rows, numbered),
        inputs.unmatched,
        annotations.judged(annotated, verdicts),
        touched,
    )


def _refuse_unknown(inputs: Inputs, config: Config) -> None:
    checks.refuse_unknown(config)
    splits = set(inputs.samples["split"].drop_nulls())
    for split in config.splits:
        if split not in splits:
            raise ConfigError(
                f"clean.splits: {split}: the sources give no such split{suggest(split, splits)}"
            )
    flags = dict.fromkeys(
        [*CHECKS, *audits.VOCABULARY, suspects.CODE, *inputs.flagged["code"].unique()], True
    )
    for number, text in enumerate(config.rules, start=1):
        rules.refuse_unknown(rules.parse(text, number), flags)


def _rows(inputs: Inputs, config: Config) -> pl.DataFrame:
    """Return the samples with their facts, and ``hindered``: why nothing can be done with one."""
    known = inputs.facts.rename({"reason": "unreadable"})
    samples = inputs.samples.drop("name", "detail").sort("sample")
    rows = samples.join(known, on="digest", how="left", maintain_order="left")
    elsewhere = ~pl.col("split").is_in(config.splits).fill_null(value=False)
    hindered = (
        pl.when(pl.col("reason").is_not_null())
        .then(pl.lit("left_out"))
        .when(pl.col("unreadable").is_not_null())
        .then(pl.lit("unreadable"))
        .when(elsewhere if config.splits else pl.lit(value=False))
        .then(pl.lit("outside_splits"))
    )
    return rows.with_columns(hindered.alias("hindered"), given=pl.col("label"))


LET_IN = pl.col("reason").is_null()
READABLE = LET_IN & pl.col("unreadable").is_null()


def _checked(rows: pl.DataFrame, config: Config) -> list[pl.DataFrame]:
    found = checks.found(rows.filter(LET_IN), config)
    return [piece(hit, "check", wish, order, code) for order, (code, wish, hit) in enumerate(found)]


def _flagged(rows: pl.DataFrame, inputs: Inputs, config: Config) -> list[pl.DataFrame]:
    """Return what audits and neighbours say. Neither decides anything."""
    let_in = rows.filter(LET_IN).select("sample")
    audited = inputs.flagged.join(let_in, on="sample", how="semi")
    told = audited.unique(["sample", "source", "code", "detail", "suggested", "confidence"])
    near = inputs.pairs.filter(pl.col("tier") != copies.SEMANTIC)
    readable = rows.filter(READABLE).select("sample", "digest", "label")
    found = suspects.find(readable, inputs.embeddings, near, config.suspects, inputs.memo)
    doubted = found.rename({"score": "confidence"})
    return [
        piece(told, None, FLAG, RULES - 2),
        piece(doubted, "suspects", FLAG, RULES - 1, suspects.CODE),
    ]


def _ruled(
    rows: pl.DataFrame, said: pl.DataFrame, config: Config
) -> tuple[pl.DataFrame, list[Touched]]:
    """Return what rules decide, and how many samples each touches."""
    left = rows.filter(pl.col("hindered").is_null())
    decided, touched = [], []
    every = left
    for number, text in enumerate(config.rules, start=1):
        rule = rules.parse(text, number)
        holds = rules.touched(rule, every, said)
        if rule.action == RELABEL:
            holds = holds.drop_nulls("suggested")
        new = holds.join(left, on="sample", how="semi")
        left = left.join(new, on="sample", how="anti")
        touched.append(Touched(rule, len(holds), len(new)))
        label = "suggested" if rule.action == RELABEL else pl.lit(None, pl.String)
        deed = new.select("sample", suggested=label, detail=pl.lit(text))
        source = f"rule:{number}"
        decided.append(piece(deed, source, rule.action, RULES + number, DEEDS[rule.action]))
    return gathered(decided), touched


def _reviewed(
    rows: pl.DataFrame, reviews: pl.DataFrame, annotated: pl.DataFrame
) -> list[pl.DataFrame]:
    """Return what people say of images, and what follows from what they say of annotations."""
    verdicts = people.verdicts(rows.filter(LET_IN), reviews)
    changed = annotations.labels(annotated).join(
        rows.filter(LET_IN).select("sample", old="label"), on=["sample", "old"]
    )
    boxes = changed.select(
        "sample", suggested="new", detail=pl.lit("its largest annotation has another category")
    )
    return [
        gathered(
            [
                piece(part.drop("digest", "wish"), "review", str(wish), PEOPLE)
                for (wish,), part in verdicts.group_by("wish", maintain_order=True)
            ]
        ),
        piece(boxes, "review", RELABEL, PEOPLE + 1, people.CODES[RELABEL]),
    ]


def _decided(rows: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Return rows with what is decided before copies are compared.

    ``deed``: keep, remove or relabel by people or a rule; ``by``: which of them; ``label``: the new
    one; ``firm``: people keep it; ``gone``.
    """
    strongest = (
        said.filter(pl.col("source").str.starts_with("rule") | (pl.col("source") == "review"))
        .sort(pl.col("source") != "review", ORDER, maintain_order=True)
        .unique("sample", keep="first", maintain_order=True)
        .select("sample", "suggested", deed=WISH, by="source")
    )
    removing = said.filter(source="check", wish=REMOVE).select("sample", checked=pl.lit(value=True))
    rows = rows.join(strongest, on="sample", how="left", maintain_order="left")
    rows = rows.join(removing.unique(), on="sample", how="left", maintain_order="left")
    may_go = pl.col("hindered").is_null()
    deed = pl.when(may_go).then("deed")
    out = ~READABLE | (deed == REMOVE) | (may_go & pl.col("deed").is_null() & pl.col("checked"))
    label = pl.when(deed == RELABEL).then("suggested").otherwise("label")
    shown = pl.col("identity") == pl.col("label")  # it is known by its label alone
    return rows.with_columns(
        deed.alias("deed"),
        label.alias("label"),
        pl.when(shown).then(label).otherwise("identity").alias("identity"),
        ((pl.col("by") == "review") & deed.is_in([KEEP, RELABEL])).fill_null(False).alias("firm"),
        may_go.alias("may_go"),
        out.fill_null(value=False).alias("gone"),
    )


def _copied(
    rows: pl.DataFrame, pairs: pl.DataFrame, config: Config
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Return rows with ``gone`` and ``kept_as`` after copies were compared, and the evidence."""
    stays = rows.filter(~pl.col("gone"))
    both = copies.of_samples(stays, pairs)
    wrong = (
        copies.conflicts(both).clear() if config.on_conflict == "keep" else copies.conflicts(both)
    )
    wish = REMOVE if config.on_conflict == "drop" else FLAG
    said = copies.leaving(wrong) if wish == REMOVE else _both(wrong)
    disputed = said.select("sample", detail=pl.format("disagrees with {}", "other"))
    evidence = [piece(disputed, "copies", wish, COPIES, copies.CONFLICT)]
    both = both.join(wrong.select("a", "b"), on=["a", "b"], how="anti", maintain_order="left")
    if wish == REMOVE:
        stays = stays.join(said, on="sample", how="anti", maintain_order="left")
        both = _among(both, stays)
        rows = rows.with_columns(gone=pl.col("gone") | _in(said))
    taken = copies.copies(stays, both, config)
    beside = taken.select("sample", detail=pl.format("copy of {}", "kept_as"))
    evidence.append(piece(beside, "copies", REMOVE, COPIES + 1, copies.DUPLICATE))
    kept = taken.rename({"kept_as": "_kept"})
    rows = rows.join(kept, on="sample", how="left", maintain_order="left").with_columns(
        pl.coalesce("_kept", "kept_as").alias("kept_as"),
        gone=pl.col("gone") | pl.col("_kept").is_not_null(),
    )
    return rows.drop("_kept"), evidence


def _both(pairs: pl.DataFrame) -> pl.DataFrame:
    a, b = pairs.select(sample="a", other="b"), pairs.select(sample="b", other="a")
    return pl.concat([a, b]).sort("sample", "other").unique("sample", keep="first").sort("sample")


def _among(both: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    for end in ("a", "b"):
        names = stays.select(pl.col("sample").alias(end))
        both = both.join(names, on=end, how="semi", maintain_order="left")
    return both


def _in(samples: pl.DataFrame) -> pl.Expr:
    return pl.col("sample").is_in(samples["sample"].implode())


def _effects(rows: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Return all evidence with what came of each piece."""
    final = rows.join(said.select("sample").unique(), on="sample", how="semi")
    final = final.select("sample", "hindered", "deed", "by", "gone")
    told = said.join(final, on="sample", how="left", maintain_order="left")
    wish = pl.col(WISH)
    heard = pl.col("hindered").is_null() | (pl.col("hindered") == "unreadable")
    overruled = (pl.col("source") != "copies") & pl.col("deed").is_in([KEEP, RELABEL])
    mine = (pl.col("by") == pl.col("source")) & (pl.col("deed") == wish)
    effect = (
        pl.when(wish == FLAG)
        .then(wish)
        .when((wish == REMOVE) & pl.col("gone") & heard & ~overruled.fill_null(value=False))
        .then(wish)
        .when((wish != REMOVE) & mine & ~pl.col("gone"))
        .then(wish)
    )
    return told.with_columns(effect.alias("effect")).select(*said.columns)


def _verdicts(rows: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """Return ``tables.VERDICTS``."""
    reasons = codes(evidence.filter(effect=REMOVE), "_reasons")
    flags = codes(evidence.filter(effect=FLAG), "_flags")
    rows = rows.join(reasons, on="sample", how="left", maintain_order="left")
    rows = rows.join(flags, on="sample", how="left", maintain_order="left")
    blank = pl.lit([], pl.List(pl.String))
    new = ~pl.col("gone") & pl.col("label").ne_missing(pl.col("given"))
    out = pl.coalesce("reason", "unreadable")
    first = pl.when(out.is_not_null()).then(pl.concat_list(out)).otherwise(blank)
    more = pl.when(LET_IN).then(pl.col("_reasons").fill_null(blank)).otherwise(blank)
    marked = pl.when(new).then(pl.lit([RELABELLED], pl.List(pl.String))).otherwise(blank)
    verdict = pl.when("gone").then(pl.lit(REMOVE)).when(new).then(pl.lit(RELABEL))
    return rows.select(
        "sample",
        verdict.otherwise(pl.lit(KEEP)).alias("verdict"),
        pl.when("gone").then("given").otherwise("label").alias("label"),
        pl.concat_list(first, more).alias("reasons"),
        pl.concat_list(pl.col("_flags").fill_null(blank), marked).alias("flags"),
        "kept_as",
    )
