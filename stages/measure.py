"""Decode every new image once; see ``imagemill.measure``."""

from imagemill import measure, packs
from imagemill.engine import Engine
from imagemill.stage import Paths, stage
from imagemill.tables import FACTS, PLACES, THUMBS


@stage
def main(config: measure.Config, paths: Paths, engine: Engine) -> None:
    """Read the packs; write facts and thumbnails, one row a distinct image."""
    places = PLACES.read(paths.of("download"))
    remembered = measure.memo(paths.memo, config)
    folder = paths.of("download") / packs.FOLDER
    measured = measure.measure(places, folder, config, remembered, engine)
    FACTS.write(paths.out, measured)
    THUMBS.write(paths.out, measure.thumbs(measured))
