"""A real forward proxy for tests, on loopback: it looks up names itself, and counts requests."""

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Forward(ThreadingHTTPServer):
    """The proxy, with what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        """Method and target of every request."""
        self.login = ""
        """``user:password`` to ask for, if any."""

    @property
    def url(self) -> str:
        """Its address, with the login."""
        login = f"{self.login}@" if self.login else ""
        return f"http://{login}127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Forward

    def do_GET(self) -> None:
        if self._refused():
            return
        parts = urlsplit(self.path)
        there = HTTPConnection("127.0.0.1", parts.port or 80)  # every name leads here
        own = {name: value for name, value in self.headers.items() if "Proxy" not in name}
        there.request(self.command, parts.path, headers=own)
        answer = there.getresponse()
        self.send_response(answer.status)
        body = answer.read()
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        there.close()

    def do_CONNECT(self) -> None:
        if self._refused():
            return
        with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2]))) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(there, self.connection))
            back.start()
            _pump(self.connection, there)
            back.join()
        self.close_connection = True

    def _refused(self) -> bool:
        self.server.asked.append((self.command, self.path))
        login = self.server.login.encode()
        known = self.headers.get("Proxy-Authorization") == f"Basic {b64encode(login).decode()}"
        if login and not known:
            self.send_response(407)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return bool(login) and not known

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@contextmanager
def forwarding() -> Iterator[Forward]:
    """Run a proxy for as long as the block lasts."""
    with Forward() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
