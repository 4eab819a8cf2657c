"""Where a connection may lead: to addresses of the public internet, unless others are allowed.

A connection goes to the very address that was checked, so that a name cannot point elsewhere a
moment later; certificate and ``Host`` stay those of the name. Through a proxy only addresses that
are written as numbers can be checked: where a name leads, the proxy alone knows.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # typeshed lacks the second
    getproxies_environment,
    proxy_bypass_environment,
)

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util.connection import create_connection

from imagemill.errors import SourceError
from imagemill.sources.objects import UnavailableError

_TRANSLATED = IPv6Network("64:ff9b::/96")


class Ways:
    """The connections by which addresses are asked: straight, or through a proxy.

    Raises ``SourceError`` when a proxy of the environment is none that can be used.
    """

    def __init__(self, connections: int, *, allow_private: bool, proxied: bool) -> None:
        self._allow_private = allow_private
        self._connections = connections
        self._straight = PoolManager(num_pools=4 * connections, maxsize=connections)
        self._straight.pool_classes_by_scheme = _checked_pools(allow_private)
        self._proxies = getproxies_environment() if proxied else {}
        self._through: dict[str, ProxyManager] = {
            scheme: self._by_proxy(scheme)
            for scheme in ("http", "https", "all")
            if scheme in self._proxies
        }

    def to(self, url: str) -> PoolManager:
        """Return what asks ``url``. Raises ``UnavailableError`` on an address that it may not."""
        parts = urlsplit(url)
        proxy = self._through.get(parts.scheme) or self._through.get("all")
        if proxy is None or proxy_bypass_environment(parts.netloc, self._proxies):
            return self._straight
        if not self._allow_private:
            _refuse_private(parts.hostname or "", _numbers(parts.hostname or ""))
        return proxy

    def _by_proxy(self, scheme: str) -> ProxyManager:
        address = self._proxies[scheme]
        address = address if "://" in address else f"http://{address}"
        try:
            parts = urlsplit(address)
            login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            headers = make_headers(proxy_basic_auth=login) if parts.username else None
            pools = 4 * self._connections
            return ProxyManager(address, pools, None, headers, maxsize=self._connections)
        except (HTTPError, ValueError) as error:  # neither may be shown: the login is in them
            raise SourceError(
                f"{scheme}_proxy in the environment is no address of an HTTP proxy. "
                "Write it as http://host:port, or set `proxy: none`."
            ) from error


def _checked_pools(allow_private: bool) -> dict[str, Any]:
    """Return the pools whose connections check where they lead, by scheme."""

    class Checked:
        host: str
        port: int

        def _new_conn(self) -> socket.socket:
            return _connected(self, allow_private)

    class Plain(Checked, HTTPConnection):
        pass

    class Secure(Checked, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connected(connection: Any, allow_private: bool) -> socket.socket:
    """Return a socket to the connection's host, by an address that was checked."""
    last: OSError | None = None
    for address in _addresses(connection, allow_private):
        try:
            return create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except OSError as error:
            last = error
    raise NewConnectionError(connection, str(last))


def _addresses(connection: Any, allow_private: bool) -> list[str]:
    """Return all addresses of a host. Raises ``UnavailableError`` where one is private."""
    host = connection._dns_host
    try:
        found = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NewConnectionError(connection, f"no address for {host}: {error}") from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not allow_private:
        _refuse_private(host, addresses)
    return addresses


def _numbers(host: str) -> list[str]:
    """Return the address that ``host`` writes as a number; none where it is a name."""
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [str(each[4][0]) for each in found]


def _refuse_private(host: str, addresses: list[str]) -> None:
    for address in addresses:
        if not is_public(address):
            said = f"{host} is {address}, which is no public address; see `allow_private`"
            raise UnavailableError("private_address", said)


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet, however it is written."""
    plain = _inner(ip_address(address.partition("%")[0]))
    return plain.is_global and not plain.is_multicast and not plain.is_reserved


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
