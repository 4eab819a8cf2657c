"""A published dataset reaches a training machine whole, or says why not; on a real S3 server."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import md5, sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import imagemill
from imagemill import certificates, label_maps, verify
from imagemill.arcface import RECORDIO
from imagemill.errors import BuildError
from imagemill.exported import filling
from imagemill.published import MANIFEST, PUBLISHED, decode, encode
from imagemill.published import export as exporting
from imagemill.published.prefix import Prefix, bucket
from imagemill.sources.s3 import clients
from imagemill.tables import CONTENTS
from tests.publishing import ABOUT, Target, images, photo, photos, refused, sign_in
from tests.servers import Proxy, error_page

IMAGEMILL = str(Path(sys.executable).with_name("imagemill"))


def url(target: Target) -> str:
    return f"s3://{target.bucket}/sets/faces"


def command(target: Target, name: str, *more: str) -> list[str]:
    return [IMAGEMILL, name, url(target), "--endpoint", target.endpoint, *more]


def run(target: Target, name: str, *more: str, cwd: Path) -> tuple[int, str]:
    """Run a command in a folder that holds nothing; return its status and all that it says."""
    cwd.mkdir(exist_ok=True)
    assert not [path for path in cwd.iterdir() if path.name != "out"]
    done = subprocess.run(
        command(target, name, *more), cwd=cwd, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def export(target: Target, to: Path, stale: Any = "fail") -> None:
    prefix = Prefix("export", bucket(url(target), target.endpoint, None, anonymous=False))
    exporting.export(prefix, to, stale, check=False)


def photographs(folder: Path) -> dict[str, bytes]:
    """Every file in a folder of ``folder``."""
    return {name: data for name, data in files(folder).items() if "/" in name}


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fetched(proxy: Proxy) -> int:
    """How many images were asked for."""
    return sum(count for path, count in proxy.gets.items() if path.endswith(".jpg"))


# Export


def test_export_needs_neither_the_repo_nor_dvc(target, tmp_path):
    target.publish(photos(40))
    status, said = run(target, "export", "--to", "out", cwd=tmp_path / "empty")
    assert status == 0
    found = files(tmp_path / "empty" / "out")
    told = json.loads(found.pop("arcface.json"))
    assert (told["num_classes"], told["num_image"]) == (20, 40)
    assert b"config.num_classes = 20" in found.pop("arcface.py")
    assert images(found) == photos(40)
    assert found[MANIFEST] == target.objects()[MANIFEST]
    assert "40 images in out, every checksum right" in said
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == ["out"]


def test_export_prints_statistics_over_every_identity(target, tmp_path, capfd):
    counts = [2, 2, 2, 3, 7, 50]
    target.publish(
        {f"id{n}/{i}.jpg": photo(n) for n, many in enumerate(counts) for i in range(many)}
    )
    capfd.readouterr()
    export(target, tmp_path / "out")
    said = capfd.readouterr().err
    lines = [line.split() for line in said.splitlines()]
    assert ["-", "6", "66", "2", "11.0", "2.5", "50"] in lines
    for line in (["2", "3", "50.0", "%"], ["33-64", "1", "16.7", "%"]):
        assert line in lines


def test_what_is_there_already_is_not_fetched_again(target, proxy, tmp_path):
    target.publish(photos(40))
    out = tmp_path / "out"
    export(target, out)
    before = files(out)
    (out / "id00001/2.jpg").write_bytes(b"cut")
    (out / "id00001/3.jpg").write_bytes(photo(1000))  # as long
    (out / "id00002/4.jpg").unlink()
    proxy.forget()
    export(target, out)
    assert fetched(proxy) == 3
    assert files(out) == before


def test_an_export_that_is_killed_again_and_again_repeats_only_what_was_in_flight(
    target, proxy, tmp_path
):
    chance = random.Random(7)
    target.publish(photos(1200))
    out = tmp_path / "out"
    proxy.forget()
    kills = 0
    for _ in range(4):
        process = subprocess.Popen(
            command(target, "export", "--to", str(out)),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        stop = len(proxy.requests) + chance.randrange(60, 300)
        while process.poll() is None and len(proxy.requests) < stop:
            time.sleep(0.001)
        with suppress(ProcessLookupError):  # it was quicker
            os.killpg(process.pid, signal.SIGKILL)
        kills += process.wait() != 0
        assert not (out / MANIFEST).exists()
    assert kills >= 3
    export(target, out)
    assert photographs(out) == photos(1200)
    assert fetched(proxy) - 1200 <= kills * clients.REQUESTS


def test_an_export_over_an_older_one_leaves_nothing_of_it(target, tmp_path):
    out = tmp_path / "out"
    target.publish(photos(40))
    export(target, out)
    after = {key: data for key, data in photos(44).items() if not key.startswith("id00001/")}
    target.publish(after)
    export(target, out)
    assert photographs(out) == after
    assert not (out / "id00001").exists()  # an empty class would stop ImageFolder


def test_files_that_are_not_of_the_dataset_stop_an_export_before_anything_is_fetched(
    target, proxy, tmp_path
):
    target.publish(photos(40))
    for name in ("id00001/theirs.jpg", "other/a.jpg", "id00001/.DS_Store", "README"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(b"x")
    proxy.forget()
    said = refused(lambda: export(target, tmp_path / "out"))
    assert "holds id00001/theirs.jpg, other/a.jpg: not of this dataset" in said
    assert not fetched(proxy)
    (tmp_path / "out/id00001/theirs.jpg").unlink()
    shutil.rmtree(tmp_path / "out/other")
    export(target, tmp_path / "out")
    assert (tmp_path / "out/README").exists()


def test_stale_files_of_recordio_stop_an_export_or_are_removed(target, proxy, tmp_path):
    target.publish(photos(4))
    out = tmp_path / "out"
    out.mkdir()
    for name in RECORDIO:
        (out / name).write_bytes(b"x")
    proxy.forget()
    said = refused(lambda: export(target, out))
    assert "holds train.rec, train.idx, property, which insightface would read" in said
    assert "--stale remove" in said
    assert not fetched(proxy)
    export(target, out, "remove")
    assert photographs(out) == photos(4)


def test_an_absent_prefix_says_how_to_get_it_published(target, tmp_path):
    status, said = run(target, "export", "--to", "out", cwd=tmp_path / "empty")
    assert status == 1
    assert f"export: s3://{target.bucket}/sets/faces/ at {target.endpoint}: nothing lies" in said
    assert "check the address" in said
    assert "dvc repro publish@NAME" in said


def test_an_interrupted_publish_is_told_from_a_complete_one(target, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 1)
    stop = error_page("500 Internal Server Error", "InternalError")
    proxy.answer = lambda method, path: stop if method == "PUT" and MANIFEST in path else None
    refused(lambda: target.publish(photos(40)))
    proxy.answer = lambda *_: None
    for name, more in (("export", ["--to", "out"]), ("verify", [])):
        status, said = run(target, name, *more, cwd=tmp_path / "empty")
        assert status == 1
        assert "40 objects and no manifest.parquet: publishing them has not come to its end" in said
        assert "`dvc repro publish@NAME` where the dataset is built" in said
    target.publish()
    export(target, tmp_path / "out")


def test_an_object_that_is_not_the_manifests_is_named_and_the_rest_is_kept(target, proxy, tmp_path):
    target.publish(photos(40))
    target.put("id00001/2.jpg", photo(1000))
    target.delete("id00001/3.jpg")
    said = refused(lambda: export(target, tmp_path / "out"))
    assert "2 of 40 images could not be had, the first id00001/2.jpg: not as the manifest" in said
    assert f"`imagemill verify s3://{target.bucket}/sets/faces/` says what is wrong" in said
    assert len(photographs(tmp_path / "out")) == 38
    assert not (tmp_path / "out" / MANIFEST).exists()
    target.publish()
    proxy.forget()
    export(target, tmp_path / "out")
    assert fetched(proxy) == 2


def test_bytes_other_than_the_manifests_are_refused_whatever_the_store_calls_them(target, tmp_path):
    target.publish(photos(4))
    manifest = decode(target.objects()[MANIFEST], "here")
    wrong = pl.when(member="id00000/0.jpg").then(pl.lit("0" * 64)).otherwise("packaged")
    rows = manifest.rows.with_columns(packaged=wrong)
    target.put(MANIFEST, encode(rows, "faces", ABOUT))
    said = refused(lambda: export(target, tmp_path / "out"))
    assert "id00000/0.jpg: its bytes are not those of the manifest's checksum" in said
    assert not (tmp_path / "out/id00000/0.jpg").exists()


@pytest.mark.parametrize("member", ["../up.jpg", "/root.jpg", "a//b.jpg", "a/./b.jpg", "a/../../b"])
def test_a_manifest_that_names_files_outside_its_folder_is_not_trusted(target, tmp_path, member):
    row = {"member": member, "label": "a", "packaged": "0" * 64, "bytes": 1, "etag": "0" * 32}
    target.put(MANIFEST, encode(PUBLISHED.frame([row]), "faces", ABOUT))
    said = refused(lambda: export(target, tmp_path / "out"))
    assert "names files outside its own folder; do not trust it" in said
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    target, proxy, tmp_path, monkeypatch
):
    target.publish(photos(40))
    monkeypatch.setattr(filling, "SPARE", 10**18)
    proxy.forget()
    said = refused(lambda: export(target, tmp_path / "out"))
    assert "40 images need 1,000,000,000.0 GB of disk" in said
    assert not fetched(proxy)


def test_a_public_prefix_needs_no_credentials(target, tmp_path, monkeypatch):
    target.client.create_bucket(Bucket="shown")
    target.publish(photos(4), bucket="shown", prefix="published")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    prefix = Prefix("export", bucket("s3://shown/published", target.endpoint, None, anonymous=True))
    exporting.export(prefix, tmp_path / "out", "fail", check=False)
    assert photographs(tmp_path / "out") == photos(4)


def test_wrong_credentials_are_named(target, tmp_path, monkeypatch):
    sign_in(monkeypatch, "UNKNOWNKEY", "wrong")
    said = refused(lambda: export(target, tmp_path / "out"))
    assert said.startswith(f"export: s3://{target.bucket}/sets/faces/ at {target.endpoint}: ")
    assert "does not know this access key" in said


# Verify


def test_verify_says_that_all_is_well(target, tmp_path):
    target.publish(photos(40))
    status, said = run(target, "verify", cwd=tmp_path / "empty")
    assert status == 0
    assert f"s3://{target.bucket}/sets/faces/ holds its 40 images of 20 labels" in said


def test_verify_names_each_difference_and_what_mends_it(target, tmp_path):
    target.publish(photos(40))
    target.put("id00001/2.jpg", photo(1000))
    target.put("id00001/3.jpg", b"short")
    target.put("id00001/theirs.jpg")
    target.delete("id00002/4.jpg")
    status, said = run(target, "verify", cwd=tmp_path / "empty")
    assert status == 1
    for line in (
        "checksum: id00001/2.jpg: ETag ",
        "size: id00001/3.jpg: 5 bytes, not 700",
        "extra: id00001/theirs.jpg",
        "missing: id00002/4.jpg",
        "1 missing, 1 size, 1 checksum, 1 extra of 40 objects",
        "`dvc repro -sf publish@faces` where it is built sends what differs",
        "what is extra is not from there: delete it",
    ):
        assert line in said
    target.publish()
    target.delete("id00001/theirs.jpg")
    assert run(target, "verify", cwd=tmp_path / "empty")[0] == 0


@pytest.mark.parametrize("address", ["s3://", "bucket/prefix", "gs://bucket/prefix"])
def test_an_address_without_a_bucket_is_refused(address):
    with pytest.raises(BuildError, match=f"{address}: names no bucket"):
        bucket(address, None, None, anonymous=False)


def test_a_manifest_that_an_earlier_version_published_is_read():
    now = PUBLISHED.frame([{"member": "a/1.png", "label": "a", "bytes": 3, "fold": 1}])
    data = encode(now, "faces", ABOUT)
    assert decode(data, "s3://x").rows.equals(now)
    older = BytesIO()
    noted = pl.read_parquet_metadata(BytesIO(data))
    told = {name: noted[name] for name in ("format", "dataset", "images")}
    now.drop("fold").write_parquet(older, metadata=told)
    found = decode(older.getvalue(), "s3://x").rows
    assert found.equals(now.with_columns(fold=pl.lit(None, pl.Int32)))
    other = BytesIO()
    now.drop("bytes").write_parquet(other, metadata=told)
    with pytest.raises(BuildError, match="was not written by imagemill"):
        decode(other.getvalue(), "s3://x")


# Certificates


def certified(target: Target, **more: Any) -> str:
    """Certify the package of the target, publish it, and return the certificate's id."""
    contents = CONTENTS.read(target.folder)
    issued = target.root / "issued.json"
    group = {"left": 0}
    told = {"leaks": {"group": group}, "content": certificates.content(contents), **more}
    certificates.write(issued, told)
    certificates.seal(issued, target.folder.parent)
    target.publish()
    return certificates.named(target.folder)


def test_a_certificate_is_published_verified_and_exported(target, tmp_path):
    target.publish(photos(4))
    empty = tmp_path / "empty"
    assert "has no certificate" in run(target, "verify", cwd=empty)[1]
    known = certified(target)
    status, said = run(target, "verify", "--certificate", known, cwd=empty)
    assert status == 0
    assert f"certificate.json {known[:16]} verifies: checked for leaks of group" in said
    status, said = run(target, "verify", "--certificate", "0" * 64, cwd=empty)
    assert status == 1
    assert "it is another package, or a forged one" in said
    export(target, tmp_path / "out")
    assert f"{known[:16]} verifies" in verify.folder(tmp_path / "out", known)
    for name in (certificates.FILE, certificates.SEALS):
        assert (tmp_path / "out" / name).read_bytes() == (target.folder / name).read_bytes()


def test_pinned_labels_without_images_travel_with_a_published_set(target, tmp_path):
    target.publish(photos(4))
    labels = target.folder / label_maps.FILE
    labels.write_text('["id00000", "id00001", "späte"]')
    target.publish()
    export(target, tmp_path / "out")
    opened = imagemill.open(tmp_path / "out")
    assert opened.label_map == {0: "id00000", 1: "id00001", 2: "späte"}
    labels.unlink()
    target.publish()
    export(target, tmp_path / "out")
    assert not (tmp_path / "out" / label_maps.FILE).exists()


def test_an_export_of_what_has_no_certificate_leaves_no_older_one(target, tmp_path):
    target.publish(photos(4))
    certified(target)
    export(target, tmp_path / "out")
    (target.folder / certificates.FILE).unlink()
    target.publish()
    export(target, tmp_path / "out")
    assert "has no certificate.json" in verify.folder(tmp_path / "out")


def test_a_published_set_of_which_an_image_was_swapped_with_its_row_is_refused(target, tmp_path):
    target.publish(photos(4))
    certified(target)
    found = decode(target.objects()[MANIFEST], url(target))
    other = photo(77)
    swapped = pl.col("member") == "id00000/0.jpg"
    rows = found.rows.with_columns(
        pl.when(swapped)
        .then(pl.lit(sha256(other).hexdigest()))
        .otherwise("packaged")
        .alias("packaged"),
        pl.when(swapped).then(pl.lit(md5(other).hexdigest())).otherwise("etag").alias("etag"),
    )
    target.put("id00000/0.jpg", other)
    target.put(MANIFEST, encode(rows, "faces", ABOUT, {"certificate": str(found.certificate)}))
    status, said = run(target, "verify", cwd=tmp_path / "empty")
    assert status == 1
    assert "seals.parquet: not those that the certificate names" in said
    said = refused(lambda: export(target, tmp_path / "out"))
    assert "its certificate does not verify" in said
    target.put(MANIFEST, encode(found.rows, "faces", ABOUT, {"certificate": "{"}))
    assert "is damaged" in run(target, "verify", cwd=tmp_path / "empty")[1]
