"""Get objects: many at a time, each only if it is still the version that was listed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING, Any

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError, GenericError, PreconditionError
from obstore.store import S3Store

from imagemill.sources.objects import Fetched, UnavailableError, Wanted
from imagemill.sources.s3 import Bucket, clients
from imagemill.sources.s3.hands import done
from imagemill.sources.s3.refusals import (
    CODES,
    OF_ONE_OBJECT,
    code_of,
    coded,
    last_answer,
    may_pass,
    refusal,
)

if TYPE_CHECKING:
    from obstore import GetOptions

RANGED = 64 << 20  # bytes above which an object is got in parts
PART = 16 << 20  # bytes of a part
FEW = 16  # objects in flight to begin with
RATE = 4000  # objects a second to reach, if the store and the way to it can

CHANGED = UnavailableError("changed", "changed between scan and download; build again")


class Getter:
    """Gets objects of one bucket; ``where`` names what for in an error."""

    def __init__(self, where: str, spec: Bucket, store: S3Store, client: Any) -> None:
        self._where = where
        self._spec = spec
        self._store = store
        self._client = client
        self._over = Event()
        self._quickest: float | None = None

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[Fetched]:
        """Yield each of ``wanted`` as it comes; no more than ``_at_once`` are in flight.

        Raises ``SourceError`` at an answer that all other objects would get as well.
        """
        got = done(wanted, self._timed, lambda each: each.bytes or 0, self._at_once, self._over)
        with closing(got):
            for each, found in got:
                if isinstance(found, bytes | UnavailableError):
                    yield Fetched(each, found)
                else:
                    yield Fetched(each, self._reason(found))

    def _at_once(self) -> int:
        """Return how many objects to have in flight: more, the longer an answer takes at best.

        Many in flight hide the way to a store far away. To one nearby they are only a queue, and
        slow each other down by a sixth.
        """
        if self._quickest is None:
            return FEW
        return min(clients.REQUESTS, max(FEW, round(RATE * self._quickest)))

    def _timed(self, each: Wanted) -> bytes | UnavailableError:
        begin = time.perf_counter()
        found = self._content(each)
        took = time.perf_counter() - begin
        self._quickest = min(took, self._quickest or took)
        return found

    def _content(self, each: Wanted) -> bytes | UnavailableError:
        key = self._spec.folder + each.key
        etag = f'"{each.tag.rpartition(":")[0]}"'
        if not expressible(key):
            return self._by_boto(key, etag, each)
        try:
            data = self._by_ranges(key, etag, each.bytes or 0)
        except PreconditionError:
            return CHANGED
        return CHANGED if data is None or len(data) != each.bytes else data

    def _patiently(self, key: str, options: "GetOptions") -> bytes | None:
        """Get one part; tries again what may pass."""
        for attempt in range(clients.ATTEMPTS - 1):
            try:
                return self._part(key, options)
            except GenericError as error:
                # An end in between, such as by Ctrl-C, does not wait for the next try.
                if not may_pass(error) or self._over.wait(clients.pause(attempt)):
                    raise
        return self._part(key, options)

    def _by_ranges(self, key: str, etag: str, length: int) -> bytes | None:
        """Return the object's bytes, or None where it has another ETag."""
        if length <= RANGED:
            return self._patiently(key, {"if_match": etag})
        parts = []
        for start in range(0, length, PART):
            span = start, min(start + PART, length)
            part = self._patiently(key, {"if_match": etag, "range": span})
            if part is None:
                return None
            parts.append(part)
        return b"".join(parts)

    def _part(self, key: str, options: "GetOptions") -> bytes | None:
        result = obstore.get(self._store, key, options=options)
        # Some stores know no conditions and answer with what they have.
        if result.meta["e_tag"] not in (None, options["if_match"]):
            return None
        return result.bytes().to_bytes()

    def _by_boto(self, key: str, etag: str, each: Wanted) -> bytes | UnavailableError:
        """Get a key that the faster client cannot name, such as one with two slashes in a row."""
        result = self._client.get_object(**clients.asked(self._spec), Key=key, IfMatch=etag)
        data: bytes = result["Body"].read()
        return data if result["ETag"] == etag and len(data) == each.bytes else CHANGED

    def _reason(self, error: Exception) -> UnavailableError:
        """Return why one object cannot be had. Raises ``SourceError`` where it is all of them."""
        if not isinstance(error, BaseError | FileNotFoundError | BotoCoreError | ClientError):
            raise error
        code = code_of(error)
        if code in CODES and code not in OF_ONE_OBJECT:
            raise refusal(self._where, self._spec, coded(code, self._spec)) from error
        if isinstance(error, FileNotFoundError) or code in ("NoSuchKey", "404"):
            return UnavailableError("vanished", "listed by scan, gone when fetched")
        if code in ("PreconditionFailed", "412"):
            return CHANGED
        if code == "AccessDenied" or "403 Forbidden" in str(error):
            return UnavailableError("denied", "these credentials may list it and not get it")
        return UnavailableError("failed", last_answer(error, clients.ATTEMPTS))


def expressible(key: str) -> bool:
    """Tell whether the Rust client keeps a key as it is."""
    return not any(part in ("", ".", "..") for part in key.split("/"))
