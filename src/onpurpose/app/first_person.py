"""The first person of a new service: made once, by whoever has the admin key that its first start printed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from onpurpose.app.keys import OPERATOR, Keyring
from onpurpose.app.own_proofs import OwnProofs
from onpurpose.core.access import ApiKey, Role, Scope, User


class FirstPerson:
    """Makes the first admin of the operator's workspace. Thread-safe.

    `find_key` gives the key of a text, where it counts. `alone` is a block in which no other process is.
    """

    def __init__(
        self,
        keyring: Keyring,
        proofs: OwnProofs,
        *,
        find_key: Callable[[str], ApiKey | None],
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._keyring = keyring
        self._proofs = proofs
        self._find_key = find_key
        self._alone = alone

    def is_wanted(self) -> bool:
        """Whether nobody could administer the service on the dashboard yet."""
        users = self._keyring.users(OPERATOR)
        return not any(user.disabled_at is None and Role.ADMIN in user.roles for user in users)

    def is_new(self) -> bool:
        """Whether nobody at all could sign in to the operator's workspace yet."""
        return not any(user.roles for user in self._keyring.users(OPERATOR))

    def admits(self, key_text: str) -> bool:
        """Whether the text is an admin key of the operator's workspace."""
        key = self._find_key(key_text.strip())
        return key is not None and key.workspace == OPERATOR and Scope.ADMIN in key.scopes

    def make(self, user_id: str, name: str, email: str, password: str) -> User | None:
        """The first admin, made; `None` where somebody else was first. A user of that id becomes it.

        Of several at once one is made. Where a process dies amid it, it can be done again.
        """
        with self._alone():
            if not self.is_wanted():
                return None
            held = next((user for user in self._keyring.users(OPERATOR) if user.id == user_id), None)
            user = held or self._keyring.create_user(OPERATOR, user_id, name, email, (), by="set-up")
            self._proofs.set_password(user, password, by="set-up")
            # Last: from now on nobody else is made.
            return self._keyring.update_user(
                OPERATOR, user.id, name, email, user.groups, by="set-up", slack=user.slack,
                roles=user.roles | {Role.ADMIN},
            )  # fmt: skip
