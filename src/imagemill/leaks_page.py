"""`imagemill leaks`: draw the leaks of a build, also where the gate stopped it."""

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from imagemill import config
from imagemill.errors import BuildError
from imagemill.files import LOCAL
from imagemill.report import Config
from imagemill.stage import Paths


@dataclass(frozen=True)
class _Left(Paths):
    """Where ``leaks`` left its result when the gate stopped it; else where it put it."""

    def of(self, stage: str) -> Path:
        """Return the output folder of another stage."""
        left = self.local / "tmp" / f"{self.dataset}.leaks"
        return left if stage == "leaks" and left.exists() else super().of(stage)


def draw(root: Path, dataset: str) -> Path:
    """Draw the report of the last build of ``dataset`` up to ``leaks``; return the page, by root.

    Raises ``BuildError`` where no build has come that far.
    """
    out = root / LOCAL / "leaks" / dataset
    paths = _Left(root, dataset, out)
    if not (paths.of("leaks") / "certificate.json").exists():
        raise BuildError(
            f"leaks: no build of {dataset} has come to its leaks; "
            f"`dvc repro leaks@{dataset}` builds up to there"
        )
    out.mkdir(parents=True, exist_ok=True)
    settings = Config.model_validate(config.read(paths.of("config.yaml"), "report"))
    sys.path.insert(0, str(root))
    import_module("stages.report").main(settings, paths)
    return (out / "index.html").relative_to(root)
