"""Sync the packaged ImageFolder to a prefix of S3, straight from the packs.

First what is new or changed is put, then the manifest, then what is no longer wanted is removed:
who finds the manifest finds all that it names. Only what differs by size and checksum is sent, so
a publish that was killed goes on where it was.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import AfterValidator

from imagemill import packaged
from imagemill.about import About
from imagemill.config import Section
from imagemill.files import replacing
from imagemill.progress import progress, say
from imagemill.publish.content import Content
from imagemill.publish.journal import Journal
from imagemill.publish.plan import NAMED, Found, Plan, decide, described, named
from imagemill.publish.putting import Putter
from imagemill.published import MANIFEST, PUBLISHED, REMOVING, encode, papers
from imagemill.published.compare import counted, differences
from imagemill.published.prefix import Prefix
from imagemill.sources.s3 import Bucket

RECEIPT = "receipt.json"


def _folder(prefix: str) -> str:
    if any(part in ("", ".", "..") for part in prefix.removesuffix("/").split("/")) and prefix:
        raise ValueError("must be a folder such as sets/faces, without empty parts, . or ..")
    return prefix


class Target(Bucket):
    """The prefix to publish to."""

    rights: ClassVar[str] = "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"

    prefix: Annotated[str, AfterValidator(_folder)]
    """A folder of the bucket. Empty: the whole bucket."""


class Config(Section):
    """Where to publish, and how."""

    to: Target | None
    """Null: nowhere."""
    mode: Literal["sync", "plan"]
    """``plan``: say what would be sent and removed, and do neither."""
    stale: Literal["fail", "remove"]
    """What to do when train.rec, train.idx or property lie at the prefix."""
    about: About


def publish(config: Config, root: Path, dataset: str, local: Path) -> dict[str, Any]:
    """Make the prefix hold what the packaged ImageFolder of ``dataset`` does; return the receipt.

    ``root`` is the project's, ``local`` a folder for what helps to go on after a kill. Raises
    ``BuildError`` where nothing is packaged, and ``SourceError`` where S3 refuses, or objects of
    others would be overwritten.
    """
    if config.to is None:
        say("publish: nowhere; `publish: s3` in the dataset's config publishes it")
        return {"published": None}
    package = packaged.find(root, dataset)
    content = Content(package)
    prefix = Prefix("publish", config.to)
    journal = Journal(local / "publish", f"{config.to.endpoint} {config.to.url}")
    found, before = _find(prefix, journal, dataset)
    plan = decide(package.contents, found, content.hashed)
    say(described(plan, config.to.url))
    if config.mode == "plan":
        say("publish: nothing was sent or removed, for `publish.mode` is plan")
        return {"published": None, "planned": config.to.url}
    _refuse(plan, prefix, config)
    rows = _sent(package.contents, content, plan, prefix, journal)
    after = encode(rows, dataset, config.about, papers(package.folder))
    _finish(
        plan, prefix, after, unchanged=after == before, removing=REMOVING in found.here["member"]
    )
    journal.forget()
    say(f"publish: {config.to.url} holds {_amount(rows)}, verified by listing")
    return _receipt(config.to, dataset, rows, after, plan)


def write(out: Path, receipt: dict[str, Any]) -> None:
    """Write the receipt, which says where which content was published."""
    with replacing(out / RECEIPT) as path:
        path.write_text(json.dumps(receipt, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _find(prefix: Prefix, journal: Journal, dataset: str) -> tuple[Found, bytes | None]:
    """Return what lies there, and the bytes of its manifest."""
    here = prefix.listed()
    manifest, data = None, None
    if MANIFEST in here["member"]:
        manifest, data = prefix.manifest() or (None, None)
    if manifest and manifest.noted["dataset"] != dataset:
        other = manifest.noted["dataset"]
        raise prefix.refusal(
            f"dataset {other} is published there, and {dataset} would replace it; choose another "
            f"`publish.to.prefix`, or delete {MANIFEST} there to give up {other}"
        )
    removing = prefix.read(REMOVING) if REMOVING in here["member"] else None
    return Found(
        here=here,
        manifest=manifest.rows if manifest else PUBLISHED.frame(),
        removing=json.loads(removing or "[]"),
        put=journal.read(),
    ), data


def _refuse(plan: Plan, prefix: Prefix, config: Config) -> None:
    """Raise ``SourceError`` before anything is sent, where that would do harm."""
    if plan.stale and config.stale == "fail":
        raise prefix.refusal(
            f"{', '.join(plan.stale)} there would be read by insightface in place of the images; "
            "nothing was sent. Delete them, or set publish.stale=remove"
        )
    if plan.blocked:
        raise prefix.refusal(
            f"{len(plan.blocked):,} objects there would be overwritten that imagemill did not put, "
            f"or not from this machine: {named(plan.blocked)}; nothing was sent. Delete them, or "
            "choose another `publish.to.prefix`"
        )


def _sent(
    contents: pl.DataFrame, content: Content, plan: Plan, prefix: Prefix, journal: Journal
) -> pl.DataFrame:
    """Send what is to be sent; return ``PUBLISHED`` after a listing that agrees."""
    etags = dict(plan.held.select("member", "etag").iter_rows())
    with journal.open() as note, progress("publish", len(plan.send), "objects") as advance:
        for each, etag in Putter(prefix, note).put(content.outgoing(plan.send)):
            etags[each.member] = etag
            advance(1)
    tags = pl.DataFrame({"member": list(etags), "etag": list(etags.values())}, _TAGS)
    rows = contents.join(tags, on="member", how="left").sort("member")
    if not plan.send.is_empty():
        _confirm(rows, prefix)
    return rows


_TAGS = {"member": pl.String, "etag": pl.String}


def _confirm(rows: pl.DataFrame, prefix: Prefix) -> None:
    wrong = differences(rows, prefix.listed()).filter(pl.col("kind") != "extra")
    if not wrong.is_empty():
        raise prefix.refusal(
            f"{counted(wrong)} of {len(rows):,} objects after all were sent, "
            f"{named(wrong['member'].to_list())}; does another program write there? Run it again"
        )


def _finish(
    plan: Plan, prefix: Prefix, manifest: bytes, *, unchanged: bool, removing: bool
) -> None:
    """Put the manifest, and remove what is no longer wanted."""
    members = plan.remove["member"].to_list()
    if members:
        prefix.write(REMOVING, json.dumps(members).encode(), "application/json")
    if not unchanged:
        prefix.write(MANIFEST, manifest, "application/vnd.apache.parquet")
    prefix.remove(members + plan.stale)
    if members or removing:
        prefix.remove([REMOVING])


def _amount(rows: pl.DataFrame) -> str:
    labels = rows["label"].n_unique()
    return f"{len(rows):,} images of {labels:,} labels, {rows['bytes'].sum():,} bytes"


def _receipt(
    to: Target, dataset: str, rows: pl.DataFrame, manifest: bytes, plan: Plan
) -> dict[str, Any]:
    """Return what the prefix holds: a function of the content and of what others put there."""
    return {
        "published": to.url,
        "endpoint": to.endpoint,
        "dataset": dataset,
        "images": len(rows),
        "identities": rows["label"].n_unique(),
        "bytes": int(rows["bytes"].sum()),
        "manifest": hashlib.sha256(manifest).hexdigest(),
        "foreign": {"objects": len(plan.foreign), "first": plan.foreign[:NAMED]},
    }


__all__ = ["Config", "Target", "publish", "write"]
