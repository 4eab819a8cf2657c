"""List what lies in the sources now, and read the label tables; see ``imagemill.scan``."""

from imagemill import scan
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import LISTING, write_side_tables


@stage
def main(config: scan.Config, paths: Paths) -> None:
    """Write one row an object, and the label tables as they are."""
    tables = scan.read_tables(config, paths.root)
    listing = scan.listing(config, paths.root, tables)
    LISTING.write(paths.out, listing)
    write_side_tables(paths.out, tables)
    say(scan.summary(listing))
