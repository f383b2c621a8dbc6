"""What we need of the world: small protocols, each defined by one suite in `tests/ports/`."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from onpurpose.core.record import Receipt, Record


class Ledger(Protocol):
    """Where records are kept. Append-only; what it acknowledges is durable."""

    def append(self, record: Record) -> Future[Receipt]:
        """At once, a future that completes when the record is durable, or fails with why it is not.

        A future cancelled before its record is taken up leaves no record. Never raises.
        """
        ...

    def status(self) -> dict[str, object]:
        """What an operator asks first: where the log is, how many records were written, the last error."""
        ...

    def close(self) -> None:
        """Write what was appended, anchor it, and stop. Later appends fail. May be called twice."""
        ...


class Clock(Protocol):
    """What time it is; read once a call, outside the core."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...


class Signer(Protocol):
    """Signs checkpoints with a key that stays where it is."""

    @property
    def public_key(self) -> bytes:
        """The raw Ed25519 public key, 32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature over the message, 64 bytes."""
        ...
