"""Find and verify pairs of images that show the same thing; see ``imagemill.match``."""

from imagemill import match
from imagemill.engine import Engine
from imagemill.stage import Paths, stage
from imagemill.tables import FACTS, PAIRS, THUMBS


@stage
def main(config: match.Config, paths: Paths, engine: Engine) -> None:
    """Read facts and thumbnails; write one row a verified pair."""
    facts = FACTS.read(paths.of("measure"))
    thumbs = THUMBS.read(paths.of("measure"))
    known = match.known(paths.memo, config)
    PAIRS.write(paths.out, match.find(facts, thumbs, config, known, engine))
