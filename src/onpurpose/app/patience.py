"""Who tries again and again waits longer and longer: how long, and for what nobody keeps in a store."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict

FREE = 5
"""So many failures in a row cost nothing but themselves."""

FIRST_SECONDS = 30
LONGEST_SECONDS = 15 * 60

_FORGOTTEN_SECONDS = 24 * 3600
_KEPT = 50_000
_SECOND = 1_000_000


def penalty(failures: int) -> int:
    """After so many failures in a row, so many seconds must pass until the next try; each time twice as many."""
    if failures < FREE:
        return 0
    return min(LONGEST_SECONDS, FIRST_SECONDS << min(failures - FREE, 16))


class Patience:
    """Counts failures by name, in memory: those that came first are forgotten first. Thread-safe.

    `free` failures cost nothing. Times are microseconds UTC.
    """

    def __init__(self, *, free: int = FREE) -> None:
        self._more = free - FREE
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def wait(self, name: str, now: int) -> int:
        """0 if it may be tried now; else after how many whole seconds."""
        with self._lock:
            count, at = self._failures.get(name, (0, 0))
        if not count:
            return 0
        left = at + penalty(count - self._more) * _SECOND - now
        return -(-left // _SECOND) if left > 0 else 0

    def failed(self, name: str, now: int) -> None:
        """One more failure, in a row with those of the last day."""
        with self._lock:
            count, at = self._failures.pop(name, (0, 0))
            if now - at > _FORGOTTEN_SECONDS * _SECOND:
                count = 0
            self._failures[name] = (count + 1, now)
            if len(self._failures) > _KEPT:
                self._failures.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """The row has ended."""
        with self._lock:
            self._failures.pop(name, None)


def network(address: str) -> str:
    """Of an IPv6 address the network: whoever has one address of it has them all."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address
