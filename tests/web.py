"""A real web server for tests, on loopback: it counts who is asked for what, and misbehaves."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Page:
    """What one path answers."""

    body: bytes = b"\xff\xd8 a photo"
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "image/jpeg"})
    delay: float = 0.0
    """Seconds before the answer."""
    drip: float = 0.0
    """Seconds after each byte."""
    cut: bool = False
    """Close the connection before the end."""
    chunked: bool = False
    conditions: bool = True
    """Answer 304 to who has this version, by the headers ETag and Last-Modified."""
    head: int | None = None
    """Status for HEAD; null where it is that for GET."""
    soon: "Page | None" = None
    """What the path answers from the second request on."""


class Web(ThreadingHTTPServer):
    """The server, with its pages and what was asked of it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Page] = {}
        self.asked: Counter[str] = Counter()
        self.heads: Counter[str] = Counter()
        """Of ``asked``, what was asked for by HEAD."""
        self.same: Counter[str] = Counter()
        """Of ``asked``, what was answered by 304."""
        self.times: dict[str, list[float]] = {}
        self.headers: dict[str, str] = {}
        self.connections = 0
        self.broken = threading.Event()
        """Set when a client went away before the end of an answer."""
        self.busy = self.busiest = 0
        self.lock = threading.Lock()

    def url(self, path: str = "", host: str = "127.0.0.1") -> str:
        """Return the address of a path."""
        return f"http://{host}:{self.server_port}/{path}"

    def put(self, path: str, page: Page | None = None) -> str:
        """Make a path answer, and return its address."""
        self.pages[f"/{path}"] = page or Page()
        return self.url(path)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer's body would wait 40 ms for its head
    server: Web

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_HEAD(self) -> None:
        self.server.heads[self.path] += 1
        self.do_GET()

    def do_GET(self) -> None:
        web = self.server
        with web.lock:
            web.asked[self.path] += 1
            web.times.setdefault(self.path, []).append(time.monotonic())
            web.headers = dict(self.headers)
        try:
            self._answer(web.pages.get(self.path, Page(status=404)), web.asked[self.path])
        except ConnectionError:
            web.broken.set()
            self.close_connection = True

    def _answer(self, page: Page, number: int) -> None:
        if number > 1 and page.soon:
            page = page.soon
        self._wait(page.delay)
        if self._has(page):
            self.server.same[self.path] += 1
            self.send_response(304)
            self.end_headers()
            return
        head = self.command == "HEAD"
        self.send_response(page.head or page.status if head else page.status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        if page.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if not head:
            self._send(page)

    def _wait(self, delay: float) -> None:
        """Let the client wait, and count it: once an answer has begun, it may have asked again."""
        web = self.server
        with web.lock:
            web.busy += 1
            web.busiest = max(web.busy, web.busiest)
        time.sleep(delay)
        with web.lock:
            web.busy -= 1

    def _has(self, page: Page) -> bool:
        """Tell whether who asks has this version already."""
        if not page.conditions or (self.command == "HEAD" and page.head):
            return False
        pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
        asked = next((pair for pair in pairs if pair[0] in self.headers), None)
        return asked is not None and self.headers[asked[0]] == page.headers.get(asked[1])

    def _send(self, page: Page) -> None:
        body = page.body[: len(page.body) // 2] if page.cut else page.body
        if page.chunked:
            body = b"%x\r\n%s\r\n" % (len(body), body) + (b"" if page.cut else b"0\r\n\r\n")
        if page.drip:
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(page.drip)
        else:
            self.wfile.write(body)
        if page.cut:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Web]:
    """Serve pages for as long as the block lasts."""
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web() -> Iterator[Web]:
    """Serve pages that a test puts there."""
    with serving() as server:
        yield server
