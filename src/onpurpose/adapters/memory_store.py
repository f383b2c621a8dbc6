"""The control plane's documents, keys and users in dictionaries: for tests and trials, gone with the process."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from onpurpose.core.access import ApiKey, User, Workspace
from onpurpose.core.revision import (
    Change,
    ConflictError,
    Contents,
    Kind,
    MissingError,
    Revision,
    Standing,
    advance,
)


class MemoryDocuments:
    """`Documents` and `Outbox` in dictionaries. Thread-safe. Its workspaces are those of a `MemoryAccess`."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._versions: dict[str, int] = {}
        self._standings: dict[tuple[str, Kind, str], Standing] = {}
        self._revisions: dict[tuple[str, Kind, str], list[Revision]] = {}
        self._outbox: dict[int, bytes] = {}
        self._notes = 0
        self._changes = 0
        self._seen = -1

    def contents(self, workspace: str) -> Contents:
        """All of a workspace at one version of it. `MissingError` where there is no such workspace."""
        with self._changed:
            self._check(workspace)
            standings = [found for key, found in sorted(self._standings.items()) if key[0] == workspace]
            texts = {
                (one.kind, one.name, number): self._revisions[workspace, one.kind, one.name][number - 1]
                for one in standings
                for number in (one.live, one.shadow)
                if number is not None
            }
            version = self._versions[workspace]
        return Contents(workspace=workspace, version=version, standings=tuple(standings), texts=texts)

    def change(  # noqa: PLR0913  what a change is made of
        self, workspace: str, changes: Sequence[Change], *, author: str, at: int, reason: str, notes: Sequence[bytes]
    ) -> int:
        """Make all the changes or none; the workspace's new version."""
        with self._changed:
            self._check(workspace)
            standings: dict[tuple[str, Kind, str], Standing] = {}
            written: list[Revision] = []
            for change in changes:
                key = (workspace, change.kind, change.name)
                standings[key] = standing = advance(standings.get(key, self._standings.get(key)), change)
                if change.text is not None:
                    revision = Revision(
                        workspace=workspace,
                        kind=change.kind,
                        name=change.name,
                        number=standing.newest,
                        text=change.text,
                        digest=hashlib.sha256(change.text.encode()).hexdigest(),
                        author=author,
                        at=at,
                        reason=reason,
                    )
                    written.append(revision)
            self._standings.update(standings)
            for revision in written:
                self._revisions.setdefault((workspace, revision.kind, revision.name), []).append(revision)
            return self.count_up(workspace, notes)

    def revisions(self, workspace: str, kind: Kind, name: str, before: int | None, limit: int) -> list[Revision]:
        """The revisions of one document, newest first, those below a number. Empty where there is none."""
        with self._changed:
            found = self._revisions.get((workspace, kind, name), [])
            return [one for one in reversed(found) if before is None or one.number < before][:limit]

    def versions(self) -> Mapping[str, int]:
        """The version of every workspace."""
        with self._changed:
            return dict(self._versions)

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or earlier where something changed since the last wait ended."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._seen == self._changes and (remaining := deadline - time.monotonic()) > 0:
                self._changed.wait(remaining)
            self._seen = self._changes

    def unsent(self, limit: int) -> list[tuple[int, bytes]]:
        """Numbers and bodies, oldest first."""
        with self._changed:
            return list(self._outbox.items())[:limit]

    def owe(self, notes: Sequence[bytes]) -> None:
        """Keep the notes until they have reached the log."""
        with self._changed:
            for body in notes:
                self._notes += 1
                self._outbox[self._notes] = body

    def sent(self, numbers: Sequence[int]) -> None:
        """They are durable in the log: forget them."""
        with self._changed:
            for number in numbers:
                self._outbox.pop(number, None)

    def count_up(self, workspace: str, notes: Sequence[bytes]) -> int:
        """Count the workspace's version up (from 0, for a new one), keep the notes, and wake who waits."""
        with self._changed:
            version = self._versions[workspace] = self._versions.get(workspace, 0) + 1
            self.owe(notes)
            self._changes += 1
            self._changed.notify_all()
            return version

    def _check(self, workspace: str) -> None:
        if workspace not in self._versions:
            raise MissingError(f"there is no workspace `{workspace}`")


class MemoryAccess:
    """`Access` in dictionaries, beside the documents whose workspaces it keeps. Thread-safe.

    `lost` are called, under the `lock`, with a user who was disabled or lost a role.
    """

    def __init__(self, documents: MemoryDocuments) -> None:
        self._documents = documents
        self.lock = threading.RLock()
        self.lost: list[Callable[[User], None]] = []
        self._workspaces: dict[str, Workspace] = {}
        self._keys: dict[str, ApiKey] = {}
        self._users: dict[tuple[str, str], User] = {}

    def workspaces(self) -> list[Workspace]:
        """All of them, by id."""
        with self.lock:
            return [found for _, found in sorted(self._workspaces.items())]

    def keys(self) -> list[ApiKey]:
        """Every key of every workspace, by workspace and id, expired and revoked ones too."""
        with self.lock:
            return sorted(self._keys.values(), key=lambda key: (key.workspace, key.id))

    def users(self, workspace: str) -> list[User]:
        """The workspace's users, by id."""
        with self.lock:
            return [found for key, found in sorted(self._users.items()) if key[0] == workspace]

    def put(self, item: Workspace | ApiKey | User, *, notes: Sequence[bytes]) -> None:
        """Add it, or replace the one of the same id (and workspace). A key that was revoked stays so."""
        with self.lock:
            if isinstance(item, Workspace):
                self._workspaces[item.id] = item
                self._documents.count_up(item.id, notes)
                return
            if item.workspace not in self._workspaces:
                raise MissingError(f"there is no workspace `{item.workspace}`")
            if isinstance(item, ApiKey):
                self._put_key(item)
            else:
                self._put_user(item)
            self._documents.count_up(item.workspace, notes)

    def used(self, times: Mapping[str, int]) -> None:
        """When keys (by id) were last used; an earlier time than the one that is known changes nothing."""
        with self.lock:
            for name, at in times.items():
                key = self._keys.get(name)
                if key is not None and (key.last_used_at is None or key.last_used_at < at):
                    self._keys[name] = msgspec.structs.replace(key, last_used_at=at)

    def user(self, workspace: str, user_id: str) -> User | None:
        """One user of the workspace."""
        with self.lock:
            return self._users.get((workspace, user_id))

    def tell(self, notes: Sequence[bytes]) -> None:
        """Keep the notes of a change of what belongs to users."""
        self._documents.owe(notes)

    def _put_user(self, item: User) -> None:
        held = self._users.get((item.workspace, item.id))
        self._users[item.workspace, item.id] = item
        if held is not None and item.has_lost(held):
            for sign_out in self.lost:
                sign_out(item)

    def _put_key(self, item: ApiKey) -> None:
        held = self._keys.get(item.id)
        if len(item.hash) != 32 or (held is not None and held.workspace != item.workspace):
            raise ConflictError("the key's id is taken, or its hash is none")
        if any(other.hash == item.hash and other.id != item.id for other in self._keys.values()):
            raise ConflictError("there is a key with this hash already")
        if held is not None:
            # Whoever replaces a key may have read it before it was revoked, or used.
            revoked = item.revoked_at if held.revoked_at is None else held.revoked_at
            used = item.last_used_at if held.last_used_at is None else held.last_used_at
            item = msgspec.structs.replace(item, revoked_at=revoked, last_used_at=used)
        self._keys[item.id] = item
