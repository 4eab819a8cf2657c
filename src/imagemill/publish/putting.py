"""Put objects: many at a time, fewer when the store says that it has too much to do."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError, GenericError

from imagemill.publish.journal import Note
from imagemill.published.prefix import Prefix
from imagemill.sources.s3 import clients
from imagemill.sources.s3.hands import done
from imagemill.sources.s3.refusals import CODES, code_of, coded, last_answer, may_pass

if TYPE_CHECKING:
    from imagemill.errors import SourceError

ATTEMPTS = 10  # of one object, over about a minute: a store may need that to make room
FEW = 16  # objects in flight to begin with
KINDS = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}  # by suffix


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An object to put."""

    member: str
    packaged: str
    """sha256 of the content, hex."""
    content: bytes


class Pace:
    """How many objects to have in flight; every method may be called from several threads.

    More after each that went well until the store is first busy; from then on half as many when it
    is, and one more for each round that went well: as TCP does (RFC 5681).
    """

    AGAIN = 1.0  # seconds in which many answers of a busy store count as one

    def __init__(self) -> None:
        self._lock = Lock()
        self._limit = float(FEW)
        self._cut: float | None = None

    def at_once(self) -> int:
        """Return the number."""
        return int(self._limit)

    def went_well(self) -> None:
        """Count an object that was put at the first try."""
        with self._lock:
            more = 1.0 if self._cut is None else 1.0 / self._limit
            self._limit = min(float(clients.REQUESTS), self._limit + more)

    def busy(self) -> None:
        """Count an answer that says to try again later."""
        with self._lock:
            now = time.monotonic()
            if self._cut is None or now - self._cut > self.AGAIN:
                self._cut = now
                self._limit = max(1.0, self._limit / 2)


class Putter:
    """Puts objects below a prefix, and notes each."""

    def __init__(self, prefix: Prefix, note: Note) -> None:
        self._prefix = prefix
        self._store = prefix.store()
        self._note = note
        self._pace = Pace()
        self._over = Event()

    def put(self, objects: Iterable[Outgoing]) -> Iterator[tuple[Outgoing, str]]:
        """Yield each of ``objects`` with its ETag once it is put, in any order.

        Raises ``SourceError`` at the first that cannot be.
        """
        sent = done(objects, self._one, lambda each: len(each.content), self._at_once, self._over)
        with closing(sent):
            for each, etag in sent:
                if not isinstance(etag, str):
                    raise self._refusal(each, etag) from etag
                yield each, etag

    def _at_once(self) -> int:
        return self._pace.at_once()

    def _one(self, each: Outgoing) -> str:
        expected = hashlib.md5(each.content, usedforsecurity=False).hexdigest()
        # Before it is sent: a kill may come after the store has it and before we know.
        self._note(each.member, each.packaged, expected)
        etag = self._patiently(each)
        if etag != expected:  # the store encrypts, and makes ETags of its own
            self._note(each.member, each.packaged, etag)
        return etag

    def _patiently(self, each: Outgoing) -> str:
        """Put one object; tries again what may pass."""
        for attempt in range(ATTEMPTS - 1):
            try:
                etag = self._put(each)
            except GenericError as error:
                self._pace.busy()
                # An end in between, such as by Ctrl-C, does not wait for the next try.
                if not may_pass(error) or self._over.wait(clients.pause(attempt)):
                    raise
            else:
                if attempt == 0:
                    self._pace.went_well()
                return etag
        return self._put(each)

    def _put(self, each: Outgoing) -> str:
        # The client signs the content's SHA-256, so that the store takes no other bytes.
        answer = obstore.put(
            self._store,
            self._prefix.spec.folder + each.member,
            each.content,
            attributes={"Content-Type": KINDS.get(each.member.rpartition(".")[2], "image")},
            use_multipart=False,
        )
        return (answer["e_tag"] or "").strip('"')

    def _refusal(self, each: Outgoing, error: Exception) -> "SourceError | Exception":
        if not isinstance(error, BaseError | FileNotFoundError | BotoCoreError | ClientError):
            return error
        code = code_of(error)
        if "403 Forbidden" in str(error) and code not in CODES:
            code = "AccessDenied"
        said = coded(code, self._prefix.spec) if code in CODES else last_answer(error, ATTEMPTS)
        return self._prefix.refusal(
            f"cannot put {each.member}: {said}; what was sent stays, and is not sent again"
        )
