"""The packs hold exactly what is wanted, and a change fetches and rewrites only what it must."""

import random
import re
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagemill import download, packs
from imagemill.download import packing
from imagemill.engine import Engine
from imagemill.errors import BuildError, SourceError
from imagemill.tables import INDEX, LISTING, PLACES
from tests import make

AVERAGE = 4096


def photo(number: int) -> bytes:
    return random.Random(number).randbytes(400)


class Build:
    """One source folder, and the output of download for it."""

    def __init__(self, root: Path, **config: object) -> None:
        self.root = root
        self.source = root / "source"
        self.out = root / "out"
        self.source.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(exist_ok=True)
        self.settings = {"pack_bytes": AVERAGE, "max_rejected": 0.0, **config}

    def put(self, **files: bytes) -> None:
        make.fill(self.source, files)

    def listing(self) -> pl.DataFrame:
        found = make.folder(self.source).open("album", self.root).listed()
        reason = pl.when(pl.col("key").str.starts_with("unwanted")).then(pl.lit("no_layout"))
        return found.with_columns(
            pl.lit("album").alias("source"), pl.coalesce("reason", reason).alias("reason")
        ).with_columns(pl.col("reason").is_null().alias("wanted"))

    def update(self, listing: pl.DataFrame | None = None, engine: Engine = make.INLINE) -> None:
        sources = {"album": make.folder(self.source)}
        config = download.Config(sources=sources, **self.settings)
        listed = self.listing() if listing is None else listing
        spool = self.root / "spool"
        chosen = listed.select(*LISTING.columns)
        download.update(chosen, config, self.out, self.root, spool, engine)

    def packs(self) -> dict[str, int]:
        """The packs, each with the inode that tells whether it was written again."""
        return {path.name: path.stat().st_ino for path in (self.out / packs.FOLDER).iterdir()}

    def files(self) -> dict[str, bytes]:
        return {
            p.relative_to(self.out).as_posix(): p.read_bytes()
            for p in self.out.rglob("*")
            if p.is_file()
        }

    def held(self) -> dict[str, bytes]:
        """Every content hash of the places table with the bytes at its place."""
        with packs.Reader(self.out / packs.FOLDER) as reader:
            return {
                digest: reader.content(digest, *place)
                for digest, *place in PLACES.read(self.out).iter_rows()
            }

    def index(self) -> dict[str, tuple[str | None, str | None]]:
        rows = INDEX.read(self.out).select("key", "reason", "detail").iter_rows()
        return {key: (reason, detail) for key, reason, detail in rows}


def filled(root: Path, count: int = 60, **config: object) -> Build:
    build = Build(root, **config)
    build.put(**{f"{n}.jpg": photo(n) for n in range(count)})
    return build


def fetched(text: str) -> int:
    return int(re.findall(r"download: ([\d,]+) objects fetched", text)[-1])


def test_every_wanted_content_is_held_once_and_nothing_else(tmp_path):
    build = filled(tmp_path)
    build.put(**{"copy.jpg": photo(3), "unwanted.jpg": photo(99), "empty.jpg": b""})
    build.update()
    contents = [*map(photo, range(60)), b""]
    assert build.held() == {make.sha(data): data for data in contents}
    assert len(build.packs()) > 3
    assert build.index()["copy.jpg"] == (None, None)
    assert build.index()["unwanted.jpg"] == ("no_layout", None)


@settings(max_examples=10)
@given(numbers=st.sets(st.integers(0, 200), min_size=1, max_size=60), data=st.data())
def test_the_packs_follow_from_the_set_of_contents_alone(numbers, data, tmp_path_factory):
    one, two = (Build(tmp_path_factory.mktemp("build")) for _ in range(2))
    one.put(**{f"{n}.jpg": photo(n) for n in numbers})
    order = data.draw(st.permutations(sorted(numbers)))
    two.put(**{f"other/{place}.png": photo(n) for place, n in enumerate([*order, order[0]])})
    two.put(**{f"{n}.jpg": photo(n) for n in range(300, 310)})  # an earlier build of other things
    two.update()
    for n in range(300, 310):
        (two.source / f"{n}.jpg").unlink()
    for build in (one, two):
        build.update()
    files = one.files(), two.files()
    for each in files:
        del each[INDEX.file]
    assert files[0] == files[1]


@pytest.mark.parametrize("engine", [make.workers(1), make.workers(2)], ids=["1", "2"])
def test_every_engine_makes_the_same_bytes(tmp_path, monkeypatch, engine):
    monkeypatch.setattr(packing, "SOON", 0)
    one, other = filled(tmp_path / "one"), filled(tmp_path / "other")
    one.update()
    other.update(engine=engine)
    assert one.files() == other.files()


EDITS = {
    "add": (lambda b: b.put(**{"new.jpg": photo(1000)}), 1, 3),
    "delete": (lambda b: (b.source / "7.jpg").unlink(), 0, 3),
    "change": (lambda b: b.put(**{"7.jpg": photo(1000)}), 1, 4),
    "rename": (lambda b: (b.source / "7.jpg").rename(b.source / "x.jpg"), 0, 0),
    "copy": (lambda b: b.put(**{"again.jpg": photo(7)}), 0, 0),
    "nothing": (lambda b: None, 0, 0),
}
"""An edit, how many objects it fetches, and how many packs it may rewrite."""


@pytest.mark.parametrize(("edit", "expected", "most"), EDITS.values(), ids=EDITS)
def test_an_edit_fetches_only_new_bytes_and_leaves_most_packs_alone(
    tmp_path, capsys, edit, expected, most
):
    build = filled(tmp_path / "edited", 200)
    build.update()
    before = build.packs()
    capsys.readouterr()
    edit(build)
    build.update()
    assert fetched(capsys.readouterr().err) == expected
    after = build.packs()
    rewritten = [name for name, inode in after.items() if before.get(name) != inode]
    assert len(rewritten) <= most
    fresh = Build(tmp_path / "fresh")
    fresh.source.rmdir()
    build.source.rename(fresh.source)
    fresh.update()
    assert fresh.files() == build.files()


def lose(build: Build, *keys: str) -> pl.DataFrame:
    listing = build.listing()
    for key in keys:
        (build.source / key).unlink()
    return listing


def test_an_object_that_is_gone_or_changed_since_the_scan_is_a_row_with_a_reason(tmp_path, capsys):
    build = filled(tmp_path, max_rejected=0.05)
    listing = lose(build, "7.jpg")
    build.put(**{"8.jpg": photo(100), "9.jpg": photo(9) + b"longer"})
    build.update(listing)
    assert build.index()["7.jpg"] == ("vanished", "listed by scan, gone when read")
    changed = ("changed", "changed between scan and download; build again")
    assert build.index()["8.jpg"] == build.index()["9.jpg"] == changed
    assert build.held() == {make.sha(photo(n)): photo(n) for n in range(60) if n not in (7, 8, 9)}
    assert "3 rejected" in capsys.readouterr().err


def test_a_content_is_taken_from_whichever_object_still_has_it(tmp_path):
    build = filled(tmp_path)
    build.put(**{"0_copy.jpg": photo(7), "z_copy.jpg": photo(7)})
    build.update(lose(build, "0_copy.jpg", "7.jpg"))
    assert build.held()[make.sha(photo(7))] == photo(7)
    assert build.index()["7.jpg"] == (None, None)


def test_what_could_not_be_had_leaves_the_packs_of_a_build_that_never_wanted_it(tmp_path):
    build, without = filled(tmp_path / "a", max_rejected=0.5), filled(tmp_path / "b")
    (without.source / "7.jpg").unlink()
    build.update(lose(build, "7.jpg"))
    without.update()
    assert build.packs().keys() == without.packs().keys()


@pytest.mark.parametrize(("allowed", "stops"), [(2 / 60, False), (1.9 / 60, True)])
def test_more_rejected_than_allowed_stops_the_build(tmp_path, allowed, stops):
    build = filled(tmp_path, max_rejected=allowed)
    listing = lose(build, "7.jpg")
    build.put(**{"8.jpg": photo(100)})
    if stops:
        with pytest.raises(
            SourceError, match=r"3\.3% of .*\(1 changed, 1 vanished\), allowed 3\.2%.*max_rejected"
        ):
            build.update(listing)
    else:
        build.update(listing)


def test_only_the_wanted_rows_of_a_lost_content_say_why(tmp_path):
    build = filled(tmp_path, max_rejected=0.5)
    build.put(**{"unwanted.jpg": photo(7)})
    listing = lose(build, "7.jpg", "unwanted.jpg")
    build.update(listing)
    assert build.index()["7.jpg"][0] == "vanished"
    assert build.index()["unwanted.jpg"] == ("no_layout", None)


def test_an_object_that_scan_could_not_read_keeps_its_reason(tmp_path):
    build = filled(tmp_path)
    (build.source / "broken.jpg").symlink_to("nowhere")
    build.update()
    assert build.index()["broken.jpg"] == ("vanished", None)


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    build = filled(tmp_path)
    build.update()
    before = build.files()
    make.fill(
        build.out / packs.FOLDER, {".0123.tar.77.part": b"half", "0123456789.tar": b"foreign"}
    )
    build.update()
    assert build.files() == before


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[:700] + bytes(len(d) - 700), lambda d: b""]
)
def test_a_torn_pack_is_written_again(tmp_path, damage):
    build = filled(tmp_path)
    build.update()
    before = build.files()
    name = min(build.packs())
    path = build.out / packs.FOLDER / name
    path.unlink()
    (build.out / PLACES.file).unlink()  # a killed first run has packs and no table
    path.write_bytes(damage(before[f"{packs.FOLDER}/{name}"]))
    build.update()
    assert build.files() == before


def test_a_damaged_old_pack_is_named_and_its_deletion_mends_it(tmp_path):
    build = filled(tmp_path)
    build.update()
    digest, pack, offset, _ = PLACES.read(build.out).row(0)
    path = build.out / packs.FOLDER / pack
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    build.settings["pack_bytes"] = 2 * AVERAGE  # all packs are made anew from the old ones
    with pytest.raises(
        BuildError,
        match=rf"{pack} is damaged at byte {offset:,}\. Delete that file and build again",
    ):
        build.update()
    path.unlink()
    build.update()
    assert build.held()[digest] in map(photo, range(60))


def test_other_pack_bounds_fetch_nothing(tmp_path, capsys):
    build = filled(tmp_path)
    build.update()
    capsys.readouterr()
    build.settings["pack_bytes"] = 2 * AVERAGE
    build.update()
    assert fetched(capsys.readouterr().err) == 0


@pytest.mark.parametrize(
    ("fetched", "said"), [(False, "0 obj.* 600,000"), (True, "60 obj.* 1,200,000")]
)
def test_what_cannot_fit_on_the_disk_is_not_begun(tmp_path, fetched, said):
    build = filled(tmp_path)
    listing = build.listing().with_columns(pl.lit(10**13).alias("bytes"))
    if fetched:  # and so twice on the disk: in the spool, and in the packs
        listing = listing.with_columns(tag="digest", digest=pl.lit(None, pl.String))
    with pytest.raises(SourceError, match=rf"^download: {said}\.1 GB of disk; .* GB are free") as e:
        build.update(listing)
    assert "\n" not in str(e.value)
    assert build.packs() == {}


def test_nothing_wanted_makes_no_packs(tmp_path):
    build = Build(tmp_path)
    build.put(**{"unwanted.jpg": photo(1)})
    build.update()
    assert build.packs() == {}
    assert build.held() == {}


def updating(say: Connection, root: Path) -> None:
    """Update a build that is there."""
    build = Build(root)
    listing = build.listing()
    say.send("go")
    build.update(listing)


def test_runs_that_are_killed_leave_nothing_that_changes_the_next(tmp_path):
    chance = random.Random(11)
    build = filled(tmp_path / "killed", 200)
    build.update()
    edits = range(200, 1200)
    build.put(**{f"{n}.jpg": photo(n) for n in edits})
    before, killed = build.packs(), 0
    for _ in range(10):
        process, hear = make.process(updating, build.root)
        hear.recv()
        new, most = 0, chance.randrange(1, 16)
        while process.is_alive() and new < most:
            there = {path.name for path in (build.out / packs.FOLDER).iterdir()}
            new = len(there - before.keys())
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        before = build.packs()
    assert killed > 3
    build.update()
    fresh = filled(tmp_path / "fresh", 200)
    fresh.put(**{f"{n}.jpg": photo(n) for n in edits})
    fresh.update()
    assert build.files() == fresh.files()
