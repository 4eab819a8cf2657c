"""The report: numbers that add up, hostile names, and a page that needs nothing else."""

import json
import random
import re
from dataclasses import dataclass, replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from imagemill import clean, images, packs, report
from imagemill.about import About
from imagemill.errors import BuildError
from imagemill.report import counts, page, truth, words
from imagemill.report.examples import MEASURED
from imagemill.report.ledger import ledger
from imagemill.report.pictures import SIDE, Album
from imagemill.tables import (
    FACTS,
    INDEX,
    LEAKS,
    LISTING,
    MANIFEST,
    ORPHANS,
    PAIRS,
    PLACES,
    SAMPLES,
    TRANSFORMS,
    VERDICTS,
)
from tests.draw import photo, photo_bytes

LIMITS = images.Limits(max_pixels=1_000_000, max_bytes=1_000_000)
STAGES = ("scan", "download", "merge", "measure", "clean", "leaks")
ABOUT = About(title="Pets", licence="CC0", credit="nobody", licences={})


@dataclass(frozen=True)
class Item:
    """One listed object and what becomes of it; in the package unless ``stage`` is said."""

    key: str
    data: bytes = photo_bytes(0)
    source: str = "pets"
    label: str | None = "cat"
    identity: str | None = None
    split: str | None = "train"
    stage: str | None = None
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    detail: str | None = None
    kept_as: str | None = None
    sharpness: float = 100.0

    @property
    def sample(self) -> str:
        return f"{self.source}/{self.key}"

    @property
    def digest(self) -> str:
        return sha256(self.data).hexdigest()

    def out_by(self, *stages: str) -> bool:
        return self.stage in stages

    def row(self) -> dict[str, Any]:
        first = self.reasons[0] if self.reasons else None
        return {
            **{name: getattr(self, name) for name in ("key", "source", "label", "identity")},
            **{name: getattr(self, name) for name in ("split", "sample", "digest", "kept_as")},
            "bytes": len(self.data),
            "tag": None,
            "name": self.key,
            "group": None,
            "fold": None,
            "wanted": not self.out_by("scan"),
            "reason": first,
            "detail": self.detail,
            "reasons": list(self.reasons),
            "flags": list(self.flags),
        }


UNCALIBRATED: dict[str, Any] = {
    "min_score": 0.87,
    "pairs": {},
    "calibration": None,
    "close_calls": None,
}


def made(folder: Path, *items: Item, **more: Any) -> report.Tables:
    """Return the tables of a build of ``items``, with their bytes in packs below ``folder``."""
    rows = [item.row() for item in items]

    def reasoned(*stages: str) -> list[dict[str, Any]]:
        return [
            {**row, "reason": row["reason"] if item.out_by(*stages) else None}
            for row, item in zip(rows, items, strict=True)
        ]

    def judged(*stages: str) -> list[dict[str, Any]]:
        return [
            {**row, "verdict": "remove" if item.out_by(*stages) else "keep"}
            for row, item in zip(rows, items, strict=True)
        ]

    tables = {
        "listing": _frame(LISTING, reasoned("scan")),
        "orphans": ORPHANS.frame(),
        "index": _frame(INDEX, reasoned("scan", "download")),
        "samples": _frame(SAMPLES, reasoned("scan", "download", "merge")),
        "verdicts": _frame(VERDICTS, judged(*STAGES[:-1])),
        "manifest": _frame(MANIFEST, judged(*STAGES)),
        "facts": _facts(items),
        "places": _packed(folder, [i for i in items if not i.out_by("scan", "download")]),
        "pairs": PAIRS.frame(),
        "leaks": LEAKS.frame(),
        "truth": None,
        "matched": UNCALIBRATED,
        "certificate": None,
    }
    return report.Tables(**{**tables, **more})


def _frame(table: Any, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return table.frame([{name: row[name] for name in table.columns} for row in rows])  # type: ignore[no-any-return]


def _facts(items: tuple[Item, ...]) -> pl.DataFrame:
    figures = {"width": 96, "height": 96, "frames": 1, "brightness": 0.5, "entropy": 7.0}
    rows = {}
    for item in items:
        broken = item.reasons[0] if item.out_by("measure") else None
        measured = {} if broken else {**figures, "format": "PNG", "sharpness": item.sharpness}
        said = {"reason": broken, "detail": item.detail if broken else None}
        rows[item.digest] = {"digest": item.digest, **said, **measured}
    return FACTS.frame(list(rows.values()))


def _packed(folder: Path, items: list[Item]) -> pl.DataFrame:
    data = {item.digest: item.data for item in items}
    members = [packs.Member(f"{d}.img", d, len(data[d])) for d in sorted(data)]
    rows = []
    for pack in packs.plan(members):
        packs.write(pack, folder, lambda member: data[member.digest])
        rows += [(m.digest, pack.name, offset, m.length) for m, offset in pack.offsets()]
    return pl.DataFrame(rows, dict(PLACES.columns), orient="row")


def drawn(folder: Path, tables: report.Tables, **more: Any) -> str:
    """Return the page of ``tables``."""
    settings = {"about": ABOUT, "examples": 12, "pairs": 24, **LIMITS._asdict(), **more}
    report.write(tables, folder, report.Config(**settings), folder)
    return (folder / "index.html").read_text()


class Parsed(HTMLParser):
    """What a browser would see: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


MIXED = (
    Item("a.png", photo_bytes(1)),
    Item("b.png", photo_bytes(2), split="test", flags=("wrong_extension",)),
    Item("stray.txt", b"stray", label=None, split=None, stage="scan", reasons=("no_layout",)),
    Item("gone.png", b"gone", stage="download", reasons=("vanished",), detail="gone when read"),
    Item("again.png", photo_bytes(1), stage="merge", reasons=("same_bytes",), kept_as="pets/a.png"),
    Item("half.png", photo_bytes(3)[:90], stage="measure", reasons=("truncated",)),
    Item("soft.png", photo_bytes(4), stage="clean", reasons=("blurred", "dark"), sharpness=3.0),
    Item("grey.png", photo_bytes(5), stage="clean", reasons=("dark",)),
    Item("twin.png", photo_bytes(6), split="test", stage="leaks", reasons=("leak",)),
)


def leak(a: Item, b: Item) -> pl.DataFrame:
    """Return one leak between two items, the second of which goes."""
    row = {"a": a.sample, "b": b.sample, "split_a": a.split, "split_b": b.split}
    how = {"kind": "perceptual", "distance": 2, "transform": "flip", "score": 0.9}
    return LEAKS.frame([{**row, **how, "removed": b.sample}])


def pair(a: Item, b: Item, score: float) -> dict[str, object]:
    """Return one row of pairs."""
    left, right = sorted((a.digest, b.digest))
    how = {"tier": "perceptual", "distance": 4, "transform": "none", "score": score}
    return {"a": left, "b": right, **how}


@pytest.fixture
def mixed(tmp_path: Path) -> report.Tables:
    """One object lost at every stage, and two kept."""
    return made(tmp_path, *MIXED, leaks=leak(MIXED[0], MIXED[8]))


def test_every_listed_object_is_counted_once_and_the_numbers_add_up(mixed: report.Tables) -> None:
    flow = counts.flow(ledger(mixed))
    assert [left.lost for left in flow] == [1, 1, 1, 1, 2, 1]
    assert [left.images for left in flow] == [8, 7, 6, 5, 3, 2]
    assert all(sum(count for _, count in left.causes) == left.lost for left in flow)


def test_an_image_with_two_reasons_counts_for_the_first_and_is_shown_under_both(
    mixed: report.Tables,
) -> None:
    rows = ledger(mixed)
    assert counts.flow(rows)[4].causes == [("blurred", 1), ("dark", 1)]
    assert counts.reasons(rows).filter(stage="clean").rows() == [
        ("clean", "dark", 2, 1),
        ("clean", "blurred", 1, 0),
    ]


@pytest.mark.parametrize("name", ["index", "samples", "verdicts", "manifest"])
def test_a_lost_row_stops_the_report(mixed: report.Tables, name: str) -> None:
    short = replace(mixed, **{name: getattr(mixed, name).head(-1)})
    with pytest.raises(BuildError, match=f"{name} 8"):
        ledger(short)


def test_wanted_is_what_was_rejected_and_what_was_kept(mixed: report.Tables) -> None:
    (source,) = counts.sources(ledger(mixed))
    assert source.listed == source.unwanted + source.rejected + source.kept == 9


def test_the_summary_has_flat_numbers_with_sorted_names(
    mixed: report.Tables, tmp_path: Path
) -> None:
    drawn(tmp_path, mixed)
    figures = json.loads((tmp_path / "summary.json").read_text())
    assert list(figures) == sorted(figures)
    assert all(type(value) is int for value in figures.values())
    expected = {"listed": 9, "wanted": 8, "final": 2, "split_train": 1, "removed_dark": 2}
    assert figures.items() >= {**expected, "flagged_wrong_extension": 1, "leaks": 1}.items()


def test_the_page_says_the_result_in_one_sentence(mixed: report.Tables, tmp_path: Path) -> None:
    said = Parsed(drawn(tmp_path, mixed)).words
    assert "2 of 9 listed images are in the package: test 1, train 1." in said
    assert "2 in the package + 7 left out = 9 listed." in said


def test_equal_tables_give_equal_bytes_in_any_order_of_rows(
    mixed: report.Tables, tmp_path: Path
) -> None:
    first = drawn(tmp_path, mixed)
    shuffled = {
        name: getattr(mixed, name).sample(fraction=1, shuffle=True, seed=5)
        for name in ("listing", "index", "samples", "verdicts", "manifest", "facts", "places")
    }
    assert drawn(tmp_path, replace(mixed, **shuffled)) == first


def test_the_page_needs_nothing_else(mixed: report.Tables, tmp_path: Path) -> None:
    html = drawn(tmp_path, mixed)
    parsed = Parsed(html)
    assert parsed.all("img")
    assert all(str(img["src"]).startswith("data:image/jpeg;base64,") for img in parsed.all("img"))
    assert not parsed.all("script")
    assert [link["href"] for link in parsed.all("link")] == ["data:,"]
    assert "http://" not in html
    assert "https://" not in html
    assert str(tmp_path) not in html


def test_every_picture_has_an_alternative_and_every_link_a_target(
    mixed: report.Tables, tmp_path: Path
) -> None:
    parsed = Parsed(drawn(tmp_path, mixed))
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for a in parsed.all("a")} <= set(ids)
    assert all(img["alt"] for img in parsed.all("img"))
    assert all(svg["aria-label"] for svg in parsed.all("svg"))


HOSTILE = "<script>alert('1')</script>\" onerror=\"alert(2)\" x='{{ 7 * 7 }}</style>"


def test_names_that_are_code_stay_text(tmp_path: Path) -> None:
    bad = {"label": HOSTILE, "identity": HOSTILE, "source": HOSTILE}
    kept = Item(HOSTILE, photo_bytes(1), split=HOSTILE, flags=(HOSTILE,), **bad)  # type: ignore[arg-type]
    gone = Item("x", b"x", stage="measure", reasons=(HOSTILE,), detail=HOSTILE, **bad)  # type: ignore[arg-type]
    other = Item("y", photo_bytes(2), split="test", stage="leaks", reasons=("leak",), **bad)  # type: ignore[arg-type]
    planted = dict.fromkeys(truth.COLUMNS, HOSTILE)
    tables = made(tmp_path, kept, gone, other, leaks=leak(kept, other))
    tables = replace(tables, truth=pl.DataFrame([planted]))
    about = About(title=HOSTILE, licence=HOSTILE, credit=HOSTILE, licences={})
    plain = Parsed(drawn(tmp_path, made(tmp_path, MIXED[0])))
    html = drawn(tmp_path, tables, about=about)
    parsed = Parsed(html)
    assert not parsed.all("script")
    assert len(parsed.all("style")) == len(plain.all("style")) == 1
    assert not any(name.startswith("on") for _, found in parsed.elements for name in found)
    assert HOSTILE in parsed.text
    assert any(HOSTILE in str(img["alt"]) for img in parsed.all("img"))


def lost(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), dict(ORPHANS.columns), orient="row")


def test_keys_of_tables_without_an_image_are_counted_and_the_first_named(tmp_path: Path) -> None:
    many = [("prices", "sku", f"{n:03}") for n in range(12)]
    tables = made(tmp_path, Item("a.png"), orphans=lost(*many, ("labels", "file", "<b>x</b>")))
    text = drawn(tmp_path, tables)
    assert 'href="#orphans"' in text
    assert "Label tables have 13 keys that no listed file has." in text
    rows = {each.table: each for each in counts.orphans(tables.orphans)}
    assert list(rows) == ["labels", "prices"]
    assert rows["prices"].keys == 12
    assert rows["prices"].first == [f"{n:03}" for n in range(10)]
    assert "<bdi>009</bdi>, …" in text
    assert "<bdi>010</bdi>" not in text
    assert "<bdi>&lt;b&gt;x&lt;/b&gt;</bdi></td>" in text
    assert json.loads((tmp_path / "summary.json").read_text())["orphans"] == 13


def test_where_every_key_has_its_image_nothing_is_said_of_orphans(tmp_path: Path) -> None:
    text = drawn(tmp_path, made(tmp_path, Item("a.png")))
    assert "orphans" not in text


def test_characters_that_cannot_be_seen_become_visible(tmp_path: Path) -> None:
    html = drawn(tmp_path, made(tmp_path, Item("a\u202egnp.exe\u0007", flags=("x",))))
    assert "\u202e" not in html
    assert "\u0007" not in html
    assert "a\\u202egnp.exe\\u0007" in html


def test_a_build_of_nothing_has_a_page(tmp_path: Path) -> None:
    said = Parsed(drawn(tmp_path, made(tmp_path))).words
    assert "No image is listed." in said
    assert "No two different files show the same picture." in said
    assert "No pair lies across splits." in said


def test_a_build_that_leaves_nothing_out_says_so(tmp_path: Path) -> None:
    said = Parsed(drawn(tmp_path, made(tmp_path, Item("a.png")))).words
    assert "1 of 1 listed images is in the package: train 1." in said
    assert "Nothing was left out." in said


def test_without_splits_and_labels_the_page_still_counts(tmp_path: Path) -> None:
    tables = made(tmp_path, Item("a.png", label=None, split=None))
    said = Parsed(drawn(tmp_path, tables)).words
    assert "1 of 1 listed images is in the package." in said
    assert "no label 1" in said


def test_many_labels_show_the_largest_and_the_smallest(tmp_path: Path) -> None:
    sizes = range(1, counts.MANY_LABELS + 2)
    items = [Item(f"{n}/{i}", label=f"label {n:03}") for n in sizes for i in range(n)]
    found = counts.labels(ledger(made(tmp_path, *items)))
    assert [total for _, _, total in found.rows] == [*range(41, 31, -1), *range(10, 0, -1)]
    assert found.left_out == 21
    assert found.spread.startswith("41 labels with 1 to 41 images: one in ten has at most 5")


def test_few_labels_are_all_shown_by_name(tmp_path: Path) -> None:
    items = [Item(f"{n}.png", label=f"label {n:03}") for n in range(counts.MANY_LABELS)]
    found = counts.labels(ledger(made(tmp_path, *items)))
    assert [label for label, _, _ in found.rows] == sorted(str(item.label) for item in items)
    assert (found.left_out, found.spread) == (0, "")


def test_each_label_is_counted_in_each_split(tmp_path: Path) -> None:
    items = [
        Item("1", label="cat", split="train"),
        Item("2", label="cat", split="train"),
        Item("3", label="dog", split="test"),
    ]
    found = counts.labels(ledger(made(tmp_path, *items)))
    assert found.splits == ["train", "test"]
    assert found.rows == [("cat", [2, 0], 2), ("dog", [0, 1], 1)]


def test_identities_are_counted_when_merged_and_in_the_package(tmp_path: Path) -> None:
    sizes = {"ann": 1, "bob": 4, "cem": 60}
    items = [Item(f"{n}/{i}", identity=n) for n, many in sizes.items() for i in range(many)]
    items += [Item("ann", source="more", identity="ann")]
    items += [Item("dan", stage="scan", reasons=("identity_too_small",), identity="dan")]
    gone = ("blurred",)
    items += [Item(f"bob/x{n}", stage="clean", reasons=gone, identity="bob") for n in range(3)]
    html = drawn(tmp_path, made(tmp_path, *items))
    said = " ".join(re.sub("<[^>]+>", " ", html).split())
    for line in (
        "Total identities 3 3",
        "Total images 69 66",
        "Identities from a single source 2 2",
        "Identities from several sources 1 1",
        "Identities skipped, too few images 1 1",
        "Images of an identity, on average 23.0 22.0",
    ):
        assert line in said
    shown = page.identities(ledger(made(tmp_path, *items)))
    assert shown
    merged, final = shown["charts"]
    ranges = [tick.text.replace(words.TO, "-") for tick in merged.across]
    assert ranges == ["1", "2", "3-5", "6-10", "11-20", "21-50", ">50"]
    assert [mark.tip for mark in merged.marks] == ["1 kept", "1 kept", "1 kept"]
    assert (len(merged.marks), len(final.marks)) == (3, 3)
    assert final.note == "3 identities with 66 images, 22.0 on average."


def test_without_identities_the_page_says_nothing_of_them(tmp_path: Path) -> None:
    assert 'id="identities"' not in drawn(tmp_path, made(tmp_path, Item("a.png")))


def test_a_copy_stands_beside_the_image_that_is_kept_for_it(tmp_path: Path) -> None:
    kept = Item("best.png", photo_bytes(1))
    copy = Item("copy.png", photo_bytes(2), stage="clean", reasons=("duplicate",))
    html = drawn(tmp_path, made(tmp_path, kept, replace(copy, kept_as=kept.sample)))
    alts = [img["alt"] for img in Parsed(html).all("img")]
    assert alts == ["Copy: pets/copy.png", "Beside it: pets/best.png"]


def test_a_leak_stands_beside_the_image_in_the_other_split(
    mixed: report.Tables, tmp_path: Path
) -> None:
    alts = [str(img["alt"]) for img in Parsed(drawn(tmp_path, mixed)).all("img")]
    place = alts.index("Leak across splits: pets/twin.png")
    assert alts[place + 1] == "Beside it: pets/a.png"
    assert alts[-2:] == ["Left of a pair: pets/a.png", "Right of a pair: pets/twin.png"]


def test_copies_that_disagree_stand_beside_each_other(tmp_path: Path) -> None:
    wrong = {"stage": "clean", "reasons": ("conflicting_copies",)}
    cat = Item("cat.png", photo_bytes(1), label="cat", **wrong)  # type: ignore[arg-type]
    dog = Item("dog.png", photo_bytes(2), label="dog", **wrong)  # type: ignore[arg-type]
    tables = made(tmp_path, cat, dog, pairs=PAIRS.frame([pair(cat, dog, 0.9)]))
    alts = {str(img["alt"]) for img in Parsed(drawn(tmp_path, tables, pairs=0)).all("img")}
    title = words.of("conflicting_copies").title
    beside = {"Beside it: pets/cat.png", "Beside it: pets/dog.png"}
    assert alts == {f"{title}: pets/cat.png", f"{title}: pets/dog.png"} | beside


def test_an_unreadable_image_has_its_fault_in_place_of_a_picture(tmp_path: Path) -> None:
    fault = "PNG: ends inside a chunk"
    half = photo_bytes(3)[:90]
    item = Item("half.png", half, stage="measure", reasons=("truncated",), detail=fault)
    said = Parsed(drawn(tmp_path, made(tmp_path, item))).words
    assert "no picture PNG: ends inside a chunk left out" in said


def test_no_more_examples_are_shown_than_asked_for(tmp_path: Path) -> None:
    out = {"stage": "clean", "reasons": ("dark",)}
    items = [Item(f"{n}", photo_bytes(n), **out) for n in range(5)]  # type: ignore[arg-type]
    html = drawn(tmp_path, made(tmp_path, *items), examples=3)
    assert len(Parsed(html).all("img")) == 3
    assert "3 shown" in html


def test_different_pictures_are_shown_before_one_is_repeated(tmp_path: Path) -> None:
    out = {"stage": "clean", "reasons": ("animated",)}
    same = [Item(f"same{n}", photo_bytes(1), **out) for n in range(3)]  # type: ignore[arg-type]
    other = Item("other", photo_bytes(2), **out)  # type: ignore[arg-type]
    html = drawn(tmp_path, made(tmp_path, *same, other), examples=2)
    assert {img["alt"] for img in Parsed(html).all("img")} == {
        "Animated: pets/same0",
        "Animated: pets/other",
    }


def test_the_closest_calls_are_shown_first(tmp_path: Path) -> None:
    out = {"stage": "clean", "reasons": ("blurred",)}
    items = [
        Item(f"{sharp}", photo_bytes(int(sharp)), sharpness=sharp, **out)  # type: ignore[arg-type]
        for sharp in random.Random(0).sample([1.0, 5.0, 9.0], 3)
    ]
    alts = [img["alt"] for img in Parsed(drawn(tmp_path, made(tmp_path, *items))).all("img")]
    assert alts == [f"Blurred: pets/{sharp}" for sharp in (9.0, 5.0, 1.0)]


def test_the_pairs_most_open_to_doubt_are_shown_first(tmp_path: Path) -> None:
    a, b, c = (Item(f"{n}.png", photo_bytes(n)) for n in range(3))
    rows = [pair(a, b, 0.9), pair(a, c, 0.7), pair(b, c, 0.8)]
    tables = made(tmp_path, a, b, c, pairs=PAIRS.frame(rows))
    said = Parsed(drawn(tmp_path, tables, pairs=2)).words
    assert "3 have both images in the package" in said
    assert said.index("likeness 0.700") < said.index("likeness 0.800")
    assert "likeness 0.900" not in said


@pytest.mark.parametrize(
    ("given", "shown"),
    [((640, 320), (SIDE, SIDE // 2)), ((90, 40), (90, 40)), ((2000, 1), (SIDE, 1))],
)
def test_a_thumbnail_is_never_larger_than_its_image(
    tmp_path: Path, given: tuple[int, int], shown: tuple[int, int]
) -> None:
    item = Item("a", images.encode(photo(0, *given), "PNG", 90))
    tables = made(tmp_path, item)
    with Album(tables.places, tmp_path, LIMITS) as album:
        thumb = album.thumb(item.digest)
    assert (thumb.width, thumb.height) == shown


def test_an_image_that_was_never_fetched_is_named_without_a_picture(tmp_path: Path) -> None:
    item = Item("far.png", stage="scan", reasons=("identity_too_small",))
    parsed = Parsed(drawn(tmp_path, made(tmp_path, item)))
    assert not parsed.all("img")
    assert "pets/far.png" in parsed.words


CODES = {
    *clean.CHECKS,
    *images.REASONS,
    *(
        "linked_folder",
        "odd_name",
        "no_layout",
        "no_label",
        "identity_too_small",
        "beyond_limit",
        "not_held",
    ),
    *("vanished", "denied", "changed", "same_bytes", "identity_conflict", "identity_review"),
    "label_conflict",
    *("no_url", "bad_url", "private_address", "wrong_content_type", "failed"),
    *("not_a_file", "link", "unsafe_name", "replaced", "encrypted", "unknown_packing", "bomb"),
    *("no_image", "conflicting_copies", "duplicate", "leak"),
    *("in_benchmark", "joins_splits", "train_test_leak"),
    *("removed_by_review", "removed_by_rule", "relabelled", "label_suspect"),
    *("mislabel", "outlier", "near_duplicate", "blur", "corrupt", "ambiguous"),
}


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_sentence(code: str) -> None:
    said = words.of(code)
    assert said in [*words.REASONS.values(), *words.FLAGS.values()]
    assert said.text.endswith(".")


def test_a_code_without_a_sentence_stands_for_itself() -> None:
    assert words.of("left_handed").title == "Left handed"


def test_every_transform_has_words_and_every_measure_is_a_check() -> None:
    assert tuple(words.TRANSFORMS) == TRANSFORMS
    assert set(MEASURED) <= set(clean.CHECKS)


def plant(item: Item, outcome: str, reason: str = "", tier: str = "") -> dict[str, str]:
    """Return the truth about ``item``."""
    said = dict.fromkeys(truth.COLUMNS, "")
    problem = {"problem": "p", "outcome": outcome, "reason": reason, "tier": tier}
    return {**said, "source": item.source, "key": item.key, **problem}


GONE = Item("x", stage="clean", reasons=("dark", "blurred"))
FLAGGED = Item("x", flags=("wrong_extension",))


@pytest.mark.parametrize(
    ("item", "outcome", "reason", "caught"),
    [
        (GONE, "remove", "blurred", True),
        (GONE, "remove", "bright", False),
        (GONE, "skip", "dark", True),
        (GONE, "keep", "", False),
        (FLAGGED, "keep", "", True),
        (FLAGGED, "flag", "wrong_extension", True),
        (FLAGGED, "flag", "private_metadata", False),
        (FLAGGED, "remove", "wrong_extension", False),
        (replace(GONE, flags=("wrong_extension",)), "flag", "wrong_extension", False),
        (GONE, "explode", "dark", False),
    ],
)
def test_a_planted_problem_is_caught_when_what_should_happen_happened(
    tmp_path: Path, item: Item, outcome: str, reason: str, caught: bool
) -> None:
    manifest = made(tmp_path, item).manifest
    (row,) = truth.caught(manifest, pl.DataFrame([plant(item, outcome, reason)])).to_dicts()
    assert (row["planted"], row["caught"], row["missed"]) == (1, int(caught), int(not caught))


def test_what_is_planted_but_not_listed_is_missed(tmp_path: Path) -> None:
    manifest = made(tmp_path).manifest
    (row,) = truth.caught(manifest, pl.DataFrame([plant(GONE, "remove", "dark")])).to_dicts()
    assert (row["caught"], row["missed"], row["note"]) == (0, 1, "1 not listed")


def test_a_copy_that_only_keypoints_can_find_is_missed_with_advice(tmp_path: Path) -> None:
    planted = pl.DataFrame([plant(FLAGGED, "remove", "duplicate", "keypoints")])
    tables = made(tmp_path, FLAGGED, truth=planted)
    (row,) = truth.caught(tables.manifest, planted).to_dicts()
    assert (row["tier"], row["missed"], row["note"]) == ("keypoints", 1, truth.UNSEEN)
    assert "1 came out wrong." in Parsed(drawn(tmp_path, tables)).words


def test_flags_on_images_that_should_be_kept_are_counted(tmp_path: Path) -> None:
    clear = Item("y")
    planted = pl.DataFrame([plant(FLAGGED, "keep"), plant(clear, "keep")])
    (row,) = truth.caught(made(tmp_path, FLAGGED, clear).manifest, planted).to_dicts()
    assert (row["caught"], row["flagged"], row["note"]) == (2, 1, "1 flagged")


def test_a_side_table_called_truth_with_other_columns_is_left_alone(tmp_path: Path) -> None:
    tables = made(tmp_path, Item("a.png"), truth=pl.DataFrame({"label": ["cat"]}))
    assert "Planted" not in drawn(tmp_path, tables)
