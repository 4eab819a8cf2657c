"""Promises between files that nothing else would notice being broken."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from imagemill.config import UNTRACKED
from imagemill.config.compose import resolve
from imagemill.config.explain import models
from imagemill.config.project import Project
from stages.config import SECTIONS
from tests.conftest import ROOT

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = sorted(DVC)
CONF = sorted((ROOT / "conf").rglob("*.yaml"))
PLACES = {
    "augment": "package.augment",
    "embedder": "measure.embedder",
    "keypoints": "measure.keypoints",
    "transforms": "package",
}
"""Where groups that are not of the top are composed."""


def deps(stage: str) -> list[str]:
    return [str(each) for each in DVC[stage]["do"]["deps"]]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_it_imports(stage: str) -> None:
    listed = deps(stage)
    needed = {path.relative_to(ROOT).as_posix() for path in imported(ROOT / f"stages/{stage}.py")}
    missing = {each for each in needed if not covered(each, listed)}
    assert not missing


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_module_it_does_not_import(stage: str) -> None:
    needed = {path.relative_to(ROOT).as_posix() for path in imported(ROOT / f"stages/{stage}.py")}
    code = [each for each in deps(stage) if each.startswith(("src/", "stages/"))]
    assert [each for each in code if not any(covered(need, [each]) for need in needed)] == []


def covered(file: str, listed: list[str]) -> bool:
    return any(file == each or file.startswith(f"{each}/") for each in listed)


@cache
def imported(script: Path) -> frozenset[Path]:
    """Return the project's files that a script imports, directly or not, itself included."""
    marker = ROOT / "src/imagemill/__init__.py"  # imports readers when they are asked for
    seen: set[Path] = set()
    todo = [script]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += [] if path == marker else direct_imports(path)
    return frozenset(seen - {marker, ROOT / "stages/__init__.py"})


def direct_imports(path: Path) -> list[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return [found for name in names if (found := module_file(name)) is not None]


def module_file(name: str) -> Path | None:
    base = ROOT / ("src" if name.startswith("imagemill") else ".") / name.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path.resolve()
    return None


@pytest.mark.parametrize("stage", [each for each in STAGES if each != "config"])
def test_a_stage_depends_on_every_table_it_reads(stage: str) -> None:
    text = (ROOT / f"stages/{stage}.py").read_text()
    listed = deps(stage)
    for table, source in re.findall(r"([A-Z]+)\.read\(paths\.of\(\"(\w+)\"\)\)", text):
        file = getattr(__import__("imagemill.tables", fromlist=[table]), table).file
        assert covered(f"data/${{key}}/{source}/{file}", listed)
    for source in re.findall(r"paths\.of\(\"(\w+)\"\)", text):
        assert any(each.startswith(f"data/${{key}}/{source}") for each in listed)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_bears_one_name_everywhere(stage: str) -> None:
    assert DVC[stage]["do"]["cmd"] == f"python -m stages.{stage} ${{key}}"
    assert (ROOT / f"stages/{stage}.py").exists()
    assert module_file(f"imagemill.{stage}")
    if stage != "config":
        assert stage in SECTIONS
        assert (ROOT / "conf" / stage).is_dir()
        assert DVC[stage]["do"]["params"] == [{"data/${key}/config.yaml": [stage]}]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_says_in_a_sentence_what_it_does(stage: str) -> None:
    assert re.fullmatch(r"[A-Z].{20,}\.", DVC[stage]["do"]["desc"])


def test_stage_modules_never_import_each_other() -> None:
    for stage in SECTIONS:
        module = module_file(f"imagemill.{stage}")
        assert module
        inside = set(module.parent.rglob("*.py")) if module.stem == "__init__" else {module}
        others = {path for path in (module_file(f"imagemill.{s}") for s in SECTIONS) if path}
        for path in inside:
            assert not (set(direct_imports(path)) & others) - inside, path


def test_work_code_knows_nothing_of_hydra_or_dvc() -> None:
    seam = {"stage.py", "heal.py", "stored.py", "cli.py"}
    for path in (ROOT / "src").rglob("*.py"):
        if path.name not in seam and path.parent.name != "config":
            imports = r"^(import|from) (hydra|dvc|omegaconf)"
            assert not re.search(imports, path.read_text(), re.M), path


@pytest.mark.parametrize("path", CONF, ids=lambda p: p.relative_to(ROOT / "conf").as_posix())
def test_every_config_file_composes(path: Path) -> None:
    group, name = path.relative_to(ROOT / "conf").parent.as_posix(), path.stem
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        if group == ".":
            overrides = ["dataset=solar"] if name == "config" else []
            assert compose(name, overrides=overrides)
        elif group == "engine":
            assert compose("runtime", overrides=[f"engine={name}"])
        elif group in ("source", "layout", "table"):
            at = {"source": "sources.x", "layout": "sources.x.layout", "table": "tables.x"}[group]
            assert compose("config", overrides=["dataset=solar", f"+{group}@{at}={name}"])
        elif group == "audit":
            given = [f"+audit@clean.audits.x={name}", "clean.audits.x.path=audits/x.csv"]
            assert compose("config", overrides=["dataset=solar", *given])
        elif group in PLACES:
            at = f"{group}@{PLACES[group]}"
            assert compose("config", overrides=["dataset=solar", f"{at}={name}"])
        else:
            overrides = [f"{group}={name}"]
            dataset = [] if group == "dataset" else ["dataset=solar"]
            assert compose("config", overrides=[*dataset, *overrides])


@pytest.mark.parametrize(
    "path",
    [p for p in CONF if p.parent.name in SECTIONS],
    ids=lambda p: p.relative_to(ROOT / "conf").as_posix(),
)
def test_every_choice_of_a_stage_passes_its_model(path: Path, tmp_path: Path) -> None:
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    choice = "common,imagefolder" if path.stem == "common" else path.stem
    override = f"{path.parent.name}=[{choice}]" if "," in choice else f"{path.parent.name}={choice}"
    asked = ["publish.to.bucket=b", "publish.to.prefix=p"] if override == "publish=s3" else []
    given = {"datasets": {"solar": [override, *asked]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(given))
    assert resolve(Project(tmp_path), "solar", SECTIONS)


@pytest.mark.parametrize("path", CONF, ids=lambda p: p.relative_to(ROOT / "conf").as_posix())
def test_every_config_file_says_first_when_to_choose_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert re.match(r"# [A-Z0-9<].{20,}", first)


def test_no_config_key_is_one_that_dvcs_run_cache_ignores() -> None:
    keys = {key for path in CONF for key in deep_keys(yaml.safe_load(path.read_text()))}
    fields = {name for model in SECTIONS.values() for name in deep_fields(model)}
    assert not UNTRACKED & (keys | fields)


def test_dvc_ignores_the_keys_that_we_refuse_and_no_others() -> None:
    """The trap itself: what DVC's run-cache leaves out of its key must be in our list."""
    from dvc.stage.cache import _get_cache_hash

    def hashed(key: str, value: int) -> str:
        params = {"config.yaml": {"package": {key: value}}}
        return _get_cache_hash({"cmd": "x", "params": params, "outs": ["y"]}, key=False)

    tried = ("size", "nfiles", "side", "count", "isexec", "md5", "hash")
    ignored = {key for key in tried if hashed(key, 1) == hashed(key, 2)}
    assert ignored <= UNTRACKED


def deep_keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return {str(k) for k in value} | {key for v in value.values() for key in deep_keys(v)}
    if isinstance(value, list):
        return {key for each in value for key in deep_keys(each)}
    return set()


def deep_fields(model: type) -> set[str]:
    found = set()
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        found.add(name)
        for inner in models(field.annotation):
            found |= deep_fields(inner)
    return found


README = (ROOT / "README.md").read_text()


def test_the_readme_names_every_entry_of_the_tree() -> None:
    tree = README[README.index("## The tree") :]
    listed = set(re.findall(r"^\| `([^`]+)`", tree, re.M))
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in ROOT.iterdir()
        if path.name not in {".git", ".venv", ".imagemill", ".hypothesis", "dvc.lock"}
        and not path.name.endswith("_cache")
    }
    assert there <= listed | {"__pycache__/"}
    assert all((ROOT / each).exists() for each in listed)


def test_the_readme_uses_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"make ([a-z-]+)", README)) <= targets


def test_the_readmes_example_dataset_builds_a_config(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(# @package.*?)```", README, re.S)
    assert example
    assert len(example[1].strip().splitlines()) <= 12
    import shutil

    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf/dataset/shoes.yaml").write_text(example[1])
    (tmp_path / "params.yaml").write_text("datasets: {shoes: []}\n")
    assert resolve(Project(tmp_path), "shoes", SECTIONS)["scan"]["sources"]["shoes"]


def test_the_lock_file_names_hashes_and_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in text
    assert not re.search(r"https?://|--index-url|--find-links", text)


def test_no_tracked_file_names_a_path_of_this_machine() -> None:
    import subprocess

    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in tracked.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.suffix not in {".png"}:
            text = path.read_text(errors="replace")
            assert str(ROOT) + "/" not in text, name
            assert "pypi" + ".org" not in text, name
            assert "files.python" + "hosted" not in text, name


def test_resolved_configs_in_git_are_what_conf_gives_now(tmp_path: Path) -> None:
    project = Project(ROOT)
    for dataset in yaml.safe_load((ROOT / "params.yaml").read_text())["datasets"]:
        written = yaml.safe_load((ROOT / "data" / dataset / "config.yaml").read_text())
        assert written == resolve(project, dataset, SECTIONS)
