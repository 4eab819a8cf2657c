"""Write what a group that cleans a dataset hands over; see ``imagemill.deliver``."""

from imagemill import deliver
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import (
    ANNOTATIONS,
    EVIDENCE,
    LEAKS,
    MANIFEST,
    REVIEWS,
    SAMPLES,
    UNMATCHED,
)


@stage
def main(config: deliver.Config, paths: Paths) -> None:
    """Read what was said and decided; write manifests, lists and the summary."""
    tables = deliver.Tables(
        samples=SAMPLES.read(paths.of("merge")),
        evidence=EVIDENCE.read(paths.of("clean")),
        reviews=REVIEWS.read(paths.of("clean")),
        unmatched=UNMATCHED.read(paths.of("clean")),
        annotations=ANNOTATIONS.read(paths.of("clean")),
        manifest=MANIFEST.read(paths.of("leaks")),
        leaks=LEAKS.read(paths.of("leaks")),
    )
    side = paths.of("scan") / "tables"
    found = deliver.write(tables, side, paths.of("leaks"), paths.dataset, config, paths.out)
    say(deliver.summary(found))
