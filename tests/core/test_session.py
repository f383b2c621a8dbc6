"""Who is signed in: what a role may do, when a session counts, and that secrets are never shown."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from onpurpose.core.access import Role, Scope, User
from onpurpose.core.session import (
    ABSOLUTE_SECONDS,
    ELSEWHERE,
    ELSEWHERE_ANEW,
    IDLE_SECONDS,
    SCOPES,
    Credential,
    Departure,
    Principal,
    Session,
)

SECOND = 1_000_000
USER = User(id="ann", workspace="acme", name="Ann", email="", created_at=0, roles=frozenset({Role.AUTHOR}))
SESSION = Session(
    hash=b"\x07" * 32, workspace="acme", user="ann", created_at=0, seen_at=0, expires_at=ABSOLUTE_SECONDS * SECOND
)


def principal(*roles: Role) -> Principal:
    return Principal(person=replace(USER, roles=frozenset(roles)), session=SESSION, csrf="the token")


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.VIEWER, {Scope.READ}),
        (Role.APPROVER, {Scope.READ, Scope.APPROVE}),
        (Role.AUTHOR, {Scope.READ, Scope.POLICY_WRITE}),
        (Role.PROMOTER, {Scope.READ, Scope.POLICY_PROMOTE}),
        (Role.ADMIN, set(Scope) - {Scope.EVALUATE}),
    ],
)
def test_a_role_may_do_what_its_scopes_say(role: Role, scopes: set[Scope]) -> None:
    assert SCOPES[role] == scopes
    assert {scope for scope in Scope if principal(role).may(scope)} == scopes


def test_several_roles_may_do_what_each_may_and_no_role_nothing() -> None:
    both = principal(Role.APPROVER, Role.PROMOTER)
    assert {scope for scope in Scope if both.may(scope)} == {Scope.READ, Scope.APPROVE, Scope.POLICY_PROMOTE}
    assert not any(principal().may(scope) for scope in Scope)


def test_a_principal_is_a_user_of_a_workspace() -> None:
    assert (principal().user, principal().workspace, principal(Role.VIEWER).roles) == ("ann", "acme", {Role.VIEWER})


@pytest.mark.parametrize(
    ("seen", "now", "stands"),
    [
        (0, 0, True),
        (0, IDLE_SECONDS * SECOND - 1, True),
        (0, IDLE_SECONDS * SECOND, False),
        ((ABSOLUTE_SECONDS - 1) * SECOND, ABSOLUTE_SECONDS * SECOND - 1, True),
        ((ABSOLUTE_SECONDS - 1) * SECOND, ABSOLUTE_SECONDS * SECOND, False),
    ],
)
def test_a_session_ends_by_rest_and_by_age(seen: int, now: int, stands: bool) -> None:
    assert replace(SESSION, seen_at=seen).stands(now) is stands


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ({}, {}, False),
        ({}, {"name": "Anne"}, False),
        ({}, {"roles": frozenset({Role.AUTHOR, Role.ADMIN})}, False),
        ({}, {"roles": frozenset({Role.ADMIN})}, True),
        ({}, {"roles": frozenset()}, True),
        ({}, {"disabled_at": 5}, True),
        ({"disabled_at": 4}, {"disabled_at": 5}, False),
        ({"disabled_at": 4}, {}, False),
    ],
)
def test_a_user_loses_by_a_role_less_and_by_being_disabled(
    before: dict[str, object], after: dict[str, object], lost: bool
) -> None:
    assert replace(USER, **after).has_lost(replace(USER, **before)) is lost


def test_nothing_secret_is_shown() -> None:
    credential = Credential(workspace="acme", user="ann", version=3, password="$argon2id$", totp=b"sealed")
    departure = Departure(url="https://idp.example", state="st", nonce="no", verifier="ve")
    shown = f"{SESSION!r} {principal()!r} {credential!r} {departure!r}"
    assert shown == (
        "Session('ann' of 'acme') Principal('ann' of 'acme') Credential('ann' of 'acme', version 3) Departure()"
    )


def test_who_was_known_elsewhere_already_proved_nothing_by_signing_in() -> None:
    asked = {method: replace(SESSION, method=method).was_asked for method in ("password", ELSEWHERE, ELSEWHERE_ANEW)}
    assert asked == {"password": True, ELSEWHERE: False, ELSEWHERE_ANEW: True}
