"""What is known of renditions while they are found and made: arrays of numbers."""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imagemill.package.lots import AT_ONCE, DIGEST, digested

Numbers = NDArray[np.int64]

WORDS = ("suffix", "how", "pack")


def numbered(
    columns: Mapping[str, pl.Series],
) -> tuple[dict[str, pl.Series], dict[str, pl.Series]]:
    """Return the distinct texts of columns, and columns of their numbers."""
    words = {name: texts.drop_nulls().unique().sort() for name, texts in columns.items()}
    none = pl.Series([None], dtype=pl.UInt32)
    numbers = {
        name: words[name].search_sorted(texts).cast(pl.UInt32).zip_with(texts.is_not_null(), none)
        for name, texts in columns.items()
    }
    return words, {name: each.alias(name) for name, each in numbers.items()}


class Found:
    """Renditions by number: those of an image follow one another, by the number of the copy."""

    def __init__(self, told: pl.DataFrame, of: Numbers, copies: NDArray[np.int32]) -> None:
        """Take ``WANTED`` of distinct images; which is each row's, and which copy a row is."""
        self._told = told
        counts = np.zeros(len(told), np.int64)
        np.maximum.at(counts, of, copies + 1)
        self._counts = counts
        self._start = np.cumsum(counts) - counts
        self._image = np.repeat(np.arange(len(told), dtype=np.int32), counts)
        self._row = (self._start[of] + copies).astype(np.int32)
        total = len(self._image)
        self._there = np.zeros(total, np.bool_)
        self._words: dict[str, dict[str | None, int]] = {name: {} for name in WORDS}
        self._arrays: dict[str, NDArray[np.generic]] = {
            "packaged": np.zeros((total, DIGEST), np.uint8),
            **{name: np.zeros(total, np.int64) for name in ("bytes", "offset")},
            **{name: np.zeros(total, np.int32) for name in ("width", "height", "pack")},
            **{name: np.zeros(total, np.uint8) for name in ("suffix", "how")},
        }

    def add(self, rows: pl.DataFrame) -> None:
        """Note what is remembered, ``RESULT``, of renditions that are wanted."""
        digests = self._told["digest"]
        for part in rows.iter_slices(AT_ONCE):
            digest = part["digest"].str.head(2 * DIGEST)
            copy = (
                part["digest"].str.slice(2 * DIGEST + 1).cast(pl.Int64, strict=False).fill_null(0)
            )
            image = digests.search_sorted(digest).clip(upper_bound=len(digests) - 1)
            number, at = copy.to_numpy(), image.to_numpy()
            wanted = (digests.gather(image) == digest).to_numpy() & (number < self._counts[at])
            self.put((self._start[at] + number)[wanted], part.filter(wanted))

    def put(self, at: Numbers, rows: pl.DataFrame) -> None:
        """Note that the renditions of numbers ``at`` are ``rows``, ``RESULT``."""
        for name, array in self._arrays.items():
            if name == "packaged":
                array[at] = digested(rows[name])
            elif name in WORDS:
                words = self._words[name]
                array[at] = [words.setdefault(each, len(words)) for each in rows[name].to_list()]
            else:
                array[at] = rows[name].fill_null(0).to_numpy()
        self._there[at] = True

    def lacking(self) -> Numbers:
        """Return the numbers of those that are to be made, in the order of the sources' packs."""
        rank = np.empty(len(self._told), np.int64)
        order = self._told.select(pl.arg_sort_by("pack", "offset")).to_series().to_numpy()
        rank[order] = np.arange(len(order))
        lacking = np.flatnonzero(~self._there)
        return lacking[np.argsort(rank[self._image[lacking]], kind="stable")]

    def members(self, lacking: Numbers) -> Iterator[tuple[object, ...]]:
        """Yield ``WANTED`` of each image that copies are lacking of, and the copies' numbers."""
        image = self._image[lacking]
        starts = np.flatnonzero(np.diff(image, prepend=-1))
        ends = np.append(starts[1:], len(image))
        copies = lacking - self._start[image]
        for first in range(0, len(starts), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            told = self._told[image[starts[some]]].rows()
            for row, start, end in zip(told, starts[some], ends[some], strict=True):
                yield (*row, copies[start:end].tolist())

    def columns(self) -> tuple[dict[str, pl.Series], dict[str, pl.Series]]:
        """Return the words and the columns of a lot's rows; nothing is held afterwards."""
        words, numbers = numbered({"pack": self._told["pack"]})
        stored = self._words["pack"]
        none = stored.get(None, -1)
        image = self._image[self._row]
        of_store = self._arrays["pack"][self._row] != none
        found = {name: pl.Series(self._arrays.pop(name)[self._row]) for name in list(self._arrays)}
        # Those that are not in the store are where their source is.
        packs = pl.Series([name or "" for name in stored])
        words["pack"] = pl.concat([packs, words["pack"]])
        there = numbers["pack"].gather(image) + len(packs)
        found["pack"] = found["pack"].cast(pl.UInt32).zip_with(pl.Series(of_store), there)
        mask = pl.Series(of_store)
        found["offset"] = found["offset"].zip_with(mask, self._told["offset"].gather(image))
        found["length"] = found["bytes"].zip_with(mask, self._told["length"].gather(image))
        for name in ("suffix", "how"):
            words[name] = pl.Series([each or "" for each in self._words[name]], dtype=pl.String)
        return words, found
