"""The work of one process: the images of a batch through the functions that they lack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from imagemill import images, packs
from imagemill.engine import Rescue
from imagemill.measure.allocation import keep_freed_memory
from imagemill.measure.functions import HEADER, Function, Models, Values, functions
from imagemill.measure.picture import Picture
from imagemill.measure.place import Place

GROUP = 32  # images that a function works on together: enough for a model on a GPU
GROUP_PIXELS = 1 << 22  # of them together, but for the last one's: a model keeps whole images

KILLS_READER = "kills_reader"
"""Reason of an image that ended its worker. The machine may be at fault: it is not remembered."""

Result = dict[str, pl.DataFrame]
"""By function, a row for each image that lacked it. Those that cannot be read have one of
``header``, with the reason, and none of the others."""


class Member(NamedTuple):
    """One image of a pack."""

    digest: str
    offset: int
    length: int
    lacks: tuple[str, ...]
    """Names of the functions to compute."""


@dataclass(frozen=True)
class Batch:
    """Images of one pack."""

    folder: Path
    pack: str
    members: tuple[Member, ...]
    limits: images.Limits
    models: Models


class Seen(NamedTuple):
    """What is left of an image that was decoded."""

    member: Member
    looks: dict[str, Any]
    """By function."""


def decode(batch: Batch) -> Result:
    """Decode the images of one batch, each once; a broken image is a row with a reason.

    Raises ``BuildError`` when the pack does not hold what it should.
    """
    keep_freed_memory()
    made = functions(batch.models)
    rows: dict[str, list[Values]] = {name: [] for name in made}
    for group in _groups(batch, made, rows[HEADER]):
        for name, function in made.items():
            lacking = [each for each in group if name in each.looks]
            found = function.of([each.looks[name] for each in lacking]) if lacking else ()
            rows[name] += [
                {"digest": each.member.digest, **values}
                for each, values in zip(lacking, found, strict=True)
            ]
            del lacking, found  # or the next large image is decoded while this one is held
    return {name: pl.DataFrame(each, schema=made[name].schema) for name, each in rows.items()}


def _single(batch: Batch) -> list[Batch]:
    return [replace(batch, members=(member,)) for member in batch.members]


def _lost(batch: Batch) -> Result:
    """Return what stands for the one image of ``batch`` when reading it ends the process."""
    error = images.Unreadable(KILLS_READER, images.REASONS[KILLS_READER])
    rows = {HEADER: [_broken(member, error) for member in batch.members]}
    made = functions(batch.models)
    return {name: pl.DataFrame(rows.get(name), made[name].schema) for name in made}


def joined(results: Sequence[Result]) -> Result:
    """Return the rows of all results, of which there is at least one."""
    return {name: pl.concat([each[name] for each in results]) for name in results[0]}


RESCUE = Rescue(_single, _lost, joined)
"""An image that ends its worker is a row with a reason; the others of its batch are measured."""


def _groups(
    batch: Batch, made: Mapping[str, Function], broken: list[Values]
) -> Iterator[list[Seen]]:
    """Yield what was seen of the readable images, some at a time, in a list emptied afterwards."""
    group: list[Seen] = []
    pixels = 0
    with packs.Reader(batch.folder) as reader, Place() as place:
        for member in batch.members:
            data = reader.content(member.digest, batch.pack, member.offset, member.length)
            try:
                picture = Picture(*images.read(data, batch.limits, place.take), len(data))
            except images.Unreadable as error:
                broken.append(_broken(member, error))
                place.leave()
                continue
            looks = {name: made[name].look(picture) for name in member.lacks}
            group.append(Seen(member, looks))
            pixels += picture.image.width * picture.image.height
            del picture, looks
            if len(group) == GROUP or pixels >= GROUP_PIXELS:
                yield group
                group.clear()
                pixels = 0
                place.leave()  # a large image is the last of its group
    yield group


def _broken(member: Member, error: images.Unreadable) -> Values:
    return {
        "digest": member.digest,
        "bytes": member.length,
        "reason": error.reason,
        "detail": error.detail,
    }
