"""A bucket is listed whole, fetched once, and every refusal says what to do; on a real server."""

import datetime
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.auth
import polars as pl
import pytest

from imagemill import packs, stage
from imagemill.errors import SourceError
from imagemill.sources import S3
from imagemill.sources.objects import UnavailableError, Wanted
from imagemill.sources.s3 import clients, listing
from imagemill.tables import INDEX
from tests.conftest import make_project
from tests.servers import KEY, LIMITED, SECRET, Proxy, S3Server, error_page


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """The admin's, and nothing of this machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    sign_in(monkeypatch, KEY, SECRET)


def sign_in(monkeypatch, key: str, secret: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)


class Bucket:
    """A bucket of one test."""

    def __init__(self, server: S3Server, name: str = "") -> None:
        self.client = server.client()
        self.name = name or f"b{uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=self.name)
        self.endpoint = server.endpoint

    def put(self, files: Mapping[str, bytes]) -> None:
        def one(item: tuple[str, bytes]) -> None:
            self.client.put_object(Bucket=self.name, Key=item[0], Body=item[1])

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(one, files.items()))

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def source(self, **given: object) -> S3:
        usual = {"kind": "s3", "bucket": self.name, "prefix": "", "include": ["*"], "exclude": []}
        rest = {"endpoint": self.endpoint, "region": None, "profile": None}
        terms = {"anonymous": False, "requester_pays": False}
        return S3.model_validate({**usual, **rest, **terms, **given})

    def open(self, **given: object) -> Any:
        return self.source(**given).open("photos", Path())

    def listed(self, **given: object) -> pl.DataFrame:
        found = self.open(**given).listed()
        assert found["key"].is_sorted()
        return found

    def keys(self, **given: object) -> list[str]:
        return self.listed(**given)["key"].to_list()


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server)


def wanted(listed: pl.DataFrame) -> list[Wanted]:
    return [Wanted(*row) for row in listed.select("key", "tag", "bytes").iter_rows()]


def fetched(objects: Any, listed: pl.DataFrame) -> dict[str, Any]:
    """Every key with its bytes, or with the reason and detail of why there are none."""
    said = {}
    for got in objects.fetch(wanted(listed)):
        found = got.content
        assert got.wanted.key not in said
        bad = isinstance(found, UnavailableError)
        said[got.wanted.key] = (found.reason, found.detail) if bad else found
    assert len(said) == len(listed)
    return said


def photo(number: int) -> bytes:
    return random.Random(number).randbytes(400)


# Listing

KEYS = [
    *(f"{a}/{b}/{n}.jpg" for a in ("test", "train") for b in "abcdefg" for n in range(180)),
    *(f"a-b/{n}" for n in range(5)),
    *(f"a/{n}" for n in range(5)),
    *(f"a.{n}" for n in range(5)),
    "z",
]
"""More than two pages; SeaweedFS lists `a/` before `a-b/` and `a.0`, and S3 after them."""


@pytest.fixture(scope="module")
def many(s3_server) -> Bucket:
    bucket = Bucket(s3_server, "many")
    bucket.put(dict.fromkeys(KEYS, b"x"))
    return bucket


@pytest.mark.parametrize("alone", [1, 2, 9])
@pytest.mark.parametrize("prefix", ["", "train", "train/"])
def test_every_key_is_listed_once_past_a_thousand_and_in_whatever_order(
    many, monkeypatch, prefix, alone
):
    monkeypatch.setattr(listing, "ALONE", alone)
    below = f"{prefix.rstrip('/')}/" if prefix else ""
    expected = sorted(key.removeprefix(below) for key in KEYS if key.startswith(below))
    assert many.keys(prefix=prefix) == expected


def test_folders_of_a_large_listing_are_listed_side_by_side(many, proxy, monkeypatch):
    monkeypatch.setattr(listing, "ALONE", 1)
    assert len(many.keys(prefix="train", endpoint=proxy.endpoint)) == 7 * 180
    starts = {path.split("start-after=")[1] for _, path in proxy.requests if "start-after" in path}
    assert len(starts) > 1


ODD = [
    "a b",
    " lead",
    "trail ",
    "ü/é.jpg",
    "e\u0301",
    "a+b",
    "a%20b",
    "100%",
    "a?b#c&d=e",
    "[x]{y}",
]
ODD += ["*", "~t", "日本/😀.png", "a:b@c!$'(),;", "dot.", '<&>"', "=", "x" * 250]


@pytest.mark.parametrize("many", [False, True])
def test_keys_of_all_kinds_are_listed_and_fetched_as_they_are(bucket, many):
    rest = {f"many/{n}": b"" for n in range(1000)} if many else {}
    bucket.put({key: key.encode() for key in ODD} | rest)
    objects = bucket.open(exclude=["many/*"])
    listed = objects.listed()
    assert listed["key"].to_list() == sorted(ODD)
    assert fetched(objects, listed) == {key: key.encode() for key in ODD}


def test_a_key_that_no_table_can_hold_is_a_row_with_a_reason(bucket):
    bucket.put({"new\nline": b"x", "ta\tb": b"x", "plain": b"x"})
    rows = bucket.listed().select("key", "reason").rows()
    assert rows == [("new\\x0aline", "odd_name"), ("plain", None), ("ta\\x09b", "odd_name")]


def test_what_tools_draw_as_folders_is_no_object_and_an_empty_object_is(bucket):
    bucket.put({"cat/": b"", "cat/empty.jpg": b"", "cat/full.jpg": b"12"})
    objects = bucket.open()
    listed = objects.listed()
    assert listed.select("key", "bytes").rows() == [("cat/empty.jpg", 0), ("cat/full.jpg", 2)]
    assert fetched(objects, listed) == {"cat/empty.jpg": b"", "cat/full.jpg": b"12"}


def test_a_prefix_is_a_folder_and_patterns_are_of_keys_below_it(bucket):
    keys = ["set/a.jpg", "set/b/c.jpg", "set/b/c.txt", "set/.x/d.jpg", "set2/e.jpg", "settle"]
    bucket.put(dict.fromkeys(keys, b"x"))
    assert bucket.keys(prefix="set", include=["*.jpg"], exclude=[".*"]) == ["a.jpg", "b/c.jpg"]
    assert bucket.keys(prefix="set", include=["b/*"]) == ["b/c.jpg", "b/c.txt"]


def test_a_tag_tells_versions_apart_and_stays_as_long_as_the_object_does(bucket):
    bucket.put({"a": b"1", "b": b"1"})
    before = bucket.listed()["tag"].to_list()
    assert bucket.listed()["tag"].to_list() == before
    bucket.put({"a": b"2"})
    after = bucket.listed()["tag"].to_list()
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)


# Refusals


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(SourceError) as error:
        work()
    said = str(error.value)
    assert said.startswith("sources.photos: s3://")
    assert "\n" not in said
    assert SECRET not in said
    return said


def test_a_wrong_bucket_is_named(bucket):
    said = refused(lambda: bucket.keys(bucket="nowhere"))
    assert f"s3://nowhere/ at {bucket.endpoint}: there is no such bucket; check `bucket`" in said


def test_a_name_that_no_bucket_can_have_is_named(bucket):
    assert "s3://no bucket/" in refused(lambda: bucket.keys(bucket="no bucket"))


def test_an_empty_prefix_is_named(bucket):
    bucket.put({"cat/1.jpg": b"x"})
    said = refused(lambda: bucket.keys(prefix="dog"))
    assert f"s3://{bucket.name}/dog/" in said
    assert "lists no object; check `bucket`, `prefix`" in said


def test_patterns_that_leave_nothing_are_named(bucket):
    bucket.put({"cat/1.jpg": b"x"})
    assert "include ['*.png']" in refused(lambda: bucket.keys(include=["*.png"]))


def test_no_credentials_say_where_to_put_some(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no credentials found; set AWS_ACCESS_KEY_ID" in refused(bucket.open)


def test_half_of_the_credentials_is_named(bucket, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "half of the credentials is missing" in refused(bucket.keys)


def test_an_unknown_key_is_named(bucket, monkeypatch):
    sign_in(monkeypatch, "UNKNOWNKEY", SECRET)
    assert "does not know this access key; check AWS_ACCESS_KEY_ID" in refused(bucket.keys)


def test_a_wrong_secret_is_named(bucket, monkeypatch):
    sign_in(monkeypatch, KEY, "wrong")
    assert "the secret key does not fit the access key" in refused(bucket.keys)


def test_a_clock_that_is_wrong_is_named(bucket, monkeypatch):
    now = botocore.auth.get_current_datetime
    late = datetime.timedelta(hours=2)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: now(*a, **k) - late)
    assert "the clock of this machine is wrong" in refused(bucket.keys)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_an_expired_token_says_to_sign_in_again(bucket, proxy, code):
    proxy.answer = lambda *_: error_page("400 Bad Request", code)
    said = refused(lambda: bucket.keys(endpoint=proxy.endpoint))
    assert "the session token is expired or invalid; sign in again" in said


def test_a_token_that_expires_during_a_download_ends_it_at_once(bucket, proxy):
    bucket.put({f"{n}": photo(n) for n in range(300)})
    objects = bucket.open(endpoint=proxy.endpoint)
    listed = objects.listed()
    proxy.forget()
    expired = error_page("400 Bad Request", "ExpiredToken")
    proxy.answer = lambda *_: expired if len(proxy.requests) > 100 else None
    assert "sign in again" in refused(lambda: fetched(objects, listed))
    assert len(proxy.requests) <= 100 + 2 * clients.REQUESTS


def test_a_denied_bucket_is_named_with_the_rights_it_takes(s3_server, monkeypatch):
    bucket = Bucket(s3_server)
    bucket.put({"a": b"x"})
    sign_in(monkeypatch, *LIMITED)
    assert "access is denied; check `bucket`, `prefix` and `profile`" in refused(bucket.keys)


def test_an_endpoint_where_nothing_listens_is_named(bucket, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 2)
    said = refused(lambda: bucket.keys(endpoint="http://127.0.0.1:1"))
    assert "nothing answers at http://127.0.0.1:1; check `endpoint`" in said


def test_an_endpoint_that_is_no_url_is_named(bucket):
    assert "Invalid endpoint: nonsense" in refused(lambda: bucket.keys(endpoint="nonsense"))


@pytest.mark.parametrize(("profile", "variable"), [("ghost", None), (None, "ghost")])
def test_a_missing_profile_is_named(bucket, monkeypatch, profile, variable):
    if variable:
        monkeypatch.setenv("AWS_PROFILE", variable)
    assert "there is no profile" in refused(lambda: bucket.keys(profile=profile))


def test_a_store_that_stays_busy_is_told_from_a_wrong_config(bucket, proxy, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 2)
    proxy.answer = lambda *_: error_page("503 Slow Down", "SlowDown")
    said = refused(lambda: bucket.keys(endpoint=proxy.endpoint))
    assert "kept failing through all retries; run it again later" in said
    assert len(proxy.requests) == 2


# Credentials


def test_a_profile_is_taken_from_boto3s_own_files(bucket, monkeypatch, tmp_path):
    bucket.put({"a": b"x"})
    sign_in(monkeypatch, "WRONG", "wrong")
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    objects = bucket.open(profile="lab")
    assert fetched(objects, objects.listed()) == {"a": b"x"}


def test_a_public_bucket_needs_no_credentials(s3_server, monkeypatch):
    bucket = Bucket(s3_server, "public")
    bucket.put({"a": b"x"})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    objects = bucket.open(anonymous=True)
    assert fetched(objects, objects.listed()) == {"a": b"x"}
    private = Bucket(s3_server)
    assert "access is denied" in refused(lambda: private.keys(anonymous=True))


def test_both_clients_send_the_session_token_and_who_pays(bucket, proxy, monkeypatch):
    bucket.put({"a": b"x"})
    tag = bucket.listed()
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    objects = bucket.open(endpoint=proxy.endpoint, requester_pays=True)
    for work in (objects.listed, lambda: fetched(objects, tag)):
        proxy.forget()
        refused(work)  # the server knows no such token
        assert "x-amz-security-token: a-token" in proxy.heads[0]
        assert "x-amz-request-payer: requester" in proxy.heads[0]


def test_settings_of_the_environment_do_not_redirect_a_source_with_an_endpoint(bucket, monkeypatch):
    bucket.put({"a": b"x"})
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    objects = bucket.open()
    assert fetched(objects, objects.listed()) == {"a": b"x"}


def test_an_endpoint_of_boto3s_settings_is_used_where_the_source_names_none(bucket, monkeypatch):
    bucket.put({"a": b"x"})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.endpoint)
    objects = bucket.open(endpoint=None)
    assert fetched(objects, objects.listed()) == {"a": b"x"}
    said = refused(lambda: bucket.keys(endpoint=None, bucket="nowhere"))
    assert f"s3://nowhere/ at {bucket.endpoint}: there is no such bucket" in said


# Fetching

CHANGED = ("changed", "changed between scan and download; build again")
VANISHED = ("vanished", "listed by scan, gone when fetched")


def test_an_object_that_is_gone_or_other_than_listed_is_told_apart(bucket):
    bucket.put({key: photo(1) for key in ("same", "other", "longer", "gone")})
    objects = bucket.open()
    listed = objects.listed()
    bucket.put({"other": photo(2), "longer": photo(1) * 2})
    bucket.delete("gone")
    expected = {"same": photo(1), "other": CHANGED, "longer": CHANGED, "gone": VANISHED}
    assert fetched(objects, listed) == expected


def test_a_key_with_two_slashes_in_a_row_is_asked_for_as_it_is(bucket, proxy):
    bucket.put({"a/b": b"x"})  # SeaweedFS takes two slashes for one, S3 does not
    size, etag = 1, bucket.listed()["tag"][0].split(":")[0]
    row = f'<Contents><Key>a//b</Key><ETag>"{etag}"</ETag><Size>{size}</Size></Contents>'
    page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{row}</ListBucketResult>"
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(page)}\r\n\r\n"
    proxy.answer = lambda _, path: f"{head}{page}".encode() if "list-type" in path else None
    objects = bucket.open(endpoint=proxy.endpoint)
    assert fetched(objects, objects.listed()) == {"a//b": b"x"}
    assert f"/{bucket.name}/a//b" in proxy.gets


def test_an_object_that_may_be_listed_and_not_read_is_denied(s3_server, monkeypatch):
    bucket = Bucket(s3_server, "closed")
    bucket.put({"a": b"x"})
    sign_in(monkeypatch, *LIMITED)
    objects = bucket.open()
    assert fetched(objects, objects.listed())["a"][0] == "denied"


def truncated(data: bytes) -> bytes:
    head = "HTTP/1.1 200 OK\r\nETag: {}\r\nLast-Modified: Sat, 01 Aug 2026 00:00:00 GMT\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[: len(data) // 2]


FAULTS = {
    "500": error_page("500 Internal Server Error", "InternalError"),
    "503": error_page("503 Slow Down", "SlowDown"),
    "hang up": b"",
    "half an answer": truncated(photo(1)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_passing_fault_is_tried_again(bucket, proxy, fault):
    bucket.put({"a": photo(1)})
    objects = bucket.open(endpoint=proxy.endpoint)
    listed = objects.listed()
    etag = listed["tag"][0].split(":")[0]
    proxy.forget()
    answer = fault.replace(b"{}", f'"{etag}"'.encode())
    proxy.answer = lambda *_: answer if len(proxy.requests) <= 2 else None
    assert fetched(objects, listed) == {"a": photo(1)}
    assert len(proxy.requests) == 3


def test_a_fault_that_stays_is_a_row_with_the_last_answer_in_one_line(bucket, proxy, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 3)
    bucket.put({"a": photo(1), "b": photo(2)})
    objects = bucket.open(endpoint=proxy.endpoint)
    listed = objects.listed()
    busy = error_page("503 Slow Down", "SlowDown")
    proxy.answer = lambda _, path: busy if path.endswith("/a") else None
    reason, detail = fetched(objects, listed)["a"]
    assert (reason, detail) == ("failed", "3 tries, the last: 503 Service Unavailable (SlowDown)")
    assert sum(path.endswith("/a") for _, path in proxy.requests) == 3
    etag = f'"{listed["tag"][0].split(":")[0]}"'.encode()
    half = truncated(photo(1)).replace(b"{}", etag)
    proxy.answer = lambda _, path: half if path.endswith("/a") else None
    assert fetched(objects, listed)["a"] == ("failed", "3 tries, the last: the answer broke off")


@pytest.fixture
def large(bucket: Bucket) -> bytes:
    data = random.Random(5).randbytes((64 << 20) + 1)
    bucket.put({"large": data})
    return data


def test_a_large_object_is_got_in_parts(bucket, proxy, large):
    objects = bucket.open(endpoint=proxy.endpoint)
    listed = objects.listed()
    proxy.forget()
    assert fetched(objects, listed)["large"] == large
    assert len(proxy.requests) == 5


def test_a_large_object_that_is_replaced_between_two_parts_is_changed(bucket, proxy, large):
    objects = bucket.open(endpoint=proxy.endpoint)
    listed = objects.listed()
    proxy.forget()

    def replace(*_: str) -> None:
        if len(proxy.requests) == 3:
            bucket.put({"large": large[::-1]})

    proxy.answer = replace
    assert fetched(objects, listed) == {"large": CHANGED}


# Whole builds

PHOTOS = """\
# @package _global_
# Objects of one bucket, in folders named by their label.
defaults:
  - /source@sources.photos: s3
  - /layout@sources.photos.layout: imagefolder
about: {{title: Photos}}
sources: {{photos: {{bucket: {bucket}, prefix: set, endpoint: "{endpoint}"}}}}
download: {{pack_bytes: 4096, max_rejected: 0.2}}
"""


class Dataset:
    """A project with one dataset from a bucket; scan and download run in this process."""

    def __init__(self, root: Path, bucket: Bucket, proxy: Proxy, monkeypatch: Any) -> None:
        self.project = make_project(root)
        self.project.conf(
            "dataset/photos.yaml", PHOTOS.format(bucket=bucket.name, endpoint=proxy.endpoint)
        )
        self.project.datasets(photos=[])
        self._monkeypatch = monkeypatch
        self.out = root / "data/photos/download"
        self.run("config")

    def run(self, *stages: str) -> None:
        self._monkeypatch.setenv("IMAGEMILL_ENGINE", "engine=inline")
        self._monkeypatch.chdir(self.project.root)
        for name in stages:
            main = import_module(f"stages.{name}").main
            if name == "config":
                main("photos")
            else:
                stage.run(main, name, "photos", keep=name == "download")

    def build(self) -> None:
        self.run("scan", "download")

    def packs(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (self.out / packs.FOLDER).iterdir()}

    def index(self) -> dict[str, str | None]:
        return dict(INDEX.read(self.out).select("key", "reason").iter_rows())

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the download in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "stages.download", "photos"],
            cwd=self.project.root,
            env=self.project.env(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


Start = Callable[[str], Dataset]


@pytest.fixture
def dataset(tmp_path, bucket, proxy, monkeypatch) -> Start:
    return lambda name: Dataset(tmp_path / name, bucket, proxy, monkeypatch)


def keys(count: int) -> dict[str, bytes]:
    return {f"set/label{n % 7}/{n}.jpg": photo(n) for n in range(count)}


def test_a_second_build_asks_for_no_object(bucket, proxy, dataset):
    bucket.put(keys(200))
    kept = dataset("kept")
    kept.build()
    before = kept.project.files()
    assert sum(proxy.gets.values()) == 200
    proxy.forget()
    kept.build()
    assert not proxy.gets
    assert kept.project.files() == before


def test_one_changed_one_added_one_deleted_are_two_requests_and_few_packs(bucket, proxy, dataset):
    bucket.put(keys(400))
    kept = dataset("kept")
    kept.build()
    before = kept.packs()
    bucket.put({"set/label1/1.jpg": photo(1000), "set/label1/new.jpg": photo(1001)})
    bucket.delete("set/label2/2.jpg")
    proxy.forget()
    kept.build()
    assert {path.split("/set/")[1] for path in proxy.gets} == {"label1/1.jpg", "label1/new.jpg"}
    written = [name for name, inode in kept.packs().items() if before.get(name) != inode]
    assert len(before) > 20
    assert len(written) <= 6
    fresh = dataset("fresh")
    fresh.build()
    assert fresh.project.files("data/photos/download") == kept.project.files("data/photos/download")


def test_an_object_replaced_after_the_scan_is_a_row_and_fetched_after_the_next(
    bucket, proxy, dataset
):
    bucket.put(keys(40))
    kept = dataset("kept")
    kept.run("scan")
    bucket.put({"set/label1/1.jpg": photo(1000)})
    bucket.delete("set/label2/2.jpg")
    kept.run("download")
    reasons = {key: why for key, why in kept.index().items() if why}
    assert reasons == {"label1/1.jpg": "changed", "label2/2.jpg": "vanished"}
    proxy.forget()
    kept.build()
    assert len(proxy.gets) == 1
    assert not any(kept.index().values())
    assert len(kept.index()) == 39


def test_a_download_that_is_killed_again_and_again_repeats_only_what_was_in_flight(
    bucket, proxy, dataset
):
    chance = random.Random(7)
    bucket.put(keys(1500))
    killed, whole = dataset("killed"), dataset("whole")
    whole.build()
    killed.run("scan")
    proxy.forget()
    kills = 0
    for _ in range(5):
        seen = len(proxy.requests)
        process = killed.start()
        stop = seen + chance.randrange(150, 350)
        while process.poll() is None and len(proxy.requests) < stop:
            time.sleep(0.001)
        with suppress(ProcessLookupError):  # it was quicker
            os.killpg(process.pid, signal.SIGKILL)
        kills += process.wait() != 0
    assert kills >= 3
    killed.run("download")
    assert len(proxy.gets) == 1500
    assert sum(proxy.gets.values()) - 1500 <= kills * clients.REQUESTS
    assert killed.project.files("data/photos") == whole.project.files("data/photos")


def test_no_file_of_a_build_and_no_line_of_its_log_holds_a_secret(bucket, proxy, dataset, capfd):
    bucket.put(keys(20))
    kept = dataset("kept")
    kept.project.run("git", "init", "-q")
    kept.project.run("dvc", "init", "-q")
    said = kept.project.run("dvc", "repro", "download@photos").stdout
    said += "".join(capfd.readouterr())
    everything = [p for p in kept.project.root.rglob("*") if p.is_file()]
    assert "dvc.lock" in {path.name for path in everything}
    for secret in (KEY, SECRET):
        assert secret not in said
        assert not [path for path in everything if secret.encode() in path.read_bytes()]
