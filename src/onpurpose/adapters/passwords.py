"""Passwords by Argon2id: slow and large on purpose, and never so many at once that memory runs out."""

from __future__ import annotations

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

MEMORY_KIB = 19_456
"""With two passes over 19 MiB in one lane: what OWASP's Password Storage Cheat Sheet asks for."""

PASSES = 2
LANES = 1

AT_ONCE = 4
"""How many are hashed at a time; the others wait."""


class Argon2Passwords:
    """`Passwords` by Argon2id. Thread-safe. The same text counts in every Unicode form (NFKC), as keyboards differ."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES, lanes: int = LANES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def hashed(self, password: str) -> str:
        """A new hash of the password, with what is needed to check it."""
        with self._places:
            return self._hasher.hash(_normal(password))

    def matches(self, encoded: str, password: str) -> bool:
        """Whether the hash is of this password; false for what is no hash."""
        try:
            with self._places:
                return self._hasher.verify(encoded, _normal(password))
        except (Argon2Error, InvalidHashError):
            return False

    def is_stale(self, encoded: str) -> bool:
        """Whether a hash made now would be made in another way."""
        try:
            return self._hasher.check_needs_rehash(encoded)
        except InvalidHashError:
            return True


def _normal(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
