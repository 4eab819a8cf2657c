"""The ``imagemill`` command: what DVC does not do by itself."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imagemill.config import load
from imagemill.config.project import Project
from imagemill.errors import BuildError, ConfigError, suggest
from imagemill.files import DVC_LOCK
from imagemill.progress import say
from imagemill.stage import reported

if TYPE_CHECKING:
    from imagemill.published.prefix import Prefix

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A declarative, config-driven build system for image datasets.",
    pretty_exceptions_enable=False,
)


@app.command()
def build(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Datasets, or stages such as package@solar; default: every dataset."),
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
    from imagemill.heal import heal  # noqa: PLC0415 (DVC takes long to import)

    sys.exit(reported(lambda: heal(Path.cwd())))


Endpoint = Annotated[str | None, typer.Option(help="Of s3://: URL of a store other than AWS.")]
Profile = Annotated[str | None, typer.Option(help="Of s3://: a profile of boto3's files.")]
Anonymous = Annotated[bool, typer.Option(help="Of s3://: sign nothing, for public buckets.")]
Stale = Annotated[
    Literal["fail", "remove"],
    typer.Option(help="When train.rec, train.idx or property lie in the folder."),
]


@app.command()
def export(
    dataset: Annotated[
        str, typer.Argument(help="A packaged dataset, or s3://bucket/prefix of a published one.")
    ],
    to: Annotated[Path, typer.Option(help="Folder to fill; made when it is not there.")],
    endpoint: Endpoint = None,
    profile: Profile = None,
    anonymous: Anonymous = False,
    stale: Stale = "fail",
    check: Annotated[
        bool, typer.Option("--check", help="Read what is there, whatever its time stamp.")
    ] = False,
) -> None:
    """Turn an ImageFolder, packaged or published, into real folders: DIR/[<split>/]<label>/<file>.

    Goes on where an earlier run was. A file that is there is trusted by its length and time stamp,
    which export makes of the checksum; any other is read. Removes what an earlier export put.
    """

    def work() -> None:
        if dataset.startswith("s3://"):
            prefix = _prefix("export", dataset, endpoint, profile, anonymous)
            _export_published(prefix, to, stale, check=check)
        else:
            _export(dataset, to, stale, check=check)

    sys.exit(reported(work))


@app.command()
def verify(
    address: Annotated[
        str,
        typer.Argument(
            help="A folder that was exported, a packaged dataset, or s3://bucket/prefix."
        ),
    ],
    endpoint: Endpoint = None,
    profile: Profile = None,
    anonymous: Anonymous = False,
    certificate: Annotated[
        str | None, typer.Option(help="Id that its certificate has to have, or 16 digits of it.")
    ] = None,
) -> None:
    """Compare what lies there with its manifest and certificate, and name each difference."""

    def work() -> None:
        if address.startswith("s3://"):
            prefix = _prefix("verify", address, endpoint, profile, anonymous)
            _verify_published(prefix, certificate)
        else:
            _verify(address, certificate)

    sys.exit(reported(work))


@app.command()
def leaks(
    dataset: Annotated[str, typer.Argument(help="Whose last build came up to its leaks.")],
) -> None:
    """Draw the leaks of a dataset with their pictures, also where they stopped the build."""
    from imagemill import leaks_page  # noqa: PLC0415

    sys.exit(reported(lambda: say(f"look at {leaks_page.draw(Path.cwd(), dataset)}#leaks")))


@app.command()
def fingerprint(
    address: Annotated[
        str, typer.Argument(help="A folder of images, or a dataset that is built here.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="File to write, such as fingerprints/NAME.parquet.")
    ],
    split: Annotated[
        str | None, typer.Option(help="Of a dataset: this split alone, such as test.")
    ] = None,
) -> None:
    """Write what finds images again and shows none of them, for `leaks.against`.

    For each image: the sha256 of its file and of its pixels, its perceptual hashes, and 256 signs
    of its slopes in random directions. No thumbnail: 32x32 pixels could be looked at.
    """
    from imagemill.fingerprints import making  # noqa: PLC0415 (decoders take long to import)

    sys.exit(reported(lambda: making.make(Path.cwd(), address, split, out)))


@app.command()
def freeze(
    dataset: Annotated[str, typer.Argument(help="One whose splits imagemill assigned.")],
) -> None:
    """Write the present split to splits/DATASET.csv: from then on data grows and nothing moves."""
    from imagemill.freeze import freeze  # noqa: PLC0415 (Polars takes long to import)

    sys.exit(reported(lambda: say(freeze(Path.cwd(), dataset))))


@app.command()
def review(
    dataset: Annotated[str, typer.Argument(help="Whose last build came up to its verdicts.")],
    reviewer: Annotated[
        str | None, typer.Option(help="Your name; default: Git's `user.name`.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than loopback need the token.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Default: 8347, or any that is free.")] = None,
    token: Annotated[
        bool,
        typer.Option("--token", help="Need the token on loopback too: others share this host."),
    ] = False,
    static: Annotated[
        Path | None, typer.Option(help="Serve nothing: write the page as this one file.")
    ] = None,
    filters: Annotated[
        str, typer.Option("--filter", help="Of --static, as in the page's URL: `reason=mislabel`.")
    ] = "",
    most: Annotated[int, typer.Option(help="Of --static: images, pairs and leaks, each.")] = 300,
    returned: Annotated[
        list[Path] | None,
        typer.Option("--import", help="Serve nothing: add the verdicts that such a file saved."),
    ] = None,
) -> None:
    """Look through what a build flagged, in the browser, and say what becomes of it.

    Verdicts are added to reviews/DATASET.csv as they are given; the next build obeys them.
    """
    from imagemill import review_page  # noqa: PLC0415 (Polars takes long to import)

    def work() -> None:
        if returned:
            return review_page.take(Path.cwd(), dataset, returned)
        if static is not None:
            return review_page.write(Path.cwd(), dataset, static, filters, most)
        return review_page.serve(Path.cwd(), dataset, reviewer, host, port, token=token)

    sys.exit(reported(work))


@app.command()
def deliver(
    datasets: Annotated[list[str], typer.Argument(help="Datasets that are built.")],
    to: Annotated[Path, typer.Option(help="Folder to fill; made when it is not there.")] = Path(
        "Dataset_Cleaning_Results"
    ),
) -> None:
    """Collect manifests, summaries, removal lists and slides, and how the datasets compare."""
    from imagemill import collecting  # noqa: PLC0415 (Polars takes long to import)

    sys.exit(reported(lambda: say(collecting.collect(Path.cwd(), datasets, to))))


@app.command()
def compare(
    datasets: Annotated[list[str], typer.Argument(help="Datasets that are built.")],
) -> None:
    """Show the figures of several datasets side by side."""
    from imagemill import collecting  # noqa: PLC0415

    sys.exit(reported(lambda: say(collecting.compare(Path.cwd(), datasets))))


@app.command()
def calibrate(
    dataset: Annotated[
        str, typer.Argument(help="One that is measured: `dvc repro match@DATASET`.")
    ],
    precision: Annotated[
        float, typer.Option(help="Share of the pairs found that must be copies: 0.5 to below 1.")
    ] = 0.99,
    images: Annotated[
        int, typer.Option(help="That are edited, four times each; more tell recall more exactly.")
    ] = 400,
) -> None:
    """Learn from a dataset's own images what likeness makes a pair: calibrations/DATASET.json.

    Copies are planted by editing its images and looked for; how often different images score as
    high is told by the pairs that it has. Every later build obeys the file, until it is made again
    or deleted.
    """
    from imagemill import stage  # noqa: PLC0415
    from imagemill.calibration import making  # noqa: PLC0415 (decoders take long to import)

    def work() -> None:
        root = Path.cwd()
        say(making.calibrate(root, dataset, precision, images, stage.engine(root)))

    sys.exit(reported(work))


@app.command()
def prune(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(help="Whose download and package to free too; `dvc pull` restores them."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be freed, and free nothing.")
    ] = False,
    remote: Annotated[
        str | None, typer.Option(help="Name of the DVC remote that must hold it; default: DVC's.")
    ] = None,
) -> None:
    """Free what lies here and, proven now, at a DVC remote or published prefix; say what and why.

    Always: files of DVC's cache that no output of now has, and memos of no more use. What a build
    needs stays, unless its dataset is named.
    """
    from imagemill.prune import prune  # noqa: PLC0415

    sys.exit(reported(lambda: prune(Path.cwd(), datasets or [], remote, dry_run=dry_run)))


def _build(targets: list[str]) -> None:
    from imagemill import heal  # noqa: PLC0415

    root = Path.cwd()
    heal.heal(root)
    datasets = Project(root).datasets()
    stages = [each for target in targets for each in _stages(root, target, datasets)]
    before = _built(root)
    if subprocess.run([_dvc(), "repro", *stages], check=False).returncode:
        raise BuildError("the build stopped; the message above says why and where")
    changed = sorted(name for name, outs in _built(root).items() if before.get(name) != outs)
    say(f"\nRebuilt: {', '.join(changed) if changed else 'nothing; everything is up to date'}")
    wanted = {stage.partition("@")[2] for stage in stages} or datasets
    for dataset in filter(wanted.__contains__, datasets):
        page = Path("data") / dataset / "report" / "index.html"
        if (root / page).exists():
            say(f"  look at {page}")


def _stages(root: Path, target: str, datasets: Iterable[str]) -> list[str]:
    """Return the stages that a target of ``build`` stands for: all of a dataset, or itself."""
    names = list(load(root / "dvc.yaml")["stages"])
    stage, _, dataset = target.rpartition("@")
    if dataset not in datasets:
        raise ConfigError(
            f"build: {target}: params.yaml lists no dataset {dataset}{suggest(dataset, datasets)}"
        )
    if stage and stage not in names:
        raise ConfigError(f"build: {target}: no stage {stage}{suggest(stage, names)}")
    return [target] if stage else [f"{name}@{dataset}" for name in names]


def _init(name: str, address: str) -> None:
    from imagemill import scaffold  # noqa: PLC0415

    say(scaffold.init(name, address, Path.cwd()))
    say(f"Written to conf/dataset/{name}.yaml and entered in params.yaml.")
    say(f"Read it, then build it: imagemill build {name}")


def _dvc() -> str:
    beside = Path(sys.executable).with_name("dvc")
    found = str(beside) if beside.exists() else shutil.which("dvc")
    if found is None:
        raise BuildError("dvc is not installed here; run `make setup`")
    return found


def _built(root: Path) -> dict[str, dict[str, str]]:
    """Return the stages whose recorded outputs are there, with the outputs' hashes."""
    from imagemill import heal  # noqa: PLC0415

    lock = root / DVC_LOCK
    stages = (heal.recorded(lock) or {}) if lock.exists() else {}
    return {
        name: outs for name, outs in stages.items() if all((root / path).exists() for path in outs)
    }


def _export(dataset: str, to: Path, stale: Literal["fail", "remove"], *, check: bool) -> None:
    from imagemill import export, packaged  # noqa: PLC0415

    export.export(packaged.find(Path(), dataset), to, stale, check=check)


def _verify(address: str, certificate: str | None) -> None:
    """Verify the package of a dataset of that name, or else the folder."""
    from imagemill import packaged, verify  # noqa: PLC0415

    if packaged.is_dataset(Path(), address):
        say(verify.dataset(Path(), address, certificate))
    else:
        say(verify.folder(Path(address), certificate))


def _prefix(
    command: str, url: str, endpoint: str | None, profile: str | None, anonymous: bool
) -> "Prefix":
    # boto3 takes a quarter of a second to import, which other commands need not wait for.
    from imagemill.published.prefix import Prefix, bucket  # noqa: PLC0415

    return Prefix(command, bucket(url, endpoint, profile, anonymous))


def _export_published(
    prefix: "Prefix", to: Path, stale: Literal["fail", "remove"], *, check: bool
) -> None:
    from imagemill.published.export import export  # noqa: PLC0415

    export(prefix, to, stale, check=check)


def _verify_published(prefix: "Prefix", certificate: str | None) -> None:
    from imagemill.published.verify import verify  # noqa: PLC0415

    say(verify(prefix, certificate))


if __name__ == "__main__":
    app()
