"""What a user proves with that it is they: one credential, checked and changed so that no two do so at once.

A try is counted before it is judged: however many come at once, no more are judged than are free.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.app.notes import Pen
from onpurpose.app.patience import FORGOTTEN_SECONDS, penalty
from onpurpose.core.access import User
from onpurpose.core.revision import ConflictError
from onpurpose.core.session import Credential
from onpurpose.ports import Clock, Vault
from onpurpose.sign_in_ports import Credentials, OneTimeCodes, Passwords

_TRIES = 8
_SECOND = 1_000_000

T = TypeVar("T")


class LockedError(Exception):
    """There were too many failures in a row: in `seconds` it may be tried again."""

    def __init__(self, seconds: int) -> None:
        super().__init__("too many failures in a row")
        self.seconds = seconds


class Means(Struct, frozen=True, kw_only=True):
    """What proofs are made with."""

    credentials: Credentials
    passwords: Passwords
    codes: OneTimeCodes
    vault: Vault
    clock: Clock
    new_id: Callable[[int], str]

    def pen(self, user: User, by: str) -> Pen:
        """What writes the notes of a change of what the user proves with."""
        return Pen(self.clock, self.new_id, user.workspace, by)


class Proofs:
    """Judges passwords and codes of users who are there. Thread-safe."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._decoy = means.passwords.hashed("a password that nobody has")

    def password(self, user: User | None, password: str, *, counts: bool = True) -> bool:
        """Whether it is the user's. Of nobody, or of a user without one, as much work is done, and it is not.

        Raises `LockedError`, after as much work. A success ends the row of failures only where there is no second
        factor. With `counts` false somebody else counts the failures, and the row neither grows nor ends.
        """
        credential = None if user is None else self._means.credentials.get(user.workspace, user.id)
        if user is None or credential is None or credential.password is None:
            self._means.passwords.matches(self._decoy, password)
            return False
        try:
            tried = self._count(user) if counts else credential
        except LockedError:
            self._means.passwords.matches(self._decoy, password)
            raise
        if not self._means.passwords.matches(tried.password or self._decoy, password):
            return False
        self._accept(user, password, tried, counts=counts)
        return True

    def needs_code(self, user: User) -> bool:
        """Whether the user has a second factor."""
        credential = self._means.credentials.get(user.workspace, user.id)
        return credential is not None and credential.totp is not None

    def code(self, user: User, code: str, *, counts: bool = True) -> bool:
        """Whether the code is one of the user's second factor, or a recovery code that is left; it is used up then.

        Raises `LockedError`. `counts` as for passwords.
        """
        if counts:
            self._count(user)

        def use(held: Credential, pen: Pen) -> tuple[Credential, list[bytes], bool]:
            used = self._used(held, code, pen.at)
            if used is None:
                return held, [], False
            spent = len(used.recovery) < len(held.recovery)
            notes = [pen.note("recovery_code.used", user=user.id, left=len(used.recovery))] if spent else []
            return (replace(used, failures=0, locked_until=0) if counts else used), notes, True

        return self.change(user, user.id, use)

    def change(
        self, user: User, by: str, make: Callable[[Credential, Pen], tuple[Credential, list[bytes], T]], *,
        signs_out: bool = False,
    ) -> T:  # fmt: skip
        """Change what the user proves with, from what it is at that moment to what `make` makes of it.

        Raises `ConflictError` where others change it all the time, `MissingError` where there is no such user.
        """
        for _ in range(_TRIES):
            pen = self._means.pen(user, by)
            held = self._means.credentials.get(user.workspace, user.id)
            before = held or Credential(workspace=user.workspace, user=user.id, version=0)
            after, notes, result = make(before, pen)
            if after == before:
                return result
            try:
                kept = replace(after, version=before.version + 1)
                self._means.credentials.keep(kept, signs_out=signs_out, notes=notes)
            except ConflictError:
                continue
            return result
        raise ConflictError("others change the same at the same time")

    def _count(self, user: User) -> Credential:
        """Count one more failure, which it is until it is judged. Raises `LockedError`."""

        def count(held: Credential, pen: Pen) -> tuple[Credential, list[bytes], Credential]:
            if held.locked_until > pen.at:
                raise LockedError(-(-(held.locked_until - pen.at) // _SECOND))
            forgotten = 0 < held.locked_until < pen.at - FORGOTTEN_SECONDS * _SECOND
            failures = 1 if forgotten else held.failures + 1
            wait = penalty(failures)
            notes = [pen.note("session.locked", user=user.id, failures=failures, seconds=wait)] if wait else []
            until = pen.at + wait * _SECOND if wait else 0
            return replace(held, failures=failures, locked_until=until), notes, held

        return self.change(user, user.id, count)

    def _accept(self, user: User, password: str, tried: Credential, *, counts: bool) -> None:
        """The password was right: the try does not count. What was counted of codes stays, where there are codes."""

        def accept(held: Credential, _: Pen) -> tuple[Credential, list[bytes], None]:
            if counts:
                left = 0 if held.totp is None else max(0, held.failures - 1)
                held = replace(held, failures=left, locked_until=0)
            if held.password == tried.password and self._means.passwords.is_stale(held.password or ""):
                held = replace(held, password=self._means.passwords.hashed(password))
            return held, [], None

        self.change(user, user.id, accept)

    def _used(self, held: Credential, code: str, at: int) -> Credential | None:
        """The credential after the use of the code; `None` where it is none."""
        if held.totp is None:
            return None
        secret = self._means.vault.open(held.totp, totp_label(held.workspace, held.user)).decode()
        step = self._means.codes.step(secret, code.replace(" ", ""), at, held.totp_step)
        if step is not None:
            return replace(held, totp_step=step)
        given = recovery_hash(code)
        left = tuple(one for one in held.recovery if not hmac.compare_digest(one, given))
        return replace(held, recovery=left) if len(left) < len(held.recovery) else None


def totp_label(workspace: str, user: str) -> str:
    """Under which label the vault seals the secret of a second factor: nobody else's opens it."""
    return f"totp {workspace} {user}"


def recovery_hash(code: str) -> bytes:
    """The SHA-256 of a recovery code, however it is spaced and in whatever case it was typed."""
    plain = "".join(char for char in code.lower() if char.isalnum())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()
