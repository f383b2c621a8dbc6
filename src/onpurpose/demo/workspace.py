"""The workspace of the demo: its people, its keys and its documents, as they came to be over a fortnight."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct

from onpurpose.app.keys import OPERATOR, PERSONAL
from onpurpose.app.promotion import Candidate
from onpurpose.core.access import ApiKey, Scope
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import Kind
from onpurpose.core.token import RevocationKind
from onpurpose.demo.cast import APPROVERS, MEMBERS, VISITOR
from onpurpose.demo.moved_clock import DAY, DAYS, HOUR
from onpurpose.demo.parts import Parts

WORKSPACE: Final = OPERATOR
"""The workspace that a service begins with."""

AUTHOR, PROMOTER = "amara", "piet"

_DOCUMENTS: Final = Path(__file__).with_name("documents")
_SET_ASIDE: Final = MappingProxyType({"min_matched": 0, "min_days": 0, "would_deny": 1})
_PURPOSE_POLICIES: Final = ("support_lookup_business_hours", "household_payments_by_customers")


class Keys(Struct, kw_only=True):
    """What opens the demo. Keys are texts, the approvers' by user; `agents_key` is what the log names the agents' by.

    `password` is everybody's.
    """

    password: str
    admin: str
    visitor: str
    agents: str
    agents_key: ApiKey
    approvers: Mapping[str, str]

    def __repr__(self) -> str:
        return "Keys()"


class Change(NamedTuple):
    """What was changed in the workspace at a time."""

    at: int
    make: Callable[[], object]


def open_workspace(parts: Parts) -> Keys:
    """Make the workspace, its people and its keys, at the time of the clock."""
    admin = parts.control.keyring.first_key()
    if admin is None:
        raise OnPurposeError("the database has keys already: the demo takes a new one")
    parts.tokens.start()
    password = secrets.token_urlsafe(12)
    for one in MEMBERS:
        user = parts.control.keyring.create_user(
            WORKSPACE, one.id, one.name, one.email, one.groups, by="ada", roles=one.roles
        )
        parts.proofs.set_password(user, password, by=one.id)
    create = parts.control.keyring.create_key
    agents = create(WORKSPACE, "agents", [Scope.EVALUATE], by="ada")
    personal = {
        name: create(WORKSPACE, f"{name}'s own", PERSONAL, by="ada", user=name).secret for name in (VISITOR, *APPROVERS)
    }
    return Keys(
        password=password, admin=admin.secret, visitor=personal.pop(VISITOR), agents=agents.secret,
        agents_key=agents.key, approvers=personal,
    )  # fmt: skip


def write_documents(parts: Parts) -> None:
    """Write what is in force from the first day on."""
    _save_all(parts, Kind.SETTINGS, "settings.yaml", "who is asked")
    _save_all(parts, Kind.PURPOSE, "purposes/*.yaml", "what agents may say that they do")
    names = _save_all(parts, Kind.POLICY, "policies/*.yaml", "the first policies")
    _promote(parts, Kind.POLICY, *names, reason="nothing was decided before, so that there is nothing to watch")
    _save_all(parts, Kind.INDEX, "index.yaml", "which policy counts for which agent")
    for name in _PURPOSE_POLICIES:
        _save(parts, Kind.PURPOSE_POLICY, name, "to be watched before it decides")
    _save(parts, Kind.PURPOSE_POLICY, "pii_export_by_stewards", "nobody exports without two people who agree")
    _promote(parts, Kind.PURPOSE_POLICY, "pii_export_by_stewards", reason="ordered by the data protection officer")


def later_changes(parts: Parts, now: int) -> list[Change]:
    """What was changed since, in order."""

    def promote() -> None:
        parts.project()
        _promote(parts, Kind.PURPOSE_POLICY, "household_payments_by_customers", reason="a week in shadow, as agreed")

    def hasty() -> None:
        parts.project()
        _promote(parts, Kind.PURPOSE_POLICY, "support_lookup_business_hours", reason="the support leads asked for it")

    def back() -> None:
        parts.control.promotions.revert(
            WORKSPACE, [(Kind.PURPOSE_POLICY, "support_lookup_business_hours")],
            reason="contractors could not work: they get a policy of their own first", by=PROMOTER,
        )  # fmt: skip

    def revoke() -> None:
        parts.tokens.revoke(
            RevocationKind.AGENT, "intern-script", workspace=WORKSPACE, by="ada", reason="nobody knows whose it is"
        )
        parts.control.post.drain()

    start = now - DAYS * DAY
    morning = (start // DAY + 9) * DAY + 10 * HOUR  # when agents are busy, so that it is felt
    return [
        Change(start + 7 * DAY, promote),
        Change(morning, hasty),
        Change(morning + 3 * HOUR, back),
        Change(start + 10 * DAY, lambda: _save(parts, Kind.POLICY, "payments_agent", "finance proposes", "candidates")),
        Change(start + 11 * DAY, revoke),
        Change(start + 12 * DAY, lambda: _save(parts, Kind.PURPOSE_POLICY, "team_chat_by_staff", "a first attempt")),
    ]


def _save_all(parts: Parts, kind: Kind, pattern: str, reason: str) -> list[str]:
    """Save each file that the pattern names; their names."""
    files = sorted(_DOCUMENTS.glob(pattern))
    for file in files:
        _write(parts, kind, file, reason)
    return [file.stem for file in files]


def _save(parts: Parts, kind: Kind, name: str, reason: str, folder: str = "purpose-policies") -> None:
    _write(parts, kind, _DOCUMENTS / folder / f"{name}.yaml", reason)


def _write(parts: Parts, kind: Kind, file: Path, reason: str) -> None:
    text = file.read_text(encoding="utf-8")
    parts.control.library.save(WORKSPACE, kind, file.stem, text, author=AUTHOR, reason=reason, may_promote=True)


def _promote(parts: Parts, kind: Kind, *names: str, reason: str) -> None:
    candidates = [Candidate(kind=kind, name=name) for name in names]
    parts.control.promotions.promote(WORKSPACE, candidates, reason=reason, by=PROMOTER, overrides=_SET_ASIDE)
