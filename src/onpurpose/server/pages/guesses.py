"""Who tries keys on the sign-in page: after a few that were wrong, it takes patience."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

from onpurpose.server.limits import Limits

BY_ADDRESS = 30
"""Wrong keys a minute from one address, five of them at once."""

BY_PREFIX = 60
"""Wrong keys a minute that begin like one key, from wherever they come."""

_PREFIX = 11


class Guesses:
    """Counts wrong keys. For one event loop; `now` tells seconds that never go back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._addresses = Limits(BY_ADDRESS, now=now)
        self._prefixes = Limits(BY_PREFIX, now=now)

    def wait(self, address: str, key: str) -> int:
        """0 if a key may be tried now; else after how many whole seconds."""
        return max(self._addresses.take(_network(address), count=0), self._prefixes.take(key[:_PREFIX], count=0))

    def wrong(self, address: str, key: str) -> None:
        """One was wrong."""
        self._addresses.charge(_network(address), None, 1)
        self._prefixes.charge(key[:_PREFIX], None, 1)


def _network(address: str) -> str:
    """Of IPv6 the network: whoever has one address of it has them all."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address
