"""What people decided is a file of lines that several may add to, and that says what is wrong."""

import subprocess
import sys
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill import sheets
from imagemill.errors import BuildError
from imagemill.reviews import file, order, rows, standing
from imagemill.reviews.file import HEADER
from imagemill.reviews.rows import Review
from imagemill.reviews.taxonomy import Taxonomy
from tests import make
from tests.conftest import ROOT

TAXONOMY = Taxonomy(tags={"mislabel_confirmed": "Definitely wrong label", "keep": "Keep it"})
A, B = make.digest("a"), make.digest("b")
GOOD = Review(A, action="keep", reviewer="ann", time="2026-11-21T09:30:00Z")


def said(**more: Any) -> Review:
    return GOOD._replace(**more)


def loaded(root: Path) -> list[Review]:
    return file.load(root, "pets", TAXONOMY).refuse().reviews


def write(root: Path, *lines: str, end: str = "\n") -> Path:
    place = file.path(root, "pets")
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(("\n".join([HEADER, *lines]) + end).encode())
    return place


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    relabel = said(
        action="relabel", label="dog", tags=("keep", "mislabel_confirmed"), note='a "b", c'
    )
    pair = rows.pair(B, A, "different", reviewer="bob", time=GOOD.time)
    box = said(annotation="71", action="remove")
    file.append(tmp_path, "pets", [GOOD, relabel], TAXONOMY)
    file.append(tmp_path, "pets", [pair, box], TAXONOMY)
    assert loaded(tmp_path) == [GOOD, relabel, pair, box]
    assert pair.digest < pair.other


TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8)


@given(TEXT.map(lambda text: f"{text}x"), TEXT, st.sampled_from("=+-@\t'\uff1d "))
def test_any_text_comes_back_and_none_is_a_formula(label: str, note: str, first: str) -> None:
    review = said(action="relabel", label=first + label, note=first + note)
    written = rows.line(review)
    assert rows.read(written.removesuffix("\n"), rows.COLUMNS) == review
    assert written.count("\n") == 1
    assert sheets.guard(first + note)[0] not in "=+-@\t"


def test_a_line_break_in_a_note_becomes_a_space(tmp_path: Path) -> None:
    file.append(tmp_path, "pets", [said(note="one\ntwo\r\nthree \ud800")], TAXONOMY)
    assert loaded(tmp_path)[0].note == "one two  three ?"


WRONG = {
    "mislabel_confirm": (said(tags=("mislabel_confirm",)), "did you mean mislabel_confirmed"),
    "unknown action": (said(action="delete"), "action: delete: no such action"),
    "an image's action for a pair": (said(other=B), "action: keep: no such action"),
    "a pair's action for an image": (said(action="same"), "action: same: no such action"),
    "no label": (said(action="relabel"), "label: is empty; relabel needs the new label"),
    "a label too many": (said(label="dog"), "label: 'dog', but the action is not relabel"),
    "no digest": (said(digest="cat.jpg"), "digest: 'cat.jpg' is no sha256"),
    "no pair": (said(other=A, action="same"), "other: is the image itself"),
    "no other": (said(other="b", action="same"), "other: 'b' is no sha256"),
    "no number": (said(annotation="x"), "annotation: 'x' is no number"),
    "annotation of a pair": (said(other=B, action="same", annotation="1"), "annotation: a pair"),
    "nobody": (said(reviewer=" "), "reviewer: is empty"),
    "no time": (said(time="yesterday"), "time: 'yesterday' is not like 2026"),
    "local time": (said(time="2026-11-21T09:30:00"), "time: "),
    "nothing": (said(action=""), "says nothing"),
    "withdrawn tags": (said(action="withdraw", tags=("keep",)), "withdrawn verdict has none"),
}


@pytest.mark.parametrize(("review", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_review_is_named_in_the_file_and_refused_when_it_is_added(
    tmp_path: Path, review: Review, message: str
) -> None:
    place = write(tmp_path, rows.line(GOOD)[:-1], rows.line(review)[:-1], rows.line(GOOD)[:-1])
    log = file.load(tmp_path, "pets", TAXONOMY)
    assert (log.reviews, log.lines) == ([GOOD, GOOD], [2, 4])
    assert message in log.problems[0].said
    with pytest.raises(BuildError, match=r"reviews/pets\.csv:3: "):
        log.refuse()
    before = place.read_bytes()
    with pytest.raises(BuildError, match=r"review 2 of 2: .*nothing was saved"):
        file.append(tmp_path, "pets", [GOOD, review], TAXONOMY)
    assert place.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("<<<<<<< HEAD", "has 1 cells"),
        (f"{A},,,,keep,,ann,{GOOD.time}", "has 8 cells"),
        (f'{A},,,,keep,,ann,{GOOD.time},"half', "is no line of CSV"),
    ],
)
def test_a_malformed_line_is_named_and_nothing_else_is_lost(
    tmp_path: Path, line: str, message: str
) -> None:
    write(tmp_path, line, rows.line(GOOD)[:-1])
    log = file.load(tmp_path, "pets", TAXONOMY)
    assert log.reviews == [GOOD]
    assert log.problems[0].line == 2
    assert message in log.problems[0].said


def test_many_wrong_lines_are_one_message(tmp_path: Path) -> None:
    write(tmp_path, *["odd"] * 15)
    with pytest.raises(BuildError, match="and 5 more lines"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace(",action", ""), "no column action"),
        (HEADER + ",mood", "column mood"),
        ("image_id,user_tags", "no column digest"),
    ],
)
def test_a_file_without_the_columns_is_refused_and_not_added_to(
    tmp_path: Path, header: str, message: str
) -> None:
    place = write(tmp_path)
    place.write_text(f"{header}\n")
    with pytest.raises(BuildError, match=rf"reviews/pets\.csv:1: {message}"):
        loaded(tmp_path)
    with pytest.raises(BuildError, match=message):
        file.append(tmp_path, "pets", [GOOD], TAXONOMY)
    assert place.read_text() == f"{header}\n"


def test_columns_in_another_order_stay_so(tmp_path: Path) -> None:
    place = write(tmp_path)
    order = list(reversed(rows.COLUMNS))
    place.write_text("\ufeff" + ",".join(order) + "\r\n")
    file.append(tmp_path, "pets", [said(note="n")], TAXONOMY)
    assert loaded(tmp_path) == [said(note="n")]


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_a_last_line_that_was_cut_short_is_not_obeyed_and_is_taken_off_next_time(
    tmp_path: Path, cut: int, capfd: pytest.CaptureFixture[str]
) -> None:
    place = write(tmp_path)
    file.append(tmp_path, "pets", [GOOD, said(note="ends here, ünd")], TAXONOMY)
    whole = place.read_bytes()
    place.write_bytes(whole[:-cut])
    log = file.load(tmp_path, "pets", TAXONOMY)
    torn = cut > 1
    assert bool(log.torn) == torn
    assert log.reviews == [GOOD, *([] if torn else [said(note="ends here, ünd")])]
    file.append(tmp_path, "pets", [said(action="remove")], TAXONOMY)
    assert loaded(tmp_path) == [*log.reviews, said(action="remove")]
    assert ("took off its last line" in capfd.readouterr().err) == torn


def test_a_file_that_was_cut_in_its_first_line_is_begun_again(tmp_path: Path) -> None:
    write(tmp_path).write_text(HEADER[:10])
    assert loaded(tmp_path) == []
    file.append(tmp_path, "pets", [GOOD], TAXONOMY)
    assert loaded(tmp_path) == [GOOD]


def test_nothing_is_saved_where_the_disk_is_full(tmp_path: Path) -> None:
    file.append(tmp_path, "pets", [GOOD], TAXONOMY)
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "from tests import test_reviews as t;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300));"
        "t.file.append(Path(sys.argv[1]), 'pets', [t.GOOD] * 9, t.TAXONOMY)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "reviews/pets.csv: nothing was saved: File too large" in done.stderr
    assert loaded(tmp_path) == [GOOD]


def add_many(say: Connection, root: Path, name: str) -> None:
    for _ in range(50):
        file.append(root, "pets", [said(reviewer=name)] * 2, TAXONOMY)
    say.close()


def test_several_may_save_at_once(tmp_path: Path) -> None:
    names = ["ann", "bob", "cem"]
    started = [make.process(add_many, tmp_path, name) for name in names]
    for process, hear in started:
        make.rest(hear)
        process.join()
    saved = loaded(tmp_path)
    assert sorted(each.reviewer for each in saved) == sorted(names * 100)
    assert all(one == two for one, two in zip(saved[::2], saved[1::2], strict=True))


# What holds


def states(*reviews: Review) -> list[tuple[str, str]]:
    log = file.Log("reviews/pets.csv", list(reviews), list(range(2, len(reviews) + 2)))
    found = standing.standing(log)
    return list(found.select("reviewer", "state").iter_rows())


def at(minute: int, **more: Any) -> Review:
    return said(time=f"2026-11-21T09:{minute:02}:00Z", **more)


def test_the_last_verdict_is_in_force_and_what_contradicts_it_is_shown() -> None:
    found = states(
        at(1, reviewer="ann", action="remove"),
        at(2, reviewer="bob"),
        at(3, reviewer="cem", action="relabel", label="dog"),
        at(4, reviewer="dan"),
    )
    assert found == [
        ("ann", "overruled"), ("bob", "agrees"), ("cem", "overruled"), ("dan", "in_force"),
    ]  # fmt: skip


def test_later_is_by_time_and_then_by_line() -> None:
    late, early = at(9, reviewer="ann", action="remove"), at(1, reviewer="bob")
    assert states(late, early) == [("ann", "in_force"), ("bob", "overruled")]
    fine = early._replace(time="2026-11-21T09:01:00.5Z", reviewer="cem", action="remove")
    assert states(fine, early) == [("cem", "in_force"), ("bob", "overruled")]
    assert states(at(1), at(1, action="remove")) == [("ann", "replaced"), ("ann", "in_force")]


def test_a_verdict_that_is_withdrawn_lets_the_one_before_stand() -> None:
    found = states(
        at(1, reviewer="bob"), at(2, action="remove"), at(3, action="withdraw"), at(4, digest=B)
    )
    assert found == [
        ("bob", "in_force"), ("ann", "replaced"), ("ann", "withdrawn"), ("ann", "in_force"),
    ]  # fmt: skip


def test_an_opinion_decides_nothing_but_its_tags_count() -> None:
    reviews = (
        at(1, action="remove", tags=("keep",)),
        at(2, reviewer="bob", action="", tags=("mislabel_confirmed", "keep"), note="hm"),
    )
    assert states(*reviews) == [("ann", "in_force"), ("bob", "opinion")]
    log = file.Log("x", list(reviews), [2, 3])
    (row,) = standing.tags(standing.standing(log)).iter_rows()
    assert row == (A, "keep,mislabel_confirmed", "ann, bob", "hm")


@pytest.mark.parametrize("actions", list(product(["keep", "remove", "withdraw", ""], repeat=3)))
def test_whatever_is_said_of_one_image_at_most_one_verdict_is_in_force(
    actions: tuple[str, ...],
) -> None:
    log = [
        said(action=action, note="x", reviewer=who, time=f"2026-01-01T00:00:0{at}Z")
        for at, (action, who) in enumerate(zip(actions, ("ann", "bob", "ann"), strict=True))
    ]
    states = standing.standing(file.Log("", log, [1, 2, 3])).sort("line")["state"].to_list()
    acts = [action for action in actions[1:] if action in ("keep", "remove")]
    assert states[0] == "replaced"
    assert states.count("in_force") == min(1, len(acts))


def test_a_word_comes_after_what_was_there_whatever_the_clocks_say(tmp_path: Path) -> None:
    ahead = said(time="2999-01-01T00:00:00Z", reviewer="ahead")
    other = said(digest=B, time=GOOD.time)
    now = said(reviewer="bob", action="remove", time="2026-11-21T10:00:00Z")
    first, second, third = order.after([now, now._replace(action="keep"), other], [ahead])
    assert first.time == "2999-01-01T00:00:00.000001Z"
    assert second.time == "2999-01-01T00:00:00.000002Z"
    assert third == other
    assert order.after([now], [GOOD]) == [now]


def test_at_the_end_of_all_time_the_line_decides() -> None:
    last = said(time="9999-12-31T23:59:59.999999Z")
    (after,) = order.after([GOOD], [last])
    assert after.time == last.time


def test_what_comes_from_a_clock_that_runs_ahead_is_held_to_now() -> None:
    (held,) = order.not_ahead([said(time="2999-01-01T00:00:00Z")])
    assert held.time <= rows.now()
    assert order.not_ahead([GOOD]) == [GOOD]


def test_a_pair_and_an_annotation_are_judged_for_themselves() -> None:
    pair = rows.pair(A, B, "same", reviewer="bob", time=GOOD.time)
    assert {state for _, state in states(GOOD, pair, said(annotation="7", action="remove"))} == {
        "in_force"
    }


def test_agreement_counts_what_several_have_judged() -> None:
    log = [
        at(1),
        at(2, reviewer="bob"),
        at(1, digest=B),
        at(2, digest=B, reviewer="bob", action="remove"),
        at(3, digest=make.digest("c")),
    ]
    found = standing.standing(file.Log("x", log, list(range(5))))
    assert standing.agreement(found) == (2, 1)
    assert standing.contradictions(found)["reviewer"].to_list() == ["ann", "bob"]


def test_two_branches_merge_to_the_verdicts_of_both(tmp_path: Path) -> None:
    (tmp_path / ".gitattributes").write_text((ROOT / ".gitattributes").read_text())

    def git(*words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-qb", "main")
    file.append(tmp_path, "pets", [GOOD], TAXONOMY)
    git("add", ".gitattributes", "reviews")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "other")
    file.append(tmp_path, "pets", [said(reviewer="bob")], TAXONOMY)
    git("commit", "-qam", "bob")
    git("checkout", "-q", "main")
    file.append(tmp_path, "pets", [said(reviewer="cem", note="x")], TAXONOMY)
    git("commit", "-qam", "cem")
    git("merge", "-q", "other")
    assert {each.reviewer for each in loaded(tmp_path)} == {"ann", "bob", "cem"}
