"""A dataset proves that it holds none of a benchmark's images, which nobody has to show for it."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps
from skimage import data as photographs

from imagemill import certificates, fingerprints
from imagemill.errors import BuildError, GateError
from imagemill.fingerprints import FINGERPRINTS, making
from imagemill.fingerprints.sketch import likeness, sketches, thumbnails
from imagemill.tables import LEAKS, MANIFEST, THUMBS
from tests import make
from tests.conftest import Build, Project
from tests.draw import photo

IMAGEMILL = str(Path(sys.executable).with_name("imagemill"))


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def cut(name: str, number: int) -> Image.Image:
    """Return one of the crops of a photograph of scikit-image."""
    whole = Image.fromarray(getattr(photographs, name)()).convert("RGB")
    return whole.crop((40 * number, 30 * number, 40 * number + 240, 30 * number + 200))


ONE, TWO, THREE, FOUR = (cut("astronaut", 0), cut("chelsea", 1), cut("coffee", 2), cut("rocket", 1))

COPIES = {
    "as it is": (png(ONE), png(ONE), "exact"),
    "with equal pixels": (png(ONE), make.file(ONE, "BMP"), "exact"),
    "saved anew": (png(TWO), jpeg(TWO, 40), "perceptual"),
    "made smaller": (png(TWO), png(TWO.resize((120, 100))), "perceptual"),
    "mirrored": (png(THREE), jpeg(ImageOps.mirror(THREE)), "perceptual"),
    "turned": (png(FOUR), jpeg(FOUR.rotate(90, expand=True)), "perceptual"),
    "mirrored and turned": (
        png(FOUR),
        jpeg(ImageOps.mirror(FOUR).rotate(270, expand=True)),
        "perceptual",
    ),
    "brightened": (png(THREE), jpeg(THREE.point(lambda v: min(255, int(v * 1.2)))), "perceptual"),
}


def benchmark(project: Project, **files: bytes) -> Path:
    """Write the fingerprints of a benchmark's images to the project."""
    folder = project.root / "theirs"
    make.fill(folder, {f"val/{name}": data for name, data in files.items()})
    out = project.root / "fingerprints" / "theirs.parquet"
    fingerprints.write(out, making.of_folder(folder, make.INLINE))
    return out


AGAINST = "+leaks.against.theirs={path: fingerprints/theirs.parquet, hits: %s}"


def hits(project: Project) -> pl.DataFrame:
    return LEAKS.read(project.root / "data/pets/leaks").filter(kind="against")


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_benchmarks_image_is_found_and_removed(
    name: str, project: Project, build: Build
) -> None:
    theirs, ours, method = COPIES[name]
    benchmark(project, their=theirs, other=png(photo(900)))
    make.fill(project.root / "pets/cat", {"copy.img": ours})
    project.datasets(pets=[AGAINST % "remove"])
    build(project, "pets")
    (hit,) = hits(project).iter_rows(named=True)
    assert (hit["a"], hit["b"]) == ("pets/cat/copy.img", "theirs:val/their")
    assert (hit["method"], hit["split_b"], hit["removed"]) == (method, "theirs", hit["a"])
    gone = MANIFEST.read(project.root / "data/pets/leaks").filter(verdict="remove")
    assert gone.select("sample", "reasons").rows() == [(hit["a"], ["in_benchmark"])]


def test_the_transform_of_a_hit_takes_the_benchmarks_image_to_ours(
    project: Project, build: Build
) -> None:
    benchmark(project, their=png(FOUR))
    turned = jpeg(FOUR.rotate(90, expand=True))  # counter-clockwise
    make.fill(project.root / "pets/cat", {"copy.jpg": turned})
    project.datasets(pets=[AGAINST % "remove"])
    build(project, "pets")
    assert hits(project)["transform"].to_list() == ["rot90"]


def test_images_that_are_only_reported_stop_the_build_unless_they_are_allowed(
    project: Project, build: Build
) -> None:
    benchmark(project, their=png(ONE))
    make.fill(project.root / "pets/cat", {"copy.png": png(ONE)})
    project.datasets(pets=[AGAINST % "report"])
    with pytest.raises(GateError, match=r"pets/cat/copy\.png \(.*\) ~ theirs:val/their"):
        build(project, "pets")
    project.datasets(pets=[AGAINST % "report", "leaks.allowed.against=1"])
    build(project, "pets")
    assert hits(project)["removed"].to_list() == [None]
    told = certificates.read(project.root / "data/pets/leaks" / certificates.FILE)
    assert told["leaks"]["against"]["left"] == 1


def test_a_dataset_with_no_image_of_the_benchmark_has_that_on_its_certificate(
    project: Project, build: Build
) -> None:
    path = benchmark(project, one=png(ONE), two=png(TWO))
    project.datasets(pets=[AGAINST % "remove"])
    build(project, "pets")
    told = certificates.read(project.root / "data/pets/package/imagefolder/certificate.json")
    assert told["leaks"]["against"]["found"] == 0
    assert told["against"]["theirs"] == {"file_sha256": make.sha(path.read_bytes()), "images": 2}
    assert told["checked"]["against"].startswith("2 images of theirs: equal files and pixels")


def test_the_manifest_of_a_package_stands_for_its_images_bytes(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    theirs = project.root / "fingerprints/theirs.parquet"
    manifest = project.root / "data/pets/package/imagefolder/manifest.parquet"
    theirs.write_bytes(manifest.read_bytes())
    project.datasets(pets=[AGAINST % "report", "leaks.gate.against=warn"])
    build(project, "pets")
    assert len(hits(project)) == 12
    assert set(hits(project)["method"]) == {"exact"}


def test_a_dataset_that_is_built_here_gives_fingerprints_of_one_split_without_decoding(
    project: Project, build: Build
) -> None:
    build(project, "pets")
    place = project.root / "data/pets"
    test = making.of_dataset(place, "test")
    every = making.of_dataset(place, None)
    kept = MANIFEST.read(place / "leaks").filter(split="test")
    assert set(test["file"]) == set(kept["sample"])
    read = making.of_folder(project.root / "pets", make.INLINE)
    said = every.with_columns(pl.col("file").str.strip_prefix("pets/")).sort("file")
    assert said.equals(read.sort("file"))
    with pytest.raises(BuildError, match=r"pets has no split tets; did you mean test\?"):
        making.of_dataset(place, "tets")


@pytest.mark.parametrize("missing", ["file", "damaged", "other"])
def test_a_file_that_is_no_fingerprints_stops_the_build_in_one_line(
    missing: str, project: Project, build: Build
) -> None:
    path = project.root / "fingerprints/theirs.parquet"
    if missing == "damaged":
        path.write_bytes(b"PAR1")
    if missing == "other":
        pl.DataFrame({"x": [1]}).write_parquet(path)
    project.datasets(pets=[AGAINST % "remove"])
    with pytest.raises(BuildError, match=r"leaks\.against\.theirs: ") as raised:
        build(project, "pets")
    assert "fingerprints/theirs.parquet" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_the_command_writes_equal_bytes_each_time_and_names_what_is_no_image(
    tmp_path: Path,
) -> None:
    photos = {f"val/{n}.png": png(photo(n)) for n in range(70)}
    make.fill(tmp_path / "theirs", {**photos, "notes.txt": b"hello", "flat.png": png(FLAT)})
    command = [IMAGEMILL, "fingerprint", "theirs", "-o"]
    for out in ("one.parquet", "two.parquet"):
        done = subprocess.run(
            [*command, out], cwd=tmp_path, capture_output=True, text=True, check=True
        )
    assert "1 files are no images that can be read: notes.txt" in done.stderr
    assert "71 images in two.parquet" in done.stderr
    assert "1 without texture, found by equal pixels alone" in done.stderr
    one, two = ((tmp_path / name).read_bytes() for name in ("one.parquet", "two.parquet"))
    assert one == two
    assert "theirs" not in json.dumps(pl.read_parquet_metadata(tmp_path / "one.parquet"))


FLAT = Image.new("RGB", (64, 64), (200, 190, 180))


@pytest.mark.parametrize("asked", [["nowhere"], ["theirs", "--split", "test"], ["theirs"]])
def test_what_cannot_be_fingerprinted_is_refused_in_one_line(
    asked: list[str], tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    command = [IMAGEMILL, "fingerprint", *asked, "-o", "x.parquet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: fingerprint: " in done.stderr.splitlines()[-1]
    assert not (tmp_path / "x.parquet").exists()


def test_nothing_in_a_file_of_fingerprints_is_as_long_as_a_picture(project: Project) -> None:
    rows = pl.read_parquet(benchmark(project, one=png(ONE), two=png(TWO)))
    assert rows.schema == pl.Schema(FINGERPRINTS.columns)
    assert rows["sketch"].bin.size().max() == 32
    assert rows["phash"].list.len().to_list() == [8, 8]


def slopes(thumbs: Any) -> Any:
    levels = thumbs.astype(float)
    down = levels[:, 2:, 1:-1] - levels[:, :-2, 1:-1]
    across = levels[:, 1:-1, 2:] - levels[:, 1:-1, :-2]
    return np.concatenate([side.reshape(len(levels), -1) for side in (down, across)], axis=1)


def test_a_sketch_tells_the_angle_between_slopes_and_hardly_anything_of_them(
    project: Project, build: Build
) -> None:
    make.fill(project.root / "pets/cat", {f"{n}.jpg": jpeg(cut("astronaut", n)) for n in range(5)})
    build(project, "pets")
    thumbs = thumbnails(THUMBS.read(project.root / "data/pets/measure")["thumb"])
    seen = sketches(thumbs)
    exact = slopes(thumbs)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    left, right = np.triu_indices(len(thumbs))
    told = likeness(seen[left], seen[right])
    assert np.abs(told - (exact[left] * exact[right]).sum(axis=1)).max() < 0.35
    from imagemill.fingerprints.sketch import _directions

    drawn = (np.unpackbits(seen, axis=1) * 2.0 - 1) @ _directions().T
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert (drawn * exact).sum(axis=1).mean() < 0.25
