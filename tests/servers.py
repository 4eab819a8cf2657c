"""Real servers for tests and benchmarks: SeaweedFS, and a counting proxy in front of it."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

KEY, SECRET = "IMAGEMILLKEY", "imagemill-secret-0123456789abcdef"  # of the server below
READER = "IMAGEMILLREADER", "imagemill-reader-0123456789abcdef"
LIMITED = "IMAGEMILLLIMITED", "imagemill-limited-0123456789abcdef"

IDENTITIES = {
    "identities": [
        {"name": "admin", "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
         "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
        {"name": "reader", "credentials": [{"accessKey": READER[0], "secretKey": READER[1]}],
         "actions": ["Read", "List"]},
        {"name": "limited", "credentials": [{"accessKey": LIMITED[0], "secretKey": LIMITED[1]}],
         "actions": ["Read:open", "List:open", "List:closed"]},
        {"name": "anonymous",
         "actions": ["Read:public", "List:public", "Read:shown", "List:shown"]},
    ]
}  # fmt: skip
"""Who may do what: the admin all, the reader read, the limited one list more than it may read."""


@dataclass
class S3Server:
    """A SeaweedFS of our own, with its data in one folder."""

    endpoint: str
    process: "subprocess.Popen[bytes]"

    def client(self, key: str = KEY, secret: str = SECRET) -> Any:
        """Return a boto3 client; the admin's by default."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(max_pool_connections=32),
        )


@contextmanager
def serving_s3(folder: Path) -> Iterator[S3Server]:
    """Run a SeaweedFS with its data below ``folder``, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "identities.json").write_text(json.dumps(IDENTITIES))
    for attempt in range(5):  # another process may take a port that was free when we looked
        server = _start(folder)
        if _ready(server):
            break
        _stop(server.process)
        assert attempt < 4, (folder / "log").read_text(errors="replace")[-2000:]
    try:
        yield server
    finally:
        _stop(server.process)


def _start(folder: Path) -> S3Server:
    names = ("s3", "master", "volume", "filer", "admin")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    listening = [f"-{name}.port={port}" for name, port in ports.items()]
    command = [
        str(Path(sys.executable).with_name("weed")), "mini", f"-dir={folder}", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", *listening, "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-s3.config={folder / 'identities.json'}", "-admin.ui=false",
        "-webdav=false", "-master.telemetry=false", f"-filer.localSocket={folder / 'filer.sock'}",
        # Every bucket takes one or more; the default is fewer than tests make, on a full disk.
        "-volume.max=10000",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    return S3Server(f"http://127.0.0.1:{ports['s3']}", process)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, nor 10,000 above, where SeaweedFS speaks gRPC.

    They lie below those that the kernel hands out itself.
    """
    found: list[int] = []
    start = 10_000 + (os.getpid() * 37) % 8_000
    for port in range(start, 20_000):
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def _ready(server: S3Server) -> bool:
    client = server.client()
    for _ in range(200):
        if server.process.poll() is not None:
            return False
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
        else:
            return True
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


Answer = Callable[[str, str], bytes | None]
"""From method and path of a request: None to pass it on, or the answer, after which to hang up."""


class Proxy:
    """Passes requests on to a server and counts them; answers some itself where a test says so."""

    def __init__(self, upstream: str) -> None:
        self._host, port = upstream.removeprefix("http://").split(":")
        self._port = int(port)
        self.endpoint = ""
        self.requests: list[tuple[str, str]] = []
        self.heads: list[str] = []
        self.answer: Answer = lambda _method, _path: None

    @property
    def gets(self) -> Counter[str]:
        """How often each object was asked for, by its path without the query."""
        paths = (path.partition("?") for method, path in self.requests if method == "GET")
        return Counter(path for path, _, query in paths if "list-type" not in query)

    @property
    def puts(self) -> Counter[str]:
        """How often each object was sent, by its path without the query."""
        return Counter(path.partition("?")[0] for method, path in self.requests if method == "PUT")

    def forget(self) -> None:
        """Count from nothing."""
        self.requests.clear()
        self.heads.clear()

    def run(self) -> None:
        """Serve until ``stop``."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await self._stopped.wait()
        server.close()

    def stop(self) -> None:
        """End ``run``."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            answers, server = await asyncio.open_connection(self._host, self._port)
            pump = asyncio.create_task(_pump(answers, back))
            try:
                await self._requests(client, server, back)
            finally:
                server.close()
                back.close()
                pump.cancel()

    async def _requests(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while True:
            head = await client.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            self.requests.append((method, path))
            self.heads.append(head.decode().lower())
            answer = self.answer(method, path)
            length = int((re.findall(rb"(?i)\r\ncontent-length: (\d+)", head) or [0])[0])
            if answer is not None:
                # Hanging up on what is still being sent would take the answer along.
                if b"100-continue" not in head:
                    await client.readexactly(length)
                back.write(answer)
                await back.drain()
                return
            server.write(head)
            await server.drain()
            while length:
                data = await client.read(min(length, 1 << 16))
                if not data:
                    return
                server.write(data)
                await server.drain()
                length -= len(data)


async def _pump(answers: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await answers.read(1 << 16):
            back.write(data)
            await back.drain()
    back.close()


@contextmanager
def proxying(upstream: str) -> Iterator[Proxy]:
    """Run a proxy in front of ``upstream``, for requests whose length is told."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    while not proxy.endpoint:
        time.sleep(0.001)
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()


def error_page(status: str, code: str) -> bytes:
    """Return an answer of S3's with an error document."""
    body = f"<Error><Code>{code}</Code><Message>{code}</Message><RequestId>R1</RequestId></Error>"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A SeaweedFS for this worker's session; tests use buckets of their own."""
    with serving_s3(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    """A counting proxy in front of the server."""
    with proxying(s3_server.endpoint) as running:
        yield running
