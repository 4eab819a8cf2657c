"""List a bucket: pages of a thousand keys, several stretches of the key space at a time.

S3 lists keys in the order of their bytes, so the names of folders cut the key space into
stretches that can be listed side by side. A store that has another order is listed in one go.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import unquote_plus

import polars as pl

ROWS = {"key": pl.String, "bytes": pl.Int64, "etag": pl.String}
"""Columns of a page: keys as the bucket has them, ETags without quotes."""

Part = TypeVar("Part")

ALONE = 32  # pages listed in one go before the rest is divided, which takes requests of its own
LISTERS = 8  # stretches listed at a time
FEW = 8  # folders that are too few to divide the work by; their own folders are taken
DEPTH = 3  # levels of folders to look for more


class _OrderError(Exception):
    """The store does not list keys in the order of their bytes."""


def listed(
    client: Any, asked: dict[str, str], prefix: str, take: Callable[[pl.DataFrame], Part]
) -> list[Part]:
    """Return ``take`` of every page of the objects whose keys begin with ``prefix``.

    ``take`` is given ``ROWS`` and may be called from several threads. Raises what boto3 raises.
    """
    client.meta.events.register_last("before-parse.s3.ListObjectsV2", _take_rows, "rows")
    said = {**asked, "Prefix": prefix}
    parts, last = [], ""
    for number, page in enumerate(_pages(client, said)):
        if number == ALONE:
            break
        parts.append(take(page["Rows"]))
        last = str(page["Rows"]["key"].max() or last)
    else:
        return parts
    try:
        return parts + _side_by_side(client, said, last, take)
    except _OrderError:
        return [take(page["Rows"]) for page in _pages(client, said)]


def _side_by_side(
    client: Any, said: dict[str, str], last: str, take: Callable[[pl.DataFrame], Part]
) -> list[Part]:
    """Return ``take`` of every page of the keys above ``last``."""

    def stretch(ends: tuple[str | None, str | None]) -> list[Part]:
        return [take(rows) for rows in _stretch(client, said, *ends)]

    cuts = [cut for cut in _cuts(client, said, said["Prefix"], DEPTH) if cut > last]
    with ThreadPoolExecutor(LISTERS) as pool:
        done = pool.map(stretch, pairwise([last, *cuts, None]))
        return [part for parts in done for part in parts]


def _cuts(client: Any, said: dict[str, str], prefix: str, depth: int) -> list[str]:
    """Return names of folders, in the order of their bytes."""
    found: list[str] = []
    for page in _pages(client, {**said, "Prefix": prefix, "Delimiter": "/"}):
        names = [unquote_plus(each["Prefix"]) for each in page.get("CommonPrefixes", [])]
        if any(a >= b for a, b in pairwise([*found[-1:], *names])):
            raise _OrderError
        found += names
    if len(found) >= FEW or depth == 0:
        return found[:: 1 + len(found) // FEW]
    return [cut for each in found for cut in (each, *_cuts(client, said, each, depth - 1))]


def _stretch(
    client: Any, said: dict[str, str], after: str | None, last: str | None
) -> Iterator[pl.DataFrame]:
    """Yield the objects with keys above ``after``, up to ``last``; None is no bound."""
    start = {"StartAfter": after} if after else {}
    for page in _pages(client, {**said, **start}):
        rows = page["Rows"]
        if after and not (rows["key"] > after).all():
            raise _OrderError
        within = rows if last is None else rows.filter(pl.col("key") <= last)
        yield within
        if len(within) < len(rows):
            return


def _pages(client: Any, said: dict[str, str]) -> Iterator[dict[str, Any]]:
    yield from client.get_paginator("list_objects_v2").paginate(**said)


def _take_rows(response_dict: Any, customized_response_dict: Any, **_: object) -> None:
    """Take the objects out of a page before boto3 reads it.

    boto3 spends nine tenths of its time on their dates, which nobody asks for.
    """
    if response_dict["status_code"] != 200:
        return
    page = ET.fromstring(response_dict["body"])  # noqa: S314 (boto3 parses it so as well)
    space = page.tag[: page.tag.index("}") + 1] if page.tag.startswith("{") else ""
    objects = page.findall(f"{space}Contents")
    plain = page.findtext(f"{space}EncodingType") != "url"
    keys = [each.findtext(f"{space}Key") or "" for each in objects]
    customized_response_dict["Rows"] = pl.DataFrame(
        {
            "key": keys if plain else [unquote_plus(key) for key in keys],
            "bytes": [int(each.findtext(f"{space}Size") or 0) for each in objects],
            "etag": [(each.findtext(f"{space}ETag") or "").strip('"') for each in objects],
        },
        ROWS,
    )
    for each in objects:
        page.remove(each)
    response_dict["body"] = ET.tostring(page)
