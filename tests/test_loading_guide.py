"""docs/loading.md is what happens."""

import doctest
import re
import warnings
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.training import built, rows

pytest.importorskip("torch", reason="torch is not installed: pip install torch")

CALLED = {"cat": "cat", "dog, big": "dog", "1.5": "bird"}
GUIDE = ROOT / "docs/loading.md"


def test_the_guide_to_loading_shows_what_happens(tmp_path, monkeypatch):
    given = [{**row, "label": CALLED[row["label"]]} for row in rows()]
    made = built(tmp_path / "made", "hdf5", given)
    (tmp_path / "data/pets").mkdir(parents=True)
    made.parent.rename(tmp_path / "data/pets/package")
    monkeypatch.chdir(tmp_path)
    # A doctest hears what is printed; warnings go elsewhere.
    monkeypatch.setattr(warnings, "showwarning", printed)
    text = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S))
    example = doctest.DocTestParser().get_doctest(text, {}, GUIDE.name, str(GUIDE), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(example, out=said.append)
    assert not runner.summarize(verbose=False).failed, "".join(said)
    assert len(example.examples) > 20


def printed(message: Warning | str, category: type[Warning], *_: object) -> None:
    print(f"{category.__name__}: {message}")


def test_every_message_in_the_guide_is_one_of_the_readers():
    table = GUIDE.read_text()[GUIDE.read_text().index("## What goes wrong") :]
    code = "".join(path.read_text() for path in Path(ROOT / "src/imagemill/readers").glob("*.py"))
    code += (ROOT / "src/imagemill/torch/loader.py").read_text()
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # a text of several lines
    for words in re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (.*?) \|", table, re.M))):
        parts = [part.strip() for part in re.split(r"[.()\d;,]|\bx\b", words)]
        assert all(part in code for part in parts), words
