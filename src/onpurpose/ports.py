"""What we need of the world: small protocols, each defined by one suite in `tests/ports/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from onpurpose.core.access import ApiKey, User, Workspace
from onpurpose.core.approval import Approval, Wanted
from onpurpose.core.call import Call, Touched
from onpurpose.core.checkpoint import Signed
from onpurpose.core.delivery import Channel, Delivery, View
from onpurpose.core.intent import Intent
from onpurpose.core.record import Away, Receipt, Record, Stored
from onpurpose.core.revision import Change, Contents, Kind, Revision
from onpurpose.core.token import Claims, Revocation, SigningKey

T_co = TypeVar("T_co", covariant=True)


class Promised(Protocol[T_co]):
    """What another thread will give: of a `concurrent.futures.Future`, the half that waits. Thread-safe."""

    def done(self) -> bool:
        """Whether a value or an error is there, or it was cancelled."""
        ...

    def result(self, timeout: float | None = None) -> T_co:
        """The value, after waiting at most so many seconds. Raises the error, `CancelledError`, `TimeoutError`."""
        ...

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, or `None` for a value. Raises `CancelledError`, `TimeoutError`."""
        ...

    def cancel(self) -> bool:
        """Whether it will not be given any more: false once it was taken up."""
        ...

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        ...

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        """Have `fn` called with this once it is done, on any thread; now if it is."""
        ...


class Ledger(Protocol):
    """Where records are kept. Append-only; what it acknowledges is durable."""

    def append(self, record: Record) -> Promised[Receipt]:
        """At once, a promise that is kept when the record is durable, or fails with why it is not.

        One cancelled before its record is taken up leaves no record. Never raises.
        """
        ...

    def gathering(self) -> AbstractContextManager[None]:
        """While it lasts, records that this thread appends may wait for its end, to be written together.

        For a thread that appends many in a row and waits for none of them before the end.
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

    def records(self, after: int | None = None) -> Iterator[Stored | Away]:
        """The records in the order of commits, or those behind a position, or (`after=-n`) the newest n.

        Where records were archived, and are not at hand, it is said which.
        """
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


class Classifier(Protocol):
    """Says what intent a call shows. Its view is recorded and counted; it decides nothing."""

    def classify(self, call: Call) -> Intent:
        """The view of one call. May raise; the call is then recorded without one."""
        ...


class Documents(Protocol):
    """The documents of all workspaces and which of them are in force. Each method is one transaction.

    Raises `StoreError` where the store cannot be reached.
    """

    def contents(self, workspace: str) -> Contents:
        """All of a workspace at one version of it. `MissingError` where there is no such workspace."""
        ...

    def change(  # noqa: PLR0913  what a change is made of
        self, workspace: str, changes: Sequence[Change], *, author: str, at: int, reason: str, notes: Sequence[bytes]
    ) -> int:
        """Make all the changes or none; the workspace's new version.

        `notes` are bodies of records that must reach the log: they are kept with the change until
        `Outbox.sent`. Raises `ConflictError` where a standing is not at the version expected.
        """
        ...

    def revisions(self, workspace: str, kind: Kind, name: str, before: int | None, limit: int) -> list[Revision]:
        """The revisions of one document, newest first, those below a number. Empty where there is none."""
        ...

    def versions(self) -> Mapping[str, int]:
        """The version of every workspace; what a process compares with what it holds."""
        ...

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or earlier where the store can tell that something changed.

        The first wait returns at once. What changes between two waits ends the second. Never raises.
        """
        ...


class Outbox(Protocol):
    """Bodies of records that were stored with the change they tell of, and must reach the log."""

    def unsent(self, limit: int) -> list[tuple[int, bytes]]:
        """Numbers and bodies, oldest first."""
        ...

    def sent(self, numbers: Sequence[int]) -> None:
        """They are durable in the log: forget them."""
        ...


class Access(Protocol):
    """Workspaces, keys and users. `notes` as in `Documents.change`. Raises `StoreError`, `ConflictError`."""

    def workspaces(self) -> list[Workspace]:
        """All of them."""
        ...

    def keys(self) -> list[ApiKey]:
        """Every key of every workspace, expired and revoked ones too."""
        ...

    def users(self, workspace: str) -> list[User]:
        """The workspace's users."""
        ...

    def put(self, item: Workspace | ApiKey | User, *, notes: Sequence[bytes]) -> None:
        """Add it, or replace the one of the same id (and workspace). Changes `Documents.versions` of its workspace.

        A key that was revoked stays so. A user who is disabled or loses a role is signed out everywhere with it
        (`sign_in_ports.Sessions`). `MissingError` where there is no such workspace.
        """
        ...

    def used(self, times: Mapping[str, int]) -> None:
        """When keys (by id) were last used."""
        ...


class SigningKeys(Protocol):
    """The keys that sign tokens, and the tokens that are revoked. Each method is one transaction.

    `notes` as in `Documents.change`. Raises `StoreError` where the store cannot be reached.
    """

    def keys(self) -> list[SigningKey]:
        """Every key, oldest first (by `created_at`, then `kid`), retired ones too."""
        ...

    def add(self, key: SigningKey, *, retire_others_at: int | None, notes: Sequence[bytes]) -> None:
        """Add a key. With `retire_others_at`, every other key retires then, or earlier where it does already."""
        ...

    def revocations(self, now: int) -> list[Revocation]:
        """The revocations of all workspaces whose `until` is not before `now`."""
        ...

    def revoke(self, revocation: Revocation, *, notes: Sequence[bytes]) -> None:
        """Add the revocation; of two of the same kind, workspace and value the later `at` and `until` stand."""
        ...


class Vault(Protocol):
    """Keeps secrets unreadable while they lie in a store. Raises `OnPurposeError` where it cannot."""

    def seal(self, secret: bytes, label: str) -> bytes:
        """The secret, encrypted; it opens under the same label alone."""
        ...

    def open(self, sealed: bytes, label: str) -> bytes:
        """The secret that was sealed under the label."""
        ...


class TokenFormat(Protocol):
    """How tokens are written, signed and read."""

    def new_key(self) -> tuple[bytes, bytes]:
        """A new private key and its public half, 32 bytes each."""
        ...

    def signer(self, kid: str, private: bytes) -> Callable[[Claims], str]:
        """What writes tokens signed with the key. It raises `TokenError` for one that would be too long."""
        ...

    def published(self, keys: Sequence[SigningKey]) -> dict[str, object]:
        """The public halves as a JSON Web Key Set (RFC 7517)."""
        ...

    def read(self, token: object, jwks: Mapping[str, object]) -> Claims:
        """The claims of a token that one of the keys signed, else `TokenError`. Nothing else is checked."""
        ...


class ElementReader(Protocol):
    """Tells from a statement what data it touches."""

    def read(self, sql: str) -> Touched:
        """What it touches, never less; or why that cannot be told. Never raises for what the text contains."""
        ...


class Approvals(Protocol):
    """The approvals of all workspaces and the messages they owe. Each method is one transaction.

    `notes` as in `Documents.change`: they are kept with the change until `Outbox.sent`, as `deliveries` are
    until `Deliveries.settle`. Raises `StoreError` where the store cannot be reached.
    """

    def open(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> Approval | None:
        """Keep a new approval; where its workspace has a pending one of the same digest, only give that one."""
        ...

    def get(self, workspace: str, approval_id: str) -> Approval | None:
        """One approval of the workspace, as it was last kept."""
        ...

    def change(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
        """Keep the approval's next version. `ConflictError` unless the one before it is what the store holds."""
        ...

    def find(self, wanted: Wanted) -> list[Approval]:
        """The approvals that are wanted, newest first (those that are due: by `wake_at`, soonest first)."""
        ...

    def pending(self, workspace: str, agent_id: str) -> int:
        """How many approvals of the agent wait for a decision in the workspace."""
        ...

    def versions(self, approval_ids: Sequence[str]) -> Mapping[str, int]:
        """The versions of these approvals, cheaply: what waits for a change looks here. Unknown ids are left out."""
        ...


class Deliveries(Protocol):
    """The messages that must leave. Each method is one transaction. Raises `StoreError`."""

    def take(self, channel: Channel, now: int, leased_until: int, limit: int) -> list[Delivery]:
        """Deliveries that are due, oldest first, put off until `leased_until` so that nobody else takes them meanwhile.

        Of several to one recipient about one approval only the first that has not left.
        """
        ...

    def settle(self, *deliveries: Delivery) -> None:
        """Keep what became of those that were taken, all at once: sent, given up, or due again at its `due_at`."""
        ...

    def of(self, workspace: str, approval_id: str) -> list[Delivery]:
        """The deliveries of one approval, oldest first."""
        ...

    def next_due(self, channel: Channel) -> int | None:
        """When the next delivery of the channel is due (microseconds UTC); `None` where none waits."""
        ...


class GivenUp(Protocol):
    """The messages that were given up. Each method is one transaction. Raises `StoreError`."""

    def dead(self, workspace: str, limit: int, channel: Channel | None = None) -> list[Delivery]:
        """The newest of them, newest first, of one channel or of all."""
        ...

    def again(self, workspace: str, delivery_ids: Sequence[str], now: int) -> list[Delivery]:
        """Have those of them that are given up wait to be sent as if they were made `now`; what they are from then on.

        Oldest first. Whatever of them is not given up, or not there, is left as it is and left out.
        """
        ...


class Messenger(Protocol):
    """Sends messages by one channel."""

    def send(self, delivery: Delivery, view: View) -> str:
        """Send it, or bring what was sent up to date; what the channel calls it.

        Raises `RetryError`, `UndeliverableError`.
        """
        ...
