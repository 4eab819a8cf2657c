"""A URL is asked politely, once, within limits, and never on a private network unless allowed."""

import gzip
import shutil
import signal
import socket
import ssl
import subprocess
import time
from email.utils import formatdate
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl
import pytest

from imagemill import download
from imagemill.download import room
from imagemill.errors import ConfigError, SourceError
from imagemill.sources import Urls, addresses
from imagemill.sources import web as client
from imagemill.sources.objects import ASKED, Fetchable, Tabled, UnavailableError, Wanted
from imagemill.sources.urls import UrlObjects
from imagemill.tables import INDEX, LISTING
from tests import make
from tests.conftest import Build, Project, make_project
from tests.draw import photo_bytes
from tests.web import Page, Web, serving

USUAL = {
    "kind": "urls",
    "table": "photos",
    "id": "product",
    "url": "link",
    "which": "first",
    "again": "never",
    "limit": None,
    "per_host": 4,
    "timeout": 5.0,
    "max_bytes": 100_000,
    "content_types": ["image/*", "*/octet-stream"],
    "allow_private": True,
    "proxy": "none",
    "keep": None,
}

Rows = list[tuple[str | None, str | None]]


def opened(**given: object) -> UrlObjects:
    return Urls.model_validate({**USUAL, **given}).open("web", Path("/nowhere"))


def asked(*rows: tuple[str, str, bool]) -> pl.DataFrame:
    return pl.DataFrame([(*row, None, None) for row in rows], ASKED, orient="row")


def listed(rows: Rows, before: pl.DataFrame | None = None, **given: object) -> pl.DataFrame:
    table = pl.DataFrame(rows, {"product": pl.String, "link": pl.String}, orient="row")
    told = opened(**given).told({"photos": table}, asked() if before is None else before)
    return told.listed()


def listing(
    rows: Rows, before: pl.DataFrame | None = None, **given: object
) -> dict[str, tuple[str | None, str | None]]:
    """Key to URL and reason."""
    found = listed(rows, before, **given).select("key", "tag", "reason").iter_rows()
    return {key: (tag, reason) for key, tag, reason in found}


def fetched(*urls: str, **given: object) -> dict[str, bytes | tuple[str, str]]:
    """URL to its bytes, or to the reason and detail why there are none."""
    wanted = [Wanted(f"{number}", url, None) for number, url in enumerate(urls)]
    found: dict[str, bytes | tuple[str, str]] = {}
    for each in opened(**given).fetch(wanted):
        content = each.content
        lost = isinstance(content, UnavailableError)
        found[each.wanted.tag] = (content.reason, content.detail) if lost else content
    assert set(found) == set(urls)
    return found


def failure(url: str, **given: object) -> tuple[str, str]:
    found = fetched(url, **given)[url]
    assert isinstance(found, tuple), found
    return found


def test_the_objects_offer_what_scan_and_download_ask_for():
    assert isinstance(opened(), Fetchable)
    assert isinstance(opened(), Tabled)


# Listing


def test_an_id_has_its_first_usable_url_and_every_id_a_row():
    rows: Rows = [
        ("7", "https://b.example/2.jpg"),
        ("7", "https://a.example/1.jpg"),
        ("7", "ftp://a.example/0.jpg"),
        ("7", None),
        ("8", "  https://a.example/8.jpg "),
        ("8", "https://a.example/8.jpg"),
        ("9", None),
        ("9", ""),
        ("10", "file:///etc/passwd"),
        ("a\nb", "https://a.example/odd.jpg"),
    ]
    assert listing(rows) == {
        "7": ("https://a.example/1.jpg", None),
        "8": ("https://a.example/8.jpg", None),
        "9": (None, "no_url"),
        "10": ("file:///etc/passwd", "bad_url"),
        "a\\x0ab": ("https://a.example/odd.jpg", "odd_name"),
    }
    found = listed(rows)
    assert found["key"].is_sorted()
    assert found.equals(listed(rows[::-1]))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a.jpg",
        "file:///a.jpg",
        "data:image/png;base64,AA==",
        "javascript:alert(1)",
        "//example.org/a.jpg",
        "example.org/a.jpg",
        "http://",
        "http:///a.jpg",
        "http://[::1/a.jpg",
        "http://example.org:port/a.jpg",
        "http://example.org:99999/a.jpg",
        "http://user:secret@example.org/a.jpg",
        "http://example.org/a b.jpg",
        "http://example.org/a\x00.jpg",
    ],
)
def test_what_is_no_web_address_is_a_row_and_never_asked(url):
    assert listing([("1", url)]) == {"1": (url, "bad_url")}


def test_all_urls_of_an_id_have_keys_that_other_urls_do_not_change():
    rows: Rows = [("7", "http://a.example/1"), ("7", "http://a.example/2"), ("8", None)]
    before = listing(rows, which="all")
    after = listing([*rows, ("7", "http://a.example/0")], which="all")
    assert len(before) == 3
    assert len(after) == 4
    assert before.items() < after.items()
    assert before["8"] == (None, "no_url")
    assert {key.partition("/")[0] for key in after} == {"7", "8"}


def test_an_id_that_is_held_keeps_the_url_under_which_it_is(capfd):
    rows: Rows = [("1", "http://a/new"), ("2", "http://a/new"), ("3", None), (None, "http://a/x")]
    before = asked(
        ("1", "http://a/old", True), ("2", "http://a/old", False), ("3", "http://a/3", True)
    )
    assert listing(rows, before) == {
        "1": ("http://a/old", None),
        "2": ("http://a/new", None),
        "3": ("http://a/3", None),
    }
    assert "1 rows of photos have no product; left out" in capfd.readouterr().err
    assert listing(rows, before, again="new_url") == {
        "1": ("http://a/new", None),
        "2": ("http://a/new", None),
        "3": (None, "no_url"),
    }


def test_a_table_or_column_that_is_not_there_is_named_with_the_nearest():
    table = pl.DataFrame({"product": ["1"], "links": ["http://a"]})
    with pytest.raises(
        ConfigError, match=r"^sources.web.table: no table photos; did you mean photo"
    ):
        opened().told({"photo": table}, asked())
    with pytest.raises(ConfigError, match=r"web.url: no column link in photos; did you mean links"):
        opened().told({"photos": table}, asked())
    with pytest.raises(SourceError, match=r"^sources.web: photos has no row. Check what `tables"):
        opened().told({"photos": table.clear().rename({"links": "link"})}, asked())


# Fetching


def test_files_come_as_they_are_over_few_connections(web: Web):
    urls = [
        web.put(f"{n}.jpg", Page(body=bytes([n]) * 1000, chunked=n % 2 == 1, delay=0.005))
        for n in range(50)
    ]
    found = fetched(*urls, per_host=2)
    assert list(found.values()) != []
    assert {url: found[url] for url in urls} == {u: bytes([n]) * 1000 for n, u in enumerate(urls)}
    assert set(web.asked.values()) == {1}
    assert web.busiest <= 2
    assert web.connections <= 4
    assert web.headers["User-Agent"].startswith("imagemill/")


def test_hosts_take_turns_each_with_its_own_limit():
    with serving() as one, serving() as two, serving() as three:
        servers = (one, two, three)
        urls = [s.put(f"{n}.jpg", Page(delay=0.1)) for s in servers for n in range(8)]
        start = time.monotonic()
        fetched(*urls, per_host=2)
        assert time.monotonic() - start < 1.2  # one host alone takes 0.4 s; one by one 2.4 s
        assert all(server.busiest == 2 for server in servers)


JPEG = {"Content-Type": "image/jpeg"}

TAKEN = {
    "a type with a charset": Page(headers={"Content-Type": "IMAGE/PNG; charset=binary"}),
    "no type": Page(headers={}),
    "as a bucket says it": Page(headers={"Content-Type": "binary/octet-stream"}),
}


@pytest.mark.parametrize("page", TAKEN.values(), ids=TAKEN)
def test_what_a_server_calls_an_image_is_taken(web: Web, page: Page):
    url = web.put("x", page)
    assert fetched(url) == {url: page.body}


def test_a_compressed_answer_is_unpacked(web: Web):
    body = b"photo" * 10_000
    packed = gzip.compress(body)
    url = web.put("x", Page(packed, headers={**JPEG, "Content-Encoding": "gzip"}))
    assert fetched(url) == {url: body}
    assert web.headers["Accept-Encoding"] == "identity"


REFUSED = {
    "gone": (Page(status=404), "vanished", "status 404", 1),
    "gone for good": (Page(status=410), "vanished", "status 410", 1),
    "no login": (Page(status=401), "denied", "status 401", 1),
    "forbidden": (Page(status=403), "denied", "status 403", 1),
    "a teapot": (Page(status=418), "failed", "status 418", 1),
    "nothing new": (Page(status=304, body=b""), "failed", "status 304", 1),
    "a part": (Page(status=206), "failed", "status 206", 1),
    "nowhere": (Page(status=302), "failed", "status 302", 1),
    "a web page": (
        Page(b"<p>log in", headers={"Content-Type": "text/html; charset=utf-8"}),
        *("wrong_content_type", "the server sent text/html", 1),
    ),
    "a web page called an image": (
        Page(b"\n <!DOCTYPE html><p>log in"),
        *("wrong_content_type", "the server sent a web page", 1),
    ),
    "no bytes": (Page(b""), "empty", "the server sent no bytes", 1),
    "too long": (Page(bytes(100_001)), "too_many_bytes", "more than 100,000 bytes", 1),
    "too long, unsaid": (
        Page(bytes(100_001), chunked=True),
        *("too_many_bytes", "more than 100,000 bytes", 1),
    ),
    "a bomb": (
        Page(gzip.compress(bytes(50_000_000)), headers={**JPEG, "Content-Encoding": "gzip"}),
        *("too_many_bytes", "more than 100,000 bytes", 1),
    ),
    "broken": (Page(status=500), "failed", "status 500, in 4 tries", 4),
    "busy": (Page(status=503), "failed", "status 503, in 4 tries", 4),
    "cut short": (Page(bytes(5000), cut=True), "failed", "the answer broke off", 4),
    "cut short in chunks": (
        Page(bytes(5000), cut=True, chunked=True),
        *("failed", "the answer broke off", 4),
    ),
    "come back tomorrow": (
        Page(status=429, headers={"Retry-After": "86400"}),
        *("failed", "status 429, ask again in 86,400 s", 1),
    ),
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between tries."""
    monkeypatch.setattr(client, "PAUSE", 0.01)


@pytest.mark.parametrize(("page", "reason", "said", "tries"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_image_is_a_reason(web: Web, hasty: None, page, reason, said, tries):
    url = web.put("x.jpg", page)
    found = failure(url)
    assert found[0] == reason
    assert found[1].startswith(said)
    assert "\n" not in found[1]
    assert web.asked["/x.jpg"] == tries


def test_a_long_answer_is_not_read_to_its_end(web: Web):
    url = web.put("x.jpg", Page(bytes(100_000_000), chunked=True))
    assert failure(url)[0] == "too_many_bytes"
    assert web.broken.wait(5)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_stumbles_is_asked_again(web: Web, hasty: None, status: int):
    url = web.put("x.jpg", Page(status=status, soon=Page()))
    assert fetched(url) == {url: Page().body}
    assert web.asked["/x.jpg"] == 2


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_that_says_when_is_not_asked_before(web: Web, hasty: None, form: str):
    when = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    busy = web.put("busy.jpg", Page(status=429, headers={"Retry-After": when}, soon=Page()))
    others = [web.put(f"{n}.jpg", Page(delay=0.05)) for n in range(4)]
    found = fetched(busy, *others, per_host=1)
    assert set(found.values()) == {Page().body}
    first, second = web.times["/busy.jpg"]
    assert second - first > 0.9
    assert all(web.times[f"/{n}.jpg"][0] >= second for n in range(4))  # the whole host is spared


def test_a_slow_server_is_not_waited_for(web: Web, hasty: None):
    late = web.put("late.jpg", Page(delay=1.0))
    drip = web.put("drip.jpg", Page(bytes(200), drip=0.05))
    start = time.monotonic()
    found = fetched(late, drip, timeout=0.3)
    assert time.monotonic() - start < 4
    assert set(found.values()) == {("failed", "not done in 0.3 s, in 4 tries")}


def test_a_dead_host_is_left_alone_after_a_while(web: Web, hasty: None):
    alive = web.put("x.jpg")
    with Web() as server:
        dead = [server.url(f"{n}.jpg") for n in range(200)]
    start = time.monotonic()
    found = fetched(*dead, alive)
    assert time.monotonic() - start < 5
    assert found.pop(alive) == Page().body
    assert {reason for reason, _ in found.values()} == {"failed"}
    assert sum("not asked" in said for _, said in found.values()) > 180
    assert any("Connection refused" in said for _, said in found.values())


# Asking again

VERSIONED = {
    "an ETag": {"ETag": '"one"'},
    "a weak ETag": {"ETag": 'W/"one"'},
    "an ETag without quotes": {"ETag": "one"},
    "a date": {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
    "both": {"ETag": '"one"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
    "a length": {},
}
CHANGED = {"ETag": '"two"', "Last-Modified": "Wed, 21 Oct 2015 07:28:01 GMT"}


def versioned(headers: dict[str, str], body: bytes = b"photo", **more: object) -> Page:
    return Page(body, headers={**JPEG, **headers}, **more)


def held(url: str, tag: str | None = None) -> pl.DataFrame:
    """What a build knows that has fetched ``url``, as photo 1, under ``tag``."""
    (got,) = opened().fetch([Wanted("1", tag or url, None)])
    assert isinstance(got.content, bytes)
    row = ("1", tag or url, True, len(got.content), got.validator)
    return pl.DataFrame([row], ASKED, orient="row")


def asking(url: str, before: pl.DataFrame, **given: object) -> str | None:
    """The tag of photo 1 in a build that comes after."""
    return listing([("1", url)], before, again="changed", **given)["1"][0]


@pytest.mark.parametrize("head", [None, 405, 403, 404], ids=["HEAD", "405", "403", "404"])
@pytest.mark.parametrize("headers", VERSIONED.values(), ids=VERSIONED)
@pytest.mark.parametrize("conditions", [True, False], ids=["304", "200"])
def test_a_held_file_gets_another_tag_exactly_when_its_server_says_it_changed(
    web: Web, headers: dict[str, str], head: int | None, conditions: bool, capfd
):
    how = {"head": head, "conditions": conditions}
    url = web.put("1.jpg", versioned(headers, **how))
    before = held(url)
    web.asked.clear()
    assert asking(url, before) == url
    assert (web.asked["/1.jpg"], web.heads["/1.jpg"]) == ((1, 1) if head is None else (2, 1))
    assert web.same["/1.jpg"] == (conditions and bool(headers))
    assert "scan: web: 1 held files asked for, 0 have changed" in capfd.readouterr().err

    news = {name: CHANGED[name] for name in headers}
    web.put("1.jpg", versioned(news, b"longer photo", **how))
    tag = asking(url, before)
    assert tag is not None
    assert tag.startswith(f"{url} ")
    after = held(url, tag)
    assert after["bytes"].item() == len(b"longer photo")
    assert asking(url, after) == tag
    assert "1 held files asked for, 1 have changed\n" in capfd.readouterr().err


def test_a_server_that_says_nothing_of_a_file_is_never_seen_to_change_it(web: Web):
    url = web.put("1.jpg", Page(chunked=True))
    before = held(url)
    web.put("1.jpg", Page(b"other bytes", chunked=True))
    assert asking(url, before) == url


def test_a_weak_mark_is_no_change(web: Web):
    url = web.put("1.jpg", versioned({"ETag": '"one"'}))
    before = held(url)
    web.put("1.jpg", versioned({"ETag": 'W/"one"'}))
    assert asking(url, before) == url


KEPT = {
    "gone": (Page(status=404), "1 vanished; first 1: status 404"),
    "forbidden": (Page(status=403), "1 denied; first 1: status 403"),
    "broken": (Page(status=500), "1 failed; first 1: status 500, in 4 tries"),
    "a web page": (
        Page(b"<p>closed today", headers={"Content-Type": "text/html"}),
        "1 wrong_content_type; first 1: the server sent text/html",
    ),
    "too long": (Page(bytes(100_001)), "1 too_many_bytes; first 1: more than 100,000 bytes"),
}


@pytest.mark.parametrize(("page", "said"), KEPT.values(), ids=KEPT)
def test_a_file_that_is_not_to_be_had_any_more_stays_as_it_is_held(
    web: Web, hasty: None, capfd, page: Page, said: str
):
    url = web.put("1.jpg", versioned({"ETag": '"one"'}))
    before = held(url)
    web.put("1.jpg", page)
    assert asking(url, before) == url
    line = "scan: web: 1 held files asked for, 0 have changed; 1 kept as they are: "
    assert line + said in capfd.readouterr().err


def test_a_server_that_is_not_there_changes_nothing(hasty: None, capfd):
    with serving() as server:
        urls = [server.put(f"{n}.jpg") for n in range(100)]
    held_ones = [(f"{n:02}", url, True, 5, None) for n, url in enumerate(urls)]
    before = pl.DataFrame(held_ones, ASKED, orient="row")
    rows: Rows = [(f"{n:02}", url) for n, url in enumerate(urls)]
    found = listing(rows, before, again="changed")
    assert found == {key: (url, None) for key, url in rows}
    said = capfd.readouterr().err
    assert "100 kept as they are: 100 failed; first 00: " in said
    assert said.count("\n") == 1


def test_another_url_is_fetched_and_the_old_one_is_not_asked(web: Web):
    old, new = web.put("old.jpg", versioned({"ETag": '"1"'})), web.url("new.jpg")
    before = held(old)
    web.asked.clear()
    assert asking(new, before) == new
    assert not web.asked


@pytest.mark.parametrize("again", ["never", "new_url"])
def test_a_file_that_has_changed_once_keeps_its_tag_when_nobody_asks_any_more(web: Web, again):
    url = web.put("1.jpg")
    before = asked(("1", f'{url} ETag: "two"', True))
    assert listing([("1", url)], before, again=again) == {"1": (f'{url} ETag: "two"', None)}
    assert not web.asked


def test_asking_again_is_as_polite_as_fetching(web: Web):
    with serving() as headless:
        for n in range(40):
            web.put(f"{n}.jpg", versioned({"ETag": f'"{n}"'}, delay=0.01))
            headless.put(f"{n}.jpg", versioned({"ETag": f'"{n}"'}, delay=0.01, head=405))
        urls = [each.url(f"{n}.jpg") for each in (web, headless) for n in range(40)]
        keys = [f"{n:02}" for n in range(80)]
        tags = [f'ETag: "{n}"' for n in range(40)] * 2
        rows = [(*each, True, 5, tag) for *each, tag in zip(keys, urls, tags, strict=True)]
        before = pl.DataFrame(rows, ASKED, orient="row")
        given: Rows = list(zip(keys, urls, strict=True))
        assert listing(given, before, again="changed", per_host=2) == {
            key: (url, None) for key, url in given
        }
        assert web.busiest <= 2
        assert headless.busiest <= 2
        assert sum(web.asked.values()) == sum(web.same.values()) == 40
        assert sum(headless.same.values()) == 40
        assert sum(headless.heads.values()) <= 2  # then it is known to answer to GET alone


PHOTOS = """\
# @package _global_
defaults:
  - /source@sources.web: urls
  - /layout@sources.web.layout: table
  - /table@tables.photos: csv
about: {title: Photos}
sources:
  web:
    table: photos
    id: product
    url: link
    again: changed
    allow_private: true
    layout: {join: {table: photos, key: product, columns: {label: label}}}
tables:
  photos: {path: photos.csv}
"""


def shop(root: Path, web: Web) -> Project:
    """A project with twelve photos on the web."""
    project = make_project(root)
    project.conf("dataset/shop.yaml", PHOTOS)
    project.datasets(shop=[])
    rows = [f"{n:02},{'hat' if n % 2 else 'shoe'},{web.url(f'{n}.jpg')}" for n in range(12)]
    (root / "photos.csv").write_text("\n".join(["product,label,link", *rows, ""]))
    return project


def photo_page(seed: int) -> Page:
    return versioned({"ETag": f'"{seed}"'}, photo_bytes(seed, "jpg"))


def test_a_build_that_asks_again_fetches_what_changed_and_nothing_else(
    tmp_path: Path, web: Web, build: Build, capfd
):
    for n in range(12):
        web.put(f"{n}.jpg", photo_page(n))
    project = shop(tmp_path / "shop", web)
    build(project, "shop")
    assert sum(web.asked.values()) == 12
    before = project.files()

    build(project, "shop")
    assert project.files() == before
    assert (sum(web.same.values()), sum(web.asked.values())) == (12, 24)

    project.datasets(shop=["sources.web.limit=1"])  # of new ids: none of these is one
    web.put("3.jpg", photo_page(300))
    web.put("4.jpg", photo_page(400))
    web.put("7.jpg", Page(status=404))
    for count in (web.asked, web.heads, web.same):
        count.clear()
    capfd.readouterr()
    build(project, "shop")
    said = capfd.readouterr().err
    assert "12 held files asked for, 2 have changed; 1 kept as they are: 1 vanished" in said
    assert "download: 2 objects fetched" in said
    gets = web.asked - web.heads
    # What HEAD says is not there is asked for by GET before it is believed.
    assert gets == {"/3.jpg": 1, "/4.jpg": 1, "/7.jpg": 1}
    after = project.files()
    build(project, "shop")
    assert project.files() == after

    web.put("7.jpg", photo_page(7))
    fresh = shop(tmp_path / "fresh", web)
    fresh.datasets(shop=["sources.web.limit=12"])
    build(fresh, "shop")
    late = [name for name in fresh.files() if fresh.files()[name] != after[name]]
    tagged = ("scan/listing", "download/index", "download/validators")
    assert {name.removesuffix(".parquet") for name in late} == {
        "data/shop/config.yaml",  # the limit
        *(f"data/shop/{name}" for name in tagged),
    }


def photos_to_fetch(web_url: str) -> pl.DataFrame:
    rows = [("web", f"{n:04}", None, f"{web_url}{n}", None, True, None) for n in range(400)]
    return pl.DataFrame(rows, dict(LISTING.columns), orient="row")


def fetching(say: Connection, root: Path, web_url: str) -> None:
    """Fetch four hundred photos into the output of download."""
    config = download.Config(
        sources={"web": Urls.model_validate({**USUAL, "per_host": 8})},
        pack_bytes=100_000,
        max_rejected=0.0,
    )
    (root / "out").mkdir(parents=True, exist_ok=True)
    say.send("go")
    listed = photos_to_fetch(web_url)
    download.update(listed, config, root / "out", root, root / "spool", make.INLINE)


def test_a_kill_repeats_at_most_the_requests_in_flight(tmp_path: Path, web: Web):
    for n in range(400):
        web.put(f"{n}", Page(b"photo %d" % n * 100, delay=0.002))
    killed = 0
    for target in range(30, 400, 60):
        process, hear = make.process(fetching, tmp_path / "killed", web.url())
        hear.recv()
        while process.is_alive() and len(web.asked) < target:
            time.sleep(0.001)
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed > 3
    fetching(Mute(), tmp_path / "killed", web.url())
    repeated = sum(web.asked.values()) - 400
    assert repeated <= 8 * killed
    assert repeated > 0  # or nothing was in flight, and the test says little
    fetching(Mute(), tmp_path / "undisturbed", web.url())
    names = sorted(path.name for path in (tmp_path / "undisturbed/out").rglob("*"))
    assert names == sorted(path.name for path in (tmp_path / "killed/out").rglob("*"))
    index = [INDEX.read(tmp_path / each / "out") for each in ("killed", "undisturbed")]
    assert index[0].equals(index[1])


def test_a_disk_too_small_for_what_is_to_come_stops_as_soon_as_that_shows(
    tmp_path: Path, web: Web, monkeypatch
):
    for n in range(400):
        web.put(f"{n}", Page(bytes(700)))
    start = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(room, "LOOK", 5_000)
    small = start._replace(free=room.SPARE + 200_000)  # all that is left
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: small)
    with pytest.raises(SourceError, match=r"^download: 39\d objects to come .* what has arrived"):
        fetching(Mute(), tmp_path, web.url())
    assert len(web.asked) < 50
    monkeypatch.undo()
    fetching(Mute(), tmp_path, web.url())
    assert len(web.asked) == 400
    assert sum(web.asked.values()) <= 400 + 8  # those in flight


class Mute:
    """Takes what a process would say."""

    def send(self, _said: object) -> None:
        """Say nothing."""


# Redirects


def to(url: str, status: int = 302) -> Page:
    return Page(b"moved", status, {"Location": url})


def test_redirects_are_followed_as_far_as_five(web: Web):
    web.put("0", Page(b"photo"))
    urls = [web.put(f"{n}", to(f"/{n - 1}", [301, 302, 303, 307, 308][n % 5])) for n in range(1, 7)]
    assert fetched(urls[4]) == {urls[4]: b"photo"}
    assert failure(urls[5]) == ("failed", "redirected more than 5 times")


def test_a_redirect_loop_ends(web: Web):
    url = web.put("loop", to("/loop"))
    assert failure(url) == ("failed", "redirected more than 5 times")
    assert web.asked["/loop"] == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_may_not_leave_the_web(web: Web, target: str):
    url = web.put("x", to(target))
    assert failure(url) == ("failed", f"redirected to {target}, which is not http(s)")


# Addresses


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"]
)
def test_a_private_address_is_not_connected_to(web: Web, host: str):
    url = web.url("x.jpg", host)
    reason, said = failure(url, allow_private=False)
    assert reason == "private_address"
    assert "is no public address; see `allow_private`" in said
    assert web.connections == 0


@pytest.fixture
def one_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 alone plays the public internet."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")


def test_a_redirect_to_a_private_address_is_not_followed(web: Web, one_public: None):
    url = web.put("x", to(web.url("secret", "127.0.0.2")))
    assert failure(url, allow_private=False)[0] == "private_address"
    assert set(web.asked) == {"/x"}


def test_all_addresses_of_a_name_must_be_public(web: Web, one_public: None, names):
    names("photos.example", [["127.0.0.1", "127.0.0.2"]])
    url = web.put("x").replace("127.0.0.1", "photos.example")
    assert failure(url, allow_private=False)[0] == "private_address"
    assert web.connections == 0


def test_what_was_checked_is_what_is_connected_to(web: Web, one_public: None, names):
    asked = names("photos.example", [["127.0.0.1"], ["127.0.0.2"]])  # another one a moment later
    url = web.put("x").replace("127.0.0.1", "photos.example")
    assert fetched(url, allow_private=False) == {url: Page().body}
    assert web.headers["Host"] == f"photos.example:{web.server_port}"
    assert asked == ["photos.example"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch):
    """Let a name mean other addresses each time it is looked up, as its owner may have it."""
    look_up = socket.getaddrinfo

    def given(name: str, answers: list[list[str]]) -> list[str]:
        asked: list[str] = []

        def answer(host: str, *rest: object, **more: object) -> list[object]:
            if host != name:
                return look_up(host, *rest, **more)
            asked.append(host)
            now = answers[min(len(asked), len(answers)) - 1]
            return [found for each in now for found in look_up(each, *rest, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        return asked

    return given


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_must_be_trusted_and_of_that_host(web: Web, hasty, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    url = web.put("x").replace("http://127.0.0.1", "https://localhost")
    assert failure(url)[1].startswith("not trusted: ")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetched(url) == {url: Page().body}
    by_number = url.replace("localhost", "127.0.0.1")
    assert failure(by_number)[1].startswith("not trusted: ")


PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
    *("64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:169.254.169.254", "2001:db8::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are_public(address: str):
    assert addresses.is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_every_other_address_is_private_however_it_is_written(address: str):
    assert not addresses.is_public(address)
