"""The server: HTTP over ``asking.Desk``, with the page's own files and pictures from the packs.

No path of a request ever reaches the disk: files of the page are looked up by name in a fixed
list, pictures by content hash in the dataset's table.
"""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socket import AF_INET, AF_INET6
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from imagemill import images
from imagemill.errors import BuildError
from imagemill.review_page.asking import Desk
from imagemill.review_page.guard import HEADERS, Guard
from imagemill.tables import TRANSFORMS

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

PAGE = {
    each.name: each.read_bytes()
    for each in sorted(files(__package__).joinpath("page").iterdir(), key=lambda each: each.name)
    if each.name.endswith(tuple(KINDS))
}
"""The files of the page, by name."""

LONGEST = 16 << 20  # bytes of a request's body
WAIT = 60  # seconds that a silent connection is kept
FOREVER = "private, max-age=31536000, immutable"
DIGEST = r"([0-9a-f]{64})"


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    kind: str = "application/json"
    cache: str = "no-store"


class Server(ThreadingHTTPServer):
    """Serves one desk; each connection has a thread, which ends with the process."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], desk: Desk, token: str | None) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        super().__init__(address, Handler)
        self.desk = desk
        self.guard = Guard(address[0], self.server_address[1], token)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave out what browsers that went away make of it."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "imagemill"
    sys_version = ""
    timeout = WAIT

    def do_GET(self) -> None:
        """Answer a question."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Save verdicts."""
        self._answer("POST")

    def log_message(self, *_: object) -> None:
        """Say nothing: a line for each picture helps nobody."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request that we know, in our own way."""
        self.close_connection = True
        self._send(_error(code, explain or message or "refused"))

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        document = parts.path == "/"
        token = query.pop("token", "") if document else ""
        headers = {name.title(): value for name, value in self.headers.items()}
        refusal = self.server.guard.refuse(method, headers, document=document, token=token)
        if refusal is not None:
            self.send_error(*refusal)
        elif token and self.server.guard.token is not None:
            self._remember(self.server.guard.token, query)
        elif (body := self._body() if method == "POST" else b"") is None:
            self.send_error(413, f"a request has at most {LONGEST:,} bytes")
        else:
            self._send(self._made(method, parts.path, query, body))

    def _body(self) -> bytes | None:
        """Return what was sent; None where it is too much, or of a length that nobody said."""
        said = self.headers.get("Content-Length", "")
        if not said.isdecimal() or int(said) > LONGEST or "Transfer-Encoding" in self.headers:
            return None
        return self.rfile.read(int(said))

    def _made(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        desk = self.server.desk
        try:
            if method == "POST":
                return _saved(desk, path, body)
            return _found(desk, path, query)
        except BuildError as error:
            return _error(400, str(error))
        except images.Unreadable as error:
            return _error(422, error.detail)
        except OSError as error:  # a pack that was pruned, a folder that is being built
            return _error(500, f"cannot be read: {error.strerror}; is the dataset built here?")

    def _remember(self, token: str, query: dict[str, str]) -> None:
        """Take the token out of the address bar and keep it as a cookie."""
        cookie = f"{self.server.guard.cookie}={token}; HttpOnly; SameSite=Strict; Path=/"
        self.send_response(303)
        self.send_header("Set-Cookie", cookie)
        self.send_header("Location", f"/?{urlencode(query)}" if query else "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", answer.cache)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)


def _found(desk: Desk, path: str, query: dict[str, str]) -> Answer:
    if path in ("/", "/index.html"):
        return Answer(200, PAGE["index.html"], KINDS[".html"])
    name = path.removeprefix("/page/")
    if name in PAGE and path != name:
        return Answer(200, PAGE[name], KINDS[name[name.rfind(".") :]], "no-cache")
    questions: dict[str, Callable[[dict[str, str]], Any]] = {
        "/api/start": desk.start,
        "/api/queue": desk.queue,
        "/api/items": desk.items,
        "/api/detail": desk.detail,
        "/api/same": desk.same,
        "/api/labels": desk.labels,
        "/api/people": desk.people,
        "/api/changes": desk.changes,
    }
    if path in questions:
        return _json(200, questions[path](query))
    return _picture(desk, path, query)


def _picture(desk: Desk, path: str, query: dict[str, str]) -> Answer:
    if hit := re.fullmatch(f"/(thumb|whole)/{DIGEST}", path):
        at = desk.dataset.at(hit[2])
        if at is not None:
            made = desk.pictures.thumb if hit[1] == "thumb" else desk.pictures.whole
            return Answer(200, made(at), "image/jpeg", FOREVER)
    if hit := re.fullmatch(f"/difference/{DIGEST}/{DIGEST}", path):
        a, b = (desk.dataset.at(each) for each in hit.groups())
        turn = query.get("transform", "none")
        if a is not None and b is not None and turn in TRANSFORMS:
            return Answer(200, desk.pictures.difference(a, b, turn), "image/jpeg", FOREVER)
    return _error(404, "there is no such thing here")


def _saved(desk: Desk, path: str, body: bytes) -> Answer:
    if path != "/api/reviews":
        return _error(404, "there is no such thing here")
    try:
        given = json.loads(body)
    except ValueError:
        return _error(400, "what was sent is not JSON")
    if not isinstance(given, dict):
        return _error(400, "what was sent is no object with reviews")
    return _json(200, desk.save(given))


def _json(status: int, value: Any) -> Answer:
    return Answer(status, json.dumps(value, ensure_ascii=False, allow_nan=False).encode())


def _error(status: int, said: str) -> Answer:
    return _json(status, {"error": said})
