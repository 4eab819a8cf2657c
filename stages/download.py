"""Bring the wanted objects into packs; see ``imagemill.download``."""

from imagemill import download
from imagemill.engine import Engine
from imagemill.stage import Paths, keeping_stage
from imagemill.tables import LISTING


@keeping_stage
def main(config: download.Config, paths: Paths, engine: Engine) -> None:
    """Make the packs agree with the listing."""
    listing = LISTING.read(paths.of("scan"))
    spool = paths.local / "spool" / paths.dataset
    download.update(listing, config, paths.out, paths.root, spool, engine)
