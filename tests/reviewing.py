"""A built dataset to review, with everything that a page may meet, and servers of it."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import polars as pl
import pytest
from PIL import Image

from imagemill.review_page import guard, listen
from imagemill.review_page.asking import Desk
from imagemill.review_page.server import Server
from imagemill.reviews import file
from imagemill.reviews.rows import Review
from imagemill.reviews.taxonomy import Taxonomy
from imagemill.tables import EVIDENCE, FACTS, MANIFEST, PLACES, SAMPLES, VERDICTS, Table
from tests.audited import HEAD
from tests.conftest import Project, build_all, make_project
from tests.draw import photo, photo_bytes

SCRIPT = "<script>window.hacked=1</script>"
EVENT = "<img src=x onerror=window.hacked=1>"
"""Text that would run, were it ever taken for markup."""

LABEL = "<b onclick=window.hacked=1>hat"
TITLE = "Hats and shoes"

CONF = f"""\
# @package _global_
# Drawn hats and shoes with an audit, copies, leaks, and names that would do harm.
defaults:
  - /source@sources.photos: folder
  - /layout@sources.photos.layout: imagefolder
  - /audit@clean.audits.visual_layer: visual_layer
  - override /clean: reviewed
  - override /leaks: given
about: {{title: {TITLE}}}
sources:
  photos:
    path: photos
    layout: {{folders: [split, label]}}
clean:
  rules: []
  max_removed_share: {{split: null, label: null}}
  audits: {{visual_layer: {{path: audits/hats_vl_export.csv}}}}
"""

CAMERA = 0x0110  # EXIF's tag of the camera's model


def make(root: Path) -> Project:
    """Make a project with the dataset ``hats``, not built yet: 44 images, 24 of them flagged."""
    project = make_project(root)
    project.conf("dataset/hats.yaml", CONF)
    project.datasets(hats=[])
    photos = project.root / "photos"
    for number, (split, label, count) in enumerate(
        [("train", "hat", 16), ("train", "shoes", 16), ("test", LABEL, 6), ("test", "shoes", 6)]
    ):
        for at in range(count):
            path = photos / split / label / f"{at:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo_bytes(1000 * number + at))
    _copies(photos)
    _harmful(photos / "train/shoes")
    _audit(project.root / "audits/hats_vl_export.csv")
    return project


def _copies(photos: Path) -> None:
    """Save a photo anew beside itself, turned; and one over the split, mirrored and as it is."""
    copies = {
        "train/hat/turned.png": photo(4).transpose(Image.Transpose.ROTATE_90),
        "test/shoes/mirrored.png": photo(1005).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }
    for name, image in copies.items():
        image.save(photos / name, compress_level=1)
    shutil.copy(photos / "train/shoes/06.png", photos / "test/shoes/same.png")


def _harmful(folder: Path) -> None:
    exif = Image.Exif()
    exif[CAMERA] = EVENT
    target = BytesIO()
    photo(77).save(target, "JPEG", exif=exif)
    (folder / f"{EVENT}.jpg").write_bytes(target.getvalue())


def _audit(path: Path) -> None:
    rows = [
        [at, f"train/{label}/{at:02}.png", label, "mislabel", f"{0.99 - at / 50:.2f}", other, "odd"]
        for label, other in (("hat", "shoes"), ("shoes", "hat"))
        for at in range(11)
    ]
    rows.append(
        [90, "train/hat/12.png", "hat", "outlier", "0.5", "", f"=cmd|' /C calc'!A0 {SCRIPT}"]
    )
    rows.append([91, f"train/shoes/{EVENT}.jpg", "shoes", "mislabel", "0.3", SCRIPT, EVENT])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as sheet:
        sheet.write(HEAD)
        csv.writer(sheet).writerows(rows)


@contextmanager
def inside(root: Path) -> Iterator[None]:
    """Work in a folder, without workers."""
    before, engine = Path.cwd(), os.environ.get("IMAGEMILL_ENGINE")
    os.chdir(root)
    os.environ["IMAGEMILL_ENGINE"] = "engine=inline"
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop("IMAGEMILL_ENGINE")
        if engine is not None:
            os.environ["IMAGEMILL_ENGINE"] = engine


def built(root: Path) -> Project:
    """Return the project, built."""
    project = make(root)
    with inside(project.root):
        build_all("hats")
    return project


def copied(project: Project, root: Path) -> Project:
    """Return a copy of a built project, to write reviews in."""
    keep = shutil.ignore_patterns("photos", "src", "stages", ".imagemill")
    shutil.copytree(project.root, root, ignore=keep, copy_function=os.link)
    return Project(root)


def reviews(project: Project, dataset: str = "hats") -> list[Review]:
    """Return what is in the file of reviews; raises where a line of it is wrong."""
    tags = Desk(project.root, dataset).dataset.taxonomy.tags
    return file.load(project.root, dataset, Taxonomy(tags=tags)).refuse().reviews


class Reply(NamedTuple):
    """What a server says."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Site:
    """A page that is served, asked without a browser."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = server.guard.port
        self.url = f"http://127.0.0.1:{self.port}"

    def ask(
        self, path: str, body: object = None, method: str | None = None, **headers: str
    ) -> Reply:
        """Ask as a browser does; a header is named with ``_`` for ``-``, and left out where ''."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            told = {"Content-Type": "application/json", "Origin": self.url, **told}
        told = {"Host": f"127.0.0.1:{self.port}", **told}
        kept = {name: value for name, value in told.items() if value}
        data = json.dumps(body).encode() if body is not None else None
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method or ("POST" if body is not None else "GET"), path, data, kept)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def items(self, query: str = "") -> list[dict[str, Any]]:
        """Return a whole queue, of up to 200."""
        asof = self.ask(f"/api/queue?{query}").json["asof"]
        found: list[dict[str, Any]] = self.ask(f"/api/items?{query}&asof={asof}").json["items"]
        return found

    def save(self, reviewer: str, *given: dict[str, object]) -> Reply:
        """Send verdicts."""
        return self.ask("/api/reviews", {"reviewer": reviewer, "reviews": list(given)})


@contextmanager
def serving(
    project: Project, dataset: str = "hats", reviewer: str = "Saeed", *, token: bool = False
) -> Iterator[Site]:
    """Serve the page of a project in this process."""
    desk = Desk(project.root, dataset, reviewer)
    server = listen(desk, "127.0.0.1", 0, guard.token() if token else None)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Site(server)
    finally:
        server.shutdown()
        server.server_close()
        desk.pictures.close()


@pytest.fixture(scope="module")
def hats(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A built dataset that nobody has reviewed; not to be changed."""
    return built(tmp_path_factory.mktemp("review") / "hats")


@pytest.fixture
def fresh(hats: Project, tmp_path: Path) -> Project:
    """A copy of it to write in."""
    return copied(hats, tmp_path / "hats")


@pytest.fixture
def site(fresh: Project) -> Iterator[Site]:
    """The page of that copy."""
    with serving(fresh) as made:
        yield made


class Process:
    """``imagemill review`` as a user starts it, in a process that can be killed."""

    def __init__(self, project: Project, port: int = 0, *more: str) -> None:
        self._command = [
            *(sys.executable, "-c", "from imagemill.cli import app; app()"),
            *("review", "hats", "--reviewer", "Saeed", *more),
        ]
        self._project = project
        self.start(port)

    def start(self, port: int) -> None:
        """Start it; wait until it says its address."""
        self._process = subprocess.Popen(
            [*self._command, "--port", str(port)],
            cwd=self._project.root,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._process.stderr
        self.said = self._process.stderr.readline()
        found = re.search(r"http://\S+", self.said)
        assert found, self.said + self._process.stderr.read()
        self.url = found[0].rstrip("/")
        self.port = int(re.findall(r":(\d+)", self.url)[0])

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        """End it without warning."""
        self._process.send_signal(by)
        self._process.wait()
        assert self._process.stderr
        self._process.stderr.close()


def enlarged(project: Project, root: Path, count: int) -> Project:
    """Return a copy of a built project with so many images, all flagged, of the same few pictures.

    Only what the page reads is enlarged.
    """
    made = copied(project, root)
    data = made.root / "data/hats"
    samples = SAMPLES.read(data / "merge").filter(pl.col("reason").is_null()).head(40)
    places = PLACES.read(data / "download").join(samples, on="digest", how="semi")
    numbers = pl.DataFrame({"n": range(count)}).with_columns(at=pl.col("n") % len(places))
    every = numbers.join(places.with_row_index("at").cast({"at": pl.Int64}), on="at")
    every = every.with_columns(
        old="digest",
        digest=pl.Series([sha256(str(each).encode()).hexdigest() for each in every["n"]]),
        sample=pl.format("photos/train/hat/{}.png", pl.col("n").cast(pl.String).str.zfill(6)),
    )
    facts = FACTS.read(data / "measure").rename({"digest": "old"})
    named = every.with_columns(source=pl.lit("photos"), label=pl.lit("hat"), split=pl.lit("train"))
    flags = named.with_columns(
        code=pl.lit("mislabel"), confidence=1 - pl.col("n") / count, suggested=pl.lit("shoes")
    )
    _replace(PLACES, data / "download", every)
    _replace(FACTS, data / "measure", every.select("digest", "old").join(facts, on="old"))
    _replace(SAMPLES, data / "merge", named)
    _replace(EVIDENCE, data / "clean", flags.with_columns(source=pl.lit("audit:x")))
    _replace(VERDICTS, data / "clean", named.with_columns(verdict=pl.lit("keep")))
    (data / "leaks" / MANIFEST.file).unlink()
    return made


def _replace(table: Table, folder: Path, rows: pl.DataFrame) -> None:
    lacking = [
        pl.lit(None, kind).alias(name)
        for name, kind in table.columns.items()
        if name not in rows.columns
    ]
    (folder / table.file).unlink()
    table.write(folder, rows.with_columns(lacking).unique(table.key))
