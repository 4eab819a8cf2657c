"""Where a connection may lead: to addresses of the public internet, unless others are allowed.

A connection goes to the very address that was checked, so that a name cannot point elsewhere a
moment later; certificate and ``Host`` stay those of the name.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import create_connection

from imagemill.sources.objects import UnavailableError

_TRANSLATED = IPv6Network("64:ff9b::/96")


def checked_pools(allow_private: bool) -> dict[str, Any]:
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
    for address in addresses:
        if not allow_private and not is_public(address):
            said = f"{host} is {address}, which is no public address; see `allow_private`"
            raise UnavailableError("private_address", said)
    return addresses


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
