"""Members of archives as objects; what must not be unpacked never is."""

import io
import os
import random
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from imagemill.errors import SourceError
from imagemill.sources import stamps
from imagemill.sources.archive import Archive
from imagemill.sources.archive.objects import ArchiveObjects
from imagemill.sources.objects import UnavailableError, Wanted
from imagemill.tables import INDEX, SAMPLES
from tests import make
from tests.conftest import Build, Project
from tests.draw import photo_bytes

FILES = {"cat/a.jpg": b"one" * 300, "cat/b.jpg": b"two", "dog/c.jpg": b"", "d.jpg": b"one" * 300}

USUAL = {
    "path": "pets",
    "archives": ["*.tar*", "*.tgz", "*.zip"],
    "include": ["*"],
    "exclude": [],
    "max_ratio": 100.0,
    "max_unpacked": 1 << 40,
    "max_bytes": 1 << 28,
}

TARS = {".tar": "w:", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def info(
    name: str, length: int = 0, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = length, kind, link
    return made


def tar(path: Path, files: Mapping[str, bytes], *more: tarfile.TarInfo, mode: str = "w:") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            archive.addfile(info(name, len(data)), io.BytesIO(data))
        for each in more:
            archive.addfile(each)


def zipped(path: Path, files: Mapping[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, packing)


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write an archive of the kind that its name says."""
    if path.suffix == ".zip":
        zipped(path, files)
    else:
        suffix = max((each for each in TARS if path.name.endswith(each)), key=len)
        tar(path, files, mode=TARS[suffix])


def opened(place: Path, **given: object) -> ArchiveObjects:
    return Archive.model_validate({"kind": "archive", **USUAL, **given}).open("pets", place)


def rows(place: Path, **given: object) -> dict[str, tuple[int, str | None]]:
    found = opened(place, **given).listed().select("key", "bytes", "reason").iter_rows()
    return {key: (length, reason) for key, length, reason in found}


def reasons(place: Path, **given: object) -> dict[str, str | None]:
    return {key: reason for key, (_, reason) in rows(place, **given).items()}


def wanted(objects: ArchiveObjects) -> list[Wanted]:
    listed = objects.listed().filter(pl.col("reason").is_null())
    return [Wanted(*row) for row in listed.select("key", "tag", "bytes").iter_rows()]


def fetched(objects: ArchiveObjects, some: list[Wanted]) -> dict[str, bytes | str]:
    return {each.wanted.key: said(each.content) for each in objects.fetch(some)}


def said(content: bytes | UnavailableError) -> bytes | str:
    return content.reason if isinstance(content, UnavailableError) else content


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of files count as past long ago at once."""
    monkeypatch.setattr(stamps, "RACY", -1_000_000_000)


@pytest.mark.parametrize("suffix", [*TARS, ".zip"])
def test_every_member_of_an_archive_is_an_object_with_its_own_bytes(tmp_path, suffix):
    write(tmp_path / f"pets{suffix}", FILES)
    objects = opened(tmp_path, path=f"pets{suffix}")
    listed = objects.listed()
    assert listed["key"].to_list() == sorted(FILES)
    assert listed["digest"].null_count() == len(FILES)
    assert dict(listed.select("key", "bytes").iter_rows()) == {
        key: len(data) for key, data in FILES.items()
    }
    assert fetched(objects, wanted(objects)) == FILES
    some = wanted(objects)[1:3]
    assert fetched(opened(tmp_path, path=f"pets{suffix}"), some) == {
        each.key: FILES[each.key] for each in some
    }


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_packing_of_a_zip_is_read(tmp_path, packing):
    zipped(tmp_path / "pets.zip", FILES, packing)
    objects = opened(tmp_path, path="pets.zip")
    assert fetched(objects, wanted(objects)) == FILES


def test_what_an_archive_is_shows_in_its_bytes_not_in_its_name(tmp_path):
    tar(tmp_path / "a", FILES, mode="w:gz")
    zipped(tmp_path / "b", FILES)
    tar(tmp_path / "c", {"PK/x.jpg": b"x"})
    for name in ("a", "b", "c"):
        objects = opened(tmp_path, path=name)
        assert len(fetched(objects, wanted(objects))) in (1, 4)


def test_of_several_archives_each_is_a_folder_of_keys(tmp_path):
    write(tmp_path / "pets/n01/cats.tar.gz", {"1.jpg": b"1"})
    write(tmp_path / "pets/dogs.zip", {"1.jpg": b"2"})
    write(tmp_path / "pets/v1.2.tar", {"x/1.jpg": b"3"})
    objects = opened(tmp_path)
    expected = {"dogs/1.jpg": b"2", "n01/cats/1.jpg": b"1", "v1.2/x/1.jpg": b"3"}
    assert fetched(objects, wanted(objects)) == expected
    assert rows(tmp_path, archives=["n01/*"]).keys() == {"n01/cats/1.jpg"}


def test_one_archive_in_a_folder_is_a_folder_of_keys_as_well(tmp_path):
    write(tmp_path / "pets/dogs.zip", {"1.jpg": b"2"})
    assert rows(tmp_path).keys() == {"dogs/1.jpg"}


def test_archives_that_would_share_their_keys_are_refused(tmp_path):
    write(tmp_path / "pets/a.zip", FILES)
    write(tmp_path / "pets/a.tar", FILES)
    with pytest.raises(SourceError, match=r"sources\.pets: a\.tar and a\.zip would be one folder"):
        opened(tmp_path)


def test_patterns_choose_among_keys(tmp_path):
    write(tmp_path / "pets.zip", {**FILES, "__MACOSX/x": b""})
    found = rows(tmp_path, path="pets.zip", include=["cat/*", "d*"], exclude=["dog/*"])
    assert found.keys() == {"cat/a.jpg", "cat/b.jpg", "d.jpg"}


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_names_are_keys_without_dots_and_doubled_slashes(tmp_path, suffix):
    write(tmp_path / f"a{suffix}", {"./x//y/./z.jpg": b"1", "snö.jpg": b"2", "a b.jpg": b"3"})
    assert rows(tmp_path, path=f"a{suffix}").keys() == {"x/y/z.jpg", "snö.jpg", "a b.jpg"}


def test_a_zip_made_on_windows_has_slashes(tmp_path):
    made = zipfile.ZipInfo("x")
    made.create_system = 0
    made.filename = "cat\\1.jpg"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(made, b"1")
    assert rows(tmp_path, path="a.zip").keys() == {"cat/1.jpg"}


UNSAFE = ["/etc/passwd", "../up.jpg", "a/../../b.jpg", "C:/x.jpg", "\\\\host\\x.jpg"]


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_leads_out_of_the_archive_is_a_row_with_a_reason(tmp_path, suffix, name):
    write(tmp_path / f"a{suffix}", {name: b"evil", "ok.jpg": b"ok"})
    assert reasons(tmp_path, path=f"a{suffix}") == {name: "unsafe_name", "ok.jpg": None}


def test_a_name_that_cannot_be_written_down_is_a_row_with_a_reason(tmp_path):
    tar(tmp_path / "a.tar", {os.fsdecode(b"\xff.jpg"): b"1", "a\nb": b"2", "a\\x0ab": b"3"})
    assert reasons(tmp_path, path="a.tar") == {"\\xff.jpg": "odd_name", "a\\x0ab": None}


def test_links_and_devices_are_rows_and_folders_are_none(tmp_path):
    tar(
        tmp_path / "a.tar",
        {"real.jpg": b"1"},
        info("soft.jpg", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        info("hard.jpg", kind=tarfile.LNKTYPE, link="real.jpg"),
        info("pipe", kind=tarfile.FIFOTYPE),
        info("disk", kind=tarfile.BLKTYPE),
        info("folder", kind=tarfile.DIRTYPE),
        info("holes.jpg", kind=tarfile.GNUTYPE_SPARSE),
    )
    assert reasons(tmp_path, path="a.tar") == {
        "real.jpg": None,
        "soft.jpg": "link",
        "hard.jpg": "link",
        "pipe": "not_a_file",
        "disk": "not_a_file",
        "holes.jpg": "not_a_file",
    }


def test_a_link_in_a_zip_is_a_row(tmp_path):
    link = zipfile.ZipInfo("soft.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    pipe = zipfile.ZipInfo("pipe")
    pipe.external_attr = stat.S_IFIFO << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr(pipe, "")
        archive.writestr("folder/", "")
    assert reasons(tmp_path, path="a.zip") == {"soft.jpg": "link", "pipe": "not_a_file"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_of_members_with_one_name_the_last_has_it(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, {"x.jpg": b"old", "./x.jpg": b"older", "x.jpg#1": b"real", ".//x.jpg": b"new"})
    assert reasons(tmp_path, path=path.name) == {
        "x.jpg": None,
        "x.jpg#1": None,
        "x.jpg#2": "replaced",
    }
    objects = opened(tmp_path, path=path.name)
    assert fetched(objects, wanted(objects)) == {"x.jpg": b"new", "x.jpg#1": b"real"}


# What must not be unpacked

ZEROS = bytes(32 << 20)


def test_a_member_that_unpacks_to_far_more_than_it_is_is_a_row(tmp_path):
    zipped(tmp_path / "a.zip", {"bomb.jpg": ZEROS, "ok.jpg": b"ok", "small.bmp": bytes(100_000)})
    assert reasons(tmp_path, path="a.zip") == {
        "bomb.jpg": "bomb",
        "ok.jpg": None,
        "small.bmp": None,
    }
    assert reasons(tmp_path, path="a.zip", max_ratio=5000.0)["bomb.jpg"] is None


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_is_unpacked_no_further_than_its_limits(tmp_path, mode):
    tar(tmp_path / "a.tar.gz", {"bomb.jpg": ZEROS, "x.jpg": b""}, mode=mode)
    with pytest.raises(
        SourceError, match=r"sources\.pets: .*a\.tar\.gz .*unpacks to.*max_ratio`, 100"
    ):
        rows(tmp_path, path="a.tar.gz")
    with pytest.raises(SourceError, match=r"max_unpacked`, 1,000,000 bytes"):
        rows(tmp_path, path="a.tar.gz", max_unpacked=1_000_000, max_ratio=1e6)
    assert len(rows(tmp_path, path="a.tar.gz", max_ratio=1e6)) == 2


def test_members_that_share_their_bytes_are_a_bomb_together(tmp_path):
    noise = random.Random(1).randbytes(1 << 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.jpg", noise)
        for n in range(200):
            other = zipfile.ZipInfo(f"{n}.jpg")
            for name in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(other, name, getattr(archive.filelist[0], name))
            archive.filelist.append(other)
    with pytest.raises(SourceError, match="unpacks to more than `max_ratio`"):
        rows(tmp_path, path="a.zip")
    assert len(rows(tmp_path, path="a.zip", max_ratio=300.0)) == 201


def test_a_zip_in_all_is_held_to_max_unpacked(tmp_path):
    zipped(tmp_path / "a.zip", {f"{n}.jpg": photo_bytes(n) for n in range(5)})
    with pytest.raises(SourceError, match="max_unpacked"):
        rows(tmp_path, path="a.zip", max_unpacked=4 * len(photo_bytes(0)))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_a_member_larger_than_the_largest_to_take_is_a_row(tmp_path, suffix):
    write(tmp_path / f"a{suffix}", {"x.jpg": b"12345", "y.jpg": b"123456"})
    found = reasons(tmp_path, path=f"a{suffix}", max_bytes=5)
    assert found == {"x.jpg": None, "y.jpg": "too_many_bytes"}


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    head = info("x", 1 << 33, tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(head + bytes(10240))
    with pytest.raises(SourceError, match=r"a header of 8,589,934,592 bytes"):
        rows(tmp_path, path="a.tar")


def test_a_member_that_says_more_than_there_is_is_cut_short(tmp_path):
    head = info("x.jpg", 1 << 40).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(head + bytes(10240))
    with pytest.raises(SourceError, match=r"a\.tar cannot be listed: .*byte"):
        rows(tmp_path, path="a.tar")


# What is broken


@pytest.mark.parametrize("suffix", [*TARS, ".zip"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.85])
def test_an_archive_that_is_cut_short_is_an_error_that_names_it(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    write(path, {f"{n}.jpg": photo_bytes(n) for n in range(4)})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(
        SourceError, match=rf"sources\.pets: .*a{suffix} cannot be listed: .*byte"
    ) as e:
        rows(tmp_path, path=path.name)
    assert "\n" not in str(e.value)


def test_a_tar_cut_between_members_is_no_whole_one(tmp_path):
    tar(tmp_path / "a.tar", {"x.jpg": b"1", "y.jpg": b"2"})
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[:1024])
    with pytest.raises(SourceError, match="without the empty block that ends a tar"):
        rows(tmp_path, path="a.tar")


def test_nonsense_between_members_is_an_error_and_not_the_end(tmp_path):
    tar(tmp_path / "a.tar", {"x.jpg": b"1", "y.jpg": b"2"})
    data = bytearray((tmp_path / "a.tar").read_bytes())
    data[1024:1100] = b"\xaa" * 76
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.tar cannot be listed"):
        rows(tmp_path, path="a.tar")


def test_a_file_that_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "a.tar").write_bytes(photo_bytes(1))
    with pytest.raises(SourceError, match=r"a\.tar cannot be listed"):
        rows(tmp_path, path="a.tar")


def test_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(SourceError, match=r"sources\.pets: .*a\.tar: not_a_file"):
        opened(tmp_path, path="a.tar")


def test_an_empty_archive_lists_nothing(tmp_path):
    tar(tmp_path / "a.tar", {})
    zipped(tmp_path / "a.zip", {})
    assert rows(tmp_path, path="a.tar") == rows(tmp_path, path="a.zip") == {}


def test_a_folder_without_archives_is_an_error(tmp_path):
    (tmp_path / "pets").mkdir()
    with pytest.raises(SourceError, match=r"sources\.pets: .*pets has no file like"):
        opened(tmp_path)


def test_an_encrypted_or_oddly_packed_member_of_a_zip_is_a_row(tmp_path):
    path = tmp_path / "a.zip"
    zipped(path, {"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    places = [place for place in range(len(data)) if data[place : place + 4] == b"PK\1\2"]
    data[places[0] + 8] |= 1  # the flag of encryption
    data[places[1] + 10] = 93  # Zstandard
    path.write_bytes(data)
    assert reasons(tmp_path, path="a.zip") == {
        "a.jpg": "encrypted",
        "b.jpg": "unknown_packing",
        "c.jpg": None,
    }


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_is_corrupt_and_the_others_are_not(tmp_path, packing):
    path = tmp_path / "a.zip"
    photos = {f"{n}.jpg": photo_bytes(n) for n in range(3)}
    zipped(path, photos, packing)
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)
    objects = opened(tmp_path, path="a.zip")
    assert fetched(objects, wanted(objects)) == {**photos, "0.jpg": "corrupt"}


# What is read again


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_an_unchanged_archive_is_not_read_again(tmp_path, later, suffix):
    write(tmp_path / f"a{suffix}", FILES)
    first = opened(tmp_path, path=f"a{suffix}")
    before = first.listed()
    again = opened(tmp_path, path=f"a{suffix}")
    assert again.listed().equals(before)
    assert (first.new, again.new) == (4, 0)


def test_a_moved_archive_has_the_same_versions(tmp_path, later):
    write(tmp_path / "a.zip", FILES)
    before = opened(tmp_path, path="a.zip").listed()
    shutil.copy(tmp_path / "a.zip", tmp_path / "b.zip")
    objects = opened(tmp_path, path="b.zip")
    assert objects.listed().equals(before)
    assert objects.new == 0


def test_an_archive_that_changed_since_the_scan_gives_rows_with_a_reason(tmp_path):
    write(tmp_path / "a.zip", FILES)
    objects = opened(tmp_path, path="a.zip")
    asked = wanted(objects)
    write(tmp_path / "a.zip", {"other.jpg": b"x"})
    assert set(fetched(objects, asked).values()) == {"changed"}
    assert set(fetched(opened(tmp_path, path="a.zip"), asked).values()) == {"changed"}


PETS = """\
# @package _global_
# Archives in a folder, one a label.
defaults:
  - /source@sources.pets: archive
  - /layout@sources.pets.layout: imagefolder
about: {title: Drawn pets in archives}
sources:
  pets:
    path: archives
"""


def test_a_folder_of_archives_builds_and_only_a_changed_one_is_fetched(
    project: Project, build: Build, later: None, capsys: pytest.CaptureFixture[str]
):
    project.conf("dataset/pets.yaml", PETS)
    place = project.root / "archives"
    write(place / "cat.tar.gz", {f"{n}.png": photo_bytes(n) for n in range(6)})
    write(place / "dog.zip", {f"{n}.png": photo_bytes(100 + n) for n in range(6)})
    tar(place / "owl.tar", {"../1.png": photo_bytes(200), "2.png": photo_bytes(201)})
    build(project, "pets")
    labels = SAMPLES.read(project.root / "data/pets/merge").filter(pl.col("reason").is_null())
    assert labels.group_by("label").len().sort("label").rows() == [
        ("cat", 6),
        ("dog", 6),
        ("owl", 1),
    ]
    index = INDEX.read(project.root / "data/pets/download")
    assert index.filter(key="owl/../1.png")["reason"].item() == "unsafe_name"
    assert "download: 13 objects fetched" in capsys.readouterr().err
    build(project, "pets")
    log = capsys.readouterr().err
    assert "14 objects, 0 of them new" in log
    assert "download: 0 objects fetched" in log
    write(place / "dog.zip", {f"{n}.png": photo_bytes(100 + n) for n in range(7)})
    build(project, "pets")
    log = capsys.readouterr().err
    assert "15 objects, 7 of them new" in log
    assert "download: 7 objects fetched" in log
    digests = INDEX.read(project.root / "data/pets/download")["digest"].to_list()
    assert make.sha(photo_bytes(106)) in digests
