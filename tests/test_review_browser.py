"""The review page in a real browser, used as people use it."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagemill.reviews.rows import Review
from tests.browser import Opener, missing
from tests.conftest import Build, Project
from tests.reviewing import (
    EVENT,
    LABEL,
    SCRIPT,
    Process,
    Site,
    enlarged,
    reviews,
    serving,
)
from tests.test_coco import coco  # noqa: F401 (fixture)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    # What Playwright leaves to the garbage collector is its own affair.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def said_of(said: list[Review]) -> list[tuple[str, str, str]]:
    return [(each.digest, each.action, each.label) for each in said]


@contextmanager
def limited(seconds: float = 15) -> Iterator[Callable[[], bool]]:
    """Give what is true until the time is over."""
    end = time.monotonic() + seconds
    yield lambda: time.monotonic() < end


def test_twenty_images_are_reviewed_by_keyboard_alone(
    site: Site, fresh: Project, window: Opener
) -> None:
    items = site.items("reason=mislabel")
    made = window().open(f"{site.url}/?reason=mislabel").keys("Enter")
    made.page.wait_for_selector(".single")
    for number in range(20):
        if number % 4 == 3:
            made.keys("l").type("glove").keys("Enter")
        else:
            made.keys("kra"[number % 4])
        made.saved(number + 1)
    acts = [("keep", ""), ("remove", ""), ("relabel", None), ("relabel", "glove")]
    expected = []
    for number, item in enumerate(items[:20]):
        action, label = acts[number % 4]
        suggested = next(flag["suggested"] for flag in item["flags"] if flag["suggested"])
        expected.append((item["digest"], action, suggested if label is None else label))
    assert said_of(reviews(fresh)) == expected
    assert "21 of 23" in made.text(".where")
    assert "20 of 23 judged" in made.text(".where")


def test_undo_takes_back_the_last_verdict_or_puts_back_the_one_before(
    site: Site, fresh: Project, window: Opener
) -> None:
    one, two = (each["digest"] for each in site.items()[:2])
    made = window().open(site.url).keys("k").saved(1).keys("r").saved(2)
    made.keys("u").saved(3)
    assert said_of(reviews(fresh))[2] == (two, "withdraw", "")
    assert "2 of 25" in made.text(".where")
    made.keys("ArrowLeft", "r").saved(4).keys("Control+z").saved(5)
    assert said_of(reviews(fresh))[3:] == [(one, "remove", ""), (one, "keep", "")]
    assert made.text(f".cell[data-index='{0}'] .badge").endswith("keep")


def test_relabel_finds_a_label_by_typing_a_part_of_it(
    site: Site, fresh: Project, window: Opener
) -> None:
    made = window().open(f"{site.url}/?label=shoes&reason=mislabel").keys("l")
    assert made.page.locator("[role=option].active").inner_text().startswith("hat")  # is suggested
    made.type("ONCLICK")
    made.page.wait_for_function("() => document.querySelectorAll('.options li').length === 2")
    made.keys("Enter").saved()
    made.keys("l").type("shoe").keys("ArrowDown", "ArrowUp", "Enter").saved(2)
    made.keys("l").type("x").keys("Escape")
    assert [each.label for each in reviews(fresh)] == [LABEL, "shoes"]


def test_tags_and_notes_are_kept_with_the_verdict(
    site: Site, fresh: Project, window: Opener
) -> None:
    made = window().open(f"{site.url}/?view=single").keys("t").type("outlier_v").keys("Enter")
    made.saved(1).type("ambig").keys("Enter").saved(2).keys("Escape")
    made.keys("e").type(SCRIPT).keys("Enter").saved(3).keys("k").saved(4)
    last = reviews(fresh)[-1]
    assert last.tags == ("outlier_valid", "ambiguous_class")
    assert (last.action, last.note) == ("keep", SCRIPT)
    made.keys("ArrowLeft")
    assert SCRIPT in made.text(".said")


def test_a_pair_is_called_same_or_different_and_its_images_are_judged(
    site: Site, fresh: Project, window: Opener
) -> None:
    first, second = site.items("kind=pairs")
    made = window().open(f"{site.url}/?kind=pairs&view=single")
    made.page.wait_for_function(
        "() => [...document.querySelectorAll('.whole')].length === 3"
        " && [...document.querySelectorAll('.whole')].every((each) => each.naturalWidth)"
    )
    made.keys("d").saved(1)
    made.keys("r")  # of which image is not said
    made.page.wait_for_function(
        "() => document.querySelector('.saved').textContent.includes('first')"
    )
    made.keys("2", "r").saved(2).keys("s").saved(3)
    said = reviews(fresh)
    assert {said[0].digest, said[0].other} == {first["left"]["digest"], first["right"]["digest"]}
    assert [each.action for each in said] == ["different", "remove", "same"]
    assert (said[1].digest, said[1].other) == (second["right"]["digest"], "")


def test_one_box_of_an_image_is_judged_for_itself(
    coco: Project,  # noqa: F811
    build: Build,
    window: Opener,
) -> None:
    build(coco, "coco")
    with serving(coco, "coco") as site:
        at = next(each for each in site.items("reason=*") if each["sample"].endswith("1.jpg"))
        boxes = site.ask(f"/api/detail?digest={at['digest']}").json["boxes"]
        made = window().open(f"{site.url}/?reason=*&view=single&at={at['digest']}")
        made.page.wait_for_selector(".layer rect")
        assert made.page.locator(".layer rect").count() == len(boxes)
        made.keys("b", "b", "l").type("pers").keys("Enter").saved(1)
        made.keys("b", "b", "r").saved(2).keys("u").saved(3)
        made.keys("k").saved(4)
    said = reviews(coco, "coco")
    first, second = (str(each["id"]) for each in boxes)
    assert [(each.annotation, each.action, each.label) for each in said] == [
        (second, "relabel", "person"),
        (first, "remove", ""),
        (first, "withdraw", ""),
        ("", "keep", ""),
    ]


def test_many_are_selected_and_judged_at_once_and_undone_at_once(
    site: Site, fresh: Project, window: Opener
) -> None:
    items = site.items("sort=name")
    made = window().open(f"{site.url}/?sort=name").keys("ArrowRight", *["Shift+ArrowRight"] * 3)
    assert "4 selected" in made.text(".where")
    made.keys("r").saved(4)
    assert [each.digest for each in reviews(fresh)] == [each["digest"] for each in items[1:5]]
    made.keys("u").saved(8)
    assert {each.action for each in reviews(fresh)[4:]} == {"withdraw"}
    made.keys("Control+a", "m").saved(8 + 25)
    assert {each.tags for each in reviews(fresh)[8:]} == {("mislabel_uncertain",)}


def test_two_windows_see_each_other_and_both_verdicts_are_kept(
    site: Site, fresh: Project, window: Opener
) -> None:
    one, other = window().open(site.url), window()
    other.page.add_init_script("localStorage.setItem('imagemill.reviewer', 'Kushagra')")
    other.open(site.url)
    one.keys("k").saved()
    other.page.wait_for_selector(".cell[data-index='0'] .badge.keep")
    assert "Saeed" in other.text(".cell[data-index='0'] .badge")
    other.keys("r").saved()
    one.page.wait_for_selector(".cell[data-index='0'] .badge.disputed")
    one.page.wait_for_function(
        "() => document.querySelector('#live').textContent.includes('Kushagra')"
    )
    assert [(each.reviewer, each.action) for each in reviews(fresh)] == [
        ("Saeed", "keep"),
        ("Kushagra", "remove"),
    ]
    one.open(f"{site.url}/?status=discuss")
    assert one.page.locator(".cell").count() == 1
    one.page.wait_for_selector("text=all agree on 0")


def test_a_server_that_is_killed_and_started_again_loses_nothing(
    fresh: Project, window: Opener
) -> None:
    process = Process(fresh)
    try:
        made = window().open(process.url).keys("k", "r").saved(2)
        process.kill()
        made.keys("k", "r", "k")
        made.page.wait_for_selector("[data-name=away]")
        assert "3 verdicts are kept in this browser" in made.text("[data-name=away]")
        assert len(reviews(fresh)) == 2
        process.start(process.port)
        made.saved(5)
        made.page.wait_for_selector("[data-name=away]", state="detached")
        made.keys("r").saved(6)
        assert [each.action for each in reviews(fresh)] == ["keep", "remove"] * 3
        assert len({each.digest for each in reviews(fresh)}) == 6
    finally:
        process.kill()


def test_verdicts_that_wait_are_sent_also_by_the_next_visit(fresh: Project, window: Opener) -> None:
    process = Process(fresh)
    try:
        made = window().open(process.url)
        process.kill()
        made.keys("k", "r")
        made.page.wait_for_selector("[data-name=away]")
        process.start(process.port)
        made.page.once("dialog", lambda dialog: dialog.accept())
        made.page.goto(process.url)
        with limited() as more:
            while more() and len(reviews(fresh)) < 2:
                made.page.wait_for_timeout(100)
        assert {each.action for each in reviews(fresh)} == {"keep", "remove"}
    finally:
        process.kill()


def test_a_hundred_thousand_images_are_scrolled_through(
    hats: Project, tmp_path: Path, window: Opener
) -> None:
    project = enlarged(hats, tmp_path / "many", 100_000)
    with serving(project) as site:
        made = window(size="wide").open(site.url)
        assert "of 100,000" in made.text(".where")
        grid = made.page.locator("#grid")
        height = grid.evaluate("(grid) => grid.scrollHeight")
        most = 0
        for part in range(1, 21):
            grid.evaluate("(grid, to) => { grid.scrollTop = to; }", height * part / 21)
            made.page.wait_for_function(
                "() => { const at = document.querySelector('#grid').getBoundingClientRect();"
                " const cell = document.elementFromPoint(at.x + 100, at.y + 200).closest('.cell');"
                " return cell && cell.querySelector('img')?.naturalWidth > 0; }"
            )
            most = max(most, grid.locator(".cell").count())
        assert most < 150  # so many are in the document, however many there are
        made.keys("End")
        made.page.wait_for_selector("#item-99999 img")
        assert "100,000 of 100,000" in made.text(".where")
        made.keys("k").saved().keys("Home")
        made.page.wait_for_selector("#item-0 img")
        assert len(reviews(project)) == 1


def test_filters_and_place_stand_in_the_url(site: Site, window: Opener) -> None:
    made = window().open(site.url)
    made.page.get_by_role("button", name=re.compile("Label in doubt")).click()
    made.page.wait_for_function("() => document.querySelectorAll('.cell').length > 0")
    made.page.get_by_label("Order").select_option("label")
    made.page.wait_for_url(re.compile("sort=label"))
    made.keys("Escape")
    made.page.locator("#grid").focus()
    made.keys("ArrowRight", "ArrowRight", "Enter")
    made.page.wait_for_selector(".single")
    url, name = made.page.url, made.text(".sample")
    assert "reason=mislabel" in url
    assert "view=single" in url
    assert window().open(url).text(".sample") == name
    made.page.go_back()
    made.page.wait_for_selector(".cell.current")
    made.page.go_back()
    made.page.wait_for_function("() => document.querySelector('#filter-sort').value === 'score'")
    assert "sort" not in made.page.url


def test_nothing_of_the_data_runs_or_is_taken_for_markup(site: Site, window: Opener) -> None:
    made = window()
    (item,) = site.items("reason=*&text=onerror")
    site.save(
        SCRIPT, {"digest": item["digest"], "action": "relabel", "label": EVENT, "note": SCRIPT}
    )
    made.open(f"{site.url}/?reason=*&status=all&text=onerror&view=single")
    made.page.wait_for_selector(".measured")
    made.page.evaluate("document.querySelector('.measured').open = true")
    shown = made.text(".one")
    for text in (f"{EVENT}.jpg", SCRIPT, f"relabel to {EVENT}"):
        assert text in shown
    made.keys("i")
    made.page.wait_for_selector(".strip img")
    made.keys("l").type("onerror").keys("Escape", "g")
    made.open(f"{site.url}/?reason=*&status=all&sort=label")
    assert LABEL in made.text("#grid")
    found = made.page.evaluate(
        "document.querySelectorAll('b, [onclick], [onerror], #app script').length"
    )
    assert found == 0


def test_a_wrong_line_in_the_file_is_told_with_its_number(
    site: Site, fresh: Project, window: Opener
) -> None:
    made = window().open(site.url).keys("k").saved()
    with (fresh.root / "reviews/hats.csv").open("a") as lines:
        lines.write("not a review\n")
    made.page.wait_for_selector("[data-name=problems]")
    assert "line 3" in made.text("[data-name=problems]")


def test_zoom_shows_the_pixels_themselves(site: Site, window: Opener) -> None:
    made = window().open(f"{site.url}/?view=single")
    made.page.wait_for_function("() => document.querySelector('.whole')?.naturalWidth === 96")
    made.keys("z")
    assert made.page.evaluate("document.querySelector('.whole').clientWidth") == 4 * 96
    made.keys("+", "-", "z")
    assert "zoomed" not in (made.page.locator(".zoom").get_attribute("class") or "")


def test_single_letters_can_be_turned_off(site: Site, fresh: Project, window: Opener) -> None:
    made = window().open(site.url).keys("?")
    made.page.get_by_role("checkbox").uncheck()
    made.keys("Escape", "k", "r")
    made.page.get_by_role("button", name="Keep").click()
    made.saved()
    assert [each.action for each in reviews(fresh)] == ["keep"]


def test_the_page_as_one_file_gives_verdicts_that_come_back(
    fresh: Project, window: Opener, tmp_path: Path
) -> None:
    page = tmp_path / "hats.html"
    done = fresh.run("imagemill", "review", "hats", "--static", str(page))
    assert "25 of 25 images, 2 of 2 pairs, 2 of 2 leaks" in done.stdout
    made = window(script="", accept_downloads=True).open(page.as_uri())
    made.page.wait_for_selector("dialog[open]")
    made.type("Kushagra").keys("Enter")
    made.page.wait_for_selector(".cell.current img")
    made.keys("Enter", "k", "r", "l").type("=cmd").keys("Enter", "t").type("outlier_i")
    made.keys("Enter", "Escape")
    made.page.get_by_role("button", name="Alike pairs").click()
    made.page.wait_for_selector(".cell.pair")
    made.page.locator("#grid").focus()
    made.keys("d")
    with made.page.expect_download() as download:
        made.page.get_by_role("button", name="Save verdicts").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "hats.Kushagra.reviews.csv"
    assert "'=cmd" in file.read_text()
    for counted in ("5 reviews added", "0 reviews added; 5 were there already"):
        done = fresh.run("imagemill", "review", "hats", "--import", str(file))
        assert counted in done.stdout
    said = reviews(fresh)
    assert [each.action for each in said] == ["keep", "remove", "relabel", "", "different"]
    assert [each.label for each in said][2] == "=cmd"
    assert said[3].tags == ("outlier_invalid",)
    assert {each.reviewer for each in said} == {"Kushagra"}


def test_an_offline_page_asks_for_nothing_and_remembers(
    fresh: Project, window: Opener, tmp_path: Path
) -> None:
    page = tmp_path / "hats.html"
    fresh.run("imagemill", "review", "hats", "--static", str(page), "--filter", "reason=mislabel")
    made = window(script="localStorage.setItem('imagemill.reviewer', 'Saeed')")
    asked: list[str] = []
    made.page.on("request", lambda request: asked.append(request.url))
    made.open(page.as_uri()).keys("k", "r")
    made.page.on("dialog", lambda dialog: dialog.accept())
    made.page.reload()
    made.page.wait_for_selector(".cell")
    assert "2 of 23 judged" in made.text(".where")
    assert {json.dumps(url[:5]) for url in asked} <= {'"file:"', '"data:"'}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('x,,,,keep,,Saeed,2026-01-01T00:00:00Z,""', "is no sha256"),
        (f'{"0" * 64},,,,keep,,Saeed,2026-01-01T00:00:00Z,""', "of another dataset"),
        ("", "cut short"),
    ],
)
def test_a_wrong_file_is_refused_whole(
    fresh: Project, tmp_path: Path, line: str, said: str
) -> None:
    file = tmp_path / "back.csv"
    head = "digest,other,annotation,tags,action,label,reviewer,time,note\n"
    file.write_text(f"{head}{line}\n" if line else head)
    done = fresh.run("imagemill", "review", "hats", "--import", str(file), check=False)
    assert said in done.stdout
    assert done.returncode == 1
    assert reviews(fresh) == []
