"""What to send to a prefix, what to remove there, and what to leave alone."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from imagemill.arcface import RECORDIO
from imagemill.published import MANIFEST, REMOVING

KNOWN = {
    "member": pl.String,
    "packaged": pl.String,  # sha256 of the bytes that lie there while
    "etag": pl.String,  # the object still has this ETag
}
"""Columns of what is known of objects that were put earlier."""

NAMED = 10  # objects named of many

_MD5 = r"^[0-9a-f]{32}$"
_OURS = (MANIFEST, REMOVING, *RECORDIO)


@dataclass(frozen=True)
class Found:
    """What lies below the prefix, and what tells that it is ours."""

    here: pl.DataFrame
    """``prefix.HERE``."""
    manifest: pl.DataFrame
    """``PUBLISHED``, of the last publish that came to its end."""
    removing: list[str]
    """Members that a publish was about to remove when it was killed."""
    put: pl.DataFrame
    """``KNOWN``, of publishes from this machine that were killed."""


@dataclass(frozen=True)
class Plan:
    """What is to be done; every object below the prefix is in one of these, or the manifest."""

    held: pl.DataFrame
    """``KNOWN``, of the members that lie there as they should."""
    send: pl.DataFrame
    """``tables.CONTENTS``, of the members that do not."""
    replaced: int
    """How many of ``send`` take the place of something older of ours."""
    remove: pl.DataFrame
    """``HERE``, of what we put and no longer want."""
    stale: list[str]
    foreign: list[str]
    """Objects of others, which nobody here touches."""
    blocked: list[str]
    """Objects of others in the very place of members to send."""


def decide(
    contents: pl.DataFrame, found: Found, hashed: Callable[[pl.DataFrame], pl.Series]
) -> Plan:
    """Compare ``tables.CONTENTS`` with what lies there.

    ``hashed`` gives the MD5 of the bytes of some of its rows, in hex. It is asked for those alone
    of which no earlier publish tells what their ETag stands for.
    """
    held = _held(contents, found, hashed)
    send = contents.join(held, on="member", how="anti", maintain_order="left")
    ours = _ours(found)
    here = found.here
    theirs = here.filter(~pl.col("member").is_in(ours.implode()))
    others = here.join(contents, on="member", how="anti").filter(~pl.col("member").is_in(_OURS))
    unwanted = pl.col("member").is_in(ours.implode())
    return Plan(
        held=held,
        send=send,
        replaced=len(send.join(here, on="member", how="semi")),
        remove=others.filter(unwanted).sort("member"),
        stale=[name for name in RECORDIO if name in here["member"]],
        foreign=others.filter(~unwanted)["member"].sort().to_list(),
        blocked=theirs.join(send, on="member", how="semi")["member"].sort().to_list(),
    )


def _held(
    contents: pl.DataFrame, found: Found, hashed: Callable[[pl.DataFrame], pl.Series]
) -> pl.DataFrame:
    known = pl.concat([found.manifest.select(*KNOWN), found.put])
    known = known.unique(["member", "etag"], keep="last", maintain_order=True)
    there = (
        contents.join(found.here.select("member", "etag", there="bytes"), on="member")
        .filter(pl.col("there") == pl.col("bytes"))
        .join(known.rename({"packaged": "was"}), on=["member", "etag"], how="left")
        .sort("member")
    )
    unknown = there.filter(pl.col("was").is_null() & pl.col("etag").str.contains(_MD5))
    told = there.filter(pl.col("was") == pl.col("packaged"))
    same = pl.concat([told, unknown.filter(unknown["etag"] == hashed(unknown))])
    return same.select(*KNOWN)


def _ours(found: Found) -> pl.Series:
    """Return the members that we put, now or earlier."""
    put = found.put.join(found.here, on=["member", "etag"], how="semi")["member"]
    removing = pl.Series("member", found.removing, pl.String)
    return pl.concat([found.manifest["member"], removing, put]).unique()


def described(plan: Plan, url: str) -> str:
    """Return what is to be done at ``url``, in lines with counts, bytes and names."""
    sent, removed = plan.send["member"].to_list(), plan.remove["member"].to_list()
    lines = {
        "objects are there already": (len(plan.held), []),
        f"to send ({plan.send['bytes'].sum():,} bytes)": (len(sent), sent),
        "of these replace older ones": (plan.replaced, []),
        f"to remove ({plan.remove['bytes'].sum():,} bytes)": (len(removed), removed),
        "stale files of RecordIO": (len(plan.stale), plan.stale),
        "objects of others are left alone": (len(plan.foreign), plan.foreign),
    }
    shown = [
        f"  {count:,} {what}{f': {named(members)}' if members else ''}"
        for what, (count, members) in lines.items()
        if count
    ]
    return "\n".join([f"publish: {url}", *shown])


def named(members: list[str]) -> str:
    """Return the first of many names."""
    return ", ".join(members[:NAMED]) + (", ..." if len(members) > NAMED else "")
