"""Bytes -> Call: what a body of `evaluate` may be. Every fault is told with its place.

What the application must get right is refused here (names, types); what only a model can get wrong, the
payload, is handed on as it is: the gate denies what it cannot read, and records that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

import orjson
from msgspec import ValidationError, convert

from onpurpose.core.call import Call, Identity
from onpurpose.server.problems import MOST_FAULTS, Fault, invalid, not_json, pointer

MAX_BATCH = 256
"""How many calls a batch may hold."""

MAX_APPROVAL_ID = 64
"""How long the id of an approval may be, in characters."""

_TEXT: frozenset[type] = frozenset({str, type(None)})
_OBJECT: frozenset[type] = frozenset({dict, type(None)})
_LIST: frozenset[type] = frozenset({list, type(None)})
_ANY: frozenset[type] = frozenset({dict, list, str, int, float, bool, type(None)})
_NAME: frozenset[type] = frozenset({str})
_KINDS: dict[str, frozenset[type]] = {
    "agent_id": _NAME,
    "capability": _NAME,
    "payload": _ANY,
    "task_context": _TEXT,
    "risk_category": _TEXT,
    "policy_context": _OBJECT,
    "identity": _OBJECT,
    "purpose_id": _TEXT,
    "data_source_id": _TEXT,
    "elements": _LIST,
    "policy": _TEXT,
    "policy_path": _TEXT,
    "conversation": _TEXT,
    "approval_id": _TEXT,
}
_WORDS = {
    _NAME: "a string", _TEXT: "a string or null", _OBJECT: "an object or null", _LIST: "a list of strings or null",
}  # fmt: skip
_REQUIRED = frozenset({"agent_id", "capability"})
_IDENTITY = frozenset({"user_id", "groups"})


class _Twice(ValueError):  # noqa: N818  what was met, not that something failed
    """A name that stands twice in one object."""


def read_json(body: bytes) -> Any:
    """The value of a JSON text. Raises the 400 problem; a name that stands twice in an object is refused.

    Of such an object one reader takes the first value and another the last: what is judged here would
    not be what the tool is given.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise not_json(f"the body is not JSON in UTF-8: {error.msg}") from None
    if not _is_unambiguous(body, value):
        _refuse_twice(body)
    return value


def _is_unambiguous(body: bytes, value: object) -> bool:
    """Whether no name can stand twice: each takes a colon, and none was lost on the way to the value.

    A colon within a text is one in both, but for those written as an escape.
    """
    if b"\\u" in body:
        return False
    try:
        return body.count(b":") == orjson.dumps(value).count(b":")
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return False


def _refuse_twice(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_pairs)
    except _Twice as twice:
        raise not_json(f"the name {str(twice)[:128]!r} stands twice in one object") from None
    except RecursionError:
        raise not_json("the body is nested too deeply") from None


def _pairs(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise _Twice(name)
        seen.add(name)


class _Asked(Call, eq=False, forbid_unknown_fields=True):
    """A call with what is asked beside it, in the form that nearly all have: it is read in one step."""

    policy_context: Any = None
    policy: str | None = None
    policy_path: str | None = None
    approval_id: str | None = None


def read_call(value: Any) -> tuple[Call, str | None, str | None]:
    """The call, the policy it names, and the approval whose grant it is to use. Raises the 422 problem."""
    try:
        asked = convert(value, _Asked)
    except ValidationError:
        return read_call_by_field(value)
    context = asked.policy_context
    if asked.policy_path is None and asked.approval_id is None and (context is None or type(context) is dict):
        return asked, asked.policy, None
    return read_call_by_field(value)


def read_call_by_field(value: Any) -> tuple[Call, str | None, str | None]:
    """As `read_call`, of any form, with each fault in its place."""
    faults = call_faults(value)
    if faults:
        raise invalid(faults)
    approval_id = value.get("approval_id")
    if approval_id is not None and not 1 <= len(approval_id) <= MAX_APPROVAL_ID:
        raise invalid([Fault("/approval_id", f"must be 1 to {MAX_APPROVAL_ID} characters")])
    return *make_call(value), approval_id


def read_batch(value: Any) -> list[tuple[Call, str | None]]:
    """The calls of `{"calls": [...]}`, in order. Raises the 422 problem; then none of them is judged."""
    if type(value) is not dict or list(value) != ["calls"] or type(value["calls"]) is not list:
        raise invalid([Fault("", "must be an object with the one field `calls`, a list")])
    calls = value["calls"]
    if not 1 <= len(calls) <= MAX_BATCH:
        raise invalid([Fault("/calls", f"must hold 1 to {MAX_BATCH} calls")])
    faults: list[Fault] = []
    for number, one in enumerate(calls):
        place = f"/calls/{number}"
        faults += call_faults(one, place)
        if type(one) is dict and one.get("approval_id") is not None:
            faults.append(Fault(f"{place}/approval_id", "is for one call at a time: ask `/v1/evaluate`"))
        if len(faults) >= MOST_FAULTS:
            break
    if faults:
        raise invalid(faults)
    return [make_call(one) for one in calls]


def call_faults(value: Any, place: str = "") -> list[Fault]:
    """What is wrong with the form of a call that stands at a place of a body. Empty: `make_call` can read it."""
    if type(value) is not dict:
        return [Fault(place, "must be an object")]
    faults: list[Fault] = []
    for name, item in value.items():
        kind = _KINDS.get(name)
        if kind is None:
            faults.append(Fault(place + pointer(name), _unknown(name, _KINDS)))
        elif type(item) not in kind:
            faults.append(Fault(f"{place}/{name}", f"must be {_WORDS[kind]}"))
        if len(faults) >= MOST_FAULTS:  # before a hostile body makes a long list of them
            break
    if faults:
        return faults
    if not value.keys() >= _REQUIRED:
        faults += [Fault(f"{place}/{name}", "is required") for name in sorted(_REQUIRED - value.keys())]
    identity, elements = value.get("identity"), value.get("elements")
    if identity is not None:
        _check_identity(identity, place, faults)
    if elements is not None and not _NAME.issuperset(map(type, elements)):
        _check_texts(elements, f"{place}/elements", faults)
    if "policy_path" in value and value["policy_path"] is not None and value.get("policy") is not None:
        faults.append(Fault(f"{place}/policy_path", "is another name of `policy`: give one of them"))
    return faults


def make_call(value: Mapping[str, Any]) -> tuple[Call, str | None]:
    """The call of a value without faults, and the policy it names."""
    get = value.get
    identity, elements = get("identity"), get("elements")
    call = Call(  # by position: names cost, on every call
        value["agent_id"],
        value["capability"],
        get("payload"),
        get("policy_context"),
        get("task_context"),
        get("risk_category"),
        None if identity is None else Identity(identity["user_id"], tuple(identity.get("groups") or ())),
        get("purpose_id"),
        get("data_source_id"),
        None if elements is None else tuple(elements),
        get("conversation"),
    )
    policy = get("policy")
    return call, policy if policy is not None else get("policy_path")


def _check_identity(identity: dict[str, Any], place: str, faults: list[Fault]) -> None:
    place = f"{place}/identity"
    if not identity.keys() <= _IDENTITY:
        strange = islice((name for name in identity if name not in _IDENTITY), MOST_FAULTS)
        faults.extend(Fault(place + pointer(name), _unknown(name, _IDENTITY)) for name in strange)
    if type(identity.get("user_id")) is not str:
        faults.append(Fault(f"{place}/user_id", "must be a string"))
    groups = identity.get("groups")
    if groups is None:
        return
    if type(groups) is not list:
        faults.append(Fault(f"{place}/groups", "must be a list of strings or null"))
    elif not _NAME.issuperset(map(type, groups)):
        _check_texts(groups, f"{place}/groups", faults)


def _check_texts(items: list[object], place: str, faults: list[Fault]) -> None:
    strange = (number for number, item in enumerate(items) if type(item) is not str)
    faults.extend(Fault(f"{place}/{number}", "must be a string") for number in islice(strange, MOST_FAULTS))


def _unknown(name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    near = get_close_matches(name[:64], known, 1)
    return f"is no field of a call; did you mean `{near[0]}`?" if near else "is no field of a call"
