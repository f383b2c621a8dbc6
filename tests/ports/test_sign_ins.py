"""What it means to keep who is signed in, and what users prove themselves with: every adapter runs this suite."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest

from onpurpose.adapters.memory_sign_ins import MemoryCredentials, MemoryIdentities, MemorySessions
from onpurpose.adapters.memory_store import MemoryAccess, MemoryDocuments
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.sql.sign_ins import SqlCredentials, SqlIdentities, SqlSessions
from onpurpose.core.access import Role, User, Workspace
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.session import Credential, LinkedIdentity, Session
from onpurpose.ports import Access, Outbox
from onpurpose.sign_in_ports import Credentials, Identities, Sessions


@dataclass
class Kept:
    """A store with the users `ann` and `bob` in the workspace `acme`, and another `ann` in `other`."""

    access: Access
    outbox: Outbox
    sessions: Sessions
    credentials: Credentials
    identities: Identities

    def __post_init__(self) -> None:
        for workspace, names in (("acme", ("ann", "bob")), ("other", ("ann",))):
            self.access.put(Workspace(id=workspace, name="", created_at=1), notes=[])
            for name in names:
                self.access.put(person(name, workspace), notes=[])

    def notes(self) -> list[bytes]:
        return [body for _, body in self.outbox.unsent(100)]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    if request.param == "memory":
        documents = MemoryDocuments()
        access = MemoryAccess(documents)
        sessions = MemorySessions(access)
        credentials, identities = MemoryCredentials(access, sessions), MemoryIdentities(access, sessions)
        yield Kept(access, documents, sessions, credentials, identities)
        return
    fixture = "sqlite_store_path" if request.param == "sqlite" else "postgres_store_url"
    database = request.getfixturevalue(fixture)
    with contextlib.closing(open_store(database)) as store, contextlib.closing(SqlDocuments(store)) as outbox:
        yield Kept(SqlAccess(store), outbox, SqlSessions(store), SqlCredentials(store), SqlIdentities(store))


def person(name: str = "ann", workspace: str = "acme", **rest: object) -> User:
    made = User(
        id=name, workspace=workspace, name=name, email="", created_at=1, roles=frozenset({Role.VIEWER, Role.ADMIN})
    )
    return msgspec.structs.replace(made, **rest)


def session(number: int = 1, user: str = "ann", workspace: str = "acme", **rest: object) -> Session:
    made = Session(
        hash=hashlib.sha256(str(number).encode()).digest(), workspace=workspace, user=user, created_at=10 + number,
        seen_at=10 + number, expires_at=1000,
    )  # fmt: skip
    return msgspec.structs.replace(made, **rest)


def opened(kept: Kept, *sessions: Session) -> None:
    for one in sessions:
        kept.sessions.open(one, instead_of=None, notes=[])


def credential(version: int = 1, user: str = "ann", **rest: object) -> Credential:
    return msgspec.structs.replace(Credential(workspace="acme", user=user, version=version), **rest)


def test_a_session_comes_back_as_it_was_opened(kept: Kept) -> None:
    given = session(method="oidc", expires_at=2**62)
    kept.sessions.open(given, instead_of=None, notes=[b"opened"])
    assert kept.sessions.find(given.hash) == given
    assert kept.sessions.find(b"x" * 32) is None
    assert kept.notes() == [b"opened"]


def test_a_session_takes_the_place_of_the_one_before(kept: Kept) -> None:
    opened(kept, session(1), session(2))
    kept.sessions.open(session(3, "bob"), instead_of=session(1).hash, notes=[])
    assert kept.sessions.find(session(1).hash) is None
    assert kept.sessions.of("acme", "ann") == [session(2)]
    assert kept.sessions.of("acme", "bob") == [session(3, "bob")]


def test_what_has_expired_goes_when_its_user_signs_in(kept: Kept) -> None:
    old, others = session(1, expires_at=50), session(2, "bob", expires_at=50)
    opened(kept, old, others, session(3, created_at=50, expires_at=90))
    assert kept.sessions.of("acme", "ann") == [session(3, created_at=50, expires_at=90)]
    assert kept.sessions.find(others.hash) == others


def test_nobody_is_signed_in_who_is_not_there_or_disabled(kept: Kept) -> None:
    kept.access.put(person("bob", disabled_at=5), notes=[])
    before = kept.notes()
    for stranger in (session(1, "eve"), session(1, "bob"), session(1, "ann", "nowhere"), session(1, "bob", "other")):
        with pytest.raises(MissingError):
            kept.sessions.open(stranger, instead_of=None, notes=[b"opened"])
        assert kept.sessions.find(stranger.hash) is None
    assert kept.notes() == before


def test_when_a_session_was_seen_only_grows_and_wakes_no_ended_one(kept: Kept) -> None:
    opened(kept, session())
    kept.sessions.seen(session().hash, 40)
    kept.sessions.seen(session().hash, 30)
    assert kept.sessions.find(session().hash) == session(seen_at=40)
    kept.sessions.end("acme", "ann", session_hash=session().hash, notes=[])
    kept.sessions.seen(session().hash, 50)
    assert kept.sessions.find(session().hash) is None


def test_one_session_ends_and_then_all(kept: Kept) -> None:
    opened(kept, session(1), session(2), session(3), session(4, "bob"), session(5, "ann", "other"))
    assert kept.sessions.of("acme", "ann") == [session(3), session(2), session(1)]
    assert kept.sessions.end("acme", "ann", session_hash=session(2).hash, notes=[b"one"]) == 1
    assert kept.sessions.end("acme", "ann", session_hash=session(2).hash, notes=[b"again"]) == 0
    assert kept.sessions.end("acme", "ann", session_hash=session(4).hash, notes=[b"not theirs"]) == 0
    assert kept.sessions.end("acme", "ann", session_hash=None, notes=[b"all"]) == 2
    assert kept.sessions.end("acme", "ann", session_hash=None, notes=[b"none"]) == 0
    assert kept.sessions.of("acme", "ann") == []
    assert kept.sessions.of("acme", "bob") == [session(4, "bob")]
    assert kept.sessions.of("other", "ann") == [session(5, "ann", "other")]
    assert kept.notes() == [b"one", b"all"]


@pytest.mark.parametrize("change", [{"disabled_at": 9}, {"roles": frozenset({Role.ADMIN})}, {"roles": frozenset()}])
def test_who_is_disabled_or_loses_a_role_is_signed_out_everywhere(kept: Kept, change: dict[str, object]) -> None:
    opened(kept, session(1), session(2), session(3, "bob"), session(4, "ann", "other"))
    kept.access.put(person(**change), notes=[])
    assert kept.sessions.of("acme", "ann") == []
    assert kept.sessions.of("acme", "bob") == [session(3, "bob")]
    assert kept.sessions.of("other", "ann") == [session(4, "ann", "other")]
    kept.access.put(person(), notes=[])
    assert kept.sessions.find(session(1).hash) is None


def test_who_gains_a_role_or_a_name_stays_signed_in(kept: Kept) -> None:
    opened(kept, session())
    kept.access.put(person(name="Anne", roles=frozenset(Role), groups=("a",)), notes=[])
    assert kept.sessions.of("acme", "ann") == [session()]


@pytest.mark.parametrize(
    "given",
    [
        credential(),
        credential(password="$argon2id$é", totp=b"\x00\xff", totp_step=2**40, proposed=b"p", changed_at=2**62),
        credential(recovery=(b"a" * 32, b"\x00" * 32), failures=7, locked_until=2**62),
    ],
)
def test_a_credential_comes_back_as_it_was_kept(kept: Kept, given: Credential) -> None:
    assert kept.credentials.get("acme", "ann") is None
    kept.credentials.keep(given, notes=[b"set"])
    assert kept.credentials.get("acme", "ann") == given
    assert kept.credentials.get("acme", "bob") is None
    assert kept.credentials.get("other", "ann") is None
    assert kept.notes() == [b"set"]
    kept.credentials.keep(credential(2, failures=1), notes=[])
    assert kept.credentials.get("acme", "ann") == credential(2, failures=1)


@pytest.mark.parametrize("version", [0, 1, 3])
def test_only_the_next_version_of_a_credential_is_kept(kept: Kept, version: int) -> None:
    kept.credentials.keep(credential(), notes=[])
    opened(kept, session())
    with pytest.raises(ConflictError):
        kept.credentials.keep(credential(version, password="stolen"), signs_out=True, notes=[b"note"])
    assert kept.credentials.get("acme", "ann") == credential()
    assert kept.sessions.of("acme", "ann") == [session()]
    assert kept.notes() == []
    with pytest.raises(ConflictError):
        kept.credentials.keep(credential(2, "bob"), notes=[])


def test_a_credential_of_nobody_is_missing(kept: Kept) -> None:
    with pytest.raises(MissingError):
        kept.credentials.keep(credential(user="eve"), notes=[])


def test_a_change_may_sign_out_with_it(kept: Kept) -> None:
    opened(kept, session(1), session(2), session(3, "bob"))
    kept.credentials.keep(credential(), notes=[])
    assert len(kept.sessions.of("acme", "ann")) == 2
    kept.credentials.keep(credential(2), signs_out=True, notes=[])
    assert kept.sessions.of("acme", "ann") == []
    assert len(kept.sessions.of("acme", "bob")) == 1


def test_of_several_who_keep_the_same_version_one_wins(kept: Kept) -> None:
    won: list[int] = []
    start = threading.Barrier(4)

    def keep(number: int) -> None:
        start.wait(10)
        with contextlib.suppress(ConflictError):
            kept.credentials.keep(credential(failures=number), notes=[])
            won.append(number)

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(won) == 1
    assert kept.credentials.get("acme", "ann") == credential(failures=won[0])


# -- who users are elsewhere


def identity(subject: str = "s1", user: str = "ann", **rest: object) -> LinkedIdentity:
    made = LinkedIdentity(
        workspace="acme", issuer="https://idp.example", subject=subject, user=user, email="ann@corp.example",
        linked_at=7,
    )  # fmt: skip
    return msgspec.structs.replace(made, **rest)


def found(kept: Kept, given: LinkedIdentity) -> LinkedIdentity | None:
    return kept.identities.find(given.workspace, given.issuer, given.subject)


def test_an_identity_comes_back_as_it_was_linked_and_is_found_by_all_of_it(kept: Kept) -> None:
    given = identity("S'1", email="Ann@corp.example", linked_at=2**62)
    kept.identities.link(given, notes=[b"linked"])
    assert found(kept, given) == given
    for other in (identity("s'1"), identity("S'1", issuer="https://idp.example/"), identity("S'1", workspace="other")):
        assert found(kept, other) is None
    assert kept.notes() == [b"linked"]


def test_a_user_has_one_identity_of_each_issuer_and_each_is_one_users(kept: Kept) -> None:
    kept.identities.link(identity(), notes=[])
    for taken in (identity("s2"), identity(user="bob"), identity()):
        with pytest.raises(ConflictError):
            kept.identities.link(taken, notes=[b"note"])
    elsewhere, far = identity(issuer="https://a.example"), identity(workspace="other")
    for free in (elsewhere, far, identity("s2", "bob")):
        kept.identities.link(free, notes=[])
    assert kept.identities.of("acme", "ann") == [elsewhere, identity()]
    assert kept.identities.of("acme", "bob") == [identity("s2", "bob")]
    assert kept.identities.of("other", "ann") == [far]
    assert kept.notes() == []


def test_who_is_not_there_or_disabled_is_linked_to_nothing(kept: Kept) -> None:
    kept.access.put(person("bob", disabled_at=5), notes=[])
    before = kept.notes()
    for stranger in (identity(user="eve"), identity(user="bob"), identity(workspace="nowhere")):
        with pytest.raises(MissingError):
            kept.identities.link(stranger, notes=[b"linked"])
        assert found(kept, stranger) is None
    assert kept.notes() == before


def test_unlinking_signs_the_user_out_everywhere_and_lets_another_be_linked(kept: Kept) -> None:
    opened(kept, session(1), session(2), session(3, "bob"), session(4, "ann", "other"))
    kept.identities.link(identity(), notes=[])
    for other in (identity("s2"), identity(user="bob"), identity(workspace="other")):
        assert kept.identities.unlink(other, notes=[b"note"]) is False
    assert len(kept.sessions.of("acme", "ann")) == 2
    assert kept.identities.unlink(identity(), notes=[b"unlinked"]) is True
    assert kept.identities.unlink(identity(), notes=[b"again"]) is False
    assert (found(kept, identity()), kept.sessions.of("acme", "ann")) == (None, [])
    assert (len(kept.sessions.of("acme", "bob")), len(kept.sessions.of("other", "ann"))) == (1, 1)
    kept.identities.link(identity("s2"), notes=[])
    assert kept.notes() == [b"unlinked"]


@pytest.mark.parametrize("contested", ["user", "identity"])
def test_of_several_who_link_at_once_one_wins(kept: Kept, contested: str) -> None:
    won: list[LinkedIdentity] = []
    start = threading.Barrier(4)

    def link(number: int) -> None:
        user = "ann" if contested == "user" or number % 2 else "bob"
        mine = identity("s1" if contested == "identity" else f"s{number}", user, linked_at=number)
        start.wait(10)
        with contextlib.suppress(ConflictError):
            kept.identities.link(mine, notes=[])
            won.append(mine)

    threads = [threading.Thread(target=link, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert kept.identities.of("acme", "ann") + kept.identities.of("acme", "bob") == won
    assert len(won) == 1
