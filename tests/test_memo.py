"""The memo loses nothing that was added, whatever happens to the processes that use it."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl
import pytest

from imagemill import memo
from imagemill.errors import BuildError
from imagemill.memo import Memo, fingerprint
from imagemill.stage import Paths
from tests import make

SCHEMA = {"digest": pl.String, "number": pl.Int64, "thumb": pl.Binary}


def rows(*numbers: int) -> pl.DataFrame:
    made = [(make.digest(str(n)), n, str(n).encode() * 200) for n in numbers]
    return pl.DataFrame(made, SCHEMA, orient="row")


def opened(root: Path, name: str = "f-1") -> Memo:
    return Memo(root, name, SCHEMA)


def found(kept: Memo, *numbers: int) -> list[int]:
    """The numbers that are remembered, each of which must come with all it was added with."""
    frame = kept.find(rows(*numbers)["digest"])
    assert frame.equals(rows(*frame["number"]).sort("digest"))
    return sorted(frame["number"])


def test_what_was_added_is_found_again_once_and_by_digest(tmp_path):
    opened(tmp_path).add(rows(3, 1, 2))
    opened(tmp_path).add(rows(2, 5))
    assert found(opened(tmp_path), 1, 2, 4, 5) == [1, 2, 5]
    assert found(opened(tmp_path)) == []


def test_another_fingerprint_is_another_memo(tmp_path):
    opened(tmp_path, "f-1").add(rows(1))
    assert found(opened(tmp_path, "f-2"), 1) == []


@pytest.mark.parametrize(
    "other",
    [("g", 1, {"side": 1}), ("f", 2, {"side": 1}), ("f", 1, {"side": 2}), ("f", 1, {"width": 1})],
)
def test_the_fingerprint_changes_with_name_version_and_parameters(other):
    name, version, parts = other
    assert fingerprint(name, version, **parts) != fingerprint("f", 1, side=1)


def test_the_fingerprint_does_not_depend_on_the_order_of_parameters():
    assert fingerprint("f", 1, a=1, b=2) == fingerprint("f", 1, b=2, a=1)


def test_the_folder_may_be_deleted_between_any_two_calls(tmp_path):
    kept = opened(tmp_path)
    for call in (
        lambda: found(kept, 1),
        lambda: kept.add(rows(1)),
        kept.tidy,
        lambda: kept.add(rows(2)),
    ):
        shutil.rmtree(tmp_path, ignore_errors=True)
        call()
    assert found(kept, 1, 2) == [2]


def damaged(data: bytes) -> Iterator[bytes]:
    chance = random.Random(3)
    yield b""
    yield b"not parquet"
    for _ in range(20):
        at = chance.randrange(len(data))
        yield data[:at]
        yield data[:at] + bytes(len(data) - at)
        yield data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def test_a_damaged_segment_is_forgotten_and_said_so(tmp_path, capsys):
    kept = opened(tmp_path)
    kept.add(rows(1))
    for n, data in enumerate(damaged(next(kept.folder.glob("*.parquet")).read_bytes())):
        kept.add(rows(2))
        segment = next(path for path in kept.folder.glob("*.parquet"))
        segment.write_bytes(data)
        assert found(kept, 1, 2) != [1, 2]
        assert not segment.exists()
        kept.add(rows(1))
        assert "is damaged and forgotten" in capsys.readouterr().err, n
    kept.add(rows(2))
    assert found(kept, 1, 2) == [1, 2]


def segments(kept: Memo) -> int:
    return len(list(kept.folder.glob("*.parquet")))


@pytest.mark.parametrize(("many", "left"), [(memo.MANY, memo.MANY), (memo.MANY + 1, 1)])
def test_segments_are_merged_when_there_are_many(tmp_path, many, left):
    kept = opened(tmp_path)
    for n in range(many):
        kept.add(rows(n, n + 1))
    kept.tidy()
    assert segments(kept) == left
    assert found(kept, *range(many + 2)) == list(range(many + 1))


def test_a_large_segment_is_not_merged_again(tmp_path, monkeypatch):
    monkeypatch.setattr(memo, "SMALL", 5000)
    kept = opened(tmp_path)
    kept.add(rows(*range(1000)))
    (large,) = kept.folder.glob("*.parquet")
    before = large.stat()
    for n in range(memo.MANY + 1):
        kept.add(rows(n))
    kept.tidy()
    assert (large.stat().st_ino, large.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert segments(kept) < memo.MANY


def test_all_that_is_remembered_comes_a_segment_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(memo, "SMALL", 20_000)
    kept = opened(tmp_path)
    for n in range(0, 4 * memo.MANY, 2):
        kept.add(rows(n, n + 1))
    before = segments(kept)
    kept.tidy()
    assert 1 < segments(kept) < before / 4  # few, and none of all of it
    pieces = list(kept.each())
    assert len(pieces) == segments(kept)
    assert sorted(n for piece in pieces for n in piece["number"]) == list(range(4 * memo.MANY))


def test_damaged_segments_alone_can_be_tidied(tmp_path):
    kept = opened(tmp_path)
    for n in range(memo.MANY + 1):
        kept.add(rows(n))
    for path in kept.folder.glob("*.parquet"):
        path.write_bytes(b"")
    kept.tidy()
    assert found(kept, 1) == []


def test_unfinished_segments_are_removed_once_they_are_old(tmp_path):
    kept = opened(tmp_path)
    kept.add(rows(1))
    young, old = kept.folder / "a.1.part", kept.folder / "b.2.part"
    for path in (young, old):
        path.write_bytes(b"half")
    past = time.time() - memo.STALE - 60
    os.utime(old, (past, past))
    kept.tidy()
    assert young.exists()
    assert not old.exists()


def adding(say: Connection, root: Path, start: int, end: int) -> None:
    """Add two rows a segment, say each, and tidy."""
    kept = opened(root)
    for n in range(start, end):
        kept.add(rows(n, n + 1_000_000))
        say.send(n)
        kept.tidy()


def test_two_processes_that_add_and_tidy_at_once_lose_nothing_that_a_third_reads(tmp_path):
    pair = [make.process(adding, tmp_path, start, start + 150) for start in (0, 1000)]
    kept, seen = opened(tmp_path), 0
    everything = [*range(150), *range(1000, 1150)]
    while any(process.is_alive() for process, _ in pair):
        now = len(found(kept, *everything))
        assert now >= seen
        seen = now
    assert [process.exitcode for process, _ in pair] == [0, 0]
    assert found(kept, *everything) == everything
    assert segments(kept) <= memo.MANY + 1


def test_processes_that_are_killed_leave_only_whole_rows(tmp_path):
    chance = random.Random(5)
    said: list[int] = []
    for first in range(0, 10_000, 2000):
        pair = [
            make.process(adding, tmp_path, first + half, first + half + 900) for half in (0, 1000)
        ]
        for process, hear in pair:
            said += [hear.recv() for _ in range(chance.randrange(1, 120))]
            process.kill()
            said += make.rest(hear)
            process.join()
            assert process.exitcode == -signal.SIGKILL
    kept = opened(tmp_path)
    assert set(said) <= set(found(kept, *range(10_000)))
    assert set(found(kept, *(n + 1_000_000 for n in said))) == {n + 1_000_000 for n in said}
    kept.tidy()
    assert set(said) <= set(found(kept, *range(10_000)))


def test_a_memo_that_can_be_no_folder_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("IMAGEMILL_MEMO", str(tmp_path / "file"))
    with pytest.raises(
        BuildError, match=r"IMAGEMILL_MEMO: .*/file can be no folder \(File exists\)"
    ):
        Paths(tmp_path, "pets", tmp_path / "out").memo  # noqa: B018 (it is what raises)
