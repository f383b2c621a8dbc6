"""What it means to keep workspaces, keys and users: every adapter runs this suite."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from onpurpose.core.access import ApiKey, Scope, User, Workspace
from onpurpose.core.revision import ConflictError, MissingError
from tests.ports.stores import Parts, parts

__all__ = ["parts"]


def key(number: str = "k1", workspace: str = "acme", **rest: object) -> ApiKey:
    made = ApiKey(
        id=number,
        workspace=workspace,
        name="the gate's",
        prefix=f"op_{number}",
        hash=hashlib.sha256(f"{workspace} {number}".encode()).digest(),
        scopes=frozenset({Scope.EVALUATE, Scope.POLICY_WRITE}),
        created_by="ann",
        created_at=1_700_000_000_000_000,
    )
    return msgspec.structs.replace(made, **rest)


def user(number: str = "u1", workspace: str = "acme", **rest: object) -> User:
    made = User(id=number, workspace=workspace, name="Ann É", email="ann@example.com", groups=("b", "a"), created_at=3)
    return msgspec.structs.replace(made, **rest)


def put(parts: Parts, *items: Workspace | ApiKey | User) -> None:
    for item in items:
        parts.access.put(item, notes=[])


def test_workspaces_are_listed_by_id(parts: Parts) -> None:
    put(parts, Workspace(id="beta", name="B", created_at=2))
    assert parts.access.workspaces() == [
        Workspace(id="acme", name="Acme", created_at=1),
        Workspace(id="beta", name="B", created_at=2),
        Workspace(id="other", name="Other", created_at=1),
    ]


def test_a_workspace_that_is_put_again_keeps_what_is_in_it(parts: Parts) -> None:
    put(parts, key(), Workspace(id="acme", name="Acme Ltd", created_at=5))
    assert parts.access.workspaces()[0] == Workspace(id="acme", name="Acme Ltd", created_at=5)
    assert parts.access.keys() == [key()]


@pytest.mark.parametrize(
    "given",
    [
        key(),
        key(scopes=frozenset()),
        key(scopes=frozenset(Scope), expires_at=9, last_used_at=8, revoked_at=7, per_minute=60),
        key(created_at=2**62, user="ann"),
    ],
)
def test_a_key_comes_back_as_it_was_put(parts: Parts, given: ApiKey) -> None:
    put(parts, given)
    assert parts.access.keys() == [given]


@pytest.mark.parametrize("given", [user(), user(groups=(), disabled_at=9), user(groups=('a,"b', "")), user(slack="U1")])
def test_a_user_comes_back_as_put(parts: Parts, given: User) -> None:
    put(parts, given)
    assert parts.access.users("acme") == [given]


def test_what_has_the_same_id_is_replaced(parts: Parts) -> None:
    put(parts, key(), user(), key("k2"), user("u2"))
    changed = key(scopes=frozenset({Scope.READ}), expires_at=5, hash=b"x" * 32, user="ann")
    put(parts, changed, user(name="Anne", disabled_at=4, slack="U2"))
    assert parts.access.keys() == [changed, key("k2")]
    assert parts.access.users("acme") == [user(name="Anne", disabled_at=4, slack="U2"), user("u2")]
    put(parts, key(), user())
    assert (parts.access.keys()[0].user, parts.access.users("acme")[0].slack) == (None, None)


def test_keys_of_all_workspaces_are_listed_and_users_of_one(parts: Parts) -> None:
    put(parts, key("k2", "other"), key(), user(), user("u1", "other", name="Otto"))
    assert parts.access.keys() == [key(), key("k2", "other")]
    assert parts.access.users("other") == [user("u1", "other", name="Otto")]
    assert parts.access.users("nowhere") == []


def test_a_key_of_another_workspace_cannot_be_taken_over(parts: Parts) -> None:
    put(parts, key())
    for stolen in (key("k1", "other"), key("k2", "other", hash=key().hash), key("k3", hash=key().hash)):
        before = parts.documents.versions()
        with pytest.raises(ConflictError):
            parts.access.put(stolen, notes=[b"note"])
        assert parts.access.keys() == [key()]
        assert parts.documents.versions() == before
    assert parts.documents.unsent(10) == []


def test_a_key_has_the_hash_of_a_key(parts: Parts) -> None:
    with pytest.raises(ConflictError):
        put(parts, key(hash=b"short"))


def test_what_belongs_to_no_workspace_is_missing(parts: Parts) -> None:
    for item in (key("k1", "nowhere"), user("u1", "nowhere")):
        with pytest.raises(MissingError, match="nowhere"):
            put(parts, item)
    assert parts.access.keys() == []


def test_a_revoked_key_stays_revoked(parts: Parts) -> None:
    put(parts, key(revoked_at=7), key(name="renamed by who had read it before"))
    assert parts.access.keys() == [key(name="renamed by who had read it before", revoked_at=7)]
    put(parts, key(revoked_at=9))
    assert parts.access.keys() == [key(revoked_at=7)]


def test_the_last_use_of_a_key_only_grows(parts: Parts) -> None:
    put(parts, key(), key("k2"))
    parts.access.used({"k2": 50, "k1": 40, "gone": 1})
    parts.access.used({"k1": 30})
    parts.access.used({"k2": 60})
    parts.access.used({})
    assert [(one.id, one.last_used_at) for one in parts.access.keys()] == [("k1", 40), ("k2", 60)]  # noqa: SIM118  no mapping
    put(parts, key(name="edited"))
    assert parts.access.keys()[0].last_used_at == 40


def test_what_is_put_changes_the_version_of_its_workspace(parts: Parts) -> None:
    before = parts.documents.versions()
    put(parts, key(), user())
    assert parts.elsewhere.versions() == {"acme": before["acme"] + 2, "other": before["other"]}
    put(parts, Workspace(id="other", name="Renamed", created_at=1), Workspace(id="third", name="", created_at=1))
    assert parts.elsewhere.versions().keys() == {"acme", "other", "third"}
    assert parts.elsewhere.versions()["other"] > before["other"]
    parts.access.used({"k1": 1})
    assert parts.elsewhere.versions()["acme"] == before["acme"] + 2


def test_notes_are_kept_with_what_is_put(parts: Parts) -> None:
    parts.access.put(Workspace(id="third", name="", created_at=1), notes=[b"workspace"])
    parts.access.put(key(), notes=[b"key", b"more"])
    parts.access.put(user(), notes=[b"user"])
    assert [body for _, body in parts.documents.unsent(10)] == [b"workspace", b"key", b"more", b"user"]
