"""Judge every sample; see ``imagemill.clean``."""

from imagemill import clean
from imagemill.progress import say
from imagemill.stage import Paths, stage
from imagemill.tables import EMBEDDINGS, PAIRS, SAMPLES


@stage
def main(config: clean.Config, paths: Paths) -> None:
    """Read samples, facts, pairs, audits and reviews; write one verdict a sample, and why."""
    samples = SAMPLES.read(paths.of("merge"))
    facts = clean.facts(paths.of("measure"))
    flagged, unmatched = clean.audits.read(paths.root, config.audits, samples)
    inputs = clean.Inputs(
        samples=samples,
        facts=facts,
        pairs=PAIRS.read(paths.of("match")),
        embeddings=EMBEDDINGS.read(paths.of("measure")),
        reviews=clean.reviews(paths.root, paths.dataset, config),
        flagged=flagged,
        unmatched=unmatched,
        annotated=clean.annotations.given(paths.of("scan") / "tables", samples),
        memo=paths.memo,
    )
    judgement = clean.judge(inputs, config)
    judgement.write(paths.out)
    say(clean.summary(judgement))
    clean.refuse_unexpected(judgement, samples, facts, config)
