"""Signing in: by password and, where there is one, a second factor. Whoever fails learns only that they failed."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import TypeVar

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

KNOWN_SECONDS = 180 * 24 * 3600
"""How long a browser in which somebody signed in has a row of failures of its own."""

_LABEL = "onpurpose.sign_in.ticket.1"
_KNOWN_LABEL = "onpurpose.sign_in.browser.1"
_MOST_SEALED = 4096
_SECOND = 1_000_000


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody is signed in. In `wait` seconds it may be tried again; 0 where at once."""

    wait: int = 0


class CodeWanted(msgspec.Struct, frozen=True, kw_only=True):
    """The password is right; the code of the second factor is wanted, with this ticket."""

    ticket: str

    def __repr__(self) -> str:
        return "CodeWanted()"


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody proved that they are the user, by the password that they have had since `changed_at`."""

    user: User
    changed_at: int


class _Ticket(msgspec.Struct, frozen=True, kw_only=True):
    workspace: str
    user: str
    changed_at: int
    until: int


_Sealed = TypeVar("_Sealed", bound=msgspec.Struct)


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    workspace: str
    user: str
    browser: str
    until: int


_Row = tuple[Patience, str]
"""A row of failures: where it is counted, and under which name."""


class SignIn:
    """Says who it is that gives a name and a password. Thread-safe and synchronous: run it in worker threads.

    `people` gives the users of a workspace. Of failures as many are recorded as `away` admits (`session.refused`).

    Failures are counted by network address, by the name that was given and, in the store, by user. A browser in
    which the user signed in before proves it by what `known_by` gave it, and has a row of its own instead: nobody
    else's failures keep its user out.
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
        self._names = Patience()
        self._browsers = Patience()

    def by_password(
        self, workspace: str, name: str, password: str, address: str, known: str = ""
    ) -> Proved | CodeWanted | Refused:
        """Who it is by workspace, id or e-mail address, and password; from which network address they ask.

        `known` is what their browser holds of `known_by`. Of users and of names that nobody has the same is told,
        after the same work: that it was wrong, or for how long nobody may try that name or from that address.
        """
        now = self._means.clock.now()
        found = self.find(workspace, name)
        changed_at = None if found is None else self._changed_at(found)
        user = None if changed_at is None else found
        browser = self._browser(known, user, now)
        given = f"{workspace[:MOST_NAME]}\n{name.strip()[:MOST_NAME].casefold()}"
        rows = browser or ((self._addresses, network(address)), (self._names, given))
        who = "" if found is None else found.id  # of a name that nobody has: it may be a password
        wait = _attempt(rows, now)
        if wait:
            return self._refused("too many failures", workspace, who, address, wait=wait)
        try:
            right = len(password) <= MOST_PASSWORD and self._proofs.password(user, password, counts=not browser)
        except LockedError:  # of a name that somebody has: whoever is told so learns that
            return self._refused("too many failures", workspace, who, address)
        if not right or user is None or changed_at is None:
            return self._refused("wrong name or password", workspace, who, address)
        coded = self._proofs.needs_code(user)
        self._took(rows, now, ended=not coded)
        if coded:
            return CodeWanted(ticket=self._ticket(user, changed_at, now))
        self._tell()
        return Proved(user=user, changed_at=changed_at)

    def by_code(self, ticket: str, code: str, address: str, known: str = "") -> Proved | Refused | None:
        """Who gave the password before and gives the code now; `None` where the ticket does not count any more."""
        now = self._means.clock.now()
        proved = self._read(ticket, now)
        if proved is None:
            return None
        user = proved.user
        browser = self._browser(known, user, now)
        rows = browser or ((self._addresses, network(address)),)
        wait = _attempt(rows, now)
        try:
            right = not wait and self._proofs.code(user, code[:64], counts=not browser)
        except LockedError as error:
            wait = error.seconds
        if wait:
            return self._refused("too many failures", user.workspace, user.id, address, wait=wait)
        if not right:
            return self._refused("wrong code", user.workspace, user.id, address)
        self._took(rows, now, ended=True)
        self._tell()
        return proved

    def stands(self, proved: Proved) -> bool:
        """Whether the user still has the password by which that was proved."""
        return self._changed_at(proved.user) == proved.changed_at

    def known_by(self, user: User) -> str:
        """What a browser keeps (sealed) in which the user has signed in."""
        now = self._means.clock.now()
        known = _Known(
            workspace=user.workspace, user=user.id, browser=self._means.new_id(now),
            until=now + KNOWN_SECONDS * _SECOND,
        )  # fmt: skip
        return self._seal(known, _KNOWN_LABEL)

    def find(self, workspace: str, name: str) -> User | None:
        """Who may sign in under that id, or that e-mail address where it is one person's alone."""
        wanted = name.strip()
        if not wanted or max(len(wanted), len(workspace)) > MOST_NAME or not workspace.isprintable():
            return None
        able = [one for one in self._people(workspace) if one.disabled_at is None and one.roles]
        found = [one for one in able if one.id == wanted]
        found = found or [one for one in able if one.email and is_same_address(one.email, wanted)]
        return found[0] if len(found) == 1 else None

    def _changed_at(self, user: User) -> int | None:
        """Since when the user has had their password; `None` where they have none."""
        credential = self._means.credentials.get(user.workspace, user.id)
        return None if credential is None or credential.password is None else credential.changed_at

    def _browser(self, known: str, user: User | None, now: int) -> tuple[_Row, ...]:
        """The row of a browser in which this user signed in before; empty for any other."""
        if user is None or not known:
            return ()
        held = self._open(known, _KNOWN_LABEL, _Known)
        if held is None or (held.workspace, held.user) != (user.workspace, user.id) or now >= held.until:
            return ()
        return ((self._browsers, held.browser),)

    def _took(self, rows: Sequence[_Row], now: int, *, ended: bool) -> None:
        """It was right. Of an address, and of a browser that must still give the code, this one try does not count."""
        for patience, name in rows:
            if patience is self._names or (ended and patience is self._browsers):
                patience.succeeded(name)
            else:
                patience.take_back(name, now)

    def _refused(self, why: str, workspace: str, who: str, address: str, *, wait: int = 0) -> Refused:
        self._away.record("session.refused", why, workspace=workspace, by=who, address=address)
        self._tell()
        return Refused(wait=wait)

    def _tell(self) -> None:
        """Have the log told of locks and of used codes; what it cannot be told now, it is told later."""
        try:
            self._post.drain()
        except OnPurposeError:
            return

    def _ticket(self, user: User, changed_at: int, now: int) -> str:
        until = now + TICKET_SECONDS * _SECOND
        return self._seal(_Ticket(workspace=user.workspace, user=user.id, changed_at=changed_at, until=until), _LABEL)

    def _read(self, text: str, now: int) -> Proved | None:
        ticket = self._open(text, _LABEL, _Ticket)
        user = None if ticket is None or now >= ticket.until else self.find(ticket.workspace, ticket.user)
        if ticket is None or user is None:
            return None
        proved = Proved(user=user, changed_at=ticket.changed_at)
        return proved if self.stands(proved) else None

    def _seal(self, value: msgspec.Struct, label: str) -> str:
        return urlsafe_b64encode(self._means.vault.seal(msgspec.json.encode(value), label)).decode()

    def _open(self, text: str, label: str, kind: type[_Sealed]) -> _Sealed | None:
        try:
            sealed = urlsafe_b64decode(text[:_MOST_SEALED].encode("ascii"))
            return msgspec.json.decode(self._means.vault.open(sealed, label), type=kind)
        except (OnPurposeError, ValueError):
            return None


def is_same_address(one: str, other: str) -> bool:
    """Whether both are one e-mail address. Letter case is set aside in ASCII alone: `straße` folds to `strasse`."""
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())


def _attempt(rows: Sequence[_Row], now: int) -> int:
    """0 where it may be tried now, which counts in every row; else the seconds until then, and it counts in none."""
    for at, (patience, name) in enumerate(rows):
        wait = patience.attempt(name, now)
        if wait:
            for before, row in rows[:at]:
                before.take_back(row, now)
            return wait
    return 0
