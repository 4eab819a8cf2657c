"""Who may ask: nothing but this page, in a browser on an address that the server is known by.

A page of another site can make a browser send requests here, and can point a name of its own at
this machine ("DNS rebinding"). So the ``Host`` must be an address that we listen on, what the
browser says of the sender (``Sec-Fetch-Site``, ``Origin``) must be this page, and what changes
anything must be JSON, which no form can send. On other interfaces than loopback everybody needs
the token besides; a browser is given it once in the URL and keeps it as a cookie.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import NamedTuple

NAMES = ("127.0.0.1", "localhost", "[::1]")
"""By which a browser on this machine calls it."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
"""Content Security Policy: scripts and styles are files of ours, and nothing else is fetched."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer."""


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    said: str


@dataclass(frozen=True)
class Guard:
    """What is let in at one address."""

    host: str
    port: int
    token: str | None
    """That must be known; None on loopback."""

    @property
    def cookie(self) -> str:
        """Name of the cookie with the token; cookies know no ports, so it has ours."""
        return f"imagemill-{self.port}"

    def refuse(
        self, method: str, headers: Mapping[str, str], *, document: bool, token: str = ""
    ) -> Refusal | None:
        """Return why a request is refused; None where it is not.

        ``document``: it is for the page itself, which links may lead to; ``token``: of its URL.
        """
        host = headers.get("Host", "")
        if self.token is None and host not in self._names():
            return Refusal(421, f"not known as {host[:100]!r}; open http://127.0.0.1:{self.port}/")
        if not _same_site(method, headers, host, document=document):
            return Refusal(403, "refused: this request comes from another site")
        if method == "POST" and _kind(headers) != "application/json":
            return Refusal(415, "refused: a verdict is sent as application/json")
        if self.token is not None and not self._knows(headers, token):
            return Refusal(
                401, "the token is missing; open the URL that `imagemill review` printed"
            )
        return None

    def _names(self) -> set[str]:
        mine = f"[{self.host}]" if ":" in self.host else self.host
        return {f"{name}:{self.port}" for name in (*NAMES, mine)}

    def _knows(self, headers: Mapping[str, str], token: str) -> bool:
        said = token or _cookie(headers.get("Cookie", ""), self.cookie)
        return hmac.compare_digest(said.encode(), str(self.token).encode())


def token() -> str:
    """Return a new token."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _same_site(method: str, headers: Mapping[str, str], host: str, *, document: bool) -> bool:
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return False
    site = headers.get("Sec-Fetch-Site")
    if site in (None, "same-origin"):
        return True
    visited = headers.get("Sec-Fetch-Mode") == "navigate" and method in ("GET", "HEAD")
    return visited and (document or site == "none")


def _kind(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _cookie(text: str, name: str) -> str:
    try:
        found = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
