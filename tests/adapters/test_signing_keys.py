"""Keys that sign tokens, revocations and idempotency keys, in both databases."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import msgspec
import pytest

from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import Store, open_store
from onpurpose.adapters.sql.idempotency import SqlIdempotency
from onpurpose.adapters.sql.signing_keys import SqlSigningKeys
from onpurpose.core.access import Workspace
from onpurpose.core.claim import ANSWER_MICROSECONDS, CLAIM_MICROSECONDS, Claim, ClaimState
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.token import Revocation, RevocationKind, SigningKey

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
ASKED, OTHER = b"a" * 32, b"b" * 32
NEW, BUSY = Claim(state=ClaimState.NEW), Claim(state=ClaimState.BUSY)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    fixture = "sqlite_store_path" if request.param == "sqlite" else "postgres_store_url"
    with contextlib.closing(open_store(request.getfixturevalue(fixture))) as opened:
        for name in ("acme", "other"):
            SqlAccess(opened).put(Workspace(id=name, name=name, created_at=1), notes=[])
        yield opened


def signing_key(kid: str, created_at: int, **rest: object) -> SigningKey:
    made = SigningKey(kid=kid, public=b"p" * 32, private_encrypted=b"\x00sealed\xff", created_at=created_at)
    return msgspec.structs.replace(made, **rest)


def revocation(value: str = "crm", **rest: object) -> Revocation:
    made = Revocation(kind=RevocationKind.PURPOSE, workspace="acme", value=value, at=10, until=100)
    return msgspec.structs.replace(made, **rest)


def test_keys_come_back_oldest_first(store: Store) -> None:
    keys = SqlSigningKeys(store)
    given = [signing_key("b", 5), signing_key("a", 5, retires_at=50), signing_key("c", 1)]
    for one in given:
        keys.add(one, retire_others_at=None, notes=[b"made"])
    assert keys.keys() == [given[2], given[1], given[0]]
    assert [body for _, body in SqlDocuments(store).unsent(10)] == [b"made"] * 3


def test_a_key_is_added_once(store: Store) -> None:
    keys = SqlSigningKeys(store)
    keys.add(signing_key("a", 1), retire_others_at=None, notes=[])
    with pytest.raises(ConflictError):
        keys.add(signing_key("a", 2), retire_others_at=5, notes=[b"note"])
    assert keys.keys() == [signing_key("a", 1)]
    assert SqlDocuments(store).unsent(10) == []


def test_a_new_key_retires_the_others_unless_they_retire_earlier(store: Store) -> None:
    keys = SqlSigningKeys(store)
    keys.add(signing_key("early", 1, retires_at=20), retire_others_at=None, notes=[])
    keys.add(signing_key("late", 2, retires_at=90), retire_others_at=None, notes=[])
    keys.add(signing_key("new", 3), retire_others_at=30, notes=[])
    assert {one.kid: one.retires_at for one in keys.keys()} == {"early": 20, "late": 30, "new": None}  # noqa: SIM118


def test_revocations_are_listed_until_they_are_over(store: Store) -> None:
    keys = SqlSigningKeys(store)
    given = [revocation("a"), revocation("b", until=50), revocation("a", kind=RevocationKind.AGENT, workspace="other")]
    for one in given:
        keys.revoke(one, notes=[b"revoked"])
    assert keys.revocations(0) == given
    assert keys.revocations(50) == given
    assert keys.revocations(51) == [given[0], given[2]]
    assert keys.revocations(101) == []
    assert [body for _, body in SqlDocuments(store).unsent(10)] == [b"revoked"] * 3


def test_of_two_revocations_the_later_times_stand(store: Store) -> None:
    keys = SqlSigningKeys(store)
    for at, until in ((10, 100), (5, 200), (20, 150)):
        keys.revoke(revocation(at=at, until=until), notes=[])
    assert keys.revocations(0) == [revocation(at=20, until=200)]


def test_a_revocation_is_heard_of_as_a_change_of_its_workspace(store: Store) -> None:
    before = SqlDocuments(store).versions()
    SqlSigningKeys(store).revoke(revocation(), notes=[])
    assert SqlDocuments(store).versions() == {**before, "acme": before["acme"] + 1}
    with pytest.raises(MissingError, match="nowhere"):
        SqlSigningKeys(store).revoke(revocation(workspace="nowhere"), notes=[])


def test_who_comes_first_claims_and_the_next_is_given_the_answer(store: Store) -> None:
    kept = SqlIdempotency(store)
    assert kept.claim("acme", KEY, ASKED, 1) == NEW
    assert kept.claim("acme", KEY, ASKED, 2) == BUSY
    kept.settle("acme", KEY, b"the answer", 3)
    kept.settle("acme", KEY, b"another", 3)
    assert kept.claim("acme", KEY, ASKED, 4) == Claim(state=ClaimState.ANSWERED, body=b"the answer")


def test_a_key_counts_for_one_request(store: Store) -> None:
    kept = SqlIdempotency(store)
    kept.claim("acme", KEY, ASKED, 1)
    assert kept.claim("acme", KEY, OTHER, 2).state is ClaimState.OTHER
    kept.settle("acme", KEY, b"the answer", 3)
    assert kept.claim("acme", KEY, OTHER, 4) == Claim(state=ClaimState.OTHER)


def test_the_same_key_of_another_workspace_is_another(store: Store) -> None:
    kept = SqlIdempotency(store)
    kept.claim("acme", KEY, ASKED, 1)
    kept.settle("acme", KEY, b"acme's", 2)
    assert kept.claim("other", KEY, ASKED, 3) == NEW
    assert kept.claim("acme", OTHER_KEY, ASKED, 3) == NEW


def test_a_claim_is_given_up_and_an_answer_is_not(store: Store) -> None:
    kept = SqlIdempotency(store)
    kept.claim("acme", KEY, ASKED, 1)
    kept.release("acme", KEY)
    assert kept.claim("acme", KEY, OTHER, 2) == NEW
    kept.settle("acme", KEY, b"the answer", 3)
    kept.release("acme", KEY)
    assert kept.claim("acme", KEY, OTHER, 4).body == b"the answer"


def test_the_claim_of_a_process_that_died_is_void_after_a_minute(store: Store) -> None:
    kept = SqlIdempotency(store)
    kept.claim("acme", KEY, ASKED, 1)
    assert kept.claim("acme", KEY, ASKED, 1 + CLAIM_MICROSECONDS) == BUSY
    assert kept.claim("acme", KEY, OTHER, 2 + CLAIM_MICROSECONDS) == NEW
    assert kept.claim("acme", KEY, OTHER, 2) == BUSY  # the clock stepped back by a minute, and then by more
    assert kept.claim("acme", KEY, OTHER, 1) == NEW


def test_an_answer_is_kept_for_a_day_and_then_forgotten(store: Store) -> None:
    kept = SqlIdempotency(store)
    for key in (KEY, OTHER_KEY):
        kept.claim("acme", key, ASKED, 1)
        kept.settle("acme", key, b"the answer", 5)
    assert kept.forget(5 + ANSWER_MICROSECONDS) == 0
    assert kept.claim("acme", KEY, ASKED, 5 + ANSWER_MICROSECONDS).state is ClaimState.ANSWERED
    assert kept.claim("acme", KEY, ASKED, 6 + ANSWER_MICROSECONDS) == NEW
    assert kept.forget(6 + ANSWER_MICROSECONDS) == 1
    assert kept.forget(6 + ANSWER_MICROSECONDS) == 0


def test_of_many_at_once_one_claims(store: Store) -> None:
    kept, found, begin = SqlIdempotency(store), [], threading.Barrier(8)

    def claim() -> None:
        begin.wait(10)
        found.append(kept.claim("acme", KEY, ASKED, 1).state)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [ClaimState.BUSY] * 7 + [ClaimState.NEW]


def test_an_answer_shows_in_no_log() -> None:
    assert "secret" not in repr(Claim(state=ClaimState.ANSWERED, body=b"secret"))
