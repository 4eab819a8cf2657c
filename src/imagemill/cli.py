"""The ``imagemill`` command: what DVC does not do by itself."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from imagemill import heal as healing
from imagemill import scaffold
from imagemill.config.project import Project
from imagemill.errors import BuildError, suggest
from imagemill.files import DVC_LOCK
from imagemill.progress import progress, say
from imagemill.stage import reported
from imagemill.tables import CONTENTS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A declarative, config-driven build system for image datasets.",
    pretty_exceptions_enable=False,
)


@app.command()
def build(
    targets: Annotated[
        list[str] | None, typer.Argument(help="DVC targets, such as package@solar; default: all.")
    ] = None,
) -> None:
    """Mend what a killed build left behind, run `dvc repro`, and say what came of it."""
    sys.exit(reported(lambda: _build(targets or [])))


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Of the new dataset: letters, digits and _.")],
    address: Annotated[
        str,
        typer.Argument(
            help="A folder, archive, Parquet file, COCO JSON, s3://bucket/prefix, hf://repo@rev."
        ),
    ],
) -> None:
    """Look at images and write a first config for them: conf/dataset/NAME.yaml."""
    sys.exit(reported(lambda: _init(name, address)))


@app.command()
def heal() -> None:
    """Restore DVC's own files where a killed build cut them short."""
    sys.exit(reported(lambda: healing.heal(Path.cwd())))


@app.command()
def export(
    dataset: str,
    to: Annotated[Path, typer.Option(help="Folder to fill; made when it is not there.")],
) -> None:
    """Turn a packaged ImageFolder into real folders: DIR/<split>/<label>/<file>."""
    sys.exit(reported(lambda: _export(dataset, to)))


def _build(targets: list[str]) -> None:
    root = Path.cwd()
    healing.heal(root)
    before = _built(root)
    if subprocess.run([_dvc(), "repro", *targets], check=False).returncode:
        raise BuildError("the build stopped; the message above says why and where")
    changed = sorted(name for name, outs in _built(root).items() if before.get(name) != outs)
    say(f"\nRebuilt: {', '.join(changed) if changed else 'nothing; every dataset is up to date'}")
    for dataset in Project(root).datasets():
        page = Path("data") / dataset / "report" / "index.html"
        if (root / page).exists():
            say(f"  look at {page}")


def _init(name: str, address: str) -> None:
    say(scaffold.init(name, address, Path.cwd()))
    say(f"Written to conf/dataset/{name}.yaml and entered in params.yaml.")
    say(f"Read it, then build it: dvc repro report@{name}")


def _dvc() -> str:
    beside = Path(sys.executable).with_name("dvc")
    found = str(beside) if beside.exists() else shutil.which("dvc")
    if found is None:
        raise BuildError("dvc is not installed here; run `make setup`")
    return found


def _built(root: Path) -> dict[str, dict[str, str]]:
    """Return the stages whose recorded outputs are there, with the outputs' hashes."""
    lock = root / DVC_LOCK
    stages = (healing.recorded(lock) or {}) if lock.exists() else {}
    return {
        name: outs for name, outs in stages.items() if all((root / path).exists() for path in outs)
    }


def _export(dataset: str, to: Path) -> None:
    package = Path("data") / dataset / "package" / "imagefolder"
    if not package.exists():
        known = [path.parents[2].name for path in Path("data").glob("*/package/imagefolder")]
        raise BuildError(
            f"{package} is not there{suggest(dataset, known)} "
            f"Build it with `dvc repro package@{dataset}`, or fetch it with `dvc pull`."
        )
    contents = pl.read_parquet(package / CONTENTS.file)
    with progress("export", len(contents), "images") as advance:
        for pack in sorted(package.glob("*.tar")):
            with tarfile.open(pack, "r:") as tar:
                members = tar.getmembers()
                tar.extractall(to, members, filter="data")
            advance(len(members))
    say(f"export: {len(contents):,} images in {to}")


if __name__ == "__main__":
    app()
