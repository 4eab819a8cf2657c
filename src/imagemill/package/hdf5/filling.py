"""Images on their way into the file, which workers put in their place there and read back."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from imagemill import arrays
from imagemill.arrays import (
    CACHED,
    HASH,
    KINDS,
    SOURCE,
    STORE,
    Batch,
    Done,
    Form,
    Origin,
    differing,
)
from imagemill.arrays import file as files
from imagemill.engine import Engine
from imagemill.package import contract
from imagemill.package.contract import FORMAT
from imagemill.package.hdf5.layout import SLACK, cut, offsets, reserve
from imagemill.package.hdf5.settings import Config
from imagemill.package.lots import AT_ONCE, Digests, Lot, digested
from imagemill.package.shelf import Place, Shelf, values
from imagemill.progress import progress

BATCH_BYTES = 8 << 20  # that a worker writes, a little at a time, before it hears of more
HANDED_BYTES = 2 << 20  # the same of what it hands over, of which some are in memory at a time


class Checksum:
    """The sha256 of a file, taken behind those who fill it from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = sha256()
        self._at = 0
        self._held = memoryview(bytearray(CACHED))

    def reach(self, end: int) -> None:
        """Hash up to ``end``; all before is there."""
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._at)
            while self._at < end and (got := file.readinto(self._held[: end - self._at])):
                self._hash.update(self._held[:got])
                self._at += got

    def of_all(self) -> str:
        """Return it in hexadecimal, of the whole file."""
        self.reach(self._path.stat().st_size)
        return self._hash.hexdigest()


def fill_raw(
    path: Path,
    split: str,
    rows: Lot,
    shelf: Shelf,
    config: Config,
    engine: Engine,
    checksum: Checksum,
    hashes: NDArray[np.uint8],
) -> None:
    """Write one split's pixels, and put the hash of each image's into ``hashes``, (N, 16)."""
    name, form = f"{split}_images", config.form(len(rows))
    places = [] if config.is_packed else offsets(path, name)
    work = partial(arrays.fill, form=form)
    slack = SLACK + 64 * (len(rows) // form.chunk + 1)
    count = 0
    with ExitStack() as stack, progress("package: hdf5", len(rows), "images") as advance:
        stack.callback(files.close)  # where this process has worked itself
        # Closed while workers write to it; they never do where this process does.
        file = stack.enter_context(h5py.File(path, "r+", libver="v112")) if not places else None
        for done in engine.map(work, _batches(path, name, rows, shelf, form, places)):
            if file is not None:
                end = file.id.get_filesize()  # all before is written
                reserve(path, end, end + sum(map(len, done.pieces)) + slack)
                _put(file[name], count, done, config, form)
                file.flush()  # while there is room
            those = np.frombuffer(done.hashes, np.uint8).reshape(-1, HASH)
            hashes[count : count + len(those)] = those
            count += len(those)
            if places:
                checksum.reach(places[(count - 1) // form.chunk])
            advance(len(those))
    if not places:
        cut(path)


def _batches(
    path: Path, name: str, rows: Lot, shelf: Shelf, form: Form, places: Sequence[int]
) -> Iterator[Batch]:
    """Divide rows into batches of whole chunks."""
    origin = Origin(shelf.sources, shelf.store, shelf.limits)
    chunks = max(1, (BATCH_BYTES if places else HANDED_BYTES) // (form.chunk * form.volume))
    step = chunks * form.chunk
    packs = rows.words["pack"].to_list()
    number = 0
    for slim in rows.slices(max(1, AT_ONCE // step) * step):
        told, digests = _told(slim), _digests(slim)
        for start in range(0, len(slim), step):
            some = slice(start, start + step)
            held = places[number * chunks : (number + 1) * chunks]
            said = digests[some].tobytes()
            yield Batch(origin, told[some], packs, said, path, name, number * step, held)
            number += 1


def _told(rows: Lot) -> NDArray[np.int64]:
    """Return the rows of a ``Batch``."""
    suffixes = [*rows.words["suffix"], None]
    kinds = np.array([[_kind(how, each) for each in suffixes] for how in rows.words["how"]])
    unknown = len(suffixes) - 1
    suffix = rows.rows["suffix"].fill_null(unknown).to_numpy()
    ready = np.array([each == "jpg" for each in suffixes])[suffix]
    sides = [rows.rows[name].fill_null(0).to_numpy() * ready for name in ("width", "height")]
    where = [rows.rows[name].to_numpy() for name in ("pack", "offset", "length")]
    told = (kinds[rows.rows["how"].to_numpy(), suffix], *where, *sides)
    return np.stack(told, axis=1, dtype=np.int64, casting="unsafe")


def _kind(how: str, suffix: str | None) -> int:
    if how == contract.STORED:
        return KINDS.index(STORE)
    # What the contract makes of a source's file shows the pixels of the file.
    return KINDS.index(FORMAT[suffix] if how == contract.PRESUMED and suffix else SOURCE)


def _digests(rows: Lot) -> Digests:
    """Return the sha256 of the file that each row is made of."""
    digests = digested(rows.images["digest"].gather(rows.rows["image"]))
    if "packaged" not in rows.rows:
        return digests
    # A store's files are known by what was made, of which no hash is known before it is.
    stored = (rows.words["how"] == contract.STORED).to_numpy()[rows.rows["how"].to_numpy()]
    return np.where(stored[:, None], rows.rows["packaged"].to_numpy(), digests)


def _put(array: h5py.Dataset, at: int, done: Done, config: Config, form: Form) -> None:
    """Write pieces at the row ``at``: chunks that workers have packed, or pixels."""
    if config.compression == "gzip":
        for number, piece in enumerate(done.pieces):
            array.id.write_direct_chunk((at + number * form.chunk, 0, 0, 0), piece)
        return
    images = np.frombuffer(b"".join(done.pieces), np.uint8).reshape(-1, *config.shape)
    array[at : at + len(images)] = images


@dataclass(frozen=True)
class _Files:
    """Files to write one behind the other."""

    shelf: Shelf
    places: Sequence[tuple[Any, ...]]
    """Values of ``Place``."""
    path: Path
    array: str
    start: int
    """Number of the first byte in the array, and in the file."""
    offset: int


def fill_encoded(
    path: Path, split: str, rows: Lot, shelf: Shelf, engine: Engine, checksum: Checksum
) -> None:
    """Write one split's files, one behind the other."""
    name = f"{split}_encoded"
    (start,) = offsets(path, name)
    lengths = rows.rows["bytes"].to_numpy()
    step = max(1, BATCH_BYTES // max(1, int(lengths.mean())))
    starts = np.cumsum(lengths) - lengths + start

    def files() -> Iterator[_Files]:
        number = 0
        for slim in rows.slices(max(1, AT_ONCE // step) * step):
            places = values(slim.frame())
            for first in range(0, len(places), step):
                at = int(starts[number])
                yield _Files(shelf, places[first : first + step], path, name, at - start, at)
                number += step

    done = 0
    with progress("package: hdf5", len(rows), "images") as advance:
        for count in engine.map(joined, files()):
            done += count
            checksum.reach(int(starts[done - 1]))
            advance(count)


def joined(batch: _Files) -> int:
    """Write the files of a batch, one behind the other; return how many.

    Raises ``BuildError`` where one reads back otherwise than it should.
    """
    with batch.shelf.open() as shelf:
        found = list(shelf.unchecked(batch.places))
        with batch.path.open("r+b", buffering=0) as file:
            files.put(file.fileno(), b"".join(found), batch.offset, batch.path)
        ends = list(accumulate(map(len, found), initial=0))
        held = files.read(batch.path, batch.array, batch.start, batch.start + ends[-1]).tobytes()
        for place, (start, end) in zip(batch.places, pairwise(ends), strict=True):
            at = Place(*place)
            if sha256(held[start:end]).hexdigest() != at.packaged:
                shelf.bytes(at)  # which says so where the source is damaged
                raise differing(f"rows of {batch.array}")
    return len(found)
