"""A package is published once, whole, and over nobody else's objects; on a real S3 server."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from io import BytesIO

import polars as pl
import pytest
import yaml

from imagemill import packs, publish
from imagemill.packs import Member
from imagemill.publish import plan, putting
from imagemill.published import MANIFEST, PUBLISHED, REMOVING, decode
from imagemill.published.prefix import HERE
from imagemill.sources.s3 import clients
from imagemill.tables import CONTENTS
from tests.conftest import make_project
from tests.make import digest, sha
from tests.publishing import (
    ABOUT,
    Target,
    images,
    package,
    photo,
    photos,
    refused,
    sent,
    sign_in,
)
from tests.servers import KEY, LIMITED, SECRET, error_page

# What is published


def test_every_image_and_a_manifest_that_names_it_are_published(target):
    files = photos(40)
    receipt = target.publish(files)
    objects = target.objects()
    assert images(objects) == files
    manifest = decode(objects[MANIFEST], "here")
    local = CONTENTS.read(target.folder)
    assert manifest.rows.drop("etag").equals(local)
    assert manifest.noted["title"] == "Faces"
    assert {k: manifest.noted[k] for k in ("images", "identities")} == {
        "images": "40",
        "identities": "20",
    }
    assert receipt == {
        "published": f"s3://{target.bucket}/sets/faces/",
        "endpoint": target.endpoint,
        "dataset": "faces",
        "images": 40,
        "identities": 20,
        "bytes": sum(map(len, files.values())),
        "manifest": sha(objects[MANIFEST]),
        "foreign": {"objects": 0, "first": []},
    }


def test_the_manifest_is_put_last(target, proxy):
    target.publish(photos(40))
    last = [path for method, path in proxy.requests if method == "PUT"][-1]
    assert last.endswith(MANIFEST)


def test_a_second_publish_sends_nothing(target, proxy):
    first = target.publish(photos(40))
    proxy.forget()
    assert target.publish() == first
    assert not sent(proxy)


def test_one_image_added_is_one_object_and_the_manifest(target, proxy):
    files = photos(40)
    target.publish(files)
    proxy.forget()
    target.publish(files | {"id00003/new.jpg": photo(1000)})
    assert sent(proxy) == {"id00003/new.jpg": 1, MANIFEST: 1}
    assert len(images(target.objects())) == 41


def test_what_is_renamed_changed_and_removed_is_so_at_the_prefix(target, proxy):
    files = photos(40)
    target.publish(files)
    after = dict(files)
    after["id00001/renamed.jpg"] = after.pop("id00001/2.jpg")
    after["id00002/4.jpg"] = photo(1000)
    after["id00003/6.jpg"] = photo(1001, 900)
    del after["id00004/8.jpg"]
    proxy.forget()
    target.publish(after)
    changed = {"id00001/renamed.jpg", "id00002/4.jpg", "id00003/6.jpg"}
    assert sent(proxy).keys() - {REMOVING} == changed | {MANIFEST}
    assert images(target.objects()) == after


def test_an_object_that_others_changed_or_removed_is_put_again(target, proxy):
    files = photos(40)
    target.publish(files)
    target.put("id00001/2.jpg", photo(1000))
    target.delete("id00001/3.jpg")
    proxy.forget()
    target.publish()
    assert sent(proxy) == {"id00001/2.jpg": 1, "id00001/3.jpg": 1}
    assert images(target.objects()) == files


ODD = ["a b", "ü", "e\u0301", "a+b", "a%20b", "100%", "a?b#c&d=e", "[x]{y}", "*", "~t", "日本", "="]
ODD += ["a:b@c!$'(),;", "x" * 120, ".hidden", "train.rec"]


def test_labels_of_all_kinds_are_published_as_they_are(target, proxy):
    files = {f"{label}/{label} 1.jpg": label.encode() for label in ODD}
    target.publish(files)
    assert images(target.objects()) == files
    proxy.forget()
    target.publish()
    assert not sent(proxy)


def test_equal_content_gives_an_equal_manifest_and_receipt_anywhere(s3_server, tmp_path, signed_in):
    found = []
    for number in range(2):
        target = Target(s3_server, tmp_path / str(number), s3_server.endpoint)
        files = list(photos(40).items())
        random.Random(number).shuffle(files)
        target.publish(dict(files[: 10 + number]))  # a history of its own
        receipt = target.publish(dict(files))
        del receipt["published"]
        found.append((receipt, target.objects()[MANIFEST]))
    assert found[0] == found[1]


# Interruptions


RUN = """
import sys
from pathlib import Path
from imagemill import publish
config = publish.Config.model_validate_json(sys.argv[2])
root = Path(sys.argv[1])
publish.publish(config, root, "faces", root / "local")
"""


def start(target: Target) -> "subprocess.Popen[bytes]":
    config = target.config().model_dump_json()
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(target.root), config],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_a_publish_that_is_killed_again_and_again_repeats_only_what_was_in_flight(target, proxy):
    chance = random.Random(7)
    files = photos(1200)
    package(target.folder, files)
    kills = 0
    for _ in range(5):
        process = start(target)
        stop = len(proxy.requests) + chance.randrange(60, 260)
        while process.poll() is None and len(proxy.requests) < stop:
            time.sleep(0.001)
        with suppress(ProcessLookupError):  # it was quicker
            os.killpg(process.pid, signal.SIGKILL)
        kills += process.wait() != 0
        assert not target.objects(f"sets/faces/{MANIFEST}")
    assert kills >= 4
    target.publish()
    assert images(target.objects()) == files
    counts = sent(proxy)
    assert sum(counts.values()) - len(counts) <= kills * clients.REQUESTS
    proxy.forget()
    target.publish()
    assert not sent(proxy)


def test_a_publish_killed_before_its_removals_leaves_them_to_the_next(target, proxy, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 1)
    files = photos(40)
    target.publish(files)
    after = {key: data for key, data in files.items() if not key.startswith("id00001/")}
    proxy.answer = lambda method, _: b"" if method == "POST" else None
    refused(lambda: target.publish(after))
    assert decode(target.objects()[MANIFEST], "here").rows["member"].to_list() == sorted(after)
    assert (
        len(images(target.objects())) == 41
    )  # nothing is removed yet, and a list of what is to be
    proxy.answer = lambda *_: None
    for local in (target.root / "local").rglob("*"):
        local.is_file() and local.unlink()
    target.publish(after)
    assert images(target.objects()) == after


def test_what_a_killed_publish_sent_and_nobody_wants_any_more_is_removed(
    target, proxy, monkeypatch
):
    monkeypatch.setattr(putting, "ATTEMPTS", 1)
    files = photos(40)
    stop = error_page("500 Internal Server Error", "InternalError")
    proxy.answer = lambda method, _: stop if method == "PUT" and len(proxy.puts) > 30 else None
    refused(lambda: target.publish(files))
    assert 20 < len(target.objects()) < 40
    proxy.answer = lambda *_: None
    after = {f"new{key}": data for key, data in files.items()} | {"id00000/0.jpg": b"changed"}
    receipt = target.publish(after)
    assert images(target.objects()) == after
    assert receipt["foreign"]["objects"] == 0


def test_a_store_that_is_busy_for_a_while_delays_a_publish_and_no_more(target, proxy, monkeypatch):
    monkeypatch.setattr(clients, "PAUSE", 0.02)
    busy = error_page("503 Slow Down", "SlowDown")

    def answer(method: str, path: str) -> bytes | None:
        stormy = method == "PUT" and 50 < len(proxy.requests) < 400
        return busy if stormy and proxy.puts[path.partition("?")[0]] < 5 else None

    proxy.answer = answer
    files = photos(300)
    target.publish(files)
    assert images(target.objects()) == files
    assert sum(sent(proxy).values()) > 400


# Where an ETag is not the MD5 of the bytes, as with keys of KMS


def known(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, plan.KNOWN, orient="row")


def decided(put: pl.DataFrame, manifest: pl.DataFrame) -> plan.Plan:
    rows = [{"member": f"a/{n}", "packaged": digest(str(n)), "bytes": 9} for n in range(4)]
    here = [(f"a/{n}", 9, f"{n}" * 32) for n in range(3)]
    found = plan.Found(pl.DataFrame(here, HERE, orient="row"), manifest, [], put)
    return plan.decide(CONTENTS.frame(rows), found, lambda some: pl.Series(["f" * 32] * len(some)))


def test_what_the_journal_of_a_killed_publish_tells_is_not_sent_again():
    put = known(
        ("a/0", digest("0"), "0" * 32),  # as noted
        ("a/1", digest("other"), "1" * 32),  # ours, with other bytes
        ("a/2", digest("2"), "e" * 32),  # replaced by somebody since
    )
    found = decided(put, PUBLISHED.frame())
    assert found.held["member"].to_list() == ["a/0"]
    assert found.send["member"].to_list() == ["a/1", "a/2", "a/3"]
    assert found.blocked == ["a/2"]


def test_what_the_last_manifest_tells_is_not_sent_again():
    row = {"member": "a/0", "packaged": digest("0"), "bytes": 9, "etag": "0" * 32}
    found = decided(known(), PUBLISHED.frame([row]))
    assert found.held["member"].to_list() == ["a/0"]


FAULTS = {"hang up": b"", "500": error_page("500 Internal Server Error", "InternalError")}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_passing_fault_is_tried_again(target, proxy, monkeypatch, fault):
    monkeypatch.setattr(clients, "PAUSE", 0.02)
    files = photos(20)
    seen = set()

    def answer(method: str, path: str) -> bytes | None:
        if method != "PUT" or path in seen:
            return None
        seen.add(path)
        return fault

    proxy.answer = answer
    target.publish(files)
    assert images(target.objects()) == files


def test_fewer_are_in_flight_while_the_store_is_busy_and_more_when_it_is_not(monkeypatch):
    pace = putting.Pace()
    assert pace.at_once() == putting.FEW
    for _ in range(1000):
        pace.went_well()
    assert pace.at_once() == clients.REQUESTS
    monkeypatch.setattr(pace, "AGAIN", 3600)
    for _ in range(clients.REQUESTS):  # all that were in flight hear of one jam
        pace.busy()
    assert pace.at_once() == clients.REQUESTS // 2
    for _ in range(clients.REQUESTS // 2):
        pace.went_well()
    assert pace.at_once() in (clients.REQUESTS // 2, clients.REQUESTS // 2 + 1)
    monkeypatch.setattr(pace, "AGAIN", -1)
    for _ in range(10):
        pace.busy()
    assert pace.at_once() == 1


# Refusals


def test_a_store_that_stays_busy_ends_it_with_what_to_do(target, proxy, monkeypatch):
    monkeypatch.setattr(putting, "ATTEMPTS", 2)
    monkeypatch.setattr(clients, "PAUSE", 0.01)
    busy = error_page("503 Slow Down", "SlowDown")
    proxy.answer = lambda method, _: busy if method == "PUT" else None
    said = refused(lambda: target.publish(photos(40)))
    assert said.startswith(f"publish: s3://{target.bucket}/sets/faces/ at {target.endpoint}: ")
    assert "kept failing through all retries; run it again later; what was sent stays" in said
    assert not target.objects()


def test_credentials_that_may_only_read_say_what_rights_it_takes(target, monkeypatch):
    target.client.create_bucket(Bucket="open")
    sign_in(monkeypatch, *LIMITED)
    said = refused(lambda: target.publish(photos(4), bucket="open", prefix="denied"))
    assert "cannot put id0000" in said
    assert "allowed s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject" in said


def test_a_wrong_bucket_a_wrong_secret_and_a_dead_endpoint_are_named(target, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 1)
    files = photos(2)
    assert "there is no such bucket" in refused(lambda: target.publish(files, bucket="nowhere"))
    dead = refused(lambda: target.publish(files, endpoint="http://127.0.0.1:1"))
    assert "nothing answers at http://127.0.0.1:1" in dead
    sign_in(monkeypatch, KEY, "wrong")
    assert "the secret key does not fit" in refused(lambda: target.publish(files))


def test_a_token_that_expires_ends_a_publish_at_once(target, proxy):
    expired = error_page("400 Bad Request", "ExpiredToken")
    proxy.answer = lambda method, _: expired if method == "PUT" and len(proxy.puts) > 50 else None
    assert "sign in again" in refused(lambda: target.publish(photos(400)))
    assert len(proxy.puts) <= 50 + 2 * clients.REQUESTS


# Objects of others


def test_objects_that_no_manifest_names_are_left_alone_counted_and_named(target, capfd):
    theirs = {f"id00000/theirs{n}.jpg": b"x" for n in range(11)} | {"README": b"read me"}
    for key, data in theirs.items():
        target.put(key, data)
    receipt = target.publish(photos(10))
    target.publish(photos(8))
    objects = target.objects()
    assert {key: objects[key] for key in theirs} == theirs
    assert receipt["foreign"] == {"objects": 12, "first": sorted(theirs)[:10]}
    said = capfd.readouterr().err
    assert "12 objects of others are left alone: README, id00000/theirs0.jpg" in said


def test_an_object_of_others_in_the_place_of_an_image_is_never_overwritten(target, proxy):
    target.put("id00000/0.jpg", b"theirs")
    said = refused(lambda: target.publish(photos(10)))
    assert "1 objects there would be overwritten that imagemill did not put" in said
    assert "id00000/0.jpg; nothing was sent" in said
    assert target.objects() == {"id00000/0.jpg": b"theirs"}


def test_an_object_of_others_with_the_very_bytes_of_an_image_is_taken_for_it(target, proxy):
    target.put("id00000/0.jpg", photo(0))
    proxy.forget()
    target.publish(photos(10))
    assert "id00000/0.jpg" not in sent(proxy)


def test_a_prefix_beside_one_that_is_published_is_another(target):
    target.publish(photos(10))
    target.publish(photos(6), prefix="sets/faces2")
    target.publish(photos(4), prefix="sets")
    assert len(images(target.objects())) == 10
    assert len(images(target.objects("sets/faces2/"))) == 6


def test_a_prefix_of_another_dataset_is_not_replaced(target):
    target.publish(photos(10))
    package(target.root / "data/cars/package/imagefolder", photos(4))
    local = target.root / "local"
    said = refused(lambda: publish.publish(target.config(), target.root, "cars", local))
    assert "dataset faces is published there, and cars would replace it" in said
    assert len(images(target.objects())) == 10


@pytest.mark.parametrize("found", ["text", "table"])
def test_a_manifest_that_is_not_ours_is_not_replaced(target, found):
    table = BytesIO()
    pl.DataFrame({"member": ["a"]}).write_parquet(table)
    target.put(MANIFEST, b"mine" if found == "text" else table.getvalue())
    said = refused(lambda: target.publish(photos(4)))
    assert f"s3://{target.bucket}/sets/faces/{MANIFEST}" in said
    assert "choose another prefix, or delete that object" in said


RECORDS = ["property", "train.idx", "train.rec"]


def test_stale_files_of_recordio_stop_a_publish_before_anything_is_sent(target, proxy):
    for key in RECORDS:
        target.put(key)
    said = refused(lambda: target.publish(photos(4)))
    assert "train.rec, train.idx, property there would be read by insightface" in said
    assert "publish.stale=remove" in said
    assert sorted(target.objects()) == RECORDS


def test_stale_files_of_recordio_are_removed_where_that_is_asked_for(target):
    for key in RECORDS:
        target.put(key)
    target.publish(photos(4), stale="remove")
    assert images(target.objects()) == photos(4)


# Plans


def test_a_plan_says_what_would_be_done_and_does_nothing(target, proxy, capfd):
    files = photos(10)
    target.publish(files)
    target.put("train.rec")
    target.put("id00000/theirs.jpg")
    after = {key: data for key, data in files.items() if key != "id00001/2.jpg"}
    after |= {"id00000/0.jpg": photo(0, 900), "id00009/new.jpg": photo(1000)}
    before = target.objects()
    proxy.forget()
    capfd.readouterr()
    receipt = target.publish(after, mode="plan")
    said = capfd.readouterr().err
    for line in [
        "8 objects are there already",
        "2 to send (1,600 bytes): id00000/0.jpg, id00009/new.jpg",
        "1 of these replace older ones",
        "1 to remove (700 bytes): id00001/2.jpg",
        "1 stale files of RecordIO: train.rec",
        "1 objects of others are left alone: id00000/theirs.jpg",
        "nothing was sent or removed",
    ]:
        assert line in said
    assert receipt == {"published": None, "planned": f"s3://{target.bucket}/sets/faces/"}
    assert {method for method, _ in proxy.requests} == {"GET"}
    assert target.objects() == before


# The package


def test_what_is_not_configured_is_not_published(tmp_path):
    config = publish.Config(to=None, mode="sync", stale="fail", about=ABOUT)
    receipt = publish.publish(config, tmp_path, "faces", tmp_path)
    assert receipt == {"published": None}


def test_only_an_imagefolder_in_packs_can_be_published(target):
    assert "Build it with `dvc repro package@faces`" in refused(target.publish)
    folder = package(target.folder, photos(4))
    for path in folder.glob("*.tar"):
        path.unlink()
    assert "holds no packs" in refused(target.publish)
    (folder / "id00000").mkdir()
    assert "unpacked=false" in refused(target.publish)


def test_a_damaged_pack_is_named_and_no_manifest_is_put(target):
    folder = package(target.folder, photos(40))
    damaged = sorted(folder.glob("*.tar"))[0]
    data = bytearray(damaged.read_bytes())
    data[600] ^= 1
    damaged.write_bytes(data)
    assert f"{damaged} is damaged" in refused(target.publish)
    assert MANIFEST not in target.objects()


def test_packs_that_are_not_of_the_manifest_are_told_apart(target):
    folder = package(target.folder, photos(40))
    kept = CONTENTS.read(folder)
    package(folder, {f"x{key}": data for key, data in photos(40).items()})
    CONTENTS.write(folder, kept)
    said = refused(target.publish)
    assert "is damaged or cut short" in said
    assert "`dvc repro package@faces`" in said
    assert not target.objects()


@pytest.mark.parametrize("average", [1024, 8192, 1 << 26])
def test_places_of_members_follow_from_their_order(tmp_path, average):
    files = photos(40) | {f"日本{'x' * 110}/{n}.jpg": photo(n) for n in range(9)}
    folder = package(tmp_path / "package", files, average)
    rows = CONTENTS.read(folder).select("member", "packaged", "bytes").rows()
    with packs.Reader(folder) as reader:
        for row, place in zip(rows, packs.places(folder, (Member(*r) for r in rows)), strict=True):
            assert reader.content(row[1], *place, row[2]) == files[row[0]]


@pytest.mark.parametrize("prefix", ["/sets", "sets//faces", "../sets", "sets/./faces"])
def test_a_prefix_that_is_no_folder_is_refused(target, prefix):
    with pytest.raises(ValueError, match="must be a folder such as sets/faces"):
        target.config(prefix=prefix)


# Under DVC


@pytest.fixture
def project(target, tmp_path):
    """A project of the last stage alone, under Git and DVC."""
    made = make_project(tmp_path / "project")
    stages = yaml.safe_load((made.root / "dvc.yaml").read_text())["stages"]
    only = {name: stages[name] for name in ("config", "publish")}
    (made.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": only}))
    made.conf(
        "dataset/faces.yaml",
        f"""# @package _global_
# Faces, published.
defaults:
  - /source@sources.faces: folder
  - /layout@sources.faces.layout: imagefolder
  - override /publish: s3
about: {{title: Faces}}
sources: {{faces: {{path: faces}}}}
publish: {{to: {{bucket: {target.bucket}, prefix: sets/faces, endpoint: "{target.endpoint}"}}}}
""",
    )
    made.datasets(faces=[])
    made.run("git", "init", "-q")
    made.run("dvc", "init", "-q")
    return made


def test_dvc_publishes_what_changed_and_never_takes_an_old_receipt_for_it(target, proxy, project):
    place = project.root / "data/faces/package/imagefolder"
    said = ""
    for count in (6, 8, 6):  # back to what DVC's run-cache might remember
        package(place, photos(count))
        said += project.run("dvc", "repro", "publish@faces").stdout
        assert images(target.objects()) == photos(count)
        receipt = json.loads((project.root / "data/faces/publish/receipt.json").read_text())
        assert receipt["images"] == count
    proxy.forget()
    project.run("dvc", "repro", "publish@faces")
    assert not proxy.requests
    everything = [path for path in project.root.rglob("*") if path.is_file()]
    for secret in (KEY, SECRET):
        assert secret not in said
        assert not [path for path in everything if secret.encode() in path.read_bytes()]
