"""The review page as it looks: on three screens, in two colours, to who cannot see it."""

from typing import Any

import pytest

from tests.browser import SIZES, Opener, axe, missing
from tests.reviewing import Site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]


VIEWS = {
    "grid": ("", ()),
    "single": ("?view=single", ()),
    "judged": ("?view=single&status=judged", ()),
    "pair": ("?kind=pairs&view=single", ("1",)),
    "pairs": ("?kind=pairs", ()),
    "labels": ("", ("l",)),
    "tags": ("", ("t",)),
    "help": ("", ("?",)),
    "nothing": ("?text=nothing", ()),
}


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_no_fault_in_any_view(
    site: Site, window: Opener, colours: str, subtests: pytest.Subtests
) -> None:
    one, two, *_ = site.items()
    for reviewer, action in (("Saeed", "keep"), ("Kushagra", "remove")):
        site.save(reviewer, {"digest": one["digest"], "action": action, "note": "see it"})
    site.save("Saeed", {"digest": two["digest"], "action": "relabel", "label": "shoes"})
    for size in ("laptop", "phone"):
        made = window(size=size, color_scheme=colours, bypass_csp=True)
        for name, (query, keys) in VIEWS.items():
            with subtests.test(view=name, size=size):
                made.open(f"{site.url}/{query}").keys(*keys)
                made.page.wait_for_timeout(300)
                made.page.evaluate(axe())
                found = made.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
                assert [_fault(each) for each in found["violations"]] == []


def _fault(found: dict[str, Any]) -> str:
    places = [node["html"][:160] for node in found["nodes"]]
    return f"{found['impact']}: {found['id']}: {found['help']}: {places}"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_sticks_out_of_any_screen(site: Site, window: Opener, size: str) -> None:
    made = window(size=size)
    for query, keys in VIEWS.values():
        made.open(f"{site.url}/{query}").keys(*keys)
        over = "document.documentElement.scrollWidth - innerWidth"
        assert made.page.evaluate(over) <= 0
        made.keys("Escape")


def test_on_a_phone_filters_are_a_drawer_that_a_touch_beside_it_closes(
    site: Site, window: Opener
) -> None:
    made = window(size="phone").open(site.url)
    choice = made.page.get_by_role("button", name="Alike pairs")
    assert not choice.is_visible()
    made.page.get_by_role("button", name="Filters").click()
    choice.click()
    made.page.wait_for_selector(".cell.pair")
    made.page.locator("main").click(position={"x": 380, "y": 300})
    assert not choice.is_visible()
    assert made.page.locator("#grid").is_visible()
