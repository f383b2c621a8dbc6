"""Approvals and views of them, as mails are made of."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from onpurpose.app.links import Links
from onpurpose.core.approval import Approval, open_approval
from onpurpose.core.delivery import Channel, Delivery, Event, View
from onpurpose.core.routing import Route, Stage

NOW = 1_795_000_000_000_000
SECOND = 1_000_000
LINKS = Links("0123456789abcdef0123456789abcdef", "https://gate.example")
FROM = "Approvals <approvals@gate.example>"
CONTEXT: dict[str, object] = {
    "agent_id": "agent-7",
    "user": {"id": "kim", "groups": ["support", "tier-2"]},
    "capability": "crm.export",
    "purpose": {"id": "quarterly", "name": "Quarterly report", "description": "Numbers", "elements": ["crm.name"]},
    "elements": ["crm.name", "crm.email"],
    "data_source_id": "salesforce_prod",
    "policy_context": {"environment": "production", "tenant": "acme"},
    "payload": '{\n  "table": "customers",\n  "limit": 500\n}',
    "payload_cut": 0,
    "changed": {"since": "a0", "lines": ["- limit: 50", "+ limit: 500"]},
    "rules": [{"at": "crm.yaml:12", "capability": "crm.*", "outcome": "require_approval", "message": "exports"}],
    "unknown": [{"condition": "amount_gt", "why": "no amount", "settle": "give an amount"}],
    "intent": {"label": "bulk_export", "class": "export", "confidence": 0.87},
    "signals": [{"name": "many_rows", "weight": 3, "certain": False}],
    "similar": [{"id": "a0", "state": "denied", "by": "bob", "when": "2026-11-17", "text": "too many rows"}],
    "asked_by": "crm key",
    "decision_id": "d1",
}


def approval(**changed: Any) -> Approval:
    route = Route(stages=(Stage(approvers=("group:approvers",), quorum=2),), step_up=changed.pop("step_up", False))
    fields: dict[str, Any] = {
        "id": "a1", "workspace": "acme", "digest": "d", "agent_id": "agent-7", "capability": "crm.export",
        "routes": (route,), "context": b"{}", "opened_at": NOW, "until": 0, "wake_at": None,
    }  # fmt: skip
    return open_approval(Approval(**(fields | changed)))


def message(event: Event = Event.REQUESTED, **changed: Any) -> Delivery:
    fields: dict[str, Any] = {
        "id": "0123456789abcdef0123456789abcdef", "workspace": "acme", "approval_id": "a1", "channel": Channel.EMAIL,
        "event": event, "recipient": "anna", "created_at": NOW, "due_at": NOW,
    }  # fmt: skip
    return Delivery(**(fields | changed))


def view(**changed: Any) -> View:
    one = changed.pop("approval", None) or approval()
    fields: dict[str, Any] = {
        "approval": one, "context": CONTEXT, "now": NOW + 600 * SECOND, "address": "anna@example.com",
        "name": "Anna Åberg", "link": "" if one.step_up else LINKS.url(one, "anna", "n1"), "page": LINKS.page(one),
    }  # fmt: skip
    return replace(View(**(fields | changed)))
