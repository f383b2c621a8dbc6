"""The sockets that a server will listen on: bound before anything is opened, so that a taken port is told first."""

from __future__ import annotations

import errno
import socket

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def bind(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host, bound and not listening yet; port 0 is any free one.

    Nobody can connect before a server listens on them. An address that this machine has not is passed
    over where the host has another. Raises `OSError` where the port is taken, and with no address at all.
    """
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            try:
                bound.append(_bound(family, address))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
        if not bound and missing is not None:
            raise missing
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def place(one: socket.socket) -> str:
    """Where a socket listens, as it stands in a URL: `127.0.0.1:8080`, `[::1]:8080`."""
    host, port = one.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except BaseException:
        one.close()
        raise
    return one
