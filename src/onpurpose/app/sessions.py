"""Who is signed in to the dashboard: sessions are opened, looked up at every page, and ended.

A session's token is 32 random bytes that only the browser keeps; the store has its SHA-256. The token of
its forms is derived from it: whoever cannot read the cookie cannot know it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence

from onpurpose.app.notes import Pen
from onpurpose.app.outbox import Post
from onpurpose.core.access import User
from onpurpose.core.revision import MissingError
from onpurpose.core.session import ABSOLUTE_SECONDS, Principal, Session
from onpurpose.ports import Clock
from onpurpose.sign_in_ports import Sessions

MOST_CHARACTERS = 64
"""How long a token may be; a longer text is none."""

SEEN_SECONDS = 60
"""How often it is written down at most that a session was used."""

_LABEL = b"onpurpose.form.1"
_SECOND = 1_000_000


class SignedIn:
    """The sessions of the dashboard. Thread-safe and synchronous: run it in worker threads.

    `people` gives the users of a workspace as they are now, disabled ones too.
    """

    def __init__(
        self,
        sessions: Sessions,
        post: Post,
        *,
        people: Callable[[str], Sequence[User]],
        clock: Clock,
        new_id: Callable[[int], str],
    ) -> None:
        self._sessions = sessions
        self._post = post
        self._people = people
        self._clock = clock
        self._new_id = new_id

    def open(
        self, user: User, *, method: str, address: str, before: str | None, stands: Callable[[], bool] = lambda: True
    ) -> str:
        """Sign the user in; the new session's token. The session of the token `before` ends: none is carried over.

        It returns once the log tells of it. Raises `MissingError` where the user may not sign in any more, or what
        they proved it with does not stand: whoever changes that ends the sessions that are there, and this one
        may come just after.
        """
        pen = Pen(self._clock, self._new_id, user.workspace, user.id)
        token = secrets.token_urlsafe(32)
        session = Session(
            hash=_hash(token), workspace=user.workspace, user=user.id, created_at=pen.at, seen_at=pen.at,
            expires_at=pen.at + ABSOLUTE_SECONDS * _SECOND
, method=method,
        )  # fmt: skip
        note = pen.note("session.opened", session=_name(session), method=method, address=address)
        self._sessions.open(session, instead_of=None if before is None else _hash(before), notes=[note])
        if not stands():
            self._end(user, session, by=user.id)
            raise MissingError("what was proved does not stand any more")
        self._post.deliver()
        return token

    def principal(self, token: str | None) -> Principal | None:
        """Who the token's session is of, where it counts: the user stands and has a role. Notes that it was used."""
        if not token or len(token) > MOST_CHARACTERS or not token.isascii():
            return None
        now, found = self._clock.now(), self._sessions.find(_hash(token))
        if found is None or not found.stands(now):
            return None
        user = next((one for one in self._people(found.workspace) if one.id == found.user), None)
        if user is None or user.disabled_at is not None or not user.roles:
            return None
        if now >= found.seen_at + SEEN_SECONDS * _SECOND:
            self._sessions.seen(found.hash, now)
        return Principal(person=user, session=found, csrf=form_token(token))

    def of(self, user: User) -> list[Session]:
        """Where the user is signed in, the newest first."""
        now = self._clock.now()
        return [one for one in self._sessions.of(user.workspace, user.id) if one.stands(now)]

    def end(self, principal: Principal) -> None:
        """Sign out of this session."""
        self._end(principal.person, principal.session, by=principal.user)

    def end_all(self, user: User, *, by: str) -> int:
        """Sign the user out everywhere; how many sessions ended."""
        return self._end(user, None, by=by)

    def _end(self, user: User, session: Session | None, *, by: str) -> int:
        pen = Pen(self._clock, self._new_id, user.workspace, by)
        note = pen.note("session.ended", user=user.id, session=None if session is None else _name(session))
        given = None if session is None else session.hash
        ended = self._sessions.end(user.workspace, user.id, session_hash=given, notes=[note])
        if ended:
            self._post.deliver()
        return ended


def form_token(token: str) -> str:
    """What the forms carry that are made for the holder of a cookie with this token."""
    sealed = hmac.digest(token.encode("utf-8", "surrogatepass"), _LABEL, hashlib.sha256)
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def is_form_token(given: str, token: str) -> bool:
    """Whether a form carries what it was given for the holder of this token; compared in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), form_token(token).encode())


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _name(session: Session) -> str:
    """What the log calls a session: enough to tell it from others, and no way back to its token."""
    return session.hash.hex()[:12]
