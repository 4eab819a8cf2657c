"""Decode every new image once; see ``imagemill.measure``."""

from imagemill import measure, packs
from imagemill.engine import Engine
from imagemill.stage import Paths, stage
from imagemill.tables import EMBEDDINGS, FACTS, KEYPOINTS, PLACES, THUMBS


@stage
def main(config: measure.Config, paths: Paths, engine: Engine) -> None:
    """Read the packs; write what is known of each distinct image."""
    places = PLACES.read(paths.of("download"))
    remembered = measure.memos(paths.memo, config)
    folder = paths.of("download") / packs.FOLDER
    measured = measure.measure(places, folder, config, remembered, engine)
    FACTS.write(paths.out, measured.facts)
    THUMBS.write(paths.out, measured.thumbs)
    EMBEDDINGS.write(paths.out, measured.embeddings)
    KEYPOINTS.write(paths.out, measured.keypoints)
