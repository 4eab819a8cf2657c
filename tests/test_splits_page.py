"""docs/splits.md is true: its config builds, and imagemill prints what the page shows."""

import re
from contextlib import redirect_stderr
from io import StringIO

import pytest
import yaml

from imagemill.config.compose import resolve
from imagemill.config.project import Project as Config
from imagemill.errors import GateError
from stages.config import SECTIONS
from tests.conftest import ROOT, Project, build_all
from tests.test_leaks_flow import ALBUM, fill_album

PAGE = (ROOT / "docs/splits.md").read_text()

RUNS: list[tuple[list[str] | None, list[str]]] = [
    ([], ["leaks", "album"]),
    (["leaks.remove_from=[test]"], ["verify", "album"]),
    (["leaks=assigned"], ["verify", "album"]),
    (None, ["freeze", "album"]),
    (["leaks=assigned"], ["fingerprint", "album/test", "-o", "fingerprints/album_test.parquet"]),
]
"""The page's overrides, None where nothing is built, and the command after each build."""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that imagemill prints in the runs of the page, and the summaries that it writes."""
    album = fill_album(tmp_path_factory.mktemp("page") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(album.root)
        patch.setenv("IMAGEMILL_ENGINE", "engine=inline")
        return "\n".join(said(album, *run) for run in RUNS)


def said(album: Project, overrides: list[str] | None, command: list[str]) -> str:
    told = []
    if overrides is not None:
        album.datasets(album=overrides)
        told.append(built(album))
    told.append(album.run("imagemill", *command).stdout)
    summary = album.root / "data/album/leaks/summary.txt"
    return "\n".join([*told, summary.read_text() if summary.exists() else ""])


def built(album: Project) -> str:
    heard = StringIO()
    with redirect_stderr(heard):
        try:
            build_all("album")
        except GateError as error:
            print(f"error: {error}", file=heard)
    return heard.getvalue()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.S | re.M)


@pytest.mark.parametrize("block", blocks("text"))
def test_imagemill_prints_what_the_page_shows(block: str, printed: str) -> None:
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    for line in block.splitlines():
        shown = re.escape(" ".join(line.split())).replace("…", ".+")
        assert any(re.fullmatch(shown, one) for one in lines), line


def test_the_config_of_the_page_is_the_one_that_is_built() -> None:
    assert blocks("yaml")[0] == ALBUM


def test_every_setting_that_the_page_names_is_one(tmp_path) -> None:
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    table = PAGE[PAGE.index("| you want |") : PAGE.index("With `remove_from: [test]`")]
    told = [each.split(": ", 1) for each in re.findall(r"`(leaks\.[^`]+: [^`]+)`", table)]
    assert len(told) >= 6
    commands = re.findall(r"`(leaks=given [^`]+)`", PAGE)
    assert len(commands) == 3
    runs = [[f"{key}={value.replace(' ', '')}"] for key, value in told]
    runs += [each.split() for each in commands if "semantic" not in each]
    for overrides in runs:
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"datasets": {"solar": overrides}}))
        assert resolve(Config(tmp_path), "solar", SECTIONS)


def test_the_page_names_every_file_that_leaks_writes() -> None:
    outs = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["leaks"]["do"]
    files = [each.rsplit("/", 1)[1] for each in outs["outs"]]
    files += [next(iter(each)).rsplit("/", 1)[1] for each in outs["plots"]]
    assert [name for name in files if f"`{name}`" not in PAGE] == []
