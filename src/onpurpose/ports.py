"""What we need of the world: small protocols, each defined by one suite in `tests/ports/`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Protocol

from onpurpose.core.checkpoint import Signed
from onpurpose.core.record import Receipt, Record, Stored


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


class PolicySource(Protocol):
    """A text that may change: a policy file, an index of policy files."""

    @property
    def name(self) -> str:
        """What errors and records call it."""
        ...

    def version(self) -> object:
        """Cheaply, a value that differs once the text may. Raises `OSError` where there is no text."""
        ...

    def read(self, limit: int) -> bytes:
        """The text, or its first `limit + 1` bytes. Raises `OSError`."""
        ...

    def sibling(self, name: str) -> PolicySource:
        """The text of that name beside this one."""
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


class Archive(Protocol):
    """A log to be read: one consistent view of it, which reading never changes.

    Raises `LedgerError` where it cannot be read, and `LogChangedError` where the view did not hold.
    """

    def records(self, after: int | None = None) -> Iterator[Stored]:
        """The records in the order of commits, or those behind a position, or (`after=-n`) the newest n."""
        ...

    def checkpoints(self) -> Iterator[Signed]:
        """The checkpoints, in order of their numbers."""
        ...

    def anchor(self) -> Signed | None:
        """The newest checkpoint, as it is kept outside the log; `None` when there is no anchor."""
        ...

    def damage(self) -> Iterator[str]:
        """What the storage finds wrong with itself, one line each; reads everything."""
        ...

    def close(self) -> None:
        """Let go of the log."""
        ...
