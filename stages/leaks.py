"""Check or assign the splits and write the final manifest; see ``imagemill.leaks``."""

from imagemill import leaks
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import LEAKS, MANIFEST, PAIRS, SAMPLES, VERDICTS


@stage
def main(config: leaks.Config, paths: Paths) -> None:
    """Read samples, verdicts and pairs; write the manifest and the leaks found."""
    samples = SAMPLES.read(paths.of("merge"))
    verdicts = VERDICTS.read(paths.of("clean"))
    pairs = PAIRS.read(paths.of("match"))
    manifest, found = leaks.decide(samples, verdicts, pairs, config)
    MANIFEST.write(paths.out, manifest)
    LEAKS.write(paths.out, found)
    say(leaks.summary(manifest, found))
