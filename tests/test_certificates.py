"""A certificate travels with a package and verifies for what was checked, and for nothing else."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from imagemill import certificates, export, packaged, verify
from imagemill.errors import BuildError
from imagemill.exported import MANIFEST
from imagemill.tables import CONTENTS
from tests.conftest import Build, Project, build_all, draw_pets
from tests.draw import photo_bytes


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a package in both formats, and an export of it in ``out``."""
    project = draw_pets(tmp_path_factory.mktemp("certified") / "project")
    both = "package=[imagefolder,hdf5]"
    project.datasets(pets=[both, "package.formats.hdf5.width=32", "package.formats.hdf5.height=32"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        patch.setenv("IMAGEMILL_ENGINE", "engine=inline")
        build_all("pets")
        found = packaged.find(project.root, "pets")
        export.export(found, project.root / "out", "fail", check=False)
    return project


@pytest.fixture
def out(built: Project, tmp_path: Path) -> Path:
    """A copy of the export, to be forged."""
    return Path(shutil.copytree(built.root / "out", tmp_path / "out"))


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The differences that are named."""
    with pytest.raises(BuildError):
        verify.folder(folder)
    return capsys.readouterr().err.splitlines()


def edited(folder: Path, edit: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change the manifest of a folder."""
    CONTENTS.write(folder, edit(CONTENTS.read(folder)))


def row(member: str, /, **values: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Return what gives the row of ``member`` other values."""
    return lambda rows: rows.with_columns(
        pl.when(pl.col("member") == member).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def member(folder: Path, label: str = "cat", split: str = "train") -> str:
    found: str = CONTENTS.read(folder).filter(label=label, split=split)["member"][0]
    return found


def test_the_certificate_of_what_was_exported_verifies_and_says_what_was_checked(out: Path) -> None:
    told = certificates.read(out / certificates.FILE)
    said = verify.folder(out)
    assert "holds its 12 images of 2 labels" in said
    assert (
        f"certificate.json {told['id'][:16]} verifies: checked for leaks of bytes, pixels, "
        "perceptual, group; remaining: none"
    ) in said
    assert told["dataset"] == "pets"
    assert told["made"] == "assigned by imagemill"


def test_every_format_of_a_package_has_its_certificate(built: Project) -> None:
    said = verify.dataset(built.root, "pets")
    assert said.count("verifies: checked for leaks of") == 2
    issued = certificates.read(built.root / "data/pets/leaks" / certificates.FILE)
    for name in ("imagefolder", "hdf5"):
        told = certificates.read(built.root / "data/pets/package" / name / certificates.FILE)
        assert told["content"] == issued["content"]
        assert told["rows"] == 12


def test_without_a_certificate_verify_says_that_there_is_none(out: Path) -> None:
    (out / certificates.FILE).unlink()
    assert "has no certificate.json" in verify.folder(out)


def test_a_file_that_was_swapped_after_packaging_is_named(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = member(out)
    data = bytearray((out / one).read_bytes())
    data[len(data) // 2] ^= 1
    (out / one).write_bytes(data)
    assert refused(out, capsys) == [f"checksum: {one}"]


def test_a_file_that_was_swapped_with_its_row_is_named(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = member(out), photo_bytes(77)
    (out / one).write_bytes(other)
    edited(out, row(one, packaged=sha256(other).hexdigest(), bytes=len(other)))
    assert refused(out, capsys) == [
        f"uncertified: {one}: its row of manifest.parquet is not one that was packaged"
    ]


@pytest.mark.parametrize(
    "values", [{"label": "dog"}, {"digest": "0" * 64}, {"sample": "x/y"}, {"class": 1}]
)
def test_a_row_of_the_manifest_that_was_edited_is_named(
    out: Path, values: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    one = member(out)
    edited(out, row(one, **values))
    assert f"uncertified: {one}: its row of manifest.parquet is not one that was packaged" in (
        refused(out, capsys)
    )


def test_a_sample_that_was_moved_to_another_split_is_named(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = member(out, split="test")
    moved = one.replace("test/", "train/", 1)
    (out / one).rename(out / moved)
    assert {f"missing: {one}", f"extra: {moved}"} <= set(refused(out, capsys))
    edited(out, row(one, split="train", member=moved))
    said = "its row of manifest.parquet is not one that was packaged"
    assert f"uncertified: {moved}: {said}" in refused(out, capsys)


def test_a_sample_that_was_taken_out_with_its_row_is_missed(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = member(out)
    (out / one).unlink()
    edited(out, lambda rows: rows.filter(pl.col("member") != one))
    assert "uncertified: manifest.parquet: 1 rows are gone that were packaged" in (
        refused(out, capsys)
    )


def test_a_certificate_that_was_edited_does_not_verify(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / certificates.FILE
    told = json.loads(path.read_text())
    told["leaks"]["pixels"]["found"] = 0
    told["splits"]["train"] = 99
    path.write_text(json.dumps(told))
    assert refused(out, capsys) == ["uncertified: certificate.json: edited after it was written"]


def test_a_certificate_of_another_package_does_not_verify(
    out: Path, built: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (certificates.FILE, certificates.SEALS):
        shutil.copy(built.root / "data/pets/package/hdf5" / name, out / name)
    assert len(refused(out, capsys)) == 12


def test_seals_that_are_missing_or_damaged_are_named(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (out / certificates.SEALS).write_bytes(b"PAR1")
    (said,) = refused(out, capsys)
    assert said.startswith("uncertified: certificate.json: it cannot be read with seals.parquet")
    (out / certificates.SEALS).unlink()
    assert len(refused(out, capsys)) == 1


def test_a_row_that_was_edited_in_the_project_itself_is_named(
    project: Project, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    build(project, "pets")
    folder = project.root / "data/pets/package/imagefolder"
    one = member(folder)
    edited(folder, row(one, digest="0" * 64))
    with pytest.raises(BuildError, match="1 uncertified"):
        verify.dataset(project.root, "pets")
    assert f"uncertified: {one}: its row" in capsys.readouterr().err


def test_an_export_without_a_certificate_leaves_no_older_one(built: Project, out: Path) -> None:
    place = built.root / "data/pets/package/imagefolder"
    bare = shutil.copytree(place.parent, out.parent / "data/pets/package") / "imagefolder"
    for name in (certificates.FILE, certificates.SEALS):
        (bare / name).unlink()
    export.export(packaged.find(out.parent, "pets"), out, "fail", check=False)
    assert not (out / certificates.FILE).exists()
    assert (out / MANIFEST).exists()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "train", "0", "x"), ("a", "train", "0", "y")),
        (("a", "train", "0", "x"), ("a", "test", "0", "x")),
        (("a", "train", "0", "x"), ("a", "train", "1", "x")),
        (("a", None, "0", "x"), ("a", "-", "0", "x")),
        (("a", "1:b", "c", "x"), ("a", "1", "b c", "x")),
    ],
)
def test_splits_that_differ_in_anything_have_different_hashes(
    one: tuple[str | None, ...], other: tuple[str | None, ...]
) -> None:
    schema = dict.fromkeys(certificates.SPLIT, pl.String)
    hashes = [
        certificates.content(pl.DataFrame([rows], schema, orient="row")) for rows in (one, other)
    ]
    assert hashes[0] != hashes[1]


def test_a_certificate_of_another_split_does_not_verify_though_its_rows_do(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = certificates.read(out / certificates.FILE)
    certificates.write(out / certificates.FILE, {**told, "content": "0" * 64})
    said = "uncertified: certificate.json: another split was checked than the manifest has"
    assert refused(out, capsys) == [said]


def test_a_row_that_was_added_or_doubled_is_named(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = member(out), photo_bytes(77)
    more = one.replace(".png", " 2.png")
    (out / more).write_bytes(other)
    new = row(one, member=more, packaged=sha256(other).hexdigest(), bytes=len(other))
    whole = CONTENTS.read(out)
    edited(out, lambda rows: pl.concat([rows, new(rows).filter(member=more)]))
    assert f"uncertified: {more}: its row of manifest.parquet is not one that was packaged" in (
        refused(out, capsys)
    )
    (out / more).unlink()
    CONTENTS.write(out, pl.concat([whole, whole.filter(member=one)]))
    said = "uncertified: certificate.json: another split was checked than the manifest has"
    assert said in refused(out, capsys)


def forged(out: Path) -> None:
    """Swap a file, and write manifest, seals and certificate anew as imagemill would."""
    one, other = member(out), photo_bytes(77)
    (out / one).write_bytes(other)
    edited(out, row(one, packaged=sha256(other).hexdigest(), bytes=len(other)))
    told = certificates.read(out / certificates.FILE)
    (out / "package").mkdir()
    shutil.copy(out / MANIFEST, out / "package" / MANIFEST)
    certificates.write(out / "told.json", {**told, "leaks": {}})
    certificates.seal(out / "told.json", out)
    for name in (certificates.FILE, certificates.SEALS):
        (out / "package" / name).replace(out / name)
    shutil.rmtree(out / "package")
    (out / "told.json").unlink()


def test_a_package_that_was_forged_as_a_whole_is_not_the_one_whose_id_is_known(out: Path) -> None:
    known = certificates.named(out)
    assert "verifies" in verify.folder(out, known[:16].upper())
    forged(out)
    assert "verifies" in verify.folder(out)
    with pytest.raises(BuildError, match=f"is not {known[:20]}, but .* or a forged one"):
        verify.folder(out, known[:20])
    with pytest.raises(BuildError, match="give 16 digits"):
        verify.folder(out, known[:8])
    (out / certificates.FILE).unlink()
    with pytest.raises(BuildError, match="but missing"):
        verify.folder(out, known)


def test_where_a_dataset_is_built_a_certificate_that_was_not_issued_there_is_named(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    path = project.root / "data/pets/package/imagefolder" / certificates.FILE
    known = certificates.named(path.parent)
    assert "verifies" in verify.dataset(project.root, "pets", known)
    with pytest.raises(BuildError, match="another package, or a forged one"):
        verify.dataset(project.root, "pets", "0" * 64)
    told = certificates.read(path)
    certificates.write(path, {**told, "leaks": {}})
    with pytest.raises(BuildError, match="not what leaks issued for this dataset"):
        verify.dataset(project.root, "pets")
    path.unlink()
    with pytest.raises(BuildError, match="was issued, and is gone"):
        verify.dataset(project.root, "pets")


def test_an_empty_split_has_a_hash_too() -> None:
    empty = pl.DataFrame(schema=dict.fromkeys(certificates.SPLIT, pl.String))
    assert certificates.content(empty) == sha256(b"").hexdigest()
