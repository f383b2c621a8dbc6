"""Who tries again and again waits longer and longer: how long, and for what nobody keeps in a store."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict

FREE = 5
"""So many failures in a row cost nothing but themselves."""

FIRST_SECONDS = 30
LONGEST_SECONDS = 15 * 60

FORGOTTEN_SECONDS = 24 * 3600
"""After so long without another failure, a row has ended."""

_KEPT = 50_000
_SECOND = 1_000_000


def penalty(failures: int) -> int:
    """After so many failures in a row, so many seconds must pass until the next try; each time twice as many."""
    if failures < FREE:
        return 0
    return min(LONGEST_SECONDS, FIRST_SECONDS << min(failures - FREE, 16))


class Patience:
    """Counts failures by name, in memory: those that came first are forgotten first. Thread-safe.

    A try is counted before it is judged: however many come at once, no more are judged than are free.
    `free` failures cost nothing. Times are microseconds UTC.
    """

    def __init__(self, *, free: int = FREE) -> None:
        self._more = free - FREE
        self._lock = threading.Lock()
        self._rows: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def attempt(self, name: str, now: int) -> int:
        """0 if it may be tried now, which then counts as a failure; else after how many whole seconds it may be.

        It is one in a row with those of the last day, until it is taken back.
        """
        with self._lock:
            count, last, until = self._rows.get(name, (0, 0, 0))
            if now < until:
                return -(-(until - now) // _SECOND)
            count = 1 if now - last > FORGOTTEN_SECONDS * _SECOND else count + 1
            self._rows.pop(name, None)
            self._rows[name] = (count, now, now + penalty(count - self._more) * _SECOND)
            if len(self._rows) > _KEPT:
                self._rows.popitem(last=False)
        return 0

    def take_back(self, name: str, at: int) -> None:
        """The try of that time was no failure. What others have cost since stays."""
        with self._lock:
            count, last, until = self._rows.pop(name, (0, 0, 0))
            if count > 1:
                self._rows[name] = (count - 1, last, 0 if last == at else until)

    def succeeded(self, name: str) -> None:
        """The row has ended."""
        with self._lock:
            self._rows.pop(name, None)


def network(address: str) -> str:
    """Of an IPv6 address the network: whoever has one address of it has them all."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address
