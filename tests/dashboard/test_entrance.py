"""How a service is told who may come in: by its environment, on a real store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from onpurpose.adapters.clock import Ids, SystemClock
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import Store, open_store
from onpurpose.adapters.vault import AesVault
from onpurpose.app.control import Control, control
from onpurpose.app.masking import Masking
from onpurpose.app.sign_in import Proved
from onpurpose.app.single_sign_on import Mapped
from onpurpose.core.access import Role
from onpurpose.core.errors import OnPurposeError
from onpurpose.entrance import mapped_of, provider_of, sign_ins
from onpurpose.server.dashboard.session import Sessions
from onpurpose.server.identity import Authority
from tests.app.world import Rolled

SECRET = "s" * 40
OIDC = {
    "ONPURPOSE_OIDC_ISSUER": "https://idp.example",
    "ONPURPOSE_OIDC_CLIENT_ID": "onpurpose",
    "ONPURPOSE_OIDC_CLIENT_SECRET": "x",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(open_store(str(tmp_path / "onpurpose.db"))) as made:
        yield made


def opened(store: Store, environment: dict[str, str]) -> tuple[Control, Sessions, str]:
    documents, access, ledger, clock, ids = (
        SqlDocuments(store), SqlAccess(store), MemoryLedger(), SystemClock(), Ids(),
    )  # fmt: skip
    documents.close()
    uses = control(documents, documents, access, Rolled(), ledger, clock=clock, new_id=ids.new, delivered=lambda: None)
    first = uses.keyring.first_key()
    sessions = sign_ins(
        store, access=access, keyring=uses.keyring, post=uses.post, ledger=ledger,
        authority=Authority(access.keys()), vault=AesVault(SECRET), secret=SECRET, masking=Masking(),
        environment=environment, clock=clock, new_id=ids.new,
    )  # fmt: skip
    return uses, sessions, "" if first is None else first.secret


def test_the_first_person_of_a_new_service_signs_in_and_another_process_knows_them(store: Store) -> None:
    _, sessions, key = opened(store, {"ONPURPOSE_PUBLIC_URL": "https://gate.example"})
    assert (sessions.first.is_new(), sessions.public_url, sessions.elsewhere) == (True, "https://gate.example", None)
    assert sessions.first.admits(key)
    assert not sessions.first.admits("op_none")
    assert sessions.first.make("ada", "Ada", "ada@corp.example", "eleven wet lanterns") is not None
    found = sessions.sign_in.by_password("default", "ada", "eleven wet lanterns", "192.0.2.1")
    assert isinstance(found, Proved)
    token = sessions.signed_in.open(found.user, method="password", address="192.0.2.1", before=None)
    uses, elsewhere, _ = opened(store, {})
    principal = elsewhere.signed_in.principal(token)
    assert principal is not None
    assert (principal.user, principal.roles) == ("ada", {Role.ADMIN})
    uses.keyring.disable_user("default", "ada", by="root")
    assert sessions.signed_in.principal(token) is None


def test_who_is_linked_elsewhere_is_known_to_every_process_until_they_are_unlinked(store: Store) -> None:
    uses, sessions, _ = opened(store, OIDC)
    ada = uses.keyring.create_user("default", "ada", "Ada", "ada@corp.example", (), by="root", roles=(Role.VIEWER,))
    sessions.linking.link(ada, "https://idp.example", "s1", ada.email, by="oidc")
    token = sessions.signed_in.open(ada, method="oidc", address="192.0.2.1", before=None)
    _, elsewhere, _ = opened(store, OIDC)
    found = elsewhere.linking.find("default", "https://idp.example", "s1")
    assert found is not None
    assert elsewhere.linking.of(ada) == [found]
    assert elsewhere.linking.unlink(found, by="root")
    assert (sessions.linking.of(ada), sessions.signed_in.principal(token)) == ([], None)


def test_the_environment_names_another_service(store: Store) -> None:
    _, sessions, _ = opened(store, OIDC)
    assert sessions.elsewhere is not None
    assert provider_of({}) is None


@pytest.mark.parametrize("missing", ["ONPURPOSE_OIDC_CLIENT_ID", "ONPURPOSE_OIDC_CLIENT_SECRET"])
def test_a_service_that_is_named_by_half_is_an_error(missing: str) -> None:
    with pytest.raises(OnPurposeError, match=missing):
        provider_of(OIDC | {missing: ""})


def test_how_groups_become_roles_is_told_in_json() -> None:
    assert mapped_of({}) == Mapped()
    told = {
        "ONPURPOSE_OIDC_ROLES": '{"risk": "approver", "platform": ["author", "viewer"], "none": []}',
        "ONPURPOSE_OIDC_GROUPS_CLAIM": "teams",
        "ONPURPOSE_OIDC_WORKSPACE": "acme",
        "ONPURPOSE_OIDC_CREATE": "yes",
    }
    roles = {"risk": frozenset({Role.APPROVER}), "platform": frozenset({Role.AUTHOR, Role.VIEWER}), "none": frozenset()}
    assert mapped_of(told) == Mapped(workspace="acme", groups_claim="teams", roles=roles, creates=True)


@pytest.mark.parametrize(
    "text", ["{", "[]", '"x"', '{"a": "boss"}', '{"a": 7}', '{"a": ["viewer", "boss"]}', '{"a": null}']
)
def test_a_mapping_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(OnPurposeError, match="maps groups to roles"):
        mapped_of({"ONPURPOSE_OIDC_ROLES": text})
