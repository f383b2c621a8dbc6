"""The whole service in this process: its store, its threads, its routes, and people of every role who are signed in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import update

from onpurpose.adapters.clock import Ids, SystemClock
from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.engine import Store, open_store
from onpurpose.adapters.sql.sign_ins import SqlSessions
from onpurpose.app.sessions import SignedIn
from onpurpose.core.access import Role, User
from onpurpose.place import Options
from onpurpose.server.build import build
from onpurpose.service import Service
from tests.browser.serving import served

SECRET = "a secret of at least thirty-two characters"


@dataclass(frozen=True)
class Whole:
    """The service, where it is, and its store as another process would have it."""

    service: Service
    url: str
    store: Store
    signed_in: SignedIn

    def person(self, role: Role, *groups: str) -> User:
        """A new user, called as the role is."""
        return self.service.control.keyring.create_user(
            "default", str(role), str(role).title(), f"{role}@corp.example", groups, by="tests", roles=(role,)
        )

    def token(self, user: User) -> str:
        """The cookie of a new session."""
        return self.signed_in.open(user, method="password", address="127.0.0.1", before=None)

    def expire_sessions(self) -> None:
        """Have the time of every session be over."""
        with self.store.writing() as connection:
            connection.execute(update(tables.sessions).values(expires_at=1))


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[Whole]:
    """A new service that runs, with nobody in it."""
    database = str(folder / "onpurpose.db")
    options = Options(database=database, environment={"ONPURPOSE_SECRET": SECRET})
    with contextlib.ExitStack() as stack:
        service = Service(options)
        stack.callback(service.close)
        store = open_store(database)
        stack.callback(store.close)
        signed_in = SignedIn(
            SqlSessions(store), service.control.post, people=SqlAccess(store).users, clock=SystemClock(),
            new_id=Ids().new,
        )  # fmt: skip
        url = stack.enter_context(served(build(service.services)))
        stack.callback(service.services.stop)
        yield Whole(service, url, store, signed_in)
