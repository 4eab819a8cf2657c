"""Make folders of a published dataset, on a machine with neither its repo nor DVC."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import polars as pl

from imagemill import statistics
from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.package import arcface
from imagemill.progress import progress, say
from imagemill.published import MANIFEST, STALE
from imagemill.published.prefix import Prefix
from imagemill.sources.objects import Fetched, UnavailableError, Wanted

SPARE = 1 << 26  # bytes of disk to leave free
PART = ".imagemill-part"  # a file that is being written, in the folder to fill


def export(prefix: Prefix, to: Path, stale: Literal["fail", "remove"]) -> None:
    """Make ``to`` hold the images of a published dataset, the hand-off to training, the manifest.

    Files that are there already, by size and sha256, are not fetched again. Raises ``BuildError``
    when anything is missing or wrong at the end, and before anything is fetched where ``to`` holds
    what would be trained on and is not of this dataset.
    """
    manifest, data = prefix.complete()
    to.mkdir(parents=True, exist_ok=True)
    _clear_stale(to, stale)
    there = _tidied(manifest.rows, to)
    missing = manifest.rows.join(_held(manifest.rows, there, to), on="member", how="anti")
    _refuse_full_disk(missing, to)
    say(f"export: {len(manifest.rows) - len(missing):,} images are there already")
    _fetch(prefix, missing, to)
    arcface.write(to, manifest.rows)
    with replacing(to / MANIFEST) as part:
        part.write_bytes(data)
    say(statistics.text(manifest.rows))
    say(f"export: {len(manifest.rows):,} images in {to}, every checksum right")


def _clear_stale(to: Path, stale: Literal["fail", "remove"]) -> None:
    found = [to / name for name in STALE if (to / name).exists()]
    if found and stale == "fail":
        names = ", ".join(path.name for path in found)
        raise BuildError(
            f"export: {to} holds {names}, which insightface would read in place of the images; "
            "nothing was fetched. Delete them, or give --stale remove."
        )
    for path in found:
        path.unlink()
        say(f"export: removed {path}")


def _tidied(rows: pl.DataFrame, to: Path) -> pl.DataFrame:
    """Return member and bytes of the files below the folders of ``to``.

    Those that an earlier export brought and ``rows`` no longer names are removed. Raises
    ``BuildError`` where others than the two are among them.
    """
    (to / PART).unlink(missing_ok=True)  # of an export that was killed
    there = pl.DataFrame(_files(to), {"member": pl.String, "bytes": pl.Int64}, orient="row")
    extra = there.join(rows, on="member", how="anti")["member"]
    earlier = _earlier(to / MANIFEST)
    hidden = extra.str.contains(r"/\.[^/]*$")  # such as .DS_Store; no loader reads them
    strange = extra.filter(~extra.is_in(earlier.implode()) & ~hidden).sort()
    if len(strange):
        raise BuildError(
            f"export: {to} holds {len(strange):,} files that are not of this dataset and would be "
            f"trained on, such as {strange[0]}; nothing was fetched. Delete them, or choose "
            "another folder."
        )
    for member in extra.filter(extra.is_in(earlier.implode())):
        (to / member).unlink()
        _remove_empty((to / member).parent, to)
    return there


def _files(folder: Path, below: str = "") -> Iterator[tuple[str, int]]:
    """Yield every file in a folder of ``folder``, with its size."""
    with os.scandir(folder) as entries:
        for each in entries:
            if each.is_dir():
                yield from _files(Path(each.path), f"{below}{each.name}/")
            elif below:
                yield f"{below}{each.name}", each.stat().st_size


def _earlier(manifest: Path) -> pl.Series:
    """Return the members that an earlier export brought; none where nothing readable tells."""
    try:
        return pl.read_parquet(manifest, columns=["member"])["member"]
    except (FileNotFoundError, pl.exceptions.PolarsError):
        return pl.Series("member", [], pl.String)


def _remove_empty(folder: Path, to: Path) -> None:
    """Remove folders without files: ImageFolder takes each for a class, and stops."""
    while folder != to and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _held(rows: pl.DataFrame, there: pl.DataFrame, to: Path) -> pl.DataFrame:
    """Return those of ``rows`` whose file is there with the right size and sha256."""
    alike = rows.join(there, on=["member", "bytes"], how="semi", maintain_order="left")
    with progress("export: compare", len(alike), "images") as advance, ThreadPoolExecutor() as pool:

        def right(row: tuple[str, str]) -> bool:
            advance(1)
            return hashlib.sha256((to / row[0]).read_bytes()).hexdigest() == row[1]

        found = pool.map(right, alike.select("member", "packaged").iter_rows())
        return alike.filter(pl.Series(list(found), dtype=pl.Boolean))


def _refuse_full_disk(missing: pl.DataFrame, to: Path) -> None:
    needed, free = int(missing["bytes"].sum()) + SPARE, shutil.disk_usage(to).free
    if len(missing) and needed > free:
        raise BuildError(
            f"export: {len(missing):,} images need {needed / 1e9:,.1f} GB of disk and "
            f"{free / 1e9:,.1f} GB is free in {to}. Make room, or choose another folder."
        )


def _fetch(prefix: Prefix, missing: pl.DataFrame, to: Path) -> None:
    rows = missing.select("member", "etag", "bytes").iter_rows()
    wanted = [Wanted(member, f"{etag}:{length}", length) for member, etag, length in rows]
    right = dict(missing.select("member", "packaged").iter_rows())
    failed: list[str] = []
    with progress("export", len(wanted), "images") as advance:
        for got in prefix.getter().fetch(wanted):
            try:
                _put(to, got.wanted.key, _checked(got, right[got.wanted.key]))
            except UnavailableError as error:
                failed.append(f"{got.wanted.key}: {error.detail}")
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


def _put(to: Path, member: str, content: bytes) -> None:
    """Write one file; whole or not at all."""
    path = to / member
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (to / PART).write_bytes(content)
        (to / PART).replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BuildError(
                f"export: the disk of {to} is full. What came is kept: make room, run this again."
            ) from error
        raise
