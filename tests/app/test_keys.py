"""Keys, users, workspaces: a secret is shown once and stored as a hash, and nobody is locked out by a slip."""

from __future__ import annotations

import hashlib
import re

import pytest

from onpurpose.app.keys import PERSONAL
from onpurpose.core.access import ApiKey, Scope
from onpurpose.core.revision import ConflictError, MissingError
from tests.app.world import START, World


@pytest.fixture
def world() -> World:
    return World()


def admin(world: World, workspace: str = "default") -> ApiKey:
    return world.control.keyring.create_key(workspace, "admin", [Scope.ADMIN], by="tests").key


def test_a_key_is_shown_once_and_stored_as_a_hash(world: World) -> None:
    made = world.control.keyring.create_key("default", "ci", [Scope.READ], by="ann", per_minute=60)
    assert re.fullmatch(r"op_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", made.secret)
    (stored,) = world.access.keys()
    assert stored == made.key
    assert stored.hash == hashlib.sha256(made.secret.encode()).digest()
    assert made.secret.startswith(stored.prefix + "_")
    assert (stored.name, stored.scopes, stored.created_by, stored.created_at, stored.per_minute) == (
        "ci", frozenset({Scope.READ}), "ann", START, 60,
    )  # fmt: skip


def test_no_text_that_is_kept_or_shown_tells_the_secret(world: World) -> None:
    made = world.control.keyring.create_key("default", "ci", [Scope.READ], by="ann")
    secret = made.secret.removeprefix(made.key.prefix)
    assert secret not in repr(made) + repr(made.key) + str(world.notes())
    assert made.key.hash.hex() not in str(world.notes())
    (note,) = world.notes("key.created")
    assert note["key"] == {
        "id": made.key.id, "name": "ci", "prefix": made.key.prefix, "scopes": ["read"], "expires_at": None,
    }  # fmt: skip


def test_a_thousand_keys_are_all_different(world: World) -> None:
    made = [world.control.keyring.create_key("default", "k", [Scope.READ], by="") for _ in range(1000)]
    assert len({one.secret for one in made}) == len({one.key.id for one in made}) == 1000


def test_a_key_expires_so_many_seconds_after_it_was_made(world: World) -> None:
    made = world.control.keyring.create_key("default", "ci", [Scope.READ], by="ann", expires_in_seconds=90)
    assert made.key.expires_at == START + 90_000_000


def test_a_revoked_key_is_revoked_for_good(world: World) -> None:
    admin(world)
    made = world.control.keyring.create_key("default", "ci", [Scope.READ], by="ann")
    world.clock.at += 5
    revoked = world.control.keyring.revoke_key("default", made.key.id, by="bob")
    assert revoked.revoked_at == START + 5
    world.clock.at += 5
    assert world.control.keyring.revoke_key("default", made.key.id, by="eve") == revoked
    (note,) = world.notes("key.revoked")
    assert (note["by"], note["key"]["id"]) == ("bob", made.key.id)


def test_the_last_admin_key_stays(world: World) -> None:
    key = admin(world)
    admin(world, "other")
    expired = world.control.keyring.create_key("default", "old", [Scope.ADMIN], by="", expires_in_seconds=60).key
    world.clock.at += 61_000_000
    with pytest.raises(ConflictError, match="last admin key"):
        world.control.keyring.revoke_key("default", key.id, by="ann")
    assert world.control.keyring.revoke_key("default", expired.id, by="ann").revoked_at is not None
    admin(world)
    assert world.control.keyring.revoke_key("default", key.id, by="ann").revoked_at is not None


def test_keys_of_another_workspace_are_not_there(world: World) -> None:
    key = admin(world)
    keyring = world.control.keyring
    assert keyring.keys("other") == []
    with pytest.raises(MissingError):
        keyring.key("other", key.id)
    with pytest.raises(MissingError):
        keyring.revoke_key("other", key.id, by="eve")
    with pytest.raises(MissingError):
        keyring.create_key("nowhere", "k", [Scope.READ], by="eve")
    assert keyring.key("default", key.id).revoked_at is None


def test_keys_come_newest_first(world: World) -> None:
    names = []
    for number in range(3):
        world.clock.at += 1
        names.append(world.control.keyring.create_key("default", f"k{number}", [Scope.READ], by="").key.name)
    assert [key.name for key in world.control.keyring.keys("default")] == names[::-1]


# -- users


def test_a_user_is_made_changed_disabled_and_enabled(world: World) -> None:
    keyring = world.control.keyring
    user = keyring.create_user("default", "ann", "Ann", "ann@example.com", ["sales"], by="admin")
    assert keyring.users("default") == [user]
    changed = keyring.update_user("default", "ann", "Ann B", "ann@example.com", [], by="admin")
    assert (changed.name, changed.groups, changed.created_at) == ("Ann B", (), START)
    disabled = keyring.disable_user("default", "ann", by="admin")
    assert disabled.disabled_at == START
    assert keyring.disable_user("default", "ann", by="admin") == disabled
    assert keyring.update_user("default", "ann", "Ann B", "ann@example.com", [], by="admin").disabled_at is None
    assert [note["user"]["disabled"] for note in world.notes("user.saved")] == [False, False, True, False]


def test_what_does_not_change_a_user_is_not_told(world: World) -> None:
    keyring = world.control.keyring
    keyring.create_user("default", "ann", "Ann", "ann@example.com", [], by="admin")
    keyring.update_user("default", "ann", "Ann", "ann@example.com", [], by="admin")
    assert len(world.notes("user.saved")) == 1


def test_an_id_is_made_up_or_taken_once(world: World) -> None:
    keyring = world.control.keyring
    made = {keyring.create_user("default", None, "Ann", "ann@example.com", [], by="").id for _ in range(2)}
    assert len(made) == 2
    with pytest.raises(ConflictError):
        keyring.create_user("default", made.pop(), "Bob", "bob@example.com", [], by="")


def test_users_of_another_workspace_are_not_there(world: World) -> None:
    keyring = world.control.keyring
    keyring.create_user("default", "ann", "Ann", "ann@example.com", [], by="")
    assert keyring.users("other") == []
    for change in (
        lambda: keyring.user("other", "ann"),
        lambda: keyring.update_user("other", "ann", "Eve", "eve@example.com", [], by=""),
        lambda: keyring.disable_user("other", "ann", by=""),
        lambda: keyring.create_user("nowhere", "ann", "Ann", "ann@example.com", [], by=""),
    ):
        with pytest.raises(MissingError):
            change()
    assert keyring.create_user("other", "ann", "Another", "ann@example.com", [], by="").name == "Another"
    assert keyring.user("default", "ann").name == "Ann"


# -- workspaces


def test_a_workspace_comes_with_its_first_admin_key(world: World) -> None:
    workspace, made = world.control.keyring.create_workspace("acme", "Acme", by="root")
    assert made.key.workspace == workspace.id == "acme"
    assert made.key.scopes == {Scope.ADMIN}
    assert world.control.shelf.contents("acme").standings == ()
    assert [note["kind"] for note in world.notes()] == ["workspace.created", "key.created"]


@pytest.mark.parametrize("name", ["default", "", "..", "a/b", "a b", "x" * 129])
def test_a_name_that_is_taken_or_none_makes_no_workspace(world: World, name: str) -> None:
    with pytest.raises(ConflictError):
        world.control.keyring.create_workspace(name, "", by="root")
    assert world.notes() == []


def test_only_the_operator_sees_other_workspaces(world: World) -> None:
    keyring = world.control.keyring
    assert [one.id for one in keyring.workspaces("default")] == ["default", "other"]
    assert [one.id for one in keyring.workspaces("other")] == ["other"]


def test_the_first_key_is_made_once(world: World) -> None:
    made = world.control.keyring.first_key()
    assert made is not None
    assert (made.key.workspace, made.key.scopes) == ("default", {Scope.ADMIN})
    assert world.control.keyring.first_key() is None
    assert world.control.keyring.revoke_key("default", admin(world).id, by="").revoked_at is not None


def test_an_empty_store_gets_its_workspace_with_the_first_key() -> None:
    world = World(workspaces=())
    assert world.control.keyring.first_key() is not None
    assert [one.id for one in world.access.workspaces()] == ["default"]


# -- personal keys


def test_a_personal_key_names_its_user_in_the_log_too(world: World) -> None:
    keyring = world.control.keyring
    keyring.create_user("default", "ann", "Ann", "ann@example.com", [], by="admin", slack="U024BE7LH")
    made = keyring.create_key("default", "ann", [Scope.APPROVE, Scope.READ], by="admin", user="ann")
    assert made.key.user == "ann"
    assert world.notes("key.created")[-1]["key"]["user"] == "ann"
    assert world.notes("user.saved")[-1]["user"]["slack"] == "U024BE7LH"


@pytest.mark.parametrize("scope", sorted(set(Scope) - PERSONAL))
def test_a_personal_key_can_do_no_more_than_decide_and_look(world: World, scope: Scope) -> None:
    keyring = world.control.keyring
    keyring.create_user("default", "ann", "Ann", "ann@example.com", [], by="admin")
    with pytest.raises(ConflictError, match="personal key"):
        keyring.create_key("default", "ann", [Scope.APPROVE, scope], by="admin", user="ann")
    assert keyring.keys("default") == []


def test_whoever_is_disabled_has_no_key_and_is_given_none(world: World) -> None:
    keyring = world.control.keyring
    for name in ("ann", "bob"):
        keyring.create_user("default", name, name, f"{name}@example.com", [], by="admin")
        keyring.create_key("default", name, [Scope.APPROVE], by="admin", user=name)
    keyring.disable_user("default", "ann", by="admin")
    assert {key.user: key.revoked_at is None for key in keyring.keys("default")} == {"ann": False, "bob": True}
    with pytest.raises(ConflictError, match="disabled"):
        keyring.create_key("default", "ann", [Scope.APPROVE], by="admin", user="ann")
    with pytest.raises(MissingError):
        keyring.create_key("default", "cyd", [Scope.APPROVE], by="admin", user="cyd")
