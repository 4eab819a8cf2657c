"""Get objects: many at a time, each only if it is still the version that was listed."""

import re
import time
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError, GenericError, PreconditionError
from obstore.store import S3Store

from imagemill.sources.objects import Fetched, UnavailableError, Wanted
from imagemill.sources.s3 import S3, clients
from imagemill.sources.s3.refusals import CODES, OF_ONE_OBJECT, code_in, coded, refusal

if TYPE_CHECKING:
    from obstore import GetOptions

AHEAD = 256 << 20  # bytes in flight; one object may be larger
RANGED = 64 << 20  # bytes above which an object is got in parts
PART = 16 << 20  # bytes of a part
FEW = 16  # objects in flight to begin with
RATE = 4000  # objects a second to reach, if the store and the way to it can

_REFUSED = re.compile(r"status code: 4\d\d")

CHANGED = UnavailableError("changed", "changed between scan and download; build again")
_Result = tuple[Wanted, "bytes | UnavailableError | Exception"]


class Getter:
    """Gets objects of one source."""

    def __init__(self, name: str, spec: S3, store: S3Store, client: Any) -> None:
        self._name = name
        self._spec = spec
        self._store = store
        self._client = client
        self._over = Event()
        self._quickest: float | None = None

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[Fetched]:
        """Yield each of ``wanted`` as it comes; no more than ``_at_once`` are in flight.

        Raises ``SourceError`` at an answer that all other objects would get as well.
        """
        todo: SimpleQueue[Wanted | None] = SimpleQueue()
        done: SimpleQueue[_Result] = SimpleQueue()
        count = min(clients.REQUESTS, len(wanted))
        # Plain threads: an executor's futures cost as much as all else done here in Python.
        hands = [Thread(target=self._work, args=(todo, done), daemon=True) for _ in range(count)]
        for hand in hands:
            hand.start()
        try:
            yield from self._kept_busy(wanted, todo, done)
        finally:
            self._over.set()
            for _ in hands:
                todo.put(None)
            for hand in hands:
                hand.join()

    def _kept_busy(
        self,
        wanted: Sequence[Wanted],
        todo: "SimpleQueue[Wanted | None]",
        done: "SimpleQueue[_Result]",
    ) -> Iterator[Fetched]:
        flying = heavy = 0
        for each in wanted:
            weight = each.bytes or 0
            while flying and (flying >= self._at_once() or heavy + weight > AHEAD):
                got = self._judged(done.get())
                flying, heavy = flying - 1, heavy - (got.wanted.bytes or 0)
                yield got
            todo.put(each)
            flying, heavy = flying + 1, heavy + weight
        for _ in range(flying):
            yield self._judged(done.get())

    def _at_once(self) -> int:
        """Return how many objects to have in flight: more, the longer an answer takes at best.

        Many in flight hide the way to a store far away. To one nearby they are only a queue, and
        slow each other down by a sixth.
        """
        if self._quickest is None:
            return FEW
        return min(clients.REQUESTS, max(FEW, round(RATE * self._quickest)))

    def _work(self, todo: "SimpleQueue[Wanted | None]", done: "SimpleQueue[_Result]") -> None:
        while (each := todo.get()) is not None:
            begin = time.perf_counter()
            try:
                done.put((each, self._content(each)))
            except Exception as error:  # noqa: BLE001 (raised again by the thread that waits)
                done.put((each, error))
            took = time.perf_counter() - begin
            self._quickest = min(took, self._quickest or took)

    def _judged(self, result: _Result) -> Fetched:
        """Return what came of one object. Raises what is more than its own fault."""
        each, found = result
        if not isinstance(found, bytes | UnavailableError):
            found = self._reason(found)
        return Fetched(each, found)

    def _content(self, each: Wanted) -> bytes | UnavailableError:
        key = self._spec.folder + each.key
        etag = f'"{each.tag.rpartition(":")[0]}"'
        if not _expressible(key):
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
                if not _may_pass(str(error)) or self._over.wait(clients.pause(attempt)):
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
        code = _code(error)
        if code in CODES and code not in OF_ONE_OBJECT:
            raise refusal(self._name, self._spec, coded(code)) from error
        if isinstance(error, FileNotFoundError) or code in ("NoSuchKey", "404"):
            return UnavailableError("vanished", "listed by scan, gone when fetched")
        if code in ("PreconditionFailed", "412"):
            return CHANGED
        if code == "AccessDenied" or "403 Forbidden" in str(error):
            return UnavailableError("denied", "these credentials may list it and not get it")
        return UnavailableError("failed", _said(error, code))


def _may_pass(text: str) -> bool:
    """Tell whether the same request may get another answer: a busy store, a broken connection."""
    return " 429 " in text or code_in(text) == "RequestTimeout" or not _REFUSED.search(text)


def _code(error: Exception) -> str:
    if isinstance(error, ClientError):
        return error.response["Error"].get("Code", "")
    return code_in(str(error))


def _said(error: Exception, code: str) -> str:
    """Return the last answer in one line, without what is special to one request."""
    text = str(error)
    answer = re.search(r"status code: (\d+ [\w ]+)", text)
    cause = re.search(r"kind: (\w+)", text)
    said = answer[1] if answer else _CAUSES.get(cause[1] if cause else "", type(error).__name__)
    return f"{clients.ATTEMPTS} tries, the last: {said}{f' ({code})' if code else ''}"


_CAUSES = {
    "Connect": "no connection",
    "Interrupted": "the answer broke off",
    "Request": "the connection broke",
    "Timeout": "no answer in time",
}
"""What the Rust client's words for broken connections mean."""


def _expressible(key: str) -> bool:
    """Tell whether the Rust client keeps a key as it is."""
    return not any(part in ("", ".", "..") for part in key.split("/"))
