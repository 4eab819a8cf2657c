"""Find and verify pairs of images that show the same thing; see ``imagemill.match``."""

from imagemill import match
from imagemill.engine import Engine
from imagemill.stage import Paths, stage
from imagemill.tables import EMBEDDINGS, FACTS, KEYPOINTS, PAIRS, THUMBS


@stage
def main(config: match.Config, paths: Paths, engine: Engine) -> None:
    """Read what was measured; write one row a verified pair."""
    tables = (FACTS, THUMBS, EMBEDDINGS, KEYPOINTS)
    measured = match.Measured(*(each.read(paths.of("measure")) for each in tables))
    known = match.known(paths.memo, config)
    PAIRS.write(paths.out, match.find(measured, config, known, engine))
