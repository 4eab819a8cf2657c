"""Make folders of a packaged ImageFolder, straight from its packs, at the speed of the disk."""

import hashlib
from functools import partial
from pathlib import Path

from imagemill import certificates, label_maps, packs, statistics
from imagemill.errors import BuildError
from imagemill.exported import MANIFEST
from imagemill.exported.filling import Filling, Stale, filling
from imagemill.packaged import Packaged, Place, work_through
from imagemill.progress import say

CARD = "README.md"
PAPERS = (certificates.FILE, certificates.SEALS, label_maps.FILE)


def export(packaged: Packaged, to: Path, stale: Stale, *, check: bool) -> None:
    """Make ``to`` hold the images of ``packaged``, the hand-off to training, and the papers.

    A file that is there is left alone if its length and time stamp are right, or else its sha256;
    with ``check`` only if its sha256 is. Raises ``BuildError`` where the package is not whole, or
    ``to`` holds what is not of it and would be trained on.
    """
    if to.resolve().is_relative_to(packaged.folder.resolve().parent):
        raise BuildError(f"export: {to} lies in the package itself; choose another folder")
    placed = packaged.placed()
    with filling(to, packaged.contents, stale, check=check) as folder:
        lacking = placed.join(folder.lacking, on="member", how="semi", maintain_order="left")
        for _ in work_through("export", lacking, partial(_write, packaged, folder)):
            pass
        folder.paper(CARD, _read(packaged.folder.parent / CARD))
        for name in PAPERS:
            folder.paper(name, _read(packaged.folder / name))
        folder.finish((packaged.folder / MANIFEST).read_bytes())
    say(statistics.text(packaged.contents))
    written = f"{len(lacking):,} written, each with its checksum"
    say(f"export: {len(placed):,} images in {to}; {written}")


def _write(packaged: Packaged, folder: Filling, batch: list[Place]) -> None:
    """Write the files of ``batch``, each checked against its sha256 on the way."""
    with packs.Reader(packaged.folder) as reader:
        for member, digest, pack, offset, length in batch:
            data = reader.read(pack, offset, length)
            if hashlib.sha256(data).hexdigest() != digest:
                raise BuildError(
                    f"{packaged.folder / pack} is damaged at byte {offset:,}, in {member}. "
                    f"{packaged.mend(pack)}"
                )
            folder.put(member, data, digest)


def _read(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None
