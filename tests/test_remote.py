"""A DVC remote on a real S3 server brings back everything, and gets only what changed."""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Project, fill
from tests.remotes import built, built_once, cached, commit  # noqa: F401 (fixtures)
from tests.servers import KEY, SECRET, Proxy, S3Server
from tests.test_pipeline import repro

pytestmark = pytest.mark.slow


@pytest.fixture
def shared(
    built: Project,  # noqa: F811
    s3_server: S3Server,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """The built project with a remote on S3 to which it was pushed."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    bucket = f"b{uuid4().hex[:12]}"
    s3_server.client().create_bucket(Bucket=bucket)
    built.run("dvc", "remote", "add", "-d", "store", f"s3://{bucket}/dvc")
    built.run("dvc", "remote", "modify", "store", "endpointurl", proxy.endpoint)
    built.run("dvc", "push")
    commit(built, "share")
    return built


def sent(proxy: Proxy) -> dict[str, int]:
    """How often each file was sent to the remote, by its name."""
    return {path.rpartition("/files/md5/")[2]: count for path, count in proxy.puts.items()}


def packs(project: Project) -> set[Path]:
    return {path.relative_to(project.root) for path in (project.root / "data").rglob("*.tar")}


def test_a_fresh_clone_gets_everything_back_and_has_nothing_to_build(
    shared: Project, proxy: Proxy, tmp_path: Path
) -> None:
    assert sent(proxy) == dict.fromkeys(cached(shared), 1)
    clone = Project(tmp_path / "clone")
    shared.run("git", "clone", "-q", str(shared.root), str(clone.root))
    said = clone.run("imagemill", "export", "pets", "--to", "out", check=False).stdout
    assert "is built, and not here. Fetch it with `dvc pull package@pets`" in said
    clone.run("dvc", "pull")
    assert clone.files() == shared.files()
    assert repro(clone) == {"scan@pets"}
    assert clone.files() == shared.files()


def test_a_training_machine_gets_the_package_alone(
    shared: Project, proxy: Proxy, tmp_path: Path
) -> None:
    clone = Project(tmp_path / "clone")
    shared.run("git", "clone", "-q", str(shared.root), str(clone.root))
    proxy.forget()
    clone.run("dvc", "pull", "package@pets")
    assert clone.files("data/pets/package") == shared.files("data/pets/package")
    assert not (clone.root / "data/pets/download").exists()
    # The files, and the list of them.
    assert len(proxy.gets) == len(clone.files("data/pets/package")) + 1
    assert "export: 60 images in out" in clone.run("imagemill", "export", "pets", "--to=out").stdout
    assert "holds its 60 images of 3 labels" in clone.run("imagemill", "verify", "out").stdout


def test_a_push_after_one_more_photo_sends_only_what_changed(shared: Project, proxy: Proxy) -> None:
    before, earlier = cached(shared), packs(shared)
    fill(shared.root / "pets", {"owl/more.png": 999})
    shared.run("dvc", "repro")
    proxy.forget()
    shared.run("dvc", "push")
    assert sent(proxy) == dict.fromkeys(cached(shared) - before, 1)
    assert len(packs(shared)) > 16
    assert 2 <= len(packs(shared) - earlier) <= 6  # one or two each of download and package
    proxy.forget()
    shared.run("dvc", "push")
    assert not proxy.puts


def test_what_was_pruned_is_pulled_back_from_s3(shared: Project) -> None:
    before = shared.files()
    shared.run("imagemill", "prune", "pets")
    assert not packs(shared)
    shared.run("dvc", "pull")
    assert shared.files() == before
    assert repro(shared) == {"scan@pets"}


def test_what_lies_at_the_remote_with_other_bytes_is_not_pruned(
    shared: Project, s3_server: S3Server
) -> None:
    client = s3_server.client()
    bucket = shared.run("dvc", "remote", "list").stdout.split("s3://")[1].split("/")[0]
    objects = client.list_objects_v2(Bucket=bucket)["Contents"]
    pack = max(objects, key=lambda each: int(each["Size"]))
    client.put_object(Bucket=bucket, Key=pack["Key"], Body=bytes(pack["Size"]))
    before = shared.files()
    said = shared.run("imagemill", "prune", "pets").stdout
    assert "remote store lacks 1 of its" in said
    damaged, whole = "download", "package"
    if f"kept: data/pets/{damaged}" not in said:
        damaged, whole = whole, damaged
    left = set(shared.files())
    assert {name for name in before if f"/{damaged}/" in name} <= left
    assert not [name for name in left if f"/{whole}/" in name]


def test_a_remote_that_cannot_be_asked_frees_nothing(
    shared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shared.files(), cached(shared)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    done = shared.run("imagemill", "prune", "pets", check=False)
    assert done.returncode == 1
    assert "prune: remote store cannot be listed" in done.stdout
    assert "Traceback" not in done.stdout
    assert "wrong" not in done.stdout
    assert (shared.files(), cached(shared)) == before
