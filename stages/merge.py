"""Unite the sources into samples; see ``imagemill.merge``."""

from imagemill import merge
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import INDEX, SAMPLES, read_side_tables


@stage
def main(config: merge.Config, paths: Paths) -> None:
    """Read the index and the label tables; write one sample a row."""
    index = INDEX.read(paths.of("download"))
    tables = read_side_tables(paths.of("scan"))
    samples = merge.merge(index, tables, config)
    SAMPLES.write(paths.out, samples)
    say(merge.summary(samples))
