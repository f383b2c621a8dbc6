"""How people come by what they prove themselves with: passwords, links to set one, a second factor, recovery codes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from onpurpose.app.notes import Pen
from onpurpose.app.outbox import Post
from onpurpose.app.proofs import Means, Proofs, recovery_hash, totp_label
from onpurpose.app.sign_in import MOST_PASSWORD
from onpurpose.core.access import User
from onpurpose.core.session import Credential

SHORTEST_PASSWORD = 12
LINK_SECONDS = 3 * 24 * 3600
"""How long a link to set a password counts."""

RECOVERY_CODES = 10
ISSUER = "onpurpose"

_LABEL = b"onpurpose.password.link.1"
_MOST_TOKEN = 2048
_FEWEST_CHARACTERS = 5
_SECOND = 1_000_000


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """A second factor that is in force once a code of it is given; shown this once."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "Proposed()"


class _Link(msgspec.Struct, frozen=True, kw_only=True):
    workspace: str = msgspec.field(name="w")
    user: str = msgspec.field(name="u")
    changed_at: int = msgspec.field(name="c")
    until: int = msgspec.field(name="x")


class OwnProofs:
    """Sets and changes what people prove themselves with. A method returns once the log tells of it.

    `secret` is the install's, from which links are signed. `people` gives the users of a workspace.
    """

    def __init__(
        self, means: Means, proofs: Proofs, post: Post, *, secret: str, people: Callable[[str], Sequence[User]]
    ) -> None:
        self._means = means
        self._proofs = proofs
        self._post = post
        self._key = hmac.digest(secret.encode("utf-8", "surrogatepass"), _LABEL, "sha256")
        self._people = people

    def __repr__(self) -> str:
        return "OwnProofs()"

    def set_password(self, user: User, password: str, *, by: str, changed_at: int | None = None) -> bool:
        """Give the user this password, and sign them out everywhere; false where it was changed since `changed_at`."""
        encoded = self._means.passwords.hashed(password)

        def put(held: Credential, pen: Pen) -> tuple[Credential, list[bytes], bool]:
            if changed_at is not None and held.changed_at != changed_at:
                return held, [], False
            note = pen.note("password.changed", user=user.id, first=held.password is None)
            changed = replace(held, password=encoded, changed_at=pen.at, failures=0, locked_until=0)
            return changed, [note], True

        done = self._proofs.change(user, by, put, signs_out=True)
        self._post.deliver()
        return done

    def link(self, user: User, *, by: str) -> str:
        """The token of a link by which the user sets a password: once, within three days."""
        pen = self._means.pen(user, by)
        until = pen.at + LINK_SECONDS * _SECOND
        link = _Link(workspace=user.workspace, user=user.id, changed_at=self._changed_at(user), until=until)
        note = pen.note("password.link_made", user=user.id, until=until)
        self._proofs.change(user, by, lambda held, _: (replace(held, version=held.version + 1), [note], None))
        self._post.deliver()
        body = _text(msgspec.json.encode(link))
        return f"{body}.{self._seal(body)}"

    def invited(self, token: str) -> User | None:
        """Whose link it is, where it counts."""
        found = self._invitation(token)
        return None if found is None else found[0]

    def follow(self, token: str, password: str) -> User | None:
        """Set the password of whoever's link it is; `None` where it does not count, or not any more."""
        found = self._invitation(token)
        if found is None:
            return None
        user, changed_at = found
        return user if self.set_password(user, password, by=user.id, changed_at=changed_at) else None

    def _invitation(self, token: str) -> tuple[User, int] | None:
        """Whose link it is, where it counts, and since when they have had the password that it replaces."""
        body, _, seal = token.partition(".")
        if len(token) > _MOST_TOKEN or not token.isascii():
            return None
        if not hmac.compare_digest(self._seal(body).encode(), seal.encode()):
            return None
        link = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=_Link)
        user = next((one for one in self._people(link.workspace) if one.id == link.user), None)
        if user is None or user.disabled_at is not None or self._means.clock.now() >= link.until:
            return None
        return (user, link.changed_at) if self._changed_at(user) == link.changed_at else None

    def has_code(self, user: User) -> bool:
        """Whether the user has a second factor."""
        return self._proofs.needs_code(user)

    def propose_code(self, user: User) -> Proposed:
        """A new second factor, shown once; the one in force stays until it is confirmed."""
        secret = self._means.codes.new_secret()
        sealed = self._means.vault.seal(secret.encode(), totp_label(user.workspace, user.id))
        self._proofs.change(user, user.id, lambda held, _: (replace(held, proposed=sealed), [], None))
        account = f"{user.id} ({user.workspace})"
        return Proposed(secret=secret, uri=self._means.codes.uri(secret, account, ISSUER))

    def confirm_code(self, user: User, code: str) -> list[str] | None:
        """Put the proposed second factor in force, with a code of it: the recovery codes, shown once; else `None`."""
        made = [_recovery_code() for _ in range(RECOVERY_CODES)]

        def confirm(held: Credential, pen: Pen) -> tuple[Credential, list[bytes], list[str] | None]:
            if held.proposed is None:
                return held, [], None
            secret = self._means.vault.open(held.proposed, totp_label(held.workspace, held.user)).decode()
            step = self._means.codes.step(secret, code.replace(" ", ""), pen.at, 0)
            if step is None:
                return held, [], None
            changed = replace(
                held, totp=held.proposed, proposed=None, totp_step=step, recovery=tuple(map(recovery_hash, made))
            )
            return changed, [pen.note("second_factor.set", user=user.id)], made

        codes = self._proofs.change(user, user.id, confirm)
        if codes is not None:
            self._post.deliver()
        return codes

    def remove_code(self, user: User, *, by: str) -> bool:
        """Do without a second factor from now on; false where there was none, nor one that waited for its code."""

        def remove(held: Credential, pen: Pen) -> tuple[Credential, list[bytes], bool]:
            if held.totp is None and held.proposed is None:
                return held, [], False
            bare = replace(held, totp=None, proposed=None, recovery=(), totp_step=0)
            return bare, [pen.note("second_factor.removed", user=user.id)], True

        removed = self._proofs.change(user, by, remove)
        self._post.deliver()
        return removed

    def _changed_at(self, user: User) -> int:
        credential = self._means.credentials.get(user.workspace, user.id)
        return 0 if credential is None else credential.changed_at

    def _seal(self, body: str) -> str:
        return _text(hmac.digest(self._key, body.encode(), hashlib.sha256))


def password_fault(password: str, user_id: str, email: str) -> str:
    """Why nobody should have this password, as a sentence; empty where it will do."""
    if len(password) < SHORTEST_PASSWORD:
        return f"A password has {SHORTEST_PASSWORD} characters at least; several words make a good one."
    if len(password) > MOST_PASSWORD:
        return f"A password has {MOST_PASSWORD} characters at most."
    if len(set(password)) < _FEWEST_CHARACTERS:
        return "This password repeats itself: it would soon be guessed."
    own = {text.casefold() for text in (user_id, email, email.partition("@")[0]) if text}
    if password.casefold() in own:
        return "This password is your own name: it would soon be guessed."
    return ""


def _recovery_code() -> str:
    text = b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
