"""Compose, check and write the config of one dataset; see ``imagemill.config``."""

import sys
from pathlib import Path

from imagemill import (
    clean,
    config,
    deliver,
    download,
    leaks,
    match,
    measure,
    merge,
    package,
    publish,
    report,
    scan,
)
from imagemill.config import compose
from imagemill.config.project import Project
from imagemill.stage import reported

SECTIONS: compose.Sections = {
    "scan": scan.Config,
    "download": download.Config,
    "merge": merge.Config,
    "measure": measure.Config,
    "match": match.Config,
    "clean": clean.Config,
    "leaks": leaks.Config,
    "package": package.Config,
    "deliver": deliver.Config,
    "report": report.Config,
    "publish": publish.Config,
}
"""The config model of every stage, in the order of the pipeline."""


def main(dataset: str) -> None:
    """Resolve the config of ``dataset`` in the project of the working directory."""
    resolved = compose.resolve(Project(Path.cwd()), dataset, SECTIONS)
    config.write(Path("data") / dataset / "config.yaml", resolved)


if __name__ == "__main__":
    sys.exit(reported(lambda: main(sys.argv[1])))
