"""Find and verify pairs of images that show the same thing; see ``imagemill.match``."""

from imagemill import match
from imagemill.stage import Paths, stage
from imagemill.tables import FACTS, PAIRS, THUMBS


@stage
def main(config: match.Config, paths: Paths) -> None:
    """Read facts and thumbnails; write one row a verified pair."""
    facts = FACTS.read(paths.of("measure"))
    thumbs = THUMBS.read(paths.of("measure"))
    PAIRS.write(paths.out, match.find(facts, thumbs, config))
