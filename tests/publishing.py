"""What tests of publishing share: a package of made-up photos, and a prefix to publish it to."""

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from imagemill import packs, publish
from imagemill.about import About
from imagemill.errors import BuildError
from imagemill.packs import Member
from imagemill.published import MANIFEST
from imagemill.tables import CONTENTS
from tests.make import sha
from tests.servers import KEY, SECRET, Proxy, S3Server

ABOUT = About(title="Faces", licence="ours", credit="us", licences={})


@pytest.fixture
def signed_in(monkeypatch, tmp_path):
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


def photo(number: int, length: int = 700) -> bytes:
    return random.Random(number).randbytes(length)


def photos(count: int) -> dict[str, bytes]:
    """Members of identities with two photos each."""
    return {f"id{n // 2:05}/{n}.jpg": photo(n) for n in range(count)}


def package(folder: Path, files: Mapping[str, bytes], average: int = 8192) -> Path:
    """Write what ``package`` would have written of these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    rows = []
    labels = sorted({member.rpartition("/")[0] for member in files})
    classes = {label: number for number, label in enumerate(labels)}
    for member in sorted(files):
        data, label = files[member], member.rpartition("/")[0]
        row = {"member": member, "sample": f"album/{member}", "split": None, "label": label}
        row |= {"class": classes[label], "digest": sha(data), "packaged": sha(data)}
        rows.append({**row, "bytes": len(data)})
    CONTENTS.write(folder, CONTENTS.frame(rows))
    for each in packs.plan((Member(r["member"], r["packaged"], r["bytes"]) for r in rows), average):
        packs.write(each, folder, lambda member: files[member.name])
    return folder


class Target:
    """A prefix of a bucket of one test, and the package that is published there."""

    def __init__(self, server: S3Server, root: Path, endpoint: str) -> None:
        self.client = server.client()
        self.root = root
        self.bucket = f"b{uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=self.bucket)
        self.endpoint = endpoint

    def config(self, mode: str = "sync", stale: str = "fail", **to: object) -> publish.Config:
        usual = {"bucket": self.bucket, "prefix": "sets/faces", "endpoint": self.endpoint}
        rest = {"region": None, "profile": None, "anonymous": False, "requester_pays": False}
        target = {**usual, **rest, **to}
        return publish.Config.model_validate(
            {"to": target, "mode": mode, "stale": stale, "about": ABOUT}
        )

    @property
    def folder(self) -> Path:
        """Where the package of the dataset ``faces`` lies."""
        return self.root / "data/faces/package/imagefolder"

    def publish(self, files: Mapping[str, bytes] | None = None, **given: Any) -> dict[str, Any]:
        if files is not None:
            package(self.folder, files)
        return publish.publish(self.config(**given), self.root, "faces", self.root / "local")

    def objects(self, prefix: str = "sets/faces/") -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for page in self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        ):
            for each in page.get("Contents", []):
                body = self.client.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read()
                found[each["Key"].removeprefix(prefix)] = body
        return found

    def put(self, key: str, data: bytes = b"x") -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"sets/faces/{key}", Body=data)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"sets/faces/{key}")


@pytest.fixture
def target(s3_server, proxy, tmp_path, signed_in) -> Target:
    """A prefix behind the counting proxy."""
    return Target(s3_server, tmp_path, proxy.endpoint)


def images(objects: Mapping[str, bytes]) -> dict[str, bytes]:
    return {key: data for key, data in objects.items() if key != MANIFEST}


def sent(proxy: Proxy) -> dict[str, int]:
    """Every object that was put, by its key below the prefix, with how often."""
    return {path.partition("/sets/faces/")[2]: count for path, count in proxy.puts.items()}


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(BuildError) as error:
        work()
    said = str(error.value)
    assert "\n" not in said
    assert SECRET not in said
    return said
