"""What pages say of purposes: which one a policy is for, and whether it can be declared."""

from __future__ import annotations

from collections.abc import Iterable

from onpurpose.app.proofreading import stated
from onpurpose.app.shelf import Shelf
from onpurpose.core.feed import Entry
from onpurpose.core.purpose import Purpose, PurposePolicy
from onpurpose.core.revision import Kind, Revision, Standing
from onpurpose.core.token import LONGEST_SECONDS
from onpurpose.server.api.tokens import Tokens

MOST_CALLS = 200
"""How many of the newest calls under a purpose are looked at, to tell who uses it."""

_SECOND = 1_000_000


def purpose_id_of(shelf: Shelf, workspace: str, standing: Standing) -> str:
    """The purpose that a purpose policy is for; empty for another kind, and where it cannot be read."""
    if standing.kind is not Kind.PURPOSE_POLICY:
        return ""
    one = _in_force(shelf, workspace, standing)
    document = None if one is None else stated(one.text)
    return document.purpose_id if isinstance(document, PurposePolicy) else ""


def purpose_of(shelf: Shelf, workspace: str, purpose_id: str) -> Purpose | None:
    """The purpose as it is in force; `None` where there is none."""
    standing = shelf.find(workspace, Kind.PURPOSE, purpose_id)
    one = None if standing is None else _in_force(shelf, workspace, standing)
    document = None if one is None else stated(one.text)
    return document if isinstance(document, Purpose) else None


def status_of(shelf: Shelf, workspace: str, purpose_id: str) -> str:
    """The purpose's status; empty where there is none."""
    purpose = purpose_of(shelf, workspace, purpose_id)
    return "" if purpose is None else str(purpose.status)


def policies_of(shelf: Shelf, workspace: str, purpose_id: str) -> list[Standing]:
    """The purpose policies that are for the purpose."""
    standings = shelf.standings(workspace, Kind.PURPOSE_POLICY)
    return [one for one in standings if purpose_id_of(shelf, workspace, one) == purpose_id]


def alive(
    entries: Iterable[Entry], purpose: Purpose | None, now: int, tokens: Tokens
) -> list[tuple[Entry, int]]:  # fmt: skip
    """Calls under a purpose whose tokens may be alive, each with when they have expired at the latest."""
    seconds = min(LONGEST_SECONDS if purpose is None else purpose.ttl_seconds, LONGEST_SECONDS)
    ends = [(one, one.at + seconds * _SECOND) for one in entries if one.outcome.permits]
    return [(one, end) for one, end in ends if end > now and not _is_revoked(one, tokens)]


def _is_revoked(entry: Entry, tokens: Tokens) -> bool:
    return tokens.is_revoked(entry.workspace, entry.decision_id, entry.purpose_id or "", entry.agent_id, entry.at)


def _in_force(shelf: Shelf, workspace: str, standing: Standing) -> Revision | None:
    """The revision in shadow, or else the live one."""
    number = standing.shadow if standing.shadow is not None else standing.live
    return None if number is None else shelf.contents(workspace).texts.get((standing.kind, standing.name, number))
