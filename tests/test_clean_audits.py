"""Exports of other tools: columns by their aliases, rows to samples, nothing lost in silence."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagemill.clean import audits
from imagemill.clean.settings import Audit
from imagemill.errors import BuildError, ConfigError
from imagemill.tables import SAMPLES
from tests import make
from tests.conftest import ROOT

KEYS = ["train/cat/1.jpg", "train/cat/2.jpg", "test/cat/2.jpg", "test/dog/000000000139.jpg"]
SAMPLES_ = make.frame(SAMPLES, *[{"source": "album", "key": key} for key in KEYS])

GUIDE = "image_id,image_path,label,issue_type,confidence,suggested_label,reason\n"


def preset(name: str) -> dict[str, Any]:
    """What a file of ``conf/audit`` says, with its defaults."""
    found = yaml.safe_load((ROOT / f"conf/audit/{name}.yaml").read_text())
    base = preset(found.pop("defaults")[0]) if "defaults" in found else {}
    columns = {**base.get("columns", {}), **found.get("columns", {})}
    return {**base, **found, "columns": columns}


def audit(root: Path, text: str | bytes, preset_: str = "visual_layer", **more: Any) -> Audit:
    content = text.encode() if isinstance(text, str) else text
    (root / "audits").mkdir(exist_ok=True)
    (root / "audits/x.csv").write_bytes(content)
    said = {"path": "audits/x.csv", "content": sha256(content).hexdigest()}
    return Audit.model_validate({**preset(preset_), **said, **more})


def read(root: Path, text: str | bytes, preset_: str = "visual_layer", **more: Any) -> tuple:
    given = {"x": audit(root, text, preset_, **{"min_matched": 0.0, **more})}
    flagged, unmatched = audits.read(root, given, SAMPLES_)
    return flagged, unmatched


def test_the_guides_columns_become_evidence(tmp_path: Path) -> None:
    flagged, unmatched = read(
        tmp_path,
        GUIDE + '7,train/cat/1.jpg,cat,mislabel,0.93,dog,"looks, like a dog"\n'
        "8,test/cat/2.jpg,cat,Near Duplicates,95%,,\n",
    )
    assert flagged.drop("id", "path", "line").rows() == [
        ("album/train/cat/1.jpg", "audit:x", "mislabel", 0.93, "dog", "looks, like a dog"),
        ("album/test/cat/2.jpg", "audit:x", "near_duplicate", 0.95, None, None),
    ]
    assert unmatched.is_empty()


def test_so_do_their_other_names_in_any_case_and_order(tmp_path: Path) -> None:
    flagged, _ = read(tmp_path, "\ufeffFLAG,class,Path,id\nOutliers,cat,train/cat/1.jpg,1\n")
    assert flagged.select("sample", "code").rows() == [("album/train/cat/1.jpg", "outlier")]


NAMES = {
    "train/cat/1.jpg": "album/train/cat/1.jpg",
    "album/train/cat/1.jpg": "album/train/cat/1.jpg",
    "./train/cat/1.jpg": "album/train/cat/1.jpg",
    "/home/ann/data/train/cat/1.jpg": "album/train/cat/1.jpg",
    "C:\\data\\train\\cat\\1.jpg": "album/train/cat/1.jpg",
    "1.jpg": "album/train/cat/1.jpg",
    "elsewhere/1.jpg": "album/train/cat/1.jpg",
    "2.jpg": "several_samples",
    "3.jpg": "no_sample",
    "../../etc/passwd": "no_sample",
}


@pytest.mark.parametrize(("path", "sample"), NAMES.items(), ids=NAMES)
def test_a_path_names_a_sample_or_none(tmp_path: Path, path: str, sample: str) -> None:
    flagged, unmatched = read(tmp_path, f"path,flag\n{path},mislabel\n")
    found = flagged["sample"].to_list() or unmatched["why"].to_list()
    assert found == [sample]


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("test/dog/000000000139.jpg", "album/test/dog/000000000139.jpg"),
        ("000000000139", "album/test/dog/000000000139.jpg"),
        ("139", "album/test/dog/000000000139.jpg"),
        ("139.0", "album/test/dog/000000000139.jpg"),
        ("1", "album/train/cat/1.jpg"),
        ("2", "several_samples"),
        ("77", "no_sample"),
    ],
)
def test_an_id_names_a_sample_or_none(tmp_path: Path, name: str, sample: str) -> None:
    flagged, unmatched = read(tmp_path, f"id,flag\n{name},mislabel\n")
    found = flagged["sample"].to_list() or unmatched["why"].to_list()
    assert found == [sample]


def test_rows_that_name_no_sample_are_counted_and_listed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, unmatched = read(tmp_path, "id,path,flag\n7,train/cat/1.jpg,a\n8,gone.jpg,a\n,2.jpg,a\n")
    assert unmatched.rows() == [
        ("x", 3, "8", "gone.jpg", "no_sample"), ("x", 4, None, "2.jpg", "several_samples"),
    ]  # fmt: skip
    assert "clean: audits/x.csv: 3 rows, 2 of them name no sample" in capfd.readouterr().err


def test_malformed_rows_are_named_by_line_and_nothing_else_is_lost(tmp_path: Path) -> None:
    text = (
        'path,flag,reason\ntrain/cat/1.jpg,mislabel,"two\nlines"\n\nx,y\n'
        'test/cat/2.jpg,outlier,""\ntrain/cat/2.jpg,out'
    )
    flagged, unmatched = read(tmp_path, text)
    assert flagged.select("line", "code", "detail").rows() == [
        (2, "mislabel", "two\nlines"), (6, "outlier", None),
    ]  # fmt: skip
    assert unmatched.select("line", "why").rows() == [(5, "malformed"), (7, "malformed")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; export it again"),
        ("label,flag\ncat,mislabel\n", "no column names the image: looked for image_path, path,"),
        ("path,label\n1.jpg,cat\n", "no column names the flag: looked for issue_type, flag; there"),
        ("path,flag,flag\n1.jpg,a\n", "two columns are called the same"),
    ],
)
def test_a_missing_column_says_what_there_is(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BuildError, match=r"clean\.audits\.x: audits/x\.csv") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_the_export_of_another_dataset_is_refused(tmp_path: Path) -> None:
    text = "path,flag\n" + "".join(f"birds/{n}.png,mislabel\n" for n in range(9))
    with pytest.raises(
        BuildError, match=r"0 of its 9 rows name .* line 2 names birds/0\.png. Is it"
    ):
        read(tmp_path, text, min_matched=0.5)
    half = text + "".join(f"{key},mislabel\n" for key in KEYS)
    assert len(read(tmp_path, half, min_matched=4 / 13)[0]) == 4


def test_a_file_that_is_not_there_or_has_changed_stops_the_build(tmp_path: Path) -> None:
    given = audit(tmp_path, "path,flag\n")
    (tmp_path / "audits/x.csv").write_text("path,flag\n1.jpg,a\n")
    with pytest.raises(BuildError, match="is not what the config was written for"):
        audits.read(tmp_path, {"x": given}, SAMPLES_)
    (tmp_path / "audits/x.csv").unlink()
    with pytest.raises(ConfigError, match="there is no such file; put the export there"):
        audits.read(tmp_path, {"x": given}, SAMPLES_)


@pytest.mark.parametrize("path", ["x.csv", "/etc/passwd", "audits/../x.csv", "data/x.csv"])
def test_an_export_lies_where_dvc_looks(path: str) -> None:
    with pytest.raises(ValueError, match="must be a file in audits/"):
        Audit.model_validate({**preset("csv"), "path": path, "content": None})


def test_one_source_can_be_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source: albums: no such source; did you mean album\?"):
        read(tmp_path, "path,flag\n1.jpg,a\n", source="albums")
    assert len(read(tmp_path, "path,flag\n1.jpg,a\n", source="album")[0]) == 1


def test_cleanvisions_columns_are_a_flag_each(tmp_path: Path) -> None:
    text = (
        ",is_dark_issue,dark_score,is_blurry_issue,blurry_score\n"
        "/data/train/cat/1.jpg,True,0.25,False,0.9\n/data/train/cat/2.jpg,True,0.5,True,0.0\n"
    )
    flagged, _ = read(tmp_path, text, "cleanvision")
    assert sorted(flagged.select("sample", "code", "confidence").rows()) == [
        ("album/train/cat/1.jpg", "dark", 0.75),
        ("album/train/cat/2.jpg", "blurry", 1.0),
        ("album/train/cat/2.jpg", "dark", 0.5),
    ]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("fastdup", "filename_outlier,distance\n/d/train/cat/1.jpg,0.6\n", "outlier"),
        ("fiftyone", "filepath,mistakenness,prediction\n/d/train/cat/1.jpg,0.9,dog\n", "mislabel"),
        ("csv", "file,issue\ntrain/cat/1.jpg,Odd One\n", "odd_one"),
    ],
)
def test_other_tools_exports_are_known(tmp_path: Path, name: str, text: str, code: str) -> None:
    flagged, _ = read(tmp_path, text, name)
    assert flagged.select("sample", "code").rows() == [("album/train/cat/1.jpg", code)]


def test_a_quote_that_nobody_closes_swallows_no_other_row(tmp_path: Path) -> None:
    rest = "".join(f"{key},outlier\n" for key in KEYS)
    flagged, unmatched = read(tmp_path, f'path,flag\n1.jpg,"mislabel\n{rest}')
    assert flagged["sample"].to_list() == [f"album/{key}" for key in KEYS]
    assert unmatched.select("line", "why").rows() == [(2, "malformed")]
