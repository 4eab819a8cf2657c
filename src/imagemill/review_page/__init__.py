"""`imagemill review`: a page, served on this machine, to go through what a build flagged.

It reads what ``clean`` and the stages around it have written, shows pictures from the packs, and
adds what people say to ``reviews/<dataset>.csv``, by the same rules as ``imagemill.reviews``.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from socket import gethostname

from imagemill.errors import BuildError
from imagemill.progress import say
from imagemill.review_page import guard, offline
from imagemill.review_page.asking import Desk
from imagemill.review_page.server import Server

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 (what a user may ask for)

PORT = 8347
"""Tried first, so that the page has the same address each time."""


def serve(
    root: Path, dataset: str, reviewer: str | None, host: str, port: int | None, *, token: bool
) -> None:
    """Serve the page until the process is stopped."""
    desk = Desk(root, dataset, _me(root) if reviewer is None else reviewer)
    secret = guard.token() if token or not guard.is_loopback(host) else None
    server = listen(desk, host, port, secret)
    name = gethostname() if host in EVERYWHERE else host
    shown = f"[{name}]" if ":" in name else name
    query = f"?token={secret}" if secret else ""
    say(f"{dataset}: review it at http://{shown}:{server.guard.port}/{query}")
    say(f"Verdicts go to {desk.said.name} as you give them. Stop with Ctrl+C, then build again.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("")
    finally:
        server.server_close()


def write(root: Path, dataset: str, to: Path, query: str, most: int) -> None:
    """Write the page as one file."""
    say(offline.write(Desk(root, dataset), to, query, most))


def take(root: Path, dataset: str, paths: Iterable[Path]) -> None:
    """Add the verdicts of files that such a page saved."""
    desk = Desk(root, dataset)
    for path in paths:
        say(offline.take(desk, path))


def listen(desk: Desk, host: str, port: int | None, secret: str | None) -> Server:
    """Return a server at an address; of several ports that are free where none was asked for."""
    tried = [port] if port is not None else [PORT, 0]
    for each in tried:
        try:
            return Server((host, each), desk, secret)
        except OSError as error:
            if each == tried[-1]:
                raise BuildError(
                    f"review: cannot listen at {host} port {each}: {error.strerror}; "
                    "choose another with --host or --port"
                ) from error
    raise AssertionError


def _me(root: Path) -> str:
    """Return the name that Git gives its author here; empty where it knows none."""
    try:
        asked = ["git", "config", "user.name"]
        done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
