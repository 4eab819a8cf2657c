"""Check or assign the splits and write the final manifest; see ``imagemill.leaks``."""

from imagemill import calibration, leaks, splits
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import PAIRS, SAMPLES, VERDICTS


@stage
def main(config: leaks.Config, paths: Paths) -> None:
    """Read samples, verdicts and pairs; write manifest, leaks and certificate; obey the gate."""
    samples = SAMPLES.read(paths.of("merge"))
    verdicts = VERDICTS.read(paths.of("clean"))
    pairs = PAIRS.read(paths.of("clean"))
    config = config.reaching(calibration.summary(paths.of("match")))
    frozen = splits.frozen.obeyed(paths.root, paths.dataset, config.assigning)
    others = leaks.Benchmarks.read(config, paths.root, paths.of("measure"))
    decision = leaks.decide(samples, verdicts, pairs, config, frozen, others.hits)
    leaks.write(paths.out, decision, config, paths.dataset, others)
    say(leaks.summary(decision))
    leaks.refuse(decision, config, paths.dataset, paths.out)
