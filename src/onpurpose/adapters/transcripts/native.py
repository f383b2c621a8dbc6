"""`calls`: one call a line, under the names that the contract gives its fields."""

from __future__ import annotations

from collections.abc import Iterator

from onpurpose.adapters.transcripts.documents import problem, text_or_none
from onpurpose.core.call import Call, Identity
from onpurpose.core.history import RecordedCall
from onpurpose.core.span import Problem, Span


def recognises(value: object) -> bool:
    """Whether the document looks like one of this format."""
    return isinstance(value, dict) and "capability" in value


def calls(value: object, at: Span) -> Iterator[RecordedCall | Problem]:
    """The call of one document: `capability` and what is known beside it.

    Read are `agent_id` (default `replay`), `payload`, `policy_context`, `task_context`,
    `risk_category`, `identity` (`user_id`, `groups`), `purpose_id`, `session`, `label` and `note`;
    other fields are passed over.
    """
    if not isinstance(value, dict):
        yield problem(at, "no-call", "a call is a JSON object")
        return
    try:
        call = _call(value)
    except ValueError as error:
        yield problem(at, "no-call", str(error))
        return
    session, label, note = (text_or_none(value.get(name)) for name in ("session", "label", "note"))
    yield RecordedCall(call=call, at=at, session=session, label=label, note=note)


def _call(value: dict[str, object]) -> Call:
    capability, context = value.get("capability"), value.get("policy_context")
    if not isinstance(capability, str):
        raise ValueError("`capability` is missing or no string")
    if context is not None and not isinstance(context, dict):
        raise ValueError("`policy_context` is no object")
    return Call(
        _label(value, "agent_id") or "replay",
        capability,
        value.get("payload"),
        context,
        task_context=_label(value, "task_context"),
        risk_category=_label(value, "risk_category"),
        identity=_identity(value.get("identity")),
        purpose_id=_label(value, "purpose_id"),
    )


def _label(value: dict[str, object], name: str) -> str | None:
    label = value.get(name)
    if label is not None and not isinstance(label, str):
        raise ValueError(f"`{name}` is no string")
    return label


def _identity(value: object) -> Identity | None:
    if value is None:
        return None
    user = value.get("user_id") if isinstance(value, dict) else None
    groups = value.get("groups") or [] if isinstance(value, dict) else None
    if not isinstance(user, str) or not isinstance(groups, list):
        raise ValueError("`identity` is no object with a `user_id` and a list of `groups`")
    if not all(isinstance(group, str) for group in groups):
        raise ValueError("`identity.groups` holds something that is no string")
    return Identity(user, tuple(groups))
