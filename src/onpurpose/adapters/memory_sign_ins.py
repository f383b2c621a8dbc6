"""Sessions, credentials and identities in dictionaries: for tests and trials, gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from onpurpose.core.access import User
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.session import Credential, LinkedIdentity, Session

if TYPE_CHECKING:
    from onpurpose.adapters.memory_store import MemoryAccess


class MemorySessions:
    """`Sessions` in a dictionary, beside the users whose they are. Thread-safe."""

    def __init__(self, access: MemoryAccess) -> None:
        self._access = access
        self._lock = threading.RLock()
        self._sessions: dict[bytes, Session] = {}
        access.lost.append(self._sign_out)

    def open(self, session: Session, *, instead_of: bytes | None, notes: Sequence[bytes]) -> None:
        """Keep a new session; the one of the hash `instead_of` ends, and those of its user that have expired go."""
        with self._access.lock, self._lock:
            user = self._access.user(session.workspace, session.user)
            if user is None or user.disabled_at is not None:
                raise MissingError(f"there is no user `{session.user}` who may sign in")
            for one in self.of(session.workspace, session.user):
                if one.expires_at <= session.created_at:
                    del self._sessions[one.hash]
            if instead_of is not None:
                self._sessions.pop(instead_of, None)
            self._sessions[session.hash] = session
            self._access.tell(notes)

    def find(self, session_hash: bytes) -> Session | None:
        """The session of that hash, expired or not."""
        with self._lock:
            return self._sessions.get(session_hash)

    def seen(self, session_hash: bytes, at: int) -> None:
        """The session was used then. One that has ended stays so; an earlier time changes nothing."""
        with self._lock:
            found = self._sessions.get(session_hash)
            if found is not None and found.seen_at < at:
                self._sessions[session_hash] = msgspec.structs.replace(found, seen_at=at)

    def end(self, workspace: str, user: str, *, session_hash: bytes | None, notes: Sequence[bytes]) -> int:
        """End the user's session of that hash, or (`None`) all of them; how many ended. Notes are kept if any did."""
        with self._access.lock, self._lock:
            ending = [one.hash for one in self.of(workspace, user) if session_hash in (None, one.hash)]
            for one in ending:
                del self._sessions[one]
            if ending:
                self._access.tell(notes)
            return len(ending)

    def of(self, workspace: str, user: str) -> list[Session]:
        """The user's sessions, the one that was opened last first, expired ones too."""
        with self._lock:
            found = [one for one in self._sessions.values() if (one.workspace, one.user) == (workspace, user)]
        return sorted(found, key=lambda one: (one.created_at, one.hash), reverse=True)

    def _sign_out(self, user: User) -> None:
        self.end(user.workspace, user.id, session_hash=None, notes=())


class MemoryCredentials:
    """`Credentials` in a dictionary, beside the users and their sessions. Thread-safe."""

    def __init__(self, access: MemoryAccess, sessions: MemorySessions) -> None:
        self._access = access
        self._sessions = sessions
        self._credentials: dict[tuple[str, str], Credential] = {}

    def get(self, workspace: str, user: str) -> Credential | None:
        """What is kept of the user."""
        with self._access.lock:
            return self._credentials.get((workspace, user))

    def keep(self, credential: Credential, *, signs_out: bool = False, notes: Sequence[bytes]) -> None:
        """Keep the next version; with `signs_out` all sessions of the user end with it."""
        key = (credential.workspace, credential.user)
        with self._access.lock:
            if self._access.user(*key) is None:
                raise MissingError(f"there is no user `{credential.user}`")
            held = self._credentials.get(key)
            if credential.version != (0 if held is None else held.version) + 1:
                raise ConflictError("what the user signs in with was changed meanwhile")
            self._credentials[key] = credential
            if signs_out:
                self._sessions.end(*key, session_hash=None, notes=())
            self._access.tell(notes)


class MemoryIdentities:
    """`Identities` in a dictionary, beside the users and their sessions. Thread-safe."""

    def __init__(self, access: MemoryAccess, sessions: MemorySessions) -> None:
        self._access = access
        self._sessions = sessions
        self._identities: dict[tuple[str, str, str], LinkedIdentity] = {}

    def find(self, workspace: str, issuer: str, subject: str) -> LinkedIdentity | None:
        """Whose that identity is."""
        with self._access.lock:
            return self._identities.get((workspace, issuer, subject))

    def link(self, identity: LinkedIdentity, *, notes: Sequence[bytes]) -> None:
        """Keep whose it is."""
        with self._access.lock:
            user = self._access.user(identity.workspace, identity.user)
            if user is None or user.disabled_at is not None:
                raise MissingError(f"there is no user `{identity.user}` who may sign in")
            theirs = any(one.issuer == identity.issuer for one in self.of(identity.workspace, identity.user))
            if theirs or _key(identity) in self._identities:
                raise ConflictError("the identity is linked, or its user has another one")
            self._identities[_key(identity)] = identity
            self._access.tell(notes)

    def unlink(self, identity: LinkedIdentity, *, notes: Sequence[bytes]) -> bool:
        """It is nobody's any more, and all sessions of its user end; false where it was not theirs."""
        with self._access.lock:
            held = self._identities.get(_key(identity))
            if held is None or held.user != identity.user:
                return False
            del self._identities[_key(identity)]
            self._sessions.end(identity.workspace, identity.user, session_hash=None, notes=())
            self._access.tell(notes)
            return True

    def of(self, workspace: str, user: str) -> list[LinkedIdentity]:
        """The user's, by issuer."""
        with self._access.lock:
            found = [one for one in self._identities.values() if (one.workspace, one.user) == (workspace, user)]
        return sorted(found, key=lambda one: one.issuer)


def _key(identity: LinkedIdentity) -> tuple[str, str, str]:
    return identity.workspace, identity.issuer, identity.subject
