"""What signing in needs of the world: small protocols beside those of `onpurpose.ports`, which they are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from onpurpose.core.session import Credential, Departure, LinkedIdentity, Session


class Sessions(Protocol):
    """Who is signed in to the dashboard. Each method is one transaction.

    `notes` as in `Documents.change`. Raises `StoreError` where the store cannot be reached.
    """

    def open(self, session: Session, *, instead_of: bytes | None, notes: Sequence[bytes]) -> None:
        """Keep a new session; the one of the hash `instead_of` ends, and those of its user that have expired go.

        `MissingError` where the workspace has no such user who is not disabled.
        """
        ...

    def find(self, session_hash: bytes) -> Session | None:
        """The session of that hash, expired or not."""
        ...

    def seen(self, session_hash: bytes, at: int) -> None:
        """The session was used then. One that has ended stays so; an earlier time changes nothing."""
        ...

    def end(self, workspace: str, user: str, *, session_hash: bytes | None, notes: Sequence[bytes]) -> int:
        """End the user's session of that hash, or (`None`) all of them; how many ended. Notes are kept if any did."""
        ...

    def of(self, workspace: str, user: str) -> list[Session]:
        """The user's sessions, the one that was opened last first, expired ones too."""
        ...


class Credentials(Protocol):
    """What users prove themselves with. Each method is one transaction; `notes` and errors as in `Sessions`."""

    def get(self, workspace: str, user: str) -> Credential | None:
        """What is kept of the user."""
        ...

    def keep(self, credential: Credential, *, signs_out: bool = False, notes: Sequence[bytes]) -> None:
        """Keep the next version; with `signs_out` all sessions of the user end with it.

        `ConflictError` unless the store holds the version before it (none, before the first: 1), and
        `MissingError` where the workspace has no such user.
        """
        ...


class Identities(Protocol):
    """Who users are to other services that sign them in. Each method is one transaction; notes as in `Sessions`."""

    def find(self, workspace: str, issuer: str, subject: str) -> LinkedIdentity | None:
        """Whose that identity is."""
        ...

    def link(self, identity: LinkedIdentity, *, notes: Sequence[bytes]) -> None:
        """Keep whose it is.

        `ConflictError` where it is somebody's already, or the user has another one of that issuer, and
        `MissingError` where the workspace has no such user who is not disabled.
        """
        ...

    def unlink(self, identity: LinkedIdentity, *, notes: Sequence[bytes]) -> bool:
        """It is nobody's any more, and all sessions of its user end; false where it was not theirs."""
        ...

    def of(self, workspace: str, user: str) -> list[LinkedIdentity]:
        """The user's, by issuer."""
        ...


class Passwords(Protocol):
    """Turns passwords into what may be kept of them. Slow on purpose; thread-safe."""

    def hashed(self, password: str) -> str:
        """A new hash of the password, with what is needed to check it."""
        ...

    def matches(self, encoded: str, password: str) -> bool:
        """Whether the hash is of this password; false for what is no hash."""
        ...

    def is_stale(self, encoded: str) -> bool:
        """Whether a hash made now would be made in another way."""
        ...


class IdentityProvider(Protocol):
    """Another service that says who people are (OpenID Connect). Raises `ProviderError`."""

    def begin(self, back: str, *, anew: bool = False) -> Departure:
        """Where to send the browser, which comes back to the URL `back`, and what must be remembered until then.

        With `anew` it asks the service to have people prove who they are, whoever it knows already.
        """
        ...

    def finish(self, departure: Departure, back: str, code: str) -> Mapping[str, object]:
        """What the provider says of who came back with this code, checked: signature, issuer, audience, nonce, time."""
        ...


class OneTimeCodes(Protocol):
    """Codes of a second factor that change with the time (TOTP, RFC 6238)."""

    def new_secret(self) -> str:
        """A secret of its own, in base 32."""
        ...

    def uri(self, secret: str, account: str, issuer: str) -> str:
        """The secret as an `otpauth:` URI, which authenticator apps read."""
        ...

    def step(self, secret: str, code: str, at: int, after: int) -> int | None:
        """The time step whose code it is: that of the time (microseconds UTC) or one beside it, and later than `after`.

        `None` where it is of none of them.
        """
        ...
