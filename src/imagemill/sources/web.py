"""One file from the web: politely, within limits, and from public addresses only.

A client of urllib3 that follows redirects by hand, so that every hop is checked; see ``addresses``
for where it may lead.
"""

import random
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from fnmatch import fnmatch
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from urllib3 import Timeout
from urllib3.exceptions import (
    HTTPError,
    LocationParseError,
    NewConnectionError,
    SSLError,
    TimeoutError,  # noqa: A004
)
from urllib3.response import BaseHTTPResponse

from imagemill import __version__
from imagemill.sources.addresses import Ways
from imagemill.sources.hosts import Host
from imagemill.sources.objects import UnavailableError
from imagemill.sources.validators import condition, newer, validator

TRIES = 4
REDIRECTS = 5
PAUSE = 0.25  # seconds before the second try; doubled before each other, with jitter
LONGEST = 120.0  # seconds that a server may ask us to wait
PIECE = 1 << 16  # bytes
SCHEMES = ("http", "https")

BUSY = {429, 503}
TRANSIENT = {408, 425, 500, 502, 504} | BUSY
GONE = {404, 410}
REFUSED = {401, 402, 403, 407, 451}

SAME = 304

_OBJECT = re.compile(r"^.*?(?:>|\)): ")
_PAGE = (b"<!doctype html", b"<html")


@dataclass(frozen=True)
class Manners:
    """What a client asks for, and what it takes."""

    timeout: float
    """Seconds for one try, redirects included."""
    max_bytes: int
    content_types: tuple[str, ...]
    """Patterns such as ``image/*``; an answer without a type passes."""
    allow_private: bool
    """Whether addresses that are not of the public internet may be asked."""
    proxied: bool
    """Whether to ask through the proxies that the environment names."""


@dataclass(frozen=True, slots=True)
class File:
    """What a server gave."""

    content: bytes
    validator: str | None
    """What it calls this version; see ``validators``."""


T = TypeVar("T")


class _AgainError(Exception):
    """A try that failed, and may do better later."""

    def __init__(self, said: str, wait: float = 0.0, *, silent: bool = False) -> None:
        super().__init__(said)
        self.wait = wait
        self.silent = silent  # the host did not answer, or answered that it is busy


class _HeadlessError(Exception):
    """A server that answers to HEAD otherwise than it may to GET."""


class Web:
    """Gets files; safe to use from several threads."""

    def __init__(self, manners: Manners, threads: int) -> None:
        self._manners = manners
        self._ways = Ways(threads, allow_private=manners.allow_private, proxied=manners.proxied)
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()

    def get(self, url: str) -> File:
        """Return what ``url`` answers. Raises ``UnavailableError``."""
        return self._patiently(url, lambda: self._asked(url, "GET", {}, self._taken))

    def newer(self, url: str, known: str) -> str | None:
        """Return the validator of what ``url`` has now; null where it is still the ``known`` one.

        Null as well where the server does not tell. Raises ``UnavailableError``.
        """
        host = self._host(url)
        if host.heads:
            with suppress(_HeadlessError):
                return self._patiently(url, lambda: self._compared(url, "HEAD", known))
        found = self._patiently(url, lambda: self._compared(url, "GET", known))
        host.heads = False
        return found

    def _compared(self, url: str, method: str, known: str) -> str | None:
        def taken(answer: BaseHTTPResponse, _deadline: float) -> str | None:
            if answer.status == SAME:
                return None
            # Some servers know no HEAD, and links may be signed for GET alone.
            if method == "HEAD" and answer.status not in TRANSIENT | {200}:
                raise _HeadlessError
            self._refuse(answer)
            return newer(known, answer.headers)

        return self._asked(url, method, condition(known), taken)

    def _patiently(self, url: str, once: Callable[[], T]) -> T:
        host = self._host(url)
        said = ""
        for number in range(TRIES):
            host.wait()
            try:
                found = once()
            except _AgainError as error:
                said = str(error)
                host.pause(error.wait)
                if number + 1 < TRIES:
                    time.sleep(PAUSE * 2**number * random.uniform(0.5, 1.0))  # noqa: S311
                elif error.silent:
                    host.failed()
            else:
                host.answered()
                return found
        raise UnavailableError("failed", f"{said}, in {TRIES} tries")

    def _host(self, url: str) -> Host:
        name = urlsplit(url).netloc
        with self._lock:
            return self._hosts.setdefault(name, Host(name))

    def _asked(
        self,
        url: str,
        method: str,
        headers: dict[str, str],
        taken: Callable[[BaseHTTPResponse, float], T],
    ) -> T:
        """Return what ``taken`` makes of the answer to one try, and of its deadline."""
        deadline = time.monotonic() + self._manners.timeout
        for _ in range(REDIRECTS + 1):
            with closing(self._ask(url, method, headers, deadline)) as answer:
                target = answer.get_redirect_location()
                if not target:
                    return taken(answer, deadline)
            url = urljoin(url, target)
            if urlsplit(url).scheme not in SCHEMES:
                raise UnavailableError("failed", f"redirected to {url}, which is not http(s)")
        raise UnavailableError("failed", f"redirected more than {REDIRECTS} times")

    def _ask(
        self, url: str, method: str, headers: dict[str, str], deadline: float
    ) -> BaseHTTPResponse:
        left = max(0.01, deadline - time.monotonic())
        usual = {
            "User-Agent": f"imagemill/{__version__}",
            "Accept": ", ".join(self._manners.content_types),
            "Accept-Encoding": "identity",
        }
        try:
            return self._ways.to(url).request(
                method,
                url,
                headers=usual | headers,
                timeout=Timeout(connect=left, read=left),
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except LocationParseError as error:
            raise UnavailableError("failed", f"{url} is no address") from error
        except HTTPError as error:
            raise self._failure(error, "no answer") from error

    def _taken(self, answer: BaseHTTPResponse, deadline: float) -> File:
        """Return what an answer has, where it is what was asked for."""
        self._refuse(answer)
        try:
            body = self._body(answer, deadline)
        except HTTPError as error:
            raise self._failure(error, "the answer broke off") from error
        if not body:
            raise UnavailableError("empty", "the server sent no bytes")
        if body[:64].lstrip().lower().startswith(_PAGE):
            raise UnavailableError("wrong_content_type", "the server sent a web page")
        return File(body, validator(answer.headers))

    def _refuse(self, answer: BaseHTTPResponse) -> None:
        status = answer.status
        if status in TRANSIENT:
            asked = _seconds(answer.headers.get("Retry-After", ""))
            if asked > LONGEST:
                raise UnavailableError("failed", f"status {status}, ask again in {asked:,.0f} s")
            raise _AgainError(f"status {status}", asked, silent=status in BUSY)
        if status in GONE:
            raise UnavailableError("vanished", f"status {status}")
        if status != 200:
            reason = "denied" if status in REFUSED else "failed"
            raise UnavailableError(reason, f"status {status}")
        kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind and not any(fnmatch(kind, each) for each in self._manners.content_types):
            raise UnavailableError("wrong_content_type", f"the server sent {kind}")
        length = answer.headers.get("Content-Length", "")
        self._refuse_longer(int(length) if length.isdecimal() else 0)

    def _body(self, answer: BaseHTTPResponse, deadline: float) -> bytes:
        pieces = []
        length = 0
        while piece := answer.read1(PIECE, decode_content=True):
            pieces.append(piece)
            length += len(piece)
            self._refuse_longer(length)
            if time.monotonic() > deadline:
                raise self._late()
        return b"".join(pieces)

    def _failure(self, error: HTTPError, said: str) -> Exception:
        """Return what to raise for an error of urllib3."""
        if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            return UnavailableError("failed", f"not trusted: {_said(error)}")
        if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
            return self._late()
        return _AgainError(f"{said}: {_said(error)}", silent=True)

    def _late(self) -> _AgainError:
        return _AgainError(f"not done in {self._manners.timeout:g} s", silent=True)

    def _refuse_longer(self, length: int) -> None:
        most = self._manners.max_bytes
        if length > most:
            raise UnavailableError("too_many_bytes", f"more than {most:,} bytes")


def _seconds(text: str) -> float:
    """Return the seconds that a ``Retry-After`` asks for; 0 when it says nothing."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def _said(error: Exception) -> str:
    """Return what an error says, without the object before it, whose number always differs."""
    return _OBJECT.sub("", str(error.args[-1] if error.args else error)).rstrip(".")
