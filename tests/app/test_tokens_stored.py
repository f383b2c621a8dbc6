"""Tokens of two processes on one database: keys and revocations of one arrive at the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import Store, open_store
from onpurpose.adapters.sql.signing_keys import SqlSigningKeys
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.adapters.vault import AesVault, VaultError
from onpurpose.app.tokens import LEAD_SECONDS, Tokens
from onpurpose.core.access import Workspace
from onpurpose.core.revision import MissingError
from onpurpose.core.token import RevocationKind, TokenError
from tests.app.keys import CALL, SetClock, result


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    path = str(tmp_path / "onpurpose.db")
    with contextlib.closing(open_store(path)) as first, contextlib.closing(open_store(path)) as second:
        SqlAccess(first).put(Workspace(id="acme", name="Acme", created_at=1), notes=[])
        yield first, second


def process(store: Store, clock: SetClock, secret: str = "s" * 32) -> Tokens:
    form, ids = JwtFormat(), iter(range(10**6))
    return Tokens(
        "issuer",
        SqlSigningKeys(store),
        AesVault(secret),
        form,
        clock=clock,
        new_id=lambda at: f"{id(store)}-{next(ids)}",
    )


def test_one_process_verifies_what_another_signed_until_it_is_revoked(stores: tuple[Store, Store]) -> None:
    clock = SetClock()
    first, second = (process(store, clock) for store in stores)
    first.start()
    second.start()
    assert first.jwks() == second.jwks()
    clock.pass_seconds(1)  # of two keys of the same moment, either may be the newer
    new = second.rotate(by="ada")
    clock.pass_seconds(LEAD_SECONDS)
    first.refresh()
    assert first.status()["signs"] == new
    minted = first.mint(result(), "acme")
    assert minted is not None
    assert second.verify(minted[0], "crm.read", workspace="acme", call=CALL).capability == "crm.read"
    second.revoke(RevocationKind.AGENT, "agent-7", workspace="acme", by="ada")
    clock.pass_seconds(2)
    with pytest.raises(TokenError, match="revoked"):
        first.verify(minted[0], "crm.read")
    told = [orjson.loads(body)["kind"] for _, body in SqlDocuments(stores[0]).unsent(10)]
    assert told == ["signing_key.rotated", "signing_key.rotated", "token.revoked"]


def test_a_revocation_for_no_workspace_is_an_error(stores: tuple[Store, Store]) -> None:
    tokens = process(stores[0], SetClock())
    with pytest.raises(MissingError):
        tokens.revoke(RevocationKind.JTI, "x", workspace="nowhere", by="ada")


def test_a_process_with_another_secret_does_not_start(stores: tuple[Store, Store]) -> None:
    process(stores[0], SetClock()).start()
    with pytest.raises(VaultError, match="another secret"):
        process(stores[1], SetClock(), "t" * 32).start()
