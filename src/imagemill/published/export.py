"""Make folders of a published dataset, on a machine with neither its repo nor DVC."""

import hashlib
from pathlib import Path

from imagemill import certificates, label_maps, statistics
from imagemill.exported.filling import Filling, Stale, filling
from imagemill.progress import progress, say
from imagemill.published.prefix import Prefix
from imagemill.published.verify import disputed
from imagemill.sources.objects import Fetched, UnavailableError, Wanted


def export(prefix: Prefix, to: Path, stale: Stale, *, check: bool) -> None:
    """Make ``to`` hold the images of a published dataset, the hand-off to training, the manifest.

    Files that are right already are not fetched again; see ``filling``. Raises ``SourceError``
    where the prefix is not complete, and ``BuildError`` when anything is missing or wrong.
    """
    manifest, data = prefix.complete()
    for _, _, said in disputed(manifest):
        raise prefix.refusal(f"its certificate does not verify: {said}; do not trust it")
    with filling(to, manifest.rows, stale, check=check) as folder:
        _fetch(prefix, folder)
        certificates.unfold(to, manifest.certificate, manifest.rows)
        labels = None if manifest.labels is None else manifest.labels.encode()
        folder.paper(label_maps.FILE, labels)
        folder.finish(data)
    say(statistics.text(manifest.rows))
    say(f"export: {len(manifest.rows):,} images in {to}, every checksum right")


def _fetch(prefix: Prefix, folder: Filling) -> None:
    rows = folder.lacking.select("member", "etag", "bytes").iter_rows()
    wanted = [Wanted(member, f"{etag}:{length}", length) for member, etag, length in rows]
    right = dict(folder.lacking.select("member", "packaged").iter_rows())
    failed: list[str] = []
    with progress("export", len(wanted), "images") as advance:
        for got in prefix.getter().fetch(wanted):
            member = got.wanted.key
            try:
                folder.put(member, _checked(got, right[member]), right[member])
            except UnavailableError as error:
                failed.append(f"{member}: {error.detail}")
            advance(1)
    if failed:
        raise prefix.refusal(
            f"{len(failed):,} of {len(wanted):,} images could not be had, the first {min(failed)}. "
            "What came is kept: run this again. Where that does not help, "
            f"`imagemill verify {prefix.spec.url}` says what is wrong with the prefix"
        )


def _checked(got: Fetched, packaged: str) -> bytes:
    """Return the bytes of an image; raises ``UnavailableError`` unless their sha256 is right."""
    found = got.content
    if isinstance(found, bytes):
        if hashlib.sha256(found).hexdigest() == packaged:
            return found
        raise UnavailableError("checksum", "its bytes are not those of the manifest's checksum")
    if found.reason in ("changed", "vanished"):
        raise UnavailableError(found.reason, "not as the manifest says; is it published anew?")
    raise found
