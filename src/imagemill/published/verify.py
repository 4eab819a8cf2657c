"""Check that a published prefix holds what its manifest names, from a listing alone."""

from collections.abc import Iterator

import polars as pl

from imagemill import certificates
from imagemill.errors import BuildError
from imagemill.progress import say
from imagemill.published import MANIFEST, Manifest
from imagemill.published.compare import DIFFERENCES, counted, differences
from imagemill.published.prefix import Prefix


def verify(prefix: Prefix, known: str | None = None) -> str:
    """Return what the prefix holds, and what its certificate says; ``known`` is that one's id.

    Says each difference, then raises ``SourceError`` with what mends them.
    """
    manifest, _ = prefix.complete()
    found = pl.DataFrame(list(disputed(manifest)), DIFFERENCES, orient="row")
    wrong = pl.concat([differences(manifest.rows, prefix.listed()), found])
    for member, kind, said in wrong.iter_rows():
        say(f"{kind}: {member}{f': {said}' if said else ''}")
    if wrong.is_empty():
        rows = manifest.rows
        labels = rows["label"].n_unique()
        held = f"verify: {prefix.spec.url} holds its {len(rows):,} images of {labels:,} labels"
        return f"{held}\n{_certified(prefix.spec.url, manifest, known)}"
    mend = (
        f"`dvc repro -sf publish@{manifest.noted['dataset']}` where it is built sends what differs"
    )
    if (wrong["kind"] == "extra").any():
        mend += "; what is extra is not from there: delete it, or it is taken for training"
    raise prefix.refusal(f"{counted(wrong)} of {len(manifest.rows):,} objects; {mend}")


def disputed(manifest: Manifest) -> Iterator[certificates.Difference]:
    """Yield what is not as the certificate of a manifest says; nothing where there is none."""
    if manifest.certificate is None:
        return
    try:
        said = certificates.parse(manifest.certificate, f"the certificate in {MANIFEST}")
    except BuildError as error:
        yield MANIFEST, certificates.KIND, str(error)
        return
    for file, kind, what in certificates.disputed(said, manifest.rows):
        yield MANIFEST, kind, f"{file}: {what}"


def _certified(url: str, manifest: Manifest, known: str | None) -> str:
    text = manifest.certificate
    if text is None:
        certificates.refuse_other("", url, known)
        return f"verify: {url} has no certificate: nothing says that its splits were checked"
    said = certificates.parse(text, url)
    certificates.refuse_other(str(said["id"]), url, known)
    return certificates.words(said)
