"""Put the page together: what each section of ``page.html`` is given."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
import polars as pl

from imagemill.about import About
from imagemill.report import charts, counts, words
from imagemill.report.charts import Chart, Scale
from imagemill.report.examples import Example, Gallery
from imagemill.report.ledger import DECODED, KEPT, Tables
from imagemill.report.pictures import NOT_FETCHED, Album


class Page(NamedTuple):
    """What a page is drawn from."""

    rows: pl.DataFrame
    """The ledger."""
    tables: Tables
    album: Album
    planted: pl.DataFrame | None
    """What ``truth.caught`` gave; null without planted problems."""
    about: About
    examples: int
    pairs: int


class Section(NamedTuple):
    """One reason or flag: its anchor, words, stage, counts and pictures."""

    anchor: str
    code: str
    words: words.Words
    stage: str
    images: int
    alone: int
    """Images that have no other reason."""
    examples: list[Example]

    @property
    def fetched(self) -> bool:
        """Tell whether there is anything to see: a picture, or why there can be none."""
        return any(each.subject.thumb.missing != NOT_FETCHED for each in self.examples)


def render(page: Page) -> str:
    """Return the page as HTML."""
    return environment().get_template("page.html").render(_given(page)).lstrip()


def environment() -> jinja2.Environment:
    """Return how this package's templates are filled in: nothing given is taken for HTML."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=words.shown,
    )
    made.filters |= {"n": _number, "share": _share, "estimate": _estimate}
    return made


def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _given(page: Page) -> dict[str, Any]:
    gallery = Gallery(page.rows, page.tables, page.album)
    flow = counts.flow(page.rows)
    return {
        "about": page.about,
        "listed": len(page.rows),
        "kept": flow[-1].images,
        "splits": counts.splits(page.rows),
        "flow": flow,
        "of": words.of,
        "reasons": _reasons(page, gallery),
        "flags": _flags(page, gallery),
        "tiers": words.TIERS,
        "pairs": _pairs(page, gallery),
        "leaks": _leaks(page, gallery),
        "charts": _charts(page.rows),
        "labels": counts.labels(page.rows),
        "identities": identities(page.rows),
        "sources": counts.sources(page.rows),
        "orphans": counts.orphans(page.tables.orphans),
        "planted": _planted(page.planted),
    }


def _reasons(page: Page, gallery: Gallery) -> list[Section]:
    return [
        Section(
            f"{stage}-{code}",
            code,
            words.of(code),
            stage,
            count,
            alone,
            gallery.removed(code, stage, page.examples),
        )
        for stage, code, count, alone in counts.reasons(page.rows).iter_rows()
    ]


def _flags(page: Page, gallery: Gallery) -> list[Section]:
    return [
        Section(
            f"flag-{code}",
            code,
            words.of(code),
            "clean",
            count,
            count,
            gallery.flagged(code, page.examples),
        )
        for code, count in counts.flags(page.rows)
    ]


def _pairs(page: Page, gallery: Gallery) -> dict[str, Any]:
    pairs = page.tables.pairs
    order = pl.col("tier").replace_strict(_ranks(words.TIERS), default=None)
    counted = pairs.group_by("tier", "distance").len("count").sort(order, "tier", "distance")
    kept = page.rows.filter(KEPT)["digest"].unique().implode()
    both = pairs.filter(pl.col("a").is_in(kept), pl.col("b").is_in(kept))
    return {
        "count": len(pairs),
        "both": len(both),
        "by": list(counted.iter_rows()),
        "most": max(counted["count"], default=0),
        "shown": gallery.pairs(page.pairs),
        **_expected(page.tables.matched),
    }


def _expected(matched: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a calibration lets expect of each tier; ``target`` is null without one."""
    found = matched["calibration"]
    if found is None:
        return {"target": None, "least": matched["min_score"]}
    recall = found["recall"]
    precision = found["precision"]
    rows = [(tier, precision[tier], recall[tier]) for tier in words.TIERS if tier in precision]
    return {
        "target": found["target"],
        "reached": found["reached"],
        "expected": [*rows, (None, precision["together"], recall["together"])],
        "copies": found["copies"],
        "edited": found["edited"],
        "close": matched["close_calls"],
        "band": found["close"],
        "least": matched["min_score"],
    }


def _leaks(page: Page, gallery: Gallery) -> dict[str, Any]:
    leaks = page.tables.leaks
    counted = leaks.group_by("kind", "split_a", "split_b").agg(
        pl.len().alias("count"), pl.col("removed").drop_nulls().n_unique().alias("removed")
    )
    order = pl.col("kind").replace_strict(_ranks(words.TIERS), default=None)
    said = page.tables.certificate
    return {
        "checked": list(said["leaks"].items()) if said else [],
        "how": said["checked"] if said else {},
        "unchecked": said["not_checked"] if said else [],
        "count": len(leaks),
        "removed": leaks["removed"].drop_nulls().n_unique(),
        "open": leaks["removed"].null_count(),
        "by": list(counted.sort(order, "kind", "split_a", "split_b").iter_rows()),
        "shown": gallery.leaks(page.pairs),
    }


def _ranks(names: Iterable[str]) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(names)}


def _charts(rows: pl.DataFrame) -> list[Chart]:
    judged = rows.filter(DECODED)
    grey = Scale(0, 1, [0, 0.25, 0.5, 0.75, 1])
    bits = Scale(0, 8, [0, 2, 4, 6, 8])
    sharp = charts.hued(judged, ["blurred"])
    light = charts.hued(judged, ["dark", "bright"])
    blank = charts.hued(judged, ["low_information"])
    shape = charts.hued(judged, ["too_small", "odd_aspect"])
    return [
        charts.sizes("Width and height, in pixels", shape),
        charts.histogram("Sharpness", sharp, "sharpness", charts.sharpness_scale(sharp)),
        charts.histogram("Brightness, black 0 to white 1", light, "brightness", grey),
        charts.histogram("Information in the greys, in bits", blank, "entropy", bits),
    ]


def identities(rows: pl.DataFrame) -> dict[str, Any] | None:
    """Return the figures of identities, merged and in the end; null where none is known."""
    if rows["identity"].null_count() == len(rows):
        return None
    merged, final = counts.merged_and_final(rows)
    return {
        "rows": [(title, merged[key], final[key]) for key, title in words.IDENTITIES.items()],
        "charts": [_distribution("merged", merged), _distribution("in the package", final)],
    }


def _distribution(when: str, found: dict[str, Any]) -> Chart:
    named = {name.replace("-", words.TO): count for name, count in found["distribution"].items()}
    note = (
        f"{found['identities']:,} identities with {found['images']:,} images, "
        f"{found['images_per_identity']:,.1f} on average."
    )
    return charts.bars(f"Identities with so many images, {when}", note, named)


def _planted(planted: pl.DataFrame | None) -> dict[str, Any] | None:
    if planted is None:
        return None
    clean = pl.col("problem").eq_missing("none")
    wrong, right = planted.filter(~clean), planted.filter(clean)
    return {
        "rows": list(planted.sort(clean, maintain_order=True).iter_rows(named=True)),
        "planted": wrong["planted"].sum(),
        "caught": wrong["caught"].sum(),
        "missed": planted["missed"].sum(),
        "clean": right["planted"].sum(),
        "kept": right["caught"].sum(),
        "flagged": right["flagged"].sum(),
    }


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _estimate(given: Mapping[str, float] | None) -> str:
    """Return a share with its interval, in percent."""
    if given is None:
        return "not known"
    value, low, high = (f"{100 * given[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} % ({low} to {high})"


def _share(part: int, whole: int) -> str:
    """Return ``part`` of ``whole`` in percent; what is rare is not called none, nor most all."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{min(percent, 99.9) if part < whole else percent:.1f} %"
