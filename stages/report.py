"""Draw the page that people look at; see ``imagemill.report``."""

from imagemill import calibration, certificates, packs, report
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import (
    EVIDENCE,
    FACTS,
    INDEX,
    LEAKS,
    LISTING,
    MANIFEST,
    ORPHANS,
    PAIRS,
    PLACES,
    REVIEWS,
    SAMPLES,
    VERDICTS,
    read_side_tables,
)


@stage
def main(config: report.Config, paths: Paths) -> None:
    """Read what every stage has written; write the page and its figures."""
    tables = report.Tables(
        listing=LISTING.read(paths.of("scan")),
        orphans=ORPHANS.read(paths.of("scan")),
        index=INDEX.read(paths.of("download")),
        places=PLACES.read(paths.of("download")),
        samples=SAMPLES.read(paths.of("merge")),
        facts=FACTS.read(paths.of("measure")),
        pairs=PAIRS.read(paths.of("match")),
        verdicts=VERDICTS.read(paths.of("clean")),
        manifest=MANIFEST.read(paths.of("leaks")),
        leaks=LEAKS.read(paths.of("leaks")),
        truth=read_side_tables(paths.of("scan"), ["truth"]).get("truth"),
        evidence=EVIDENCE.read(paths.of("clean")),
        reviews=REVIEWS.read(paths.of("clean")),
        matched=calibration.summary(paths.of("match")),
        certificate=certificates.read(paths.of("leaks") / certificates.FILE),
    )
    folder = paths.of("download") / packs.FOLDER
    say(report.summary(report.write(tables, folder, config, paths.out)))
