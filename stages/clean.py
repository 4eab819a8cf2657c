"""Judge every sample; see ``imagemill.clean``."""

from imagemill import clean
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import FACTS, PAIRS, SAMPLES, VERDICTS


@stage
def main(config: clean.Config, paths: Paths) -> None:
    """Read samples, facts and pairs; write one verdict a sample."""
    samples = SAMPLES.read(paths.of("merge"))
    facts = FACTS.read(paths.of("measure"))
    pairs = PAIRS.read(paths.of("match"))
    verdicts = clean.judge(samples, facts, pairs, config)
    VERDICTS.write(paths.out, verdicts)
    say(clean.summary(verdicts))
    clean.refuse_unexpected(verdicts, samples, facts, config)
