"""Signing in: by password and, where there is one, a second factor. Whoever fails learns only that they failed."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

import msgspec

from onpurpose.app.outbox import Post
from onpurpose.app.patience import Patience, network
from onpurpose.app.proofs import LockedError, Means, Proofs
from onpurpose.app.turned_away import TurnedAway
from onpurpose.core.access import User
from onpurpose.core.errors import OnPurposeError

MOST_PASSWORD = 256
"""How long a password may be, in characters."""

MOST_NAME = 254

FREE_BY_ADDRESS = 20
"""So many failures from one address cost nothing: several people may share it."""

TICKET_SECONDS = 300
"""How long the code may be given after the password."""

_LABEL = "onpurpose.sign_in.ticket.1"
_SECOND = 1_000_000


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody is signed in. In `wait` seconds it may be tried again; 0 where at once."""

    wait: int = 0


class CodeWanted(msgspec.Struct, frozen=True, kw_only=True):
    """The password is right; the code of the second factor is wanted, with this ticket."""

    ticket: str

    def __repr__(self) -> str:
        return "CodeWanted()"


class _Ticket(msgspec.Struct, frozen=True, kw_only=True):
    workspace: str
    user: str
    changed_at: int
    until: int


class SignIn:
    """Says who it is that gives a name and a password. Thread-safe and synchronous: run it in worker threads.

    `people` gives the users of a workspace. Of failures as many are recorded as `away` admits (`session.refused`).
    """

    def __init__(
        self, means: Means, proofs: Proofs, post: Post, away: TurnedAway, *, people: Callable[[str], Sequence[User]]
    ) -> None:
        self._means = means
        self._proofs = proofs
        self._post = post
        self._away = away
        self._people = people
        self._addresses = Patience(free=FREE_BY_ADDRESS)
        self._strangers = Patience()

    def by_password(self, workspace: str, name: str, password: str, address: str) -> User | CodeWanted | Refused:
        """Who it is by workspace, id or e-mail address, and password; from which network address they ask."""
        now = self._means.clock.now()
        user = self.find(workspace, name)
        stranger = f"{workspace[:MOST_NAME]}\n{name[:MOST_NAME].casefold()}"
        known = user if user is not None and self._has_password(user) else None
        wait = self._addresses.wait(network(address), now)
        if known is None:
            wait = max(wait, self._strangers.wait(stranger, now))
        if wait:
            return self._refused("too many failures", workspace, name, address, wait=wait, counts=False)
        if known is None:
            self._strangers.failed(stranger, now)
        try:
            right = self._proofs.password(known, password) if len(password) <= MOST_PASSWORD else False
        except LockedError as error:
            return self._refused("too many failures", workspace, name, address, wait=error.seconds, counts=False)
        if not right or known is None:
            return self._refused("wrong name or password", workspace, name, address)
        if self._proofs.needs_code(known):
            return CodeWanted(ticket=self._ticket(known, now))
        self._tell()
        return known

    def by_code(self, ticket: str, code: str, address: str) -> User | Refused | None:
        """Who gave the password before and gives the code now; `None` where the ticket does not count any more."""
        now = self._means.clock.now()
        user = self._read(ticket, now)
        if user is None:
            return None
        wait = self._addresses.wait(network(address), now)
        try:
            right = not wait and self._proofs.code(user, code[:64])
        except LockedError as error:
            wait = error.seconds
        if wait:
            return self._refused("too many failures", user.workspace, user.id, address, wait=wait, counts=False)
        if not right:
            return self._refused("wrong code", user.workspace, user.id, address)
        self._tell()
        return user

    def find(self, workspace: str, name: str) -> User | None:
        """Who may sign in under that id, or that e-mail address where it is one person's alone."""
        wanted = name.strip()
        if not wanted or len(wanted) > MOST_NAME:
            return None
        able = [one for one in self._people(workspace) if one.disabled_at is None and one.roles]
        found = [one for one in able if one.id == wanted]
        found = found or [one for one in able if one.email and one.email.casefold() == wanted.casefold()]
        return found[0] if len(found) == 1 else None

    def _has_password(self, user: User) -> bool:
        credential = self._means.credentials.get(user.workspace, user.id)
        return credential is not None and credential.password is not None

    def _refused(  # noqa: PLR0913, PLR0917  what is recorded
        self, why: str, workspace: str, name: str, address: str, wait: int = 0, counts: bool = True
    ) -> Refused:
        if counts:
            self._addresses.failed(network(address), self._means.clock.now())
        self._away.record("session.refused", why, workspace=workspace, by=name, address=address)
        self._tell()
        return Refused(wait=wait)

    def _tell(self) -> None:
        """Have the log told of locks and of used codes; what it cannot be told now, it is told later."""
        try:
            self._post.drain()
        except OnPurposeError:
            return

    def _ticket(self, user: User, now: int) -> str:
        credential = self._means.credentials.get(user.workspace, user.id)
        ticket = _Ticket(
            workspace=user.workspace,
            user=user.id,
            changed_at=0 if credential is None else credential.changed_at,
            until=now + TICKET_SECONDS * _SECOND,
        )
        return urlsafe_b64encode(self._means.vault.seal(msgspec.json.encode(ticket), _LABEL)).decode()

    def _read(self, text: str, now: int) -> User | None:
        try:
            sealed = urlsafe_b64decode(text[:4096].encode("ascii"))
            ticket = msgspec.json.decode(self._means.vault.open(sealed, _LABEL), type=_Ticket)
        except (OnPurposeError, ValueError):
            return None
        user = self.find(ticket.workspace, ticket.user)
        credential = None if user is None else self._means.credentials.get(user.workspace, user.id)
        stands = credential is not None and credential.changed_at == ticket.changed_at and now < ticket.until
        return user if stands else None
