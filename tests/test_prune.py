"""Prune frees what is held elsewhere, says what and why, and nothing else."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from dvc.repo import Repo

from imagemill import prune as pruning
from imagemill.errors import BuildError
from tests.conftest import Project
from tests.remotes import built, built_once, cached, commit  # noqa: F401 (fixtures)
from tests.servers import KEY, SECRET, S3Server
from tests.test_pipeline import repro

pytestmark = pytest.mark.slow

Prune = Callable[..., str]


@pytest.fixture(scope="session")
def pushed_once(
    built_once: Project,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """The built project with a remote, a folder ``store`` beside it, that holds everything."""
    root = tmp_path_factory.mktemp("pushed") / "project"
    shutil.copytree(built_once.root, root, symlinks=True)
    project = Project(root)
    project.run("dvc", "remote", "add", "-d", "store", "../store")
    project.run("dvc", "push")
    commit(project, "share")
    return project


@pytest.fixture
def pushed(pushed_once: Project, tmp_path: Path) -> Project:
    """A copy of that project and its remote for one test."""
    shutil.copytree(pushed_once.root.parent, tmp_path / "pushed", symlinks=True)
    return Project(tmp_path / "pushed/project")


def store(project: Project) -> Path:
    return project.root.parent / "store"


@pytest.fixture
def prune(capfd: pytest.CaptureFixture[str]) -> Prune:
    """Prune, and return what it says."""

    def run(project: Project, *datasets: str, dry_run: bool = False) -> str:
        capfd.readouterr()
        pruning.prune(project.root, datasets, None, dry_run=dry_run)
        return capfd.readouterr().err

    return run


def state(project: Project) -> tuple[dict[str, str], set[str]]:
    return project.files(), cached(project)


def outputs(project: Project, *stages: str) -> set[str]:
    return {name for name in project.files() if set(name.split("/")[2:3]) & set(stages)}


def test_nothing_that_a_build_needs_is_freed_unless_its_dataset_is_named(
    pushed: Project, prune: Prune
) -> None:
    before = state(pushed)
    assert prune(pushed).splitlines() == ["prune: frees 0 bytes"]
    assert state(pushed) == before


def test_old_versions_that_the_remote_holds_are_freed_and_can_be_had_again(
    pushed: Project,
    prune: Prune,
) -> None:
    old = state(pushed)
    (pushed.root / "pets/owl/0.png").unlink()
    pushed.run("dvc", "repro")
    new = state(pushed)
    only_old = old[1] - named(pushed)
    assert only_old
    would = prune(pushed, dry_run=True)
    assert state(pushed) == new
    said = prune(pushed)
    assert said == would.replace("would free", "frees")
    assert "old files of DVC's cache: " in said
    assert "remote store has them: `dvc pull` in the commit that names them" in said
    shown = {line.split("files/md5/")[1] for line in said.splitlines() if "files/md5/" in line}
    assert len(shown) == pruning.SHOWN
    assert shown < only_old
    assert f"    ... and {len(only_old) - pruning.SHOWN} more" in said
    assert state(pushed) == (new[0], new[1] - only_old)
    assert repro(pushed) == {"scan@pets"}
    # The new version is on no remote yet.
    said = prune(pushed, "pets")
    assert "kept: data/pets/download: remote store lacks" in said
    assert "`dvc push download@pets`" in said
    assert "frees 0 bytes" in said
    # What was freed comes back with the commit that names it.
    pushed.run("git", "checkout", "-qf", ".")
    pushed.run("dvc", "pull", "--force")
    assert pushed.files() == old[0]


def named(project: Project) -> set[str]:
    """The names of all that the lock file needs the cache to have."""
    with Repo(str(project.root)) as repo:
        used = {each.value for found in repo.used_objs().values() for each in found}
    return {f"{oid[:2]}/{oid[2:]}" for oid in used}


def test_a_dataset_that_the_remote_holds_is_freed_and_pulled_back(
    pushed: Project, prune: Prune
) -> None:
    before, bytes_before = state(pushed), total(pushed)
    freed = outputs(pushed, "download", "package")
    would = prune(pushed, "pets", dry_run=True)
    assert state(pushed) == before
    said = prune(pushed, "pets")
    assert said == would.replace("would free", "frees")
    assert "remote store has every file: `dvc pull package@pets`" in said
    assert set(before[0]) - set(pushed.files()) == freed
    assert said.startswith(f"prune: frees {bytes_before - total(pushed):,} bytes\n")
    pushed.run("dvc", "repro", "--allow-missing")
    assert not outputs(pushed, "download", "package")
    pushed.run("dvc", "pull")
    assert state(pushed) == before
    assert repro(pushed) == {"scan@pets"}


def total(project: Project) -> int:
    """The bytes of all files in data/ and in DVC's cache."""
    places = (project.root / "data", project.root / ".dvc/cache")
    return sum(p.stat().st_size for place in places for p in place.rglob("*") if p.is_file())


def test_a_file_that_something_else_needs_stays_in_the_cache(pushed: Project, prune: Prune) -> None:
    pack = min((pushed.root / "data/pets/package").rglob("*.tar"))
    shutil.copy(pack, pushed.root / "kept.tar")
    pushed.run("dvc", "add", "kept.tar")
    prune(pushed, "pets")
    assert not pack.exists()
    assert pushed.run("dvc", "status", "kept.tar").stdout == "Data and pipelines are up to date.\n"


def lose(copy: Path) -> None:
    copy.unlink()


def cut(copy: Path) -> None:
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes()[:-1])


def rot(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.chmod(0o644)
    copy.write_bytes(data)


@pytest.mark.parametrize("harm", [lose, cut, rot])
def test_what_the_remote_does_not_hold_whole_is_never_freed(
    pushed: Project, prune: Prune, harm: Callable[[Path], None]
) -> None:
    name = next(iter(named(pushed) - (cached(pushed) - packages(pushed))))
    harm(store(pushed) / "files/md5" / name)
    said = prune(pushed, "pets")
    assert "kept: data/pets/package: remote store lacks 1 of its" in said
    assert "data/pets/package" not in said.split("kept:")[0]
    assert name in cached(pushed)
    assert outputs(pushed, "package")
    assert not outputs(pushed, "download")


def packages(project: Project) -> set[str]:
    """The names in the cache of the files of the package alone."""
    with Repo(str(project.root)) as repo:
        (stage,) = (
            each for each in repo.index.stages if getattr(each, "name", "") == "package@pets"
        )
        names = {each.value for found in stage.outs[0].get_used_objs().values() for each in found}
    return {f"{oid[:2]}/{oid[2:]}" for oid in names if not oid.endswith(".dir")}


def test_an_output_that_is_not_what_the_lock_file_names_is_kept(
    pushed: Project, prune: Prune
) -> None:
    mine = pushed.root / "data/pets/package/mine.txt"
    mine.write_text("notes")
    said = prune(pushed, "pets")
    assert "kept: data/pets/package: it is not what dvc.lock names" in said
    assert mine.exists()
    assert not outputs(pushed, "download")
    assert "kept: data/pets/download: it is not here" in prune(pushed, "pets")


def test_memos_that_no_dataset_has_use_for_are_freed(pushed: Project, prune: Prune) -> None:
    memo = pushed.root / ".imagemill/memo"
    used = {path.name for path in memo.iterdir()}
    shutil.copytree(memo / min(used), memo / "measure-0123456789abcdef")
    said = prune(pushed)
    assert "memos of settings or versions that no dataset has: " in said
    assert "  .imagemill/memo/measure-0123456789abcdef\n" in said
    assert {path.name for path in memo.iterdir()} == used
    assert len(used) >= 3


def test_a_cache_that_others_may_use_is_left_alone(pushed: Project, prune: Prune) -> None:
    shared = pushed.root.parent / "cache"
    shutil.move(pushed.root / ".dvc/cache", shared)
    pushed.run("dvc", "cache", "dir", "--local", str(shared))
    (shared / "files/md5/00").mkdir(exist_ok=True)
    files = {path for path in shared.rglob("*") if path.is_file()}
    said = prune(pushed, "pets")
    assert f"kept: DVC's cache {shared}/files/md5: it lies outside, and others may use it" in said
    assert {path for path in shared.rglob("*") if path.is_file()} == files
    assert not outputs(pushed, "download", "package")


def test_without_a_remote_nothing_of_dvc_is_freed(
    built: Project,  # noqa: F811
    prune: Prune,
) -> None:
    before = state(built)
    said = prune(built, "pets")
    assert "kept: what DVC has: it has no remote; `dvc remote add`, then `dvc push`" in said
    assert "kept: data/pets/download: DVC has no remote" in said
    assert state(built) == before
    with pytest.raises(BuildError, match="remote 'attic' doesn't exist; nothing was freed"):
        pruning.prune(built.root, [], "attic", dry_run=False)
    with pytest.raises(BuildError, match=r"petz is no dataset that was built; did you mean pets\?"):
        prune(built, "petz")


def test_prune_waits_for_no_other_dvc_command(pushed: Project) -> None:
    before = state(pushed)
    with Repo(str(pushed.root)) as repo, repo.lock:
        done = pushed.run("imagemill", "prune", "pets", check=False)
    assert done.returncode == 1
    assert "another DVC command is running" in done.stdout
    assert state(pushed) == before


def test_prune_waits_for_a_stage_that_reads_what_is_to_be_freed(pushed: Project) -> None:
    before = state(pushed)
    with (pushed.root / ".imagemill/locks/pets.measure").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        process = subprocess.Popen(
            ["imagemill", "prune", "pets"],
            cwd=pushed.root,
            env=pushed.env(),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said == "prune: a build is in pets.measure; waiting for it to end\n"
        assert state(pushed) == before
    _, said = process.communicate()
    assert said.startswith("prune: frees ")
    assert not outputs(pushed, "download", "package")


def test_the_packs_of_what_is_published_are_freed_and_written_again(
    built: Project,  # noqa: F811
    prune: Prune,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    bucket = f"b{uuid4().hex[:12]}"
    client = s3_server.client()
    client.create_bucket(Bucket=bucket)
    where = [f"bucket={bucket}", "prefix=sets/pets", f"endpoint='{s3_server.endpoint}'"]
    small = ["download.pack_bytes=65536", "package.formats.imagefolder.pack_bytes=65536"]
    built.datasets(pets=[*small, "publish=s3", *(f"publish.to.{each}" for each in where)])
    built.run("dvc", "repro")
    before = state(built)
    packs = {name for name in outputs(built, "package") if name.endswith(".tar")}
    key = client.list_objects_v2(Bucket=bucket)["Contents"][0]["Key"]
    data = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    client.delete_object(Bucket=bucket, Key=key)
    assert "nor is it published as it is" in prune(built, "pets")
    assert state(built) == before
    client.put_object(Bucket=bucket, Key=key, Body=data)
    said = prune(built, "pets")
    assert f"s3://{bucket}/sets/pets/ has their images: `imagemill export s3://" in said
    assert set(before[0]) - set(built.files()) == packs
    assert outputs(built, "download")
    assert "package@pets" in repro(built)
    assert state(built) == before
