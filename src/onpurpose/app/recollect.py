"""A decision's record -> the call that was decided. What the record hides is unknown, never a value.

The digest in a record is that of the call as it was made. Where the recorded call has the same digest,
nothing that it covers was masked. Where it has another, each value that bears the mark of masking could
have been anything; and if none bears it, the whole payload could. Calls that a service was asked came as
JSON, so that nothing but masking changes them on their way into the record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from onpurpose.core.call import Call, Identity
from onpurpose.core.canonical import digest
from onpurpose.core.facts import Facts, Malformed
from onpurpose.core.values import OPAQUE

_MARK = "[masked"
_STAND_IN = re.compile(r"\[(?:unreadable|\d+ bytes|integer of \d+ bits)\]")


class Recollected(Struct, frozen=True, kw_only=True):
    """A call that was decided `at` (microseconds UTC), by the policy that it named, if any.

    `masked` says that something in it was hidden, and is unknown here; `asked` that policies asked for a
    person's consent, and the call named an approval. `confidence` is the intent classifier's (0..1), `None`
    without one.
    """

    call: Call
    at: int
    policy: str | None
    masked: bool
    asked: bool
    confidence: float | None


class _Person(Struct, gc=False):
    user_id: str
    groups: tuple[str, ...] | None = None


class _Intent(Struct, gc=False):
    confidence: float | None = None


class _Body(Struct):
    at: Annotated[int, Meta(ge=0, lt=1 << 62)]
    agent_id: str
    capability: str
    digest: str | None
    payload: object = None
    policy_context: object = None
    task_context: str | None = None
    risk_category: str | None = None
    identity: _Person | None = None
    purpose_id: str | None = None
    data_source_id: str | None = None
    elements: tuple[str, ...] | None = None
    intent: _Intent | None = None
    policy: str | None = None
    approval: object = None


_BODY = msgspec.json.Decoder(_Body)


def recollect(body: bytes) -> Recollected | None:
    """The call that a decision's record tells of; `None` where it could not be read when it was made, or cannot now."""
    try:
        told = _BODY.decode(body)
        return None if told.digest is None else _recollect(told, told.digest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Malformed):
        return None


def _recollect(told: _Body, made: str) -> Recollected:
    context = told.policy_context if isinstance(told.policy_context, dict) else None
    call = _call(told, told.payload, context)
    known = None if context is None else {key: value for key, value in context.items() if not _hides(value)}
    masked, payload = known != context, told.payload
    if digest(call, Facts(call)) != made:
        masked, payload = True, _unknown(payload)
        if payload == told.payload and not _is_covered(context or {}, known or {}):  # something is not as it was
            payload, known = None, None
    return Recollected(
        call=_call(told, payload, known) if masked else call,
        at=told.at,
        policy=told.policy,
        masked=masked,
        asked=told.approval is not None,
        confidence=None if told.intent is None else told.intent.confidence,
    )


def _call(told: _Body, payload: object, context: Mapping[str, object] | None) -> Call:
    person = told.identity
    return Call(
        agent_id=told.agent_id,
        capability=told.capability,
        payload=payload,
        policy_context=context,
        task_context=told.task_context,
        risk_category=told.risk_category,
        identity=None if person is None else Identity(person.user_id, person.groups or ()),
        purpose_id=told.purpose_id,
        data_source_id=told.data_source_id,
        elements=told.elements,
    )


def _is_covered(context: Mapping[str, object], known: Mapping[str, object]) -> bool:
    """Whether a value of the context is hidden that the digest covers."""
    return any(key in context and key not in known for key in ("environment", "user_role", "tenant"))


def _unknown(payload: object) -> object:
    """The payload, each hidden value in it unreadable; none at all where all of it is hidden."""
    found = _shown(payload)
    return None if found is OPAQUE else found


def _shown(value: object) -> object:
    if isinstance(value, str):
        return OPAQUE if _is_mark(value) else value
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if not isinstance(value, dict):
        return value
    if any(_MARK in key for key in value):  # the name could be any, and several may have become one
        return OPAQUE
    return {key: _shown(item) for key, item in value.items()}


def _hides(value: object) -> bool:
    """Whether a value, or anything in it, is hidden."""
    if isinstance(value, dict):
        return any(_MARK in key or _hides(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(_hides, value))
    return isinstance(value, str) and _is_mark(value)


def _is_mark(text: str) -> bool:
    return _MARK in text or _STAND_IN.fullmatch(text) is not None
