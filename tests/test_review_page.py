"""The review page without a browser: queues, verdicts, pictures, and who is let in."""

import csv
import socket
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagemill.errors import BuildError
from imagemill.review_page.asking import AT_MOST, Desk
from imagemill.review_page.guard import NAMES
from imagemill.review_page.pictures import turned
from imagemill.reviews import agreement, file, rows, standing
from imagemill.reviews.rows import Review
from imagemill.tables import EMBEDDINGS, FACTS, TRANSFORMS
from tests.conftest import Project, build_all
from tests.make import digest
from tests.reviewing import EVENT, LABEL, Process, Site, inside, reviews, serving


def verdict(item: dict[str, object], action: str = "keep", **more: object) -> dict[str, object]:
    return {"digest": item["digest"], "action": action, **more}


# --- queues ---


def test_flagged_images_come_by_score_and_each_once(site: Site) -> None:
    found = site.items("reason=mislabel")
    scores = [
        max(flag["confidence"] for flag in each["flags"] if flag["code"] == "mislabel")
        for each in found
    ]
    assert len(found) == 23
    assert scores == sorted(scores, reverse=True)
    assert len({each["digest"] for each in found}) == 23


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 25),
        ("reason=outlier", 1),
        ("reason=*&status=all", 47),
        ("reason=mislabel&label=hat", 11),
        ("reason=mislabel&least=0.9", 10),
        ("reason=mislabel&most=0.4", 1),
        ("reason=*&text=ONERROR", 1),
        (f"reason=*&label={LABEL.replace(' ', '%20')}", 6),
        ("reason=*&split=test", 13),
        ("kind=pairs", 2),
        ("kind=leaks", 2),
        ("kind=leaks&reason=bytes", 1),
    ],
)
def test_filters_choose_what_they_say(site: Site, query: str, count: int) -> None:
    assert site.ask(f"/api/queue?{query}").json["total"] == count


@pytest.mark.parametrize("query", ["sort=best", "share=4/3", "share=x", "least=a", "kind=x"])
def test_a_wrong_filter_is_named(site: Site, query: str) -> None:
    answer = site.ask(f"/api/queue?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in answer.json["error"]


def test_shares_are_disjoint_and_together_everything_whatever_else_is_filtered(site: Site) -> None:
    parts = [
        {each["digest"] for each in site.items(f"reason=*&share={part}/3")} for part in (1, 2, 3)
    ]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 47
    mine = {each["digest"] for each in site.items("reason=mislabel&share=2/3")}
    assert mine <= parts[1]
    assert mine


def test_what_is_judged_leaves_the_open_queue_when_it_is_read_again_and_not_before(
    site: Site,
) -> None:
    before = site.items()
    asof = site.ask("/api/queue").json["asof"]
    assert site.save("Saeed", verdict(before[0])).status == 200
    same = site.ask(f"/api/items?asof={asof}").json["items"]
    assert [each["digest"] for each in same] == [each["digest"] for each in before]
    assert same[0]["said"][0]["reviewer"] == "Saeed"
    assert [each["digest"] for each in site.items()] == [each["digest"] for each in before[1:]]
    told = site.ask("/api/queue?me=Kushagra&status=unseen").json
    assert (told["total"], told["judged"], told["mine"]) == (25, 1, 0)


def test_disagreements_and_doubts_are_a_queue_of_their_own(site: Site) -> None:
    one, two, three, *_ = site.items()
    site.save("Saeed", verdict(one), verdict(two, "remove"))
    site.save("Kushagra", verdict(one, "remove"), verdict(two, "remove"))
    site.save("Kushagra", verdict(three, "", tags=["mislabel_uncertain"]))
    found = {each["digest"] for each in site.items("status=discuss")}
    assert found == {one["digest"], three["digest"]}
    told = site.ask("/api/people").json
    assert (told["several"], told["agreed"]) == (2, 1)
    assert told["kappas"][0]["both"] == 2
    assert {each["reviewer"]: each["total"] for each in told["people"]} == {
        "Kushagra": 3,
        "Saeed": 2,
    }


def test_a_queue_knows_where_an_item_stands(site: Site) -> None:
    found = site.items("sort=name")
    told = site.ask(f"/api/queue?sort=name&at={found[7]['digest']}").json
    assert told["position"] == 7
    pair = site.items("kind=pairs")[1]
    at = f"{pair['left']['digest']}.{pair['right']['digest']}"
    assert site.ask(f"/api/queue?kind=pairs&at={at}").json["position"] == 1


def test_a_pair_is_settled_by_a_word_on_it_or_on_one_of_its_images(site: Site) -> None:
    pairs = site.items("kind=pairs")
    one, two = sorted([pairs[0]["left"]["digest"], pairs[0]["right"]["digest"]])
    saved = site.save("Saeed", {"digest": two, "other": one, "action": "different"})
    assert saved.json["said"][0]["said"][0]["action"] == "different"
    assert site.ask("/api/queue?kind=pairs").json["total"] == 1
    site.save("Saeed", verdict(pairs[1]["left"], "remove"))
    assert site.ask("/api/queue?kind=pairs").json["total"] == 0


def test_a_leak_of_equal_bytes_shows_both_samples_with_their_splits(site: Site) -> None:
    (leak,) = site.items("kind=leaks&reason=bytes")
    assert leak["left"]["digest"] == leak["right"]["digest"]
    assert {leak["left"]["split"], leak["right"]["split"]} == {"train", "test"}
    assert leak["left"]["sample"] != leak["right"]["sample"]


def test_neighbours_come_from_the_embeddings_the_nearest_first(fresh: Project) -> None:
    folder = fresh.root / "data/hats/measure"
    digests = FACTS.read(folder)["digest"].to_list()
    turns = np.linspace(0, np.pi / 2, len(digests))
    vectors = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype("<f2")
    rows_ = [
        {"digest": each, "embedding": vector.tobytes()}
        for each, vector in zip(digests, vectors, strict=True)
    ]
    (folder / EMBEDDINGS.file).unlink()
    EMBEDDINGS.write(folder, EMBEDDINGS.frame(rows_))
    with serving(fresh) as site:
        found = site.ask(f"/api/detail?digest={digests[0]}").json["neighbours"]
    assert [each["digest"] for each in found[:3]] == digests[1:4]
    assert found[0]["likeness"] >= found[1]["likeness"]


def test_a_dataset_that_is_not_built_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"dvc repro clean@hats"):
        Desk(tmp_path, "hats")


# --- verdicts ---


def test_verdicts_go_to_the_file_with_all_that_was_said(site: Site, fresh: Project) -> None:
    one, two, *_ = site.items()
    site.save(
        "Saeed", verdict(one, "relabel", label="shoes", tags=["mislabel_confirmed"], note="x")
    )
    site.save("Saeed", verdict(two, "remove"))
    first, second = reviews(fresh)
    assert first[3:7] == (("mislabel_confirmed",), "relabel", "shoes", "Saeed")
    assert first.note == "x"
    assert (second.digest, second.action) == (two["digest"], "remove")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"action": "delete"}, "no such action"),
        ({"action": "keep", "tags": ["mislabeled"]}, "no such tag"),
        ({"action": "relabel"}, "label: is empty"),
        ({"action": "keep", "digest": "0" * 64}, "no such image"),
        ({"action": "keep", "digest": "../../etc/passwd"}, "no sha256"),
        ({"action": "keep", "note": "x" * 10_001}, "note: must be text"),
        ({"action": "keep", "note": 7}, "note: must be text"),
        ({"action": "same"}, "no such action"),
        ({}, "says nothing"),
    ],
)
def test_a_wrong_verdict_is_refused_and_nothing_of_its_batch_is_written(
    site: Site, fresh: Project, given: dict[str, object], said: str
) -> None:
    one, two, *_ = site.items()
    answer = site.save("Saeed", verdict(one), {"digest": two["digest"], **given})
    assert answer.status == 400
    assert said in answer.json["error"]
    assert reviews(fresh) == []


def test_a_verdict_without_a_name_is_refused(site: Site) -> None:
    assert "reviewer" in site.save(" ", verdict(site.items()[0])).json["error"]


def test_many_who_save_at_once_lose_nothing(site: Site, fresh: Project) -> None:
    items = site.items("reason=*&status=all")
    with ThreadPoolExecutor(8) as pool:
        for number in range(8):
            for each in items:
                pool.submit(site.save, f"person {number}", verdict(each, "remove"))
    said = reviews(fresh)
    assert len(said) == len({(each.digest, each.reviewer) for each in said}) == 8 * 47


def test_the_page_learns_what_others_add_and_what_is_edited(site: Site, fresh: Project) -> None:
    told = site.ask("/api/start").json
    where = f"epoch={told['epoch']}&count={told['count']}"
    one = site.items()[0]
    other = Review(one["digest"], action="remove", reviewer="Kushagra", time=rows.now())
    taxonomy = Desk(fresh.root, "hats").dataset.taxonomy
    file.append(fresh.root, "hats", [other], taxonomy)
    seen = site.ask(f"/api/changes?{where}").json
    assert seen["people"] == {"Kushagra": 1}
    assert seen["said"][0]["said"][0]["action"] == "remove"
    assert not seen["edited"]
    path = fresh.root / "reviews/hats.csv"
    path.write_text(path.read_text().replace("remove", "keep") + "nonsense\n")
    again = site.ask(f"/api/changes?epoch={seen['epoch']}&count={seen['count']}").json
    assert again["edited"] == "edited"
    assert [each["line"] for each in again["problems"]] == [3]
    assert site.items("status=judged")[0]["said"][0]["action"] == "keep"


def test_a_restarted_server_is_no_edited_file(fresh: Project) -> None:
    with serving(fresh) as site:
        told = site.ask("/api/start").json
        site.save("Saeed", verdict(site.items()[0]))
    with serving(fresh) as site:
        seen = site.ask(f"/api/changes?epoch={told['epoch']}&count={told['count']}").json
    assert seen["edited"] == "restarted"


def test_a_killed_server_has_lost_no_verdict_that_it_confirmed(fresh: Project) -> None:
    process = Process(fresh)
    with serving(fresh) as asked:
        items = asked.items("reason=*&status=all")
    site = Site.__new__(Site)
    site.port, site.url = process.port, process.url
    confirmed = [site.save("Saeed", verdict(each)).status for each in items[:20]]
    process.kill()
    assert confirmed == [200] * 20
    assert [each.digest for each in reviews(fresh)] == [each["digest"] for each in items[:20]]


def test_a_clock_that_runs_ahead_does_not_win_for_ever(site: Site, fresh: Project) -> None:
    one = site.items()[0]
    ahead = Review(one["digest"], action="remove", reviewer="Ahead", time="2999-01-01T00:00:00Z")
    taxonomy = Desk(fresh.root, "hats").dataset.taxonomy
    file.append(fresh.root, "hats", [ahead], taxonomy)
    said = site.save("Saeed", verdict(one)).json["said"][0]["said"]
    assert {each["reviewer"]: each["state"] for each in said} == {
        "Ahead": "overruled",
        "Saeed": "in_force",
    }


def test_what_is_reviewed_is_what_the_next_build_obeys(fresh: Project, hats: Project) -> None:
    for name in ("photos", "stages", "src"):
        (fresh.root / name).symlink_to(hats.root / name)
    with serving(fresh) as site:
        build = site.ask("/api/start").json["build"]
        one, two, *_ = site.items("reason=mislabel")
        site.save("Saeed", verdict(one, "remove"), verdict(two, "relabel", label="gloves"))
        with inside(fresh.root):
            build_all("hats")
        assert site.ask("/api/changes").json["build"] != build
        site.ask("/api/start")
        now = {each["digest"]: each for each in site.items("reason=*&status=all")}
    assert now[one["digest"]]["verdict"] == "remove"
    assert now[two["digest"]]["new_label"] == "gloves"


def test_kappa_is_cohens() -> None:
    # Cohen's 2x2 example as taught: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no; kappa 0.4.
    counts = {("keep", "keep"): 20, ("keep", "remove"): 5, ("remove", "keep"): 10}
    counts["remove", "remove"] = 15
    words = [pair for pair, count in counts.items() for _ in range(count)]
    said = [
        Review(digest(str(at)), action=word, reviewer=who, time=f"2026-01-01T00:00:0{order}Z")
        for at, pair in enumerate(words)
        for order, (who, word) in enumerate(zip(("A", "B"), pair, strict=True))
    ]
    stands = standing.standing(file.Log("", said, list(range(len(said)))))
    (found,) = agreement.kappas(stands)
    assert (found.both, found.agreed) == (50, 35)
    assert found.kappa == pytest.approx(0.4)


# --- pictures ---


def test_a_picture_is_made_anew_and_has_no_metadata(site: Site) -> None:
    (item,) = site.items("reason=*&text=onerror")
    for kind in ("thumb", "whole"):
        answer = site.ask(f"/{kind}/{item['digest']}")
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert "immutable" in answer.headers["Cache-Control"]
        assert not Image.open(BytesIO(answer.body)).getexif()
        assert EVENT.encode() not in answer.body


def test_the_camera_of_an_image_is_told_as_text(site: Site) -> None:
    (item,) = site.items("reason=*&text=onerror")
    assert site.ask(f"/api/detail?digest={item['digest']}").json["facts"]["camera"] == EVENT


def test_a_turned_copy_differs_nowhere_once_it_is_turned_back(site: Site) -> None:
    pair = next(each for each in site.items("kind=pairs") if each["transform"].startswith("rot"))
    path = f"/difference/{pair['left']['digest']}/{pair['right']['digest']}"
    turn = Image.open(BytesIO(site.ask(f"{path}?transform={pair['transform']}").body))
    plain = Image.open(BytesIO(site.ask(f"{path}?transform=none").body))
    assert np.asarray(turn).max() <= 8
    assert np.asarray(plain).mean() > 50


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_transform_is_a_mirror_and_then_turns(transform: str) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected = np.fliplr(image) if transform.startswith("flip") else image
    turns = int(transform.lstrip("flipnoert") or 0) // 90
    found = np.asarray(turned(Image.fromarray(image), transform))
    assert np.array_equal(found, np.rot90(expected, turns))


def test_a_pack_that_is_gone_is_said_in_words(site: Site, fresh: Project) -> None:
    for pack in (fresh.root / "data/hats/download/packs").iterdir():
        pack.unlink()
    answer = site.ask(f"/thumb/{site.items()[0]['digest']}")
    assert answer.status == 500
    assert "cannot be read" in answer.json["error"]


# --- who is let in ---


def test_every_answer_forbids_foreign_scripts_and_frames(site: Site) -> None:
    for path in ("/", "/page/app.js", "/api/start", "/nothing", "/thumb/x"):
        headers = site.ask(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd",
        "/page/../server.py",
        "/page/..%2f..%2f__init__.py",
        "/page//etc/passwd",
        "/page/%2e%2e/asking.py",
        "/thumb/../../etc/passwd",
        "/thumb/%2e%2e%2fpasswd",
        f"/thumb/{'0' * 64}",
        f"/thumb/{'0' * 64}/../x",
        "/whole/.tar",
        "/difference/a/b",
        "/data/hats/config.yaml",
        "/reviews/hats.csv",
        "//etc/passwd",
        "/page/",
        "/page",
    ],
)
def test_no_path_leads_out_of_the_dataset(site: Site, path: str) -> None:
    answer = site.ask(path)
    assert answer.status == 404
    assert answer.json == {"error": "there is no such thing here"}


HOSTS = ["evil.example", "evil.example:80", "localhost", "127.0.0.1.evil.example:{}", "[::]:{}"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/", "/api/start", "/api/reviews"])
def test_a_name_that_was_pointed_here_is_refused(site: Site, host: str, path: str) -> None:
    named = host.format(site.port)
    body = {"reviewer": "x", "reviews": []} if path.endswith("reviews") else None
    answer = site.ask(path, body, Host=named, Origin=f"http://{named}")
    assert answer.status == 421
    assert b"digest" not in answer.body


@pytest.mark.parametrize("name", NAMES)
def test_names_of_this_machine_are_let_in(site: Site, name: str) -> None:
    assert site.ask("/", Host=f"{name}:{site.port}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": ""},
    ],
)
def test_a_post_of_another_site_is_refused_and_writes_nothing(
    site: Site, fresh: Project, headers: dict[str, str]
) -> None:
    body = {"reviewer": "Mallory", "reviews": [verdict(site.items()[0], "remove")]}
    answer = site.ask("/api/reviews", body, **headers)
    assert answer.status in (403, 415)
    assert reviews(fresh) == []


def test_another_site_cannot_read_or_show_anything_but_may_link_to_the_page(site: Site) -> None:
    one = site.items()[0]["digest"]
    for path in (f"/thumb/{one}", "/api/start", "/page/app.js"):
        assert site.ask(path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    linked = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert site.ask("/", **linked).status == 200
    assert site.ask("/api/start", **linked).status == 403
    assert "Access-Control-Allow-Origin" not in site.ask("/api/start").headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "<script>"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    answer = site.ask("/api/reviews", method=method)
    assert answer.status == 501
    assert answer.headers["Content-Type"] == "application/json"


def test_a_body_without_an_end_or_of_any_size_is_not_read(site: Site) -> None:
    for length in ("99999999999", "-1", "x"):
        with socket.create_connection(("127.0.0.1", site.port), 5) as line:
            head = (
                f"POST /api/reviews HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            )
            line.sendall(head.encode())
            assert b" 413 " in line.recv(200)


@pytest.mark.parametrize("body", [[], "x", {"reviews": "x"}, {"reviews": [1]}, {"reviews": []}])
def test_nonsense_is_answered_in_words(site: Site, body: object) -> None:
    answer = site.ask("/api/reviews", body)
    assert answer.status == 400
    assert answer.json["error"]


def test_with_a_token_nobody_without_it_sees_anything(fresh: Project) -> None:
    with serving(fresh, token=True) as site:
        secret = str(site.server.guard.token)
        for path in ("/", "/api/start", "/page/app.js", "/?token=wrong", "/?token="):
            assert site.ask(path).status == 401
        entered = site.ask(f"/?token={secret}&kind=pairs", Host="lab.example:80")
        assert (entered.status, entered.headers["Location"]) == (303, "/?kind=pairs")
        cookie = entered.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert site.ask("/api/start", Cookie=cookie.partition(";")[0]).status == 200
        stale = site.ask("/api/start", Cookie=f"{site.server.guard.cookie}=wrong")
        assert stale.status == 401


def test_a_token_in_the_url_makes_no_header_of_its_own(site: Site) -> None:
    answer = site.ask("/?token=x%0d%0aSet-Cookie:%20a=b")
    assert "Set-Cookie" not in answer.headers
    assert answer.status == 200


def test_other_interfaces_than_loopback_get_a_token(fresh: Project) -> None:
    open_to_all = Process(fresh, 0, "--host", "0.0.0.0")
    try:
        assert "token=" in open_to_all.said
    finally:
        open_to_all.kill()
    closed = Process(fresh)
    try:
        assert "token=" not in closed.said
        assert "http://127.0.0.1:" in closed.said
    finally:
        closed.kill()


# --- what a spreadsheet would run ---


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\uff1d1", "'=1", '="a",b\n=2'])
def test_no_cell_of_the_file_is_a_formula_and_all_come_back_as_they_were(
    site: Site, fresh: Project, text: str
) -> None:
    one = site.items()[0]
    answer = site.save(text, verdict(one, "relabel", label=text, note=text))
    assert answer.status == 200
    with (fresh.root / "reviews/hats.csv").open(newline="") as sheet:
        (row,) = csv.DictReader(sheet)
    for cell in row.values():
        assert cell[:1] not in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20" or not cell
    (said,) = reviews(fresh)
    flat = text.replace("\n", " ")
    assert (said.label, said.note, said.reviewer) == (flat, flat, flat)


def test_an_answer_has_at_most_so_many_items(site: Site) -> None:
    asked = "/api/items?reason=*&asof=0&limit=100000"
    assert len(site.ask(asked).json["items"]) == 47 <= AT_MOST
    assert len(site.ask(f"{asked}&offset=40").json["items"]) == 7
    assert site.ask(f"{asked}&offset=x").status == 400
