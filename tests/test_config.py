"""A config that cannot be built from says so in one line: file, key, what to do."""

from pathlib import Path

import pytest
import yaml

from imagemill import config
from imagemill.config import compose
from imagemill.config.project import Project
from imagemill.errors import ConfigError
from stages.config import SECTIONS
from tests.conftest import PETS
from tests.conftest import Project as Built


def resolve(project: Built, dataset: str = "pets") -> dict[str, object]:
    return compose.resolve(Project(project.root), dataset, SECTIONS)


def refusal(project: Built, dataset: str = "pets") -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(project, dataset)
    return str(caught.value)


def test_the_resolved_config_has_one_section_a_stage(project: Built) -> None:
    assert list(resolve(project)) == list(SECTIONS)


def test_an_override_in_params_reaches_its_section(project: Built) -> None:
    project.datasets(pets=["merge.min_images=3"])
    resolved = resolve(project)
    assert resolved["merge"]["min_images"] == 3  # type: ignore[index]
    assert resolved["scan"]["min_images"] == 3  # type: ignore[index]


@pytest.mark.parametrize("choice", ["hdf5", "imagefolder", "[imagefolder,hdf5]"])
def test_a_group_is_swapped_for_one_dataset(project: Built, choice: str) -> None:
    project.datasets(pets=[f"package={choice}"])
    formats = resolve(project)["package"]["formats"]  # type: ignore[index]
    assert {name for name, value in formats.items() if value} == set(choice.strip("[]").split(","))


BAD = {
    "a value of the wrong type": (
        ["clean.min_side=small"],
        "params.yaml: datasets.pets: clean.min_side: Input should be a valid integer; got 'small'",
    ),
    "a value out of range": (
        ["merge.min_images=0"],
        "params.yaml: datasets.pets: merge.min_images: Input should be greater than or equal to 1;"
        " got 0",
    ),
    "a misspelt key in an override": (
        ["clean.minside=3"],
        "params.yaml: datasets.pets: clean.minside=3: no such key; did you mean clean.min_side?",
    ),
    "an unknown choice": (
        ["package=hdf6"],
        "params.yaml: datasets.pets: package=hdf6: no file conf/package/hdf6.yaml;"
        " did you mean hdf5?",
    ),
    "an override that is none": (
        ["merge.min_images"],
        "params.yaml: datasets.pets: ",
    ),
}


@pytest.mark.parametrize(("overrides", "message"), BAD.values(), ids=BAD)
def test_a_bad_override_names_its_place_and_the_fix(
    project: Built, overrides: list[str], message: str
) -> None:
    project.datasets(pets=overrides)
    said = refusal(project)
    assert said.startswith(message)
    assert "\n" not in said


WRONG_FILES = {
    "a misspelt key": (
        "clean: {minside: 3}",
        "conf/dataset/pets.yaml: clean.minside: unknown key; did you mean min_side?",
    ),
    "a misspelt key of a source": (
        "limit: null\nsources: {pets: {pth: there}}",
        "conf/dataset/pets.yaml: sources.pets.pth: unknown key; did you mean path?",
    ),
    "a misspelt key of a layout": (
        "sources: {pets: {layout: {folder: [label]}}}",
        "conf/dataset/pets.yaml: sources.pets.layout.folder: unknown key; did you mean folders?",
    ),
    "a misspelt key of another kind of table": (
        "tables: {t: {kind: sql, url_env: X, qurey: SELECT 1}}",
        "conf/dataset/pets.yaml: tables.t.query: needs a value; none is given\n"
        "conf/dataset/pets.yaml: tables.t.qurey: unknown key; did you mean query?",
    ),
    "an unknown section": (
        "cleen: {min_side: 3}",
        "conf/dataset/pets.yaml: cleen: unknown key; did you mean clean?",
    ),
    "a key that DVC would not see": (
        "about: {size: 3}",
        "conf/dataset/pets.yaml: about.size: DVC's run-cache ignores keys called nfiles or size",
    ),
    "an interpolation of nothing": (
        "about: {credit: '${abuot.title}'}",
        "conf/dataset/pets.yaml: about.credit: ",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_mistake_in_a_dataset_file_names_file_key_and_fix(
    project: Built, text: str, message: str
) -> None:
    merged = _merged(yaml.safe_load(PETS), yaml.safe_load(text))
    project.conf("dataset/pets.yaml", "# @package _global_\n" + yaml.safe_dump(merged))
    said = refusal(project)
    assert said.startswith(message)
    assert said.count("\n") == message.count("\n")


def _merged(base: dict[str, object], more: dict[str, object]) -> dict[str, object]:
    for key, value in more.items():
        old = base.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        base[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return base


def test_a_mistake_in_a_group_file_names_that_file(project: Built) -> None:
    path = project.root / "conf/clean/standard.yaml"
    path.write_text(path.read_text().replace("min_side: 48", "min_side: big"))
    assert refusal(project).startswith("conf/clean/standard.yaml: clean.min_side: ")


def test_a_value_that_is_missing_is_asked_for(project: Built) -> None:
    project.conf("dataset/pets.yaml", PETS.replace("    path: pets\n", "    include: ['*']\n"))
    said = "conf/dataset/pets.yaml: sources.pets.path: needs a value; none is given"
    assert refusal(project) == said


def test_broken_yaml_names_the_line(project: Built) -> None:
    project.conf("dataset/pets.yaml", PETS + "  more: [1, 2\n")
    assert refusal(project).startswith("conf/dataset/pets.yaml:")


def test_broken_parameters_name_the_file_and_the_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("datasets:\n  pets: [a=[b, c]]\n")
    with pytest.raises(ConfigError, match=r"^params\.yaml:2: expected"):
        Project(tmp_path).datasets()


def test_augmentation_of_no_split_is_refused(project: Built) -> None:
    project.datasets(pets=["augment@package.augment=standard", "package.augment.splits=[]"])
    assert "package.augment.splits: List should have at least 1 item" in refusal(project)


def test_a_group_that_is_not_there_is_named_with_the_nearest(project: Built) -> None:
    text = PETS.replace("about:", "  - override /package: hdf6\nabout:")
    project.conf("dataset/pets.yaml", text)
    assert (
        refusal(project)
        == "conf/dataset/pets.yaml: no file conf/package/hdf6.yaml; did you mean hdf5?"
    )


def test_a_dataset_without_a_file_is_named_with_the_nearest(project: Built) -> None:
    project.datasets(pest=[])
    assert (
        refusal(project, "pest")
        == "params.yaml: datasets.pest: no file conf/dataset/pest.yaml; did you mean pets?"
    )


def test_a_dataset_that_params_does_not_list_is_named_with_the_nearest(project: Built) -> None:
    assert refusal(project, "pet").startswith(
        "params.yaml: datasets.pet: not listed; did you mean pets?"
    )


@pytest.mark.parametrize("value", ["merge.min_images=3", {"merge": 1}, [3]])
def test_overrides_must_be_a_list_of_text(project: Built, value: object) -> None:
    (project.root / "params.yaml").write_text(yaml.safe_dump({"datasets": {"pets": value}}))
    assert "must be a list of Hydra overrides" in refusal(project)


def test_the_stage_prints_one_line_and_no_traceback(project: Built) -> None:
    project.datasets(pets=["package=hdf6"])
    done = project.run("python", "-m", "stages.config", "pets", check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("error: params.yaml: datasets.pets: package=hdf6")
    assert len(done.stdout.splitlines()) == 1


def test_what_is_written_is_what_a_stage_reads(project: Built, tmp_path: Path) -> None:
    resolved = resolve(project)
    config.write(tmp_path / "config.yaml", resolved)
    for name, model in SECTIONS.items():
        section = config.read(tmp_path / "config.yaml", name)
        assert model.model_validate(section).model_dump(mode="json") == resolved[name]


def test_a_resolved_config_knows_no_path_of_the_machine(project: Built) -> None:
    assert str(project.root) not in yaml.safe_dump(resolve(project))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("engine.workers=0", r"engine\.workers: must be 1 or more, or null .*; got 0"),
        ("engine.workers=1.5", r"engine\.workers: .*; got 1\.5"),
        ("engine.workers=many", r"engine\.workers: .*; got 'many'"),
        ("engine.ahead=-1", r"engine\.ahead: must be 1 or more; got -1"),
        ("engine.ahead=null", r"engine\.ahead: must be 1 or more; got None"),
        ("+engine.patience=abc", r"engine\.patience: must be seconds, 1 or more; got 'abc'"),
        ("+engine.patience=.nan", r"engine\.patience: must be seconds"),
        ("+engine.address=5", r"engine\.address: must be such as tcp://host:8786, or null; got 5"),
        ("engine=dsk", r"IMAGEMILL_ENGINE: engine=dsk: no file conf/engine/dsk.yaml; .* dask\?"),
        ("engine.wrkers=3", r"engine\.wrkers=3: no such key; this engine has .*engine\.workers"),
        ("engine=[", r"IMAGEMILL_ENGINE: "),
    ],
)
def test_an_engine_that_could_not_work_is_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose.runtime(Path("conf"), [override])


@pytest.mark.parametrize("override", ["engine.workers=null", "engine.workers=3", "engine=inline"])
def test_an_engine_may_have_workers_one_a_core_or_none(override: str) -> None:
    assert compose.runtime(Path("conf"), [override]).engine.ahead >= 1
