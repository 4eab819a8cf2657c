"""Files and folders appear whole or not at all, and one process at a time works on them."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from imagemill.files import locked, replacing, swap


def tree(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()
    }


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert tree(tmp_path) == {"x": "new"}


def test_a_file_stays_as_it_was_when_the_block_fails(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as beside:
        beside.write_text("half, and \ud800", encoding="utf-8")
    assert tree(tmp_path) == {"x": "old"}


def test_a_folder_takes_the_place_of_another_with_nothing_left_of_it(tmp_path):
    new, old = tmp_path / "new", tmp_path / "deep" / "old"
    for turn in ("one", "two"):
        new.mkdir()
        (new / turn).write_text(turn)
        swap(new, old)
        assert tree(tmp_path) == {f"deep/old/{turn}": turn}


def test_what_a_killed_swap_left_behind_does_not_stop_the_next(tmp_path):
    new, old, away = tmp_path / "new", tmp_path / "old", tmp_path / "new.old"
    for folder in (new, old, away):
        folder.mkdir()
        (folder / "x").write_text(folder.name)
    swap(new, old)
    assert tree(tmp_path) == {"old/x": "new"}


HOLDING = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from imagemill.files import locked
with locked(Path(sys.argv[1]), "waiting"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDING, str(path)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_a_second_process_says_that_it_waits_and_goes_on_when_the_first_is_killed(tmp_path):
    path = tmp_path / "locks" / "x"
    first = holder(path)
    assert first.stdout.readline() == "held\n"
    second = holder(path)
    assert second.stderr.readline() == "waiting\n"
    first.kill()
    assert second.stdout.readline() == "held\n"
    assert second.communicate("")[1] == ""
    first.communicate()


def test_a_lock_that_is_free_is_taken_without_a_word(tmp_path, capsys):
    for _ in range(2):
        with locked(tmp_path / "x", "waiting"):
            pass
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_folder_takes_the_place_of_one_on_another_disk(tmp_path):
    with TemporaryDirectory(dir="/dev/shm") as other:
        for words in ("first", "second"):
            new = tmp_path / "new"
            new.mkdir()
            (new / "file").write_text(words)
            swap(new, Path(other) / "stage")
            assert [p.read_text() for p in (Path(other) / "stage").iterdir()] == [words]
            assert [p.name for p in Path(other).iterdir()] == ["stage"]
            assert not new.exists()
