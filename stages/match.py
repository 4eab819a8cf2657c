"""Find and verify pairs of images that show the same thing; see ``imagemill.match``."""

from imagemill import calibration, match
from imagemill.engine import Engine
from imagemill.stage import Paths, stage
from imagemill.tables import PAIRS


@stage
def main(config: match.Config, paths: Paths, engine: Engine) -> None:
    """Read what was measured; write one row a verified pair, and a summary."""
    measured = match.Measured.read(paths.of("measure"))
    settings, file = match.made_for(config), config.calibration.file
    found = calibration.obeyed(paths.root, paths.dataset, file, settings)
    config = match.effective(config, found)
    pairs = match.find(measured, config, match.known(paths.memo, config), engine)
    PAIRS.write(paths.out, pairs)
    calibration.summarise(paths.out, pairs, config.min_score, found)
