"""The same life of a workspace on every store: in memory, in a file, in PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import open_store
from onpurpose.core.access import Scope
from onpurpose.core.revision import ConflictError, Kind, MissingError
from tests.app.world import EVERYTHING, POLICY, World, candidate, purpose_policy

PP, CP = Kind.PURPOSE_POLICY, Kind.POLICY


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        yield World()
        return
    fixture = "sqlite_store_path" if request.param == "sqlite" else "postgres_store_url"
    store = open_store(request.getfixturevalue(fixture))
    documents = SqlDocuments(store)
    try:
        yield World(documents=documents, access=SqlAccess(store))
    finally:
        documents.close()
        store.close()


def test_a_workspace_lives_alike_on_every_store(world: World) -> None:
    control = world.control
    world.save(PP, "hours", purpose_policy("hours"), expected_version=0)
    world.watch(PP, "hours")
    control.promotions.promote("default", [candidate(PP, "hours", 1)], reason="r", by="bob")
    world.save(PP, "hours", purpose_policy("hours", more="token_ttl_minutes: 2\n"))
    standing = world.standing(PP, "hours")
    assert (standing.version, standing.live, standing.shadow, standing.former) == (3, 1, 2, (None, 1))
    (reverted,) = control.promotions.revert("default", [(PP, "hours")], reason="r", by="bob")
    assert (reverted.live, reverted.shadow, reverted.former) == (None, 2, None)
    world.save(CP, "base", POLICY)
    control.promotions.promote("default", [candidate(CP, "base")], reason="r", by="b", overrides=EVERYTHING)
    world.save(Kind.INDEX, "index", "policies:\n  - file: base.yaml\n")
    control.library.remove("default", PP, "hours", author="ann", reason="")
    assert control.library.restore("default", PP, "hours", 1, author="ann", reason="").number == 4
    assert [one.number for one in control.shelf.revisions("default", PP, "hours", None, 9)] == [4, 3, 2, 1]
    assert "+token_ttl_minutes: 2" in control.shelf.diff("default", PP, "hours", 1, 2)
    assert [note["kind"].partition(".")[2] for note in world.notes()] == [
        "saved", "promoted", "saved", "reverted", "saved", "promoted", "saved", "removed", "saved",
    ]  # fmt: skip
    assert world.documents.unsent(9) == []
    with pytest.raises(MissingError):
        control.shelf.standing("other", PP, "hours")


def test_keys_and_users_live_alike_on_every_store(world: World) -> None:
    keyring = world.control.keyring
    first = keyring.first_key()
    assert first is not None
    made = keyring.create_key("default", "ci", [Scope.READ, Scope.EVALUATE], by="ann", expires_in_seconds=60)
    assert keyring.key("default", made.key.id) == made.key
    assert keyring.revoke_key("default", made.key.id, by="ann").revoked_at is not None
    keyring.create_user("default", "ann", "Ann", "ann@example.com", ["sales"], by="ann")
    assert keyring.disable_user("default", "ann", by="ann").disabled_at is not None
    keyring.create_workspace("acme", "Acme", by="ann")
    assert [one.id for one in keyring.workspaces("default")] == ["acme", "default", "other"]
    assert len(world.notes()) == 7


def test_of_two_promotions_at_once_one_wins_on_every_store(world: World) -> None:
    world.save(PP, "hours", purpose_policy("hours"))
    world.watch(PP, "hours")
    start = threading.Barrier(2)

    def promote(by: str) -> str:
        start.wait()
        try:
            world.control.promotions.promote("default", [candidate(PP, "hours")], reason="r", by=by)
        except ConflictError:
            return "told"
        return by

    with ThreadPoolExecutor(2) as threads:
        done = sorted(threads.map(promote, ["ann", "bob"]))
    (note,) = world.notes("policy.promoted")
    assert done == sorted([note["by"], "told"])
