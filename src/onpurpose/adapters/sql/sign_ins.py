"""Who is signed in, and what and who proves it, in a database: of tokens and passwords only hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
from sqlalchemy import Connection, Row, delete, insert, select, update

from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.access import sign_out
from onpurpose.adapters.sql.changes import keep_notes
from onpurpose.adapters.sql.engine import Store
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.session import Credential, LinkedIdentity, Session

_SESSIONS = tables.sessions.c
_CREDENTIALS = tables.credentials.c
_IDENTITIES = tables.identities.c
_USERS = tables.users.c


class SqlSessions:
    """`Sessions` on a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(self, session: Session, *, instead_of: bytes | None, notes: Sequence[bytes]) -> None:
        """Keep a new session; the one of the hash `instead_of` ends, and those of its user that have expired go."""
        theirs = (_SESSIONS.workspace == session.workspace) & (_SESSIONS.user == session.user)
        ending = theirs & (_SESSIONS.expires_at <= session.created_at)
        with self._store.writing() as connection:
            _lock_enabled(connection, session.workspace, session.user)
            if instead_of is not None:
                ending |= _SESSIONS.hash == instead_of
            connection.execute(delete(tables.sessions).where(ending))
            connection.execute(insert(tables.sessions).values({name: getattr(session, name) for name in _FIELDS}))
            keep_notes(connection, notes)

    def find(self, session_hash: bytes) -> Session | None:
        """The session of that hash, expired or not."""
        with self._store.reading() as connection:
            row = connection.execute(select(tables.sessions).where(_SESSIONS.hash == session_hash)).one_or_none()
        return None if row is None else _session(row)

    def seen(self, session_hash: bytes, at: int) -> None:
        """The session was used then. One that has ended stays so; an earlier time changes nothing."""
        earlier = (_SESSIONS.hash == session_hash) & (_SESSIONS.seen_at < at)
        with self._store.writing() as connection:
            connection.execute(update(tables.sessions).where(earlier).values(seen_at=at))

    def end(self, workspace: str, user: str, *, session_hash: bytes | None, notes: Sequence[bytes]) -> int:
        """End the user's session of that hash, or (`None`) all of them; how many ended. Notes are kept if any did."""
        ending = (_SESSIONS.workspace == workspace) & (_SESSIONS.user == user)
        if session_hash is not None:
            ending &= _SESSIONS.hash == session_hash
        with self._store.writing() as connection:
            ended = connection.execute(delete(tables.sessions).where(ending)).rowcount
            if ended:
                keep_notes(connection, notes)
        return ended

    def of(self, workspace: str, user: str) -> list[Session]:
        """The user's sessions, the one that was opened last first, expired ones too."""
        theirs = (_SESSIONS.workspace == workspace) & (_SESSIONS.user == user)
        query = select(tables.sessions).where(theirs).order_by(_SESSIONS.created_at.desc(), _SESSIONS.hash.desc())
        with self._store.reading() as connection:
            return [_session(row) for row in connection.execute(query)]


class SqlCredentials:
    """`Credentials` on a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, workspace: str, user: str) -> Credential | None:
        """What is kept of the user."""
        with self._store.reading() as connection:
            row = connection.execute(select(tables.credentials).where(_of(workspace, user))).one_or_none()
        return None if row is None else _credential(row)

    def keep(self, credential: Credential, *, signs_out: bool = False, notes: Sequence[bytes]) -> None:
        """Keep the next version; with `signs_out` all sessions of the user end with it."""
        same = _of(credential.workspace, credential.user)
        with self._store.writing() as connection:
            _lock(connection, credential.workspace, credential.user)
            held = connection.scalar(select(_CREDENTIALS.version).where(same))
            if credential.version != (held or 0) + 1:
                raise ConflictError("what the user signs in with was changed meanwhile")
            statement = insert(tables.credentials) if held is None else update(tables.credentials).where(same)
            connection.execute(statement.values(_credential_row(credential)))
            if signs_out:
                sign_out(connection, credential.workspace, credential.user)
            keep_notes(connection, notes)


class SqlIdentities:
    """`Identities` on a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, workspace: str, issuer: str, subject: str) -> LinkedIdentity | None:
        """Whose that identity is."""
        query = select(tables.identities).where(_identity_is(workspace, issuer, subject))
        with self._store.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _identity(row)

    def link(self, identity: LinkedIdentity, *, notes: Sequence[bytes]) -> None:
        """Keep whose it is. The table's constraints say whether it may be."""
        with self._store.writing() as connection:
            _lock_enabled(connection, identity.workspace, identity.user)
            connection.execute(insert(tables.identities).values(msgspec.structs.asdict(identity)))
            keep_notes(connection, notes)

    def unlink(self, identity: LinkedIdentity, *, notes: Sequence[bytes]) -> bool:
        """It is nobody's any more, and all sessions of its user end; false where it was not theirs."""
        same = _identity_is(identity.workspace, identity.issuer, identity.subject)
        with self._store.writing() as connection:
            statement = delete(tables.identities).where(same & (_IDENTITIES.user == identity.user))
            done = connection.execute(statement).rowcount > 0
            if done:
                sign_out(connection, identity.workspace, identity.user)
                keep_notes(connection, notes)
        return done

    def of(self, workspace: str, user: str) -> list[LinkedIdentity]:
        """The user's, by issuer."""
        theirs = (_IDENTITIES.workspace == workspace) & (_IDENTITIES.user == user)
        with self._store.reading() as connection:
            found = [_identity(row) for row in connection.execute(select(tables.identities).where(theirs))]
        return sorted(found, key=lambda one: one.issuer)


_FIELDS = ("hash", "workspace", "user", "created_at", "seen_at", "expires_at", "method")


def _lock(connection: Connection, workspace: str, user: str) -> Row[Any]:
    """The user's row, which nobody else changes until the transaction ends. Raises `MissingError`."""
    query = select(tables.users).where((_USERS.workspace == workspace) & (_USERS.id == user)).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise MissingError(f"there is no user `{user}`")
    return row


def _lock_enabled(connection: Connection, workspace: str, user: str) -> None:
    """As `_lock`; `MissingError` for a user who is disabled, too."""
    if _lock(connection, workspace, user).disabled_at is not None:
        raise MissingError(f"there is no user `{user}` who may sign in")


def _identity_is(workspace: str, issuer: str, subject: str) -> Any:
    same = (_IDENTITIES.workspace == workspace) & (_IDENTITIES.issuer == issuer)
    return same & (_IDENTITIES.subject == subject)


def _identity(row: Row[Any]) -> LinkedIdentity:
    return LinkedIdentity(**row._mapping)


def _of(workspace: str, user: str) -> Any:
    return (_CREDENTIALS.workspace == workspace) & (_CREDENTIALS.user == user)


def _session(row: Row[Any]) -> Session:
    return Session(
        hash=bytes(row.hash),
        workspace=row.workspace,
        user=row.user,
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        method=row.method,
    )


def _credential_row(credential: Credential) -> dict[str, object]:
    return {
        "workspace": credential.workspace,
        "user": credential.user,
        "version": credential.version,
        "password": credential.password,
        "totp": credential.totp,
        "totp_step": credential.totp_step,
        "proposed": credential.proposed,
        "recovery": orjson.dumps([one.hex() for one in credential.recovery]).decode(),
        "failures": credential.failures,
        "locked_until": credential.locked_until,
        "changed_at": credential.changed_at,
    }


def _credential(row: Row[Any]) -> Credential:
    return Credential(
        workspace=row.workspace,
        user=row.user,
        version=row.version,
        password=row.password,
        totp=None if row.totp is None else bytes(row.totp),
        totp_step=row.totp_step,
        proposed=None if row.proposed is None else bytes(row.proposed),
        recovery=tuple(map(bytes.fromhex, orjson.loads(row.recovery))),
        failures=row.failures,
        locked_until=row.locked_until,
        changed_at=row.changed_at,
    )
