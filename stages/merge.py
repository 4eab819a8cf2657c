"""Unite the sources into samples; see ``imagemill.merge``."""

from imagemill import identities, layouts, merge
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import CONFLICTS, INDEX, SAMPLES, read_side_tables


@stage
def main(config: merge.Config, paths: Paths) -> None:
    """Read the index and the label tables; write one sample a row, and the figures."""
    tables = read_side_tables(paths.of("scan"), layouts.joined(config.layouts))
    samples, conflicts = merge.merge(INDEX.read(paths.of("download")), tables, config)
    figures = identities.figures(samples)
    SAMPLES.write(paths.out, samples)
    CONFLICTS.write(paths.out, conflicts)
    identities.write(paths.out, figures)
    say(f"merge:\n{identities.text(samples, figures)}")
    merge.refuse_unexpected(samples, config)
