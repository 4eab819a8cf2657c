"""ImageFolder: packs of ``<split>/<label>/<file>`` that ``tar`` or ``imagemill export`` unpack.

Where no sample has a split, ``<label>/<file>``: what torchvision's ``ImageFolder`` is given.
"""

import shutil
import tarfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from imagemill import arcface, packs
from imagemill.config import Section
from imagemill.engine import Engine
from imagemill.errors import BuildError
from imagemill.memo import Memo
from imagemill.package import contract
from imagemill.packs import Member, Pack
from imagemill.progress import progress

BATCH = 256  # images described at a time


class Config(Section):
    """How an ImageFolder is stored."""

    pack_bytes: Annotated[int, Field(ge=1024)]
    """Content of a pack on average, in bytes."""
    unpacked: bool
    """Write real folders beside the packs' place instead of packs; for small sets."""


@dataclass(frozen=True)
class _Task:
    """One pack to write, with where each member's image lies."""

    pack: Pack
    folder: Path
    batch: contract.Batch


def write(
    kept: pl.DataFrame,
    source: contract.Source,
    config: Config,
    out: Path,
    remembered: Memo,
    engine: Engine,
) -> pl.DataFrame:
    """Make ``out`` hold exactly the images of ``kept``; return ``tables.CONTENTS``.

    Packs that are there under their name are left alone. The hand-off to training lies beside.
    """
    described = _describe(kept["digest"].unique().sort(), source, remembered, engine)
    listed = (
        kept.join(described, on="digest")
        .with_columns(pl.format("{}/{}.{}", "folder", "name", "suffix").alias("member"))
        .sort("member")
    )
    planned = _plan(listed, config)
    _write(planned, listed, source, out, engine)
    for path in out.iterdir():
        if path.name not in {pack.name for pack in planned}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    verify(out, listed)
    arcface.write(out, listed)
    if config.unpacked:
        _unpack(out)
    return listed


def _describe(
    digests: pl.Series, source: contract.Source, remembered: Memo, engine: Engine
) -> pl.DataFrame:
    known = remembered.find(digests)
    new = digests.filter(~digests.is_in(known["digest"].implode()))
    parts = [known]
    for part in engine.map(contract.describe, source.batches(new, BATCH)):
        remembered.add(part)
        parts.append(part)
    remembered.tidy()
    return pl.concat(parts)


def _plan(listed: pl.DataFrame, config: Config) -> list[Pack]:
    rows = listed.select("member", "packaged", "bytes").iter_rows()
    return list(packs.plan((Member(*row) for row in rows), config.pack_bytes))


def _write(
    planned: list[Pack],
    listed: pl.DataFrame,
    source: contract.Source,
    out: Path,
    engine: Engine,
) -> None:
    digests = dict(listed.select("member", "digest").iter_rows())
    tasks = []
    for pack in planned:
        if not packs.holds(out, pack):
            wanted = pl.Series([digests[member.name] for member in pack.members], dtype=pl.String)
            tasks.append(_Task(pack, out, source.batches(wanted, len(wanted))[0]))
    total = sum(len(task.pack.members) for task in tasks)
    with progress("package", total, "images") as advance:
        for task, _ in zip(tasks, engine.map(_write_pack, tasks), strict=True):
            advance(len(task.pack.members))


def _write_pack(task: _Task) -> None:
    places = iter(task.batch.members)
    with packs.Reader(task.batch.folder) as reader:

        def content(_: Member) -> bytes:
            return contract.canonical(reader.content(*next(places)), task.batch.limits)[1]

        packs.write(task.pack, task.folder, content)


def verify(out: Path, listed: pl.DataFrame) -> None:
    """Read the packs back with ``tarfile``; raise ``BuildError`` unless they hold ``listed``."""
    found: dict[str, str] = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                file = tar.extractfile(member)
                twice = member.name in found
                digest = sha256(file.read() if file else b"").hexdigest()
                found[member.name] = "twice" if twice else digest
    promised = dict(listed.select("member", "packaged").iter_rows())
    wrong = sorted(
        name for name in promised.keys() | found if promised.get(name) != found.get(name)
    )
    if wrong:
        raise BuildError(
            f"package: {len(wrong):,} files of {out} are not as the manifest says, first "
            f"{wrong[0]}. Delete {out} and build again."
        )


def _unpack(out: Path) -> None:
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path, "r:") as tar:
            tar.extractall(out, filter="data")
        path.unlink()
