"""Tokens of a service: given, verified, revoked; keys that rotate and lie encrypted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from onpurpose import verify_token
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.adapters.vault import AesVault, VaultError
from onpurpose.app.tokens import LEAD_SECONDS, STALE_SECONDS, Tokens
from onpurpose.core.call import Call
from onpurpose.core.outcome import Outcome
from onpurpose.core.result import Result
from onpurpose.core.revision import StoreError
from onpurpose.core.token import LONGEST_SECONDS, RevocationKind, TokenError
from tests.app.keys import CALL, NOW, PURPOSE, SECOND, MemorySigningKeys, SetClock, result

SECRET = "a secret of at least thirty-two characters"


class Service:
    """A process of the service, on a store that others may share."""

    def __init__(self, store: MemorySigningKeys | None = None, clock: SetClock | None = None, secret: str = SECRET):
        self.store = store or MemorySigningKeys()
        self.clock = clock or SetClock()
        numbers = count(1)
        self.tokens = Tokens(
            "https://gate.example",
            self.store,
            AesVault(secret),
            JwtFormat(),
            clock=self.clock,
            new_id=lambda at: f"{at:x}-{id(self):x}-{next(numbers)}",
        )

    def started(self) -> Service:
        self.tokens.start()
        return self

    def token(self, given: Result | None = None) -> str:
        minted = self.tokens.mint(given or result(), "acme")
        assert minted is not None
        return minted[0]

    def counts(self, token: str) -> bool:
        try:
            self.tokens.verify(token, "crm.read")
        except TokenError:
            return False
        return True


@pytest.fixture
def service() -> Service:
    return Service().started()


def kids(service: Service) -> list[str]:
    keys = service.tokens.jwks()["keys"]
    assert isinstance(keys, list)
    return [key["kid"] for key in keys]


def test_a_permitted_call_under_a_purpose_is_given_a_token_that_the_tool_verifies_offline(service: Service) -> None:
    minted = service.tokens.mint(result(), "acme")
    assert minted is not None
    token, expires_at = minted
    claims = verify_token(token, jwks=service.tokens.jwks(), audience="crm.read", call=CALL, now=NOW / SECOND)
    assert (claims.expires_at * SECOND, claims.workspace, claims.id) == (expires_at, "acme", result().decision_id)
    assert expires_at == NOW + 300 * SECOND
    assert service.tokens.verify(token, "crm.read", workspace="acme", call=CALL) == claims


def test_the_time_of_the_decision_is_the_time_of_issue(service: Service) -> None:
    minted = service.tokens.mint(result(), "acme", at=NOW - 10 * SECOND)
    assert minted is not None
    assert minted[1] == NOW + 290 * SECOND


@pytest.mark.parametrize(
    "given",
    [result(outcome=Outcome.REQUIRE_APPROVAL), result(ttl_seconds=0), result(purpose=None)],
    ids=["to be approved", "no live policy", "no purpose"],
)
def test_others_are_given_none(service: Service, given: Result) -> None:
    assert service.tokens.mint(given, "acme") is None


class Thing:
    """An object that no digest tells from another."""


@pytest.mark.parametrize(
    "call",
    [
        Call("a", "crm.read", {"thing": Thing()}, purpose_id="look_up"),
        Call("a", "crm.read", {"n": 1}, {"tenant": Thing()}, purpose_id="look_up"),
    ],
    ids=["payload", "context"],
)
def test_no_token_can_be_made_for_a_call_that_holds_an_object(service: Service, call: Call) -> None:
    with pytest.raises(TokenError, match="no token can be bound"):
        service.tokens.mint(result(call), "acme")


def test_no_token_can_be_made_for_a_call_that_changed_after_its_decision(service: Service) -> None:
    payload = {"id": 7}
    decided = result(Call("agent-7", "crm.read", payload, purpose_id="look_up"))
    payload["id"] = 8
    with pytest.raises(TokenError, match="not as it was decided"):
        service.tokens.mint(decided, "acme")


def test_no_token_can_be_made_that_would_be_too_long(service: Service) -> None:
    broad = msgspec.structs.replace(PURPOSE, elements=tuple(f"table.column_{n}" for n in range(2000)))
    with pytest.raises(TokenError, match="longer than 16,384 bytes"):
        service.tokens.mint(result(purpose=broad), "acme")


def test_a_service_that_never_started_can_make_none() -> None:
    with pytest.raises(TokenError, match="no key to sign with"):
        Service().tokens.mint(result(), "acme")


# -- verifying


def test_a_token_of_another_workspace_issuer_or_call_does_not_count(service: Service) -> None:
    token = service.token()
    for refused in (
        lambda: service.tokens.verify(token, "crm.read", workspace="other"),
        lambda: service.tokens.verify(token, "crm.write"),
        lambda: service.tokens.verify(token, "crm.read", call=Call("agent-7", "crm.read", {"id": 8})),
        lambda: service.tokens.verify(token, "crm.read", call=Call("agent-7", "crm.read", {"id": Thing()})),
    ):
        with pytest.raises(TokenError):
            refused()


@pytest.mark.parametrize(
    ("kind", "value"),
    [(RevocationKind.JTI, "d" * 32), (RevocationKind.PURPOSE, "look_up"), (RevocationKind.AGENT, "agent-7")],
)
def test_a_revoked_token_counts_no_more_in_any_process(service: Service, kind: RevocationKind, value: str) -> None:
    other = Service(service.store, service.clock).started()
    token = service.token()
    assert other.counts(token)
    service.tokens.revoke(kind, value, workspace="acme", by="ada", reason="leaked")
    assert not service.counts(token)
    other.clock.pass_seconds(2)
    assert not other.counts(token)
    note = service.store.notes[-1]
    assert (note["kind"], note["by"], note["workspace"], note["revokes"]) == ("token.revoked", "ada", "acme", str(kind))


def test_tokens_issued_after_a_revocation_and_of_other_workspaces_count(service: Service) -> None:
    elsewhere = service.tokens.mint(result(), "other")
    assert elsewhere is not None
    service.tokens.revoke(RevocationKind.PURPOSE, "look_up", workspace="acme", by="ada")
    service.clock.pass_seconds(31)
    assert service.counts(service.token())
    assert service.counts(elsewhere[0])


@pytest.mark.parametrize(("kind", "value"), [(RevocationKind.PURPOSE, "look_up"), (RevocationKind.AGENT, "agent-7")])
def test_a_token_of_a_process_whose_clock_is_ahead_does_not_escape(
    service: Service, kind: RevocationKind, value: str
) -> None:
    ahead = Service(service.store, SetClock()).started()
    ahead.clock.pass_seconds(29)
    token = ahead.token()
    service.tokens.revoke(kind, value, workspace="acme", by="ada")
    assert not service.counts(token)
    assert not ahead.counts(token)
    ahead.clock.pass_seconds(2)
    assert not ahead.counts(token)


def test_none_is_given_that_is_revoked_already(service: Service) -> None:
    service.tokens.revoke(RevocationKind.AGENT, "agent-7", workspace="acme", by="ada")
    assert service.tokens.mint(result(), "acme") is None


def test_a_revocation_is_kept_as_long_as_a_token_that_it_names_could_live(service: Service) -> None:
    revocation = service.tokens.revoke(RevocationKind.JTI, "x", workspace="acme", by="ada")
    assert revocation.until > NOW + LONGEST_SECONDS * SECOND
    service.clock.at = revocation.until + 1
    service.tokens.refresh()
    assert service.tokens.status()["revocations"] == 0


def test_tokens_are_refused_while_revocations_cannot_be_read(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    token = service.token()
    service.store.down = True
    service.clock.pass_seconds(STALE_SECONDS)
    assert service.counts(token)
    service.clock.pass_seconds(1)
    with pytest.raises(TokenError, match="does not answer"):
        service.tokens.verify(token, "crm.read")
    assert service.tokens.mint(result(), "acme") is not None
    service.store.down = False
    assert service.counts(token)
    assert "could not be refreshed" in caplog.text


def test_a_revocation_that_the_store_did_not_take_is_an_error(service: Service) -> None:
    service.store.down = True
    with pytest.raises(StoreError):
        service.tokens.revoke(RevocationKind.JTI, "x", workspace="acme", by="ada")


# -- keys


def test_a_new_key_is_published_before_it_signs_and_the_old_one_verifies_until_its_last_token_expired(
    service: Service,
) -> None:
    (old,) = kids(service)
    new = service.tokens.rotate(by="ada", reason="as every month")
    assert kids(service) == [old, new]
    assert service.tokens.status()["signs"] == old
    service.clock.pass_seconds(LEAD_SECONDS - 1)
    last = service.token(result(purpose=PURPOSE))
    service.clock.pass_seconds(1)
    assert service.tokens.status()["signs"] == new
    assert service.counts(last)
    assert service.counts(service.token())
    service.clock.pass_seconds(LONGEST_SECONDS)
    assert kids(service) == [old, new]
    service.clock.pass_seconds(61)
    assert kids(service) == [new]
    assert (service.store.notes[-1]["kind"], service.store.notes[-1]["kid"]) == ("signing_key.rotated", new)


def test_keys_that_leaked_verify_nothing_from_now_on(service: Service) -> None:
    token = service.token()
    new = service.tokens.rotate(by="ada", at_once=True)
    assert kids(service) == [new]
    assert not service.counts(token)
    assert service.counts(service.token())


def test_processes_that_start_together_or_rotate_together_verify_each_others_tokens() -> None:
    store, clock = MemorySigningKeys(), SetClock()
    both = [Service(store, clock).started(), Service(store, clock).started()]
    for one in both:
        one.tokens.rotate(by="ada")
    for _ in range(4):
        clock.pass_seconds(LEAD_SECONDS / 2)
        for one in both:
            one.tokens.refresh()
        tokens = [one.token() for one in both]
        assert all(one.counts(token) for one in both for token in tokens)


def test_every_token_verifies_throughout_its_life_whatever_rotates(service: Service) -> None:
    given: list[tuple[str, int]] = []
    for step in range(60):
        minted = service.tokens.mint(result(ttl_seconds=LONGEST_SECONDS), "acme")
        assert minted is not None
        given.append(minted)
        if step % 3 == 0:
            service.tokens.rotate(by="ada")
        service.clock.pass_seconds(97)
        now = service.clock.now()
        assert all(service.counts(token) for token, expires_at in given if now < expires_at)


def test_a_private_key_lies_in_the_store_encrypted(service: Service) -> None:
    (key,) = service.store.keys()
    private = AesVault(SECRET).open(key.private_encrypted, f"signing key {key.kid}")
    assert len(private) == 32
    assert private not in key.private_encrypted
    assert "private" not in repr(key)


def test_a_service_with_another_secret_does_not_start(service: Service) -> None:
    with pytest.raises(VaultError, match="another secret"):
        Service(service.store, secret="b" * 32).started()


def test_starting_again_takes_up_the_key_that_is_there(service: Service) -> None:
    again = Service(service.store).started()
    assert kids(again) == kids(service)
    assert again.counts(service.token())


@pytest.mark.parametrize("what", [lambda s: s.tokens.start(), lambda s: s.tokens.rotate(by="ada")])
def test_keys_that_the_store_does_not_give_or_take_are_an_error(what: Callable[[Service], object]) -> None:
    service = Service()
    service.store.down = True
    with pytest.raises(StoreError):
        what(service)


def test_a_clock_that_steps_back_has_the_revocations_read_again(service: Service) -> None:
    token = service.token()
    service.clock.pass_seconds(-20)
    service.store.down = True
    logging.getLogger("onpurpose").setLevel(logging.CRITICAL)
    try:
        assert service.counts(token)
        service.clock.pass_seconds(-15)
        assert not service.counts(token)
    finally:
        logging.getLogger("onpurpose").setLevel(logging.NOTSET)
