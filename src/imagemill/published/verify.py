"""Check that a published prefix holds what its manifest names, from a listing alone."""

from imagemill.progress import say
from imagemill.published.compare import counted, differences
from imagemill.published.prefix import Prefix


def verify(prefix: Prefix) -> str:
    """Return what the prefix holds, in one line.

    Says each difference, then raises ``SourceError`` with what mends them.
    """
    manifest, _ = prefix.complete()
    wrong = differences(manifest.rows, prefix.listed())
    for member, kind, said in wrong.iter_rows():
        say(f"{kind}: {member}{f': {said}' if said else ''}")
    if wrong.is_empty():
        rows = manifest.rows
        labels = rows["label"].n_unique()
        return f"verify: {prefix.spec.url} holds its {len(rows):,} images of {labels:,} labels"
    mend = (
        f"`dvc repro -sf publish@{manifest.noted['dataset']}` where it is built sends what differs"
    )
    if (wrong["kind"] == "extra").any():
        mend += "; what is extra is not from there: delete it, or it is taken for training"
    raise prefix.refusal(f"{counted(wrong)} of {len(manifest.rows):,} objects; {mend}")
