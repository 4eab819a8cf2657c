"""List what lies in the sources now, and read the label tables; see ``imagemill.scan``."""

from imagemill import scan
from imagemill.progress import say
from imagemill.stage import Paths, keeping_stage
from imagemill.tables import LISTING, ORPHANS, write_side_tables


@keeping_stage
def main(config: scan.Config, paths: Paths) -> None:
    """Write one row an object, and the label tables as they are."""
    before = scan.Before.read(paths.earlier("download"), paths.out)
    tables = scan.read_tables(config, paths.root, before)
    listing = scan.listing(config, paths.root, tables, before)
    orphans = scan.orphans(listing, config, tables)
    LISTING.write(paths.out, listing)
    ORPHANS.write(paths.out, orphans)
    write_side_tables(paths.out, tables)
    say("\n".join([scan.summary(listing), *scan.orphans_summary(orphans)]))
