"""docs/identities.md is true: its commands run on a stand-in, its errors are provoked for real."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from pathlib import Path

import psutil
import pytest
import yaml

from bench.reidnet import compare
from bench.reidnet.generate import Plan, generate
from imagemill import arcface
from imagemill.config.compose import resolve
from imagemill.config.project import Project as Config
from stages.config import SECTIONS
from tests import standin
from tests.conftest import ROOT, Project, make_project
from tests.servers import (
    KEY,
    LIMITED,
    READER,
    SECRET,
    Proxy,
    S3Server,
    error_page,
    proxying,
)

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs/identities.md").read_text()
DATASET = "reidnet_v3"
PUBLISHED = "datasets/reidnet_v3/rekognition_set"
URL = f"s3://{standin.BUCKET}/{PUBLISHED}"
LEAST = {
    "sources.faces_only.identities": 150,
    "sources.reidnet_v2.identities": 300,
    "result.identities": 300,
    "result.images": 1_000,
}
"""What the stand-in is expected to hold, in place of a thousand times as many."""
LOCAL = Plan().scaled(0.001)


@dataclass(frozen=True)
class Block:
    """A fenced block of the guide."""

    section: str
    language: str
    text: str
    shown: str
    """Of a command: what the guide says that it prints."""


def blocks() -> list[Block]:
    found: list[Block] = []
    for part in re.split(r"^(?=##+ )", GUIDE, flags=re.M)[1:]:
        section = part.partition("\n")[0].strip("# ")
        fences = re.findall(r"^```(\w+)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", part, re.M | re.S)
        found += [Block(section, *each) for each in fences]
    return found


COMMANDS = [block for block in blocks() if block.language == "bash"]
STORY = [block.text for block in blocks() if block.section.startswith("Why 18,019")]
SETTINGS = [block.text for block in blocks() if block.language == "yaml"]


def shows(shown: str, said: str) -> list[str]:
    """Return the lines of ``shown`` that ``said`` has not, in that order; ``...`` is any line.

    ``…`` in a line is any text.
    """
    rest, missing = said.splitlines(), []
    for line in shown.splitlines():
        pattern = ".*".join(re.escape(piece) for piece in line.split("…"))
        places = [n for n, each in enumerate(rest) if re.fullmatch(pattern, each)]
        if line in ("...", ""):
            continue
        if places:
            rest = rest[places[0] + 1 :]
        else:
            missing.append(line)
    return missing


@dataclass
class World:
    """The store, and the folders in which the guide's commands have run."""

    server: S3Server
    root: Path
    project: Project
    said: dict[str, str] = field(default_factory=dict)
    """What each command printed, by its text."""

    def run(self, command: str, cwd: Path, **env: str) -> str:
        """Run a command as the admin; return all that it says."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        ours |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.project.root / "src"),
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.root / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.root / "none"),
            "IMAGEMILL_ENGINE": "engine=inline",
            "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@example.org",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=cwd,
            env={name: value for name, value in (ours | env).items() if value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stdout, done.stdout
        return f"{done.stdout}\nexit code {done.returncode}\n"

    def well(self, command: str, cwd: Path, **env: str) -> str:
        """Run a command that must end well."""
        said = self.run(command, cwd, **env)
        assert said.endswith("exit code 0\n"), said
        return said

    def copy(self, name: str) -> Path:
        """Copy the project as it is once everything is built."""
        there = self.root / name
        shutil.copytree(self.project.root, there, symlinks=True)
        return there

    def override(self, cwd: Path, *more: str) -> None:
        """Add overrides to the dataset's in ``params.yaml``."""
        given = yaml.safe_load((cwd / "params.yaml").read_text())
        given["datasets"][DATASET] += more
        (cwd / "params.yaml").write_text(yaml.safe_dump(given))

    def change(self, cwd: Path, values: Mapping[str, object]) -> None:
        """Change values of the resolved config, as an override of each would."""
        path = cwd / "data" / DATASET / "config.yaml"
        config = yaml.safe_load(path.read_text())
        for key, value in values.items():
            *way, last = key.split(".")
            reduce(getitem, way, config)[last] = value
        path.write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything that the guide does, done in its order."""
    root = tmp_path_factory.mktemp("guide")
    with standin.serving(root / "store") as server:
        project = make_project(root / "project")
        for name in (DATASET, compare.DATASET):
            file = f"dataset/{name}.yaml"
            project.conf(file, (ROOT / "conf" / file).read_text())
        (project.root / "params.yaml").write_text(settings(server.endpoint))
        made = World(server, root, project)
        made.well("git init -qb main; dvc init -q; git add .; git commit -qm start", project.root)
        for block in COMMANDS:
            made.said[block.text] = made.run(block.text, place(made, block))
        yield made


def settings(endpoint: str) -> str:
    """Return the guide's params.yaml for another store, with what the stand-in is to hold."""
    given = yaml.safe_load(next(text for text in SETTINGS if "endpoint" in text))
    wanted = [
        each.replace("http://127.0.0.1:8333", endpoint) for each in given["datasets"][DATASET]
    ]
    wanted += [f"expect.{key}.least={least}" for key, least in LEAST.items()]
    return yaml.safe_dump({"datasets": {DATASET: wanted}})


def place(world: World, block: Block) -> Path:
    """Return the folder that the guide has a command run in, made ready as the guide says."""
    if block.section == "From local folders":
        generate(world.root / "local", LOCAL, workers=1)
        (world.project.root / "reidnet_v3").symlink_to(world.root / "local")
        params = yaml.safe_load((world.project.root / "params.yaml").read_text())
        params["datasets"][compare.DATASET] = compare.expected(LOCAL)
        (world.project.root / "params.yaml").write_text(yaml.safe_dump(params))
    if "dvc pull" in block.text:
        world.well("git clone -q project clone", world.root)
        return world.root / "clone"
    if block.section in ("On the training machine", "ArcFace"):
        (world.root / "training").mkdir(exist_ok=True)
        return world.root / "training"
    return world.project.root


def test_every_command_of_the_guide_prints_what_the_guide_shows(
    world: World, subtests: pytest.Subtests
):
    for block in COMMANDS:
        with subtests.test(block.text):
            said = world.said[block.text]
            assert said.endswith("exit code 0\n"), said
            assert not shows(block.shown, said), said


def test_both_ways_to_the_training_machine_give_the_same_images(world: World):
    one, other = world.root / "training/faces", world.root / "clone/faces"
    held = [sorted(path.relative_to(root) for path in root.glob("*/*")) for root in (one, other)]
    assert held[0] == held[1]
    assert len(held[0]) == standin.IMAGES
    assert all((one / path).read_bytes() == (other / path).read_bytes() for path in held[0])


# The story


@pytest.fixture(scope="module")
def lost(world: World) -> str:
    """A bucket in which the second source has lost most of its folders."""
    prefix = f"{standin.PREFIXES['reidnet_v2']}/"
    left = {key: data for key, data in standin.objects().items() if key.startswith(f"{prefix}0")}
    world.server.client().create_bucket(Bucket="lost")
    standin.put(world.server, left, "lost")
    return "lost"


def test_a_listing_that_lost_its_folders_stops_the_first_build(world: World, lost: str):
    cwd = world.copy("first")
    for name in ("scan", "download"):
        shutil.rmtree(cwd / "data" / DATASET / name)
    world.change(cwd, {"scan.sources.reidnet_v2.bucket": lost})
    said = stage(world, cwd, "scan")
    assert not shows(STORY[0], said), said
    assert said.endswith("exit code 1\n")


def test_a_listing_that_lost_its_folders_stops_a_later_build(world: World, lost: str):
    cwd = world.copy("later")
    world.change(cwd, {"scan.sources.reidnet_v2.bucket": lost, "scan.expect": {}})
    for _ in range(2):  # to ask again does not help
        said = stage(world, cwd, "scan")
        assert not shows(STORY[1], said), said
        assert said.endswith("exit code 1\n")


def test_a_result_that_is_too_small_is_neither_packaged_nor_published(world: World, lost: str):
    cwd = world.copy("merged")
    unguarded = ["expect.sources.reidnet_v2.identities=null", "expect.max_shrunk=null"]
    world.override(cwd, f"sources.reidnet_v2.bucket={lost}", *unguarded)
    said = world.run(f"dvc repro publish@{DATASET}", cwd)
    assert not shows(STORY[2], said), said
    assert not said.endswith("exit code 0\n")
    assert "stages.package" not in said
    world.well(f"imagemill verify {URL}", world.root)


# The options


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    part = GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_key_that_stands_for_an_option_is_one_of_the_config(tmp_path: Path):
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    told = [key for row in rows("Every option of the old scripts") for key in keys(row[1])]
    assert len(told) >= 10
    published = ["publish=s3", "publish.to.bucket=b", "publish.to.prefix=p"]
    for local in (True, False):
        given = [f"{key}={value or 'x'}" for key, value in told if key.endswith(".path") == local]
        dataset = compare.DATASET if local else DATASET
        params = {"datasets": {dataset: [*published, *given]}}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        assert resolve(Config(tmp_path), dataset, SECTIONS)


def keys(text: str) -> list[tuple[str, str]]:
    """Return the keys of the config in a text, and the values that it gives them."""
    return re.findall(r"`((?:sources|merge|publish|expect)\.[\w.]+)(?:=([\w-]+))?`", text)


def test_every_option_of_the_old_scripts_has_a_row():
    told = " ".join(row[0] for row in rows("Every option of the old scripts"))
    old = ["bucket", "workdir", "min-images", "skip-download", "skip-upload", "local-source"]
    for option in [*old, "output", "workers"]:
        assert f"--{option}" in told


@pytest.mark.parametrize("text", SETTINGS)
def test_the_settings_of_the_guide_make_a_config(text: str, tmp_path: Path):
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    (tmp_path / "params.yaml").write_text(text)
    assert resolve(Config(tmp_path), DATASET, SECTIONS)["publish"]["to"]["prefix"] == PUBLISHED


def test_every_file_that_the_guide_names_is_there(world: World):
    for path in re.findall(r"`((?:conf|data|tests|bench)/[\w./]+)`", GUIDE):
        assert (ROOT / path).exists() or (world.project.root / path).exists(), path
    for path in re.findall(r"\]\((?!http|#)([^)]+)\)", GUIDE):
        assert (ROOT / "docs" / path).exists(), path


# The notebook

NOTEBOOK = ROOT / "docs/training.ipynb"
CERTIFICATE = re.compile(r"(?<=certificate.json )[0-9a-f]{16}")
"""An id, which every threshold that is looked for decides."""
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]

RUN = """
import base64, contextlib, io, json, sys

given, said = {}, []
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec("".join(cell["source"]), given)
        said.append(out.getvalue())
print(json.dumps([said, base64.b64encode(given["grid"]._repr_jpeg_()).decode()]))
"""
"""A program that runs the code of a notebook, in order, and prints what each cell printed."""


def test_the_notebook_was_run_from_top_to_bottom_and_names_nothing_of_the_machine():
    assert [cell["execution_count"] for cell in CELLS] == [*range(1, len(CELLS) + 1)]
    kinds = {output["output_type"] for cell in CELLS for output in cell["outputs"]}
    assert kinds == {"stream", "execute_result"}
    assert all(cell["outputs"] for cell in CELLS[1:])
    assert not any(cell["metadata"] for cell in CELLS)
    text = NOTEBOOK.read_text()
    for local in ("/tmp/", "/root/", "/home/", "127.0.0.1", "localhost", str(ROOT), sys.prefix):
        assert local not in text


def test_the_notebook_runs_on_what_the_guide_published_and_prints_what_it_shows(world: World):
    folder = fresh(world, "notebook")
    said = world.run(f"python -c '{RUN}' {NOTEBOOK}", folder, FORCE_COLOR="1")  # as Jupyter sets it
    assert said.endswith("exit code 0\n"), said
    new = folder / NOTEBOOK.name
    new.write_text(with_outputs(*json.loads(said.partition("\n")[0])))
    now, shown = (CERTIFICATE.sub("", path.read_text()) for path in (new, NOTEBOOK))
    assert now == shown, f"its output is old; {new} has today's"


def with_outputs(said: list[str], picture: str) -> str:
    """Return the notebook with what its cells print, and the picture that one shows, in base64."""
    book = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    for cell, text in zip(cells, said, strict=True):
        shown = [out for out in cell["outputs"] if "data" in out]
        for out in shown:
            out["data"]["image/jpeg"] = picture
        stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
        cell["outputs"] = [stream, *shown] if text else shown
    return json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def test_the_notebook_stops_where_nothing_is_published(world: World):
    command = f"python -c '{RUN}' {NOTEBOOK} 2>&1 | tail -1"
    said = world.run(command, fresh(world, "stopped"), FACES_PREFIX=f"{URL}_v4")
    assert "imagemill stopped; its message above says why" in said


def fresh(world: World, name: str) -> Path:
    """Return an empty folder."""
    (world.root / name).mkdir()
    return world.root / name


# The troubles


def test_every_trouble_says_what_the_guide_says_that_it_says(
    world: World, subtests: pytest.Subtests
):
    told = {name: said for name, said, _ in rows("Every entry of their troubleshooting lists")}
    assert told.keys() == TROUBLES.keys()
    with ThreadPoolExecutor(3) as pool:
        running = {name: pool.submit(work, world) for name, work in TROUBLES.items()}
        for name, future in running.items():
            with subtests.test(name):
                check_trouble(told[name], future)


def check_trouble(cell: str, future: Future[str]) -> None:
    said = future.result()
    messages = re.findall(r"``(.+?)``", cell)
    assert messages or cell == "nothing"
    for message in messages:
        assert not shows(f"…{message}…", said), said


Trouble = Callable[[World], str]


def stage(world: World, cwd: Path, name: str, **env: str) -> str:
    """Run a stage as DVC does."""
    return world.run(f"python -m stages.{name} {DATASET}", cwd, **env)


def verify(**env: str) -> Trouble:
    return lambda world: world.run(f"imagemill verify {URL}", world.root, **env)


def no_room(world: World) -> str:
    cwd = world.copy("no_room")
    there = cwd / "data" / DATASET / "download"
    return on_tiny_disk(world, there, f"python -m stages.download {DATASET}", cwd)


def no_room_to_train(world: World) -> str:
    folder = world.root / "tiny"
    folder.mkdir()
    return on_tiny_disk(world, folder, f"imagemill export {URL} --to tiny", world.root)


def on_tiny_disk(world: World, at: Path, command: str, cwd: Path) -> str:
    """Run a command with a disk of 40 MB mounted at a folder, which only the command sees."""
    mount = f"mount -t tmpfs -o size=40m tmpfs {at}"
    said = world.run(f"unshare -Urm sh -c '{mount} && {command}'", cwd)
    if "unshare:" in said or "mount:" in said:
        pytest.skip("this machine lets nobody mount a small disk")
    return said


def expired(world: World) -> str:
    with proxying(world.server.endpoint) as proxy:
        proxy.answer = lambda *_: error_page("400 Bad Request", "ExpiredToken")
        return verify(AWS_ENDPOINT_URL=proxy.endpoint)(world)


def broken(world: World) -> str:
    """Fetch while the network breaks for some photos; then again, when it is mended."""
    cwd = world.copy("broken")
    shutil.rmtree(cwd / "data" / DATASET / "download")
    with proxying(world.server.endpoint) as proxy:
        there = [f"download.sources.{source}.endpoint" for source in standin.PREFIXES]
        world.change(cwd, dict.fromkeys(there, proxy.endpoint))
        proxy.answer = lambda _, path: b"" if re.search("v2.*_set/0[0-7]", path) else None
        said = stage(world, cwd, "download")
        proxy.forget()
        proxy.answer = lambda *_: None
        again = stage(world, cwd, "download")
        assert f"download: {len(proxy.gets)} objects fetched, 0 rejected" in again, again
        assert 0 < len(proxy.gets) < 100
    return said


def denied_photos(world: World) -> str:
    """Fetch from a bucket that these credentials may list and not read."""
    found = {f"all/{who}/{shot}.jpg": standin.face(who, shot) for who in (1, 2) for shot in (1, 2)}
    world.server.client().create_bucket(Bucket="closed")
    standin.put(world.server, found, "closed")
    cwd = world.copy("denied")
    for source in standin.PREFIXES:
        for name in ("scan", "download"):
            there = f"{name}.sources.{source}"
            world.change(cwd, {f"{there}.bucket": "closed", f"{there}.prefix": "all"})
    world.change(cwd, {"scan.expect": {}, "scan.max_shrunk": None})
    stage(world, cwd, "scan", **as_limited)
    return stage(world, cwd, "download", **as_limited)


def publishing(world: World, prefix: str) -> Path:
    """Return a copy of the project that publishes to another prefix."""
    cwd = world.copy(prefix)
    world.change(cwd, {"publish.to.prefix": f"datasets/{prefix}"})
    return cwd


def denied_publishing(world: World) -> str:
    return stage(world, publishing(world, "denied_publishing"), "publish", **as_reader)


def no_workers(world: World) -> str:
    cwd = world.copy("no_workers")
    shutil.rmtree(cwd / ".imagemill")
    one = {"IMAGEMILL_ENGINE": "engine.workers=1"}
    before = (cwd / "data" / DATASET / "measure/facts.parquet").read_bytes()
    said = stage(world, cwd, "measure", **one)
    assert (cwd / "data" / DATASET / "measure/facts.parquet").read_bytes() == before
    return said


def damage(path: Path) -> None:
    """Change a byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)


def damaged_package(world: World) -> str:
    cwd = world.copy("damaged_package")
    (pack,) = (cwd / "data" / DATASET / "package/imagefolder").glob("*.tar")
    damage(pack)
    said = world.run(f"imagemill export {DATASET} --to faces", cwd)
    said += world.run(f"imagemill verify {DATASET}", cwd)
    pack.unlink()
    assert "read back and verified" in stage(world, cwd, "package")
    return said


def damaged_download(world: World) -> str:
    cwd = world.copy("damaged_download")
    (pack,) = (cwd / "data" / DATASET / "download/packs").glob("*.tar")
    damage(pack)
    shutil.rmtree(cwd / "data" / DATASET / "package")
    said = stage(world, cwd, "package")
    pack.unlink()
    assert "1,252 objects fetched" in stage(world, cwd, "download")
    assert "read back and verified" in stage(world, cwd, "package")
    return said


def damaged_prefix(world: World) -> str:
    cwd = publishing(world, "damaged")
    stage(world, cwd, "publish")
    there = {"Bucket": standin.BUCKET, "Prefix": "datasets/damaged/"}
    client = world.server.client()
    first, second, *_ = client.list_objects_v2(**there)["Contents"]
    client.put_object(Bucket=standin.BUCKET, Key=first["Key"], Body=b"other")
    client.delete_object(Bucket=standin.BUCKET, Key=second["Key"])
    said = world.run(f"imagemill verify s3://{standin.BUCKET}/datasets/damaged", cwd)
    assert "2 to send" in stage(world, cwd, "publish")
    return said


def damaged_folder(world: World) -> str:
    world.well(f"imagemill export {URL} --to damaged_folder", world.root)
    first, second, *_ = sorted((world.root / "damaged_folder").glob("*/*.jpg"))
    damage(first)
    second.unlink()
    said = world.run("imagemill verify damaged_folder", world.root)
    again = world.well(f"imagemill export {URL} --to damaged_folder", world.root)
    assert f"{standin.IMAGES - 2:,} images are there already" in again, again
    return said


def too_few(world: World) -> str:
    cwd = world.copy("too_few")
    world.change(cwd, {"merge.expect.identities.least": 400})
    return stage(world, cwd, "merge")


def killed(world: World) -> str:
    """Kill a publish in the middle; export what is there; let it go on."""
    cwd = publishing(world, "killed")
    with proxying(world.server.endpoint) as proxy:
        world.change(cwd, {"publish.to.endpoint": proxy.endpoint})
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(world.run, f"exec python -m stages.publish {DATASET}", cwd)
            kill_after(proxy, 300, cwd)
            assert "exit code -9" in stopped.result()
        said = world.run(f"imagemill export s3://{standin.BUCKET}/datasets/killed --to k", cwd)
        proxy.forget()
        assert "verified by listing" in stage(world, cwd, "publish")
        assert sum(proxy.puts.values()) < standin.IMAGES
    return said


def kill_after(proxy: Proxy, puts: int, cwd: Path) -> None:
    """Kill the process that works in a folder once it has put so many objects."""
    while sum(proxy.puts.values()) < puts:
        time.sleep(0.01)
    (process,) = (each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(cwd))
    process.kill()


def stale_at_prefix(world: World) -> str:
    key = f"datasets/stale/{arcface.RECORDIO[1]}"
    world.server.client().put_object(Bucket=standin.BUCKET, Key=key, Body=b"")
    cwd = publishing(world, "stale")
    said = stage(world, cwd, "publish")
    world.change(cwd, {"publish.stale": "remove"})
    assert "verified by listing" in stage(world, cwd, "publish")
    return said


def stale_in_folder(world: World) -> str:
    (world.root / "stale_folder").mkdir()
    (world.root / "stale_folder/train.idx").touch()
    said = world.run(f"imagemill export {URL} --to stale_folder", world.root)
    world.well(f"imagemill export {URL} --to stale_folder --stale remove", world.root)
    return said


as_limited = {"AWS_ACCESS_KEY_ID": LIMITED[0], "AWS_SECRET_ACCESS_KEY": LIMITED[1]}
as_reader = {"AWS_ACCESS_KEY_ID": READER[0], "AWS_SECRET_ACCESS_KEY": READER[1]}

TROUBLES: dict[str, Trouble] = {
    "Network timeout, nothing answers": verify(AWS_ENDPOINT_URL="http://127.0.0.1:9"),
    "Network timeout, in the middle": broken,
    "Out of disk space, building": no_room,
    "Out of disk space, training machine": no_room_to_train,
    "Credentials expired": expired,
    "Access key wrong": verify(AWS_ACCESS_KEY_ID="UNKNOWN"),
    "Secret key wrong": verify(AWS_SECRET_ACCESS_KEY="wrong"),
    "No credentials": verify(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""),
    "Permission denied, listing": verify(**as_limited),
    "Permission denied, photos": denied_photos,
    "Permission denied, publishing": denied_publishing,
    "Memory": no_workers,
    "Corrupted result, in the packs": damaged_package,
    "Corrupted result, in what was fetched": damaged_download,
    "Corrupted result, at the prefix": damaged_prefix,
    "Corrupted result, on the training machine": damaged_folder,
    "Incomplete merge": too_few,
    "Incomplete upload": killed,
    "Nothing published": lambda world: world.run(
        f"imagemill export {URL}_v4 --to nothing", world.root
    ),
    "Empty train.idx, at the prefix": stale_at_prefix,
    "Empty train.idx, training machine": stale_in_folder,
}
"""How each row of the guide's table comes to pass, the long ones first."""
