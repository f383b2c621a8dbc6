"""A purpose policy as the fields of a form, and as YAML: each is made of the other.

What stands in a field need not be right. It is written into the YAML as it is, and the problems of the
YAML are told at the fields that they come from.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from onpurpose.core.purpose import TOKEN_TTL_MINUTES, PurposePolicy, Window
from onpurpose.core.routing import TIMEOUT_SECONDS, Route, Stage
from onpurpose.core.span import PolicyError, Problem, Span
from onpurpose.lang.amend import Tree, amended, tree_of
from onpurpose.lang.hours import written
from onpurpose.lang.purposes import parse_purposes
from onpurpose.lang.write import tree_lines

LISTS = ("user_groups", "data_source_id", "agent_ids", "capabilities", "environments")
"""Fields that hold several texts, parted by commas; one that holds a comma stands in double quotes."""

_STAGE = re.compile(r"(?:(?P<quorum>\S+) of )?(?P<names>.*?)(?:; next after (?P<minutes>\S+) min)?")
_HOURS = re.compile(r"(?P<zone>[^:,\s]+)\s*:\s*(?P<windows>.+)")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_KEY = re.compile(r"\s*(?:-\s+)?(\w+)\s*:")
_NAMED = re.compile(r"`(\w+)`")
_BELOW = {
    "zone": "hours", "windows": "hours", "from": "approvers", "quorum": "approvers", "then": "approvers",
    "escalate_after_minutes": "approvers",
}  # fmt: skip


class Fields(Struct, frozen=True, kw_only=True):
    """What stands in the form. Texts are as typed; those of `LISTS` hold several, parted by commas.

    `hours` has lines like `Europe/Berlin: mon-fri 08:00-18:00`, `approvers` a line a stage, like
    `2 of group:finance, user:ann; next after 30 min`.
    """

    policy_id: str = ""
    purpose_id: str = ""
    identity_required: bool = True
    user_groups: str = ""
    data_source_id: str = ""
    agent_ids: str = ""
    capabilities: str = ""
    environments: str = ""
    hours: str = ""
    decision: str = "allow"
    token_ttl_minutes: str = str(TOKEN_TTL_MINUTES)
    approval_required: bool = False
    approvers: str = ""
    approval_timeout_seconds: str = ""
    step_up: bool = False
    shadow_mode: bool = True


NAMES = Fields.__struct_fields__
"""The names of the fields, in the order of the form."""

_MATCH = ("identity_required", *LISTS, "hours")
_ORDER = (
    "policy_id", "purpose_id", "match", "decision", "token_ttl_minutes", "approval_required", "shadow_mode", "step_up",
    "approval_timeout_seconds", "approvers",
)  # fmt: skip


def fields_from(given: Mapping[str, str]) -> Fields:
    """The fields of a form as a browser sends it: a box that is not ticked is not there."""
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(Fields):
        sent = given.get(field.name)
        values[field.name] = sent is not None if field.type is bool else (sent or "").strip()
    return Fields(**values)  # type: ignore[arg-type]  # each has the type of its field


def compose(fields: Fields) -> str:
    """The YAML that the fields come to. It reads back as a policy where every field is right."""
    return "".join(f"{line}\n" for line in tree_lines(_said(fields)))


def edited(text: str, before: Fields, after: Fields) -> str:
    """The YAML where the fields that differ are changed, and every other line stays as it is, comments and all.

    `before` is what `fields_of` finds in the text.
    """
    tree, said = tree_of(text), _said(after)
    changed = {name for name in NAMES if getattr(before, name) != getattr(after, name)}
    if "purpose_id" in changed and before.policy_id and "policy_id" not in tree:
        changed.add("policy_id")  # without one of its own the policy would be called as its new purpose
    for name in NAMES:
        if name in changed and name in _MATCH:
            inside = _with(tree.get("match", {}), name, said["match"].get(name), _MATCH)
            tree = _with(tree, "match", inside or {"identity_required": True}, _ORDER)  # empty it may not be
        elif name in changed:
            tree = _with(tree, name, said.get(name), _ORDER)
    return amended(text, tree)


def fields_of(policy: PurposePolicy) -> Fields | None:
    """The fields that `compose` makes the policy of; `None` where the form cannot show all of it."""
    match, route = policy.match, policy.route
    found = Fields(
        policy_id=policy.policy_id,
        purpose_id=policy.purpose_id,
        identity_required=match.identity_required,
        **{key: _joined(getattr(match, key) or ()) for key in LISTS},
        hours=_hours_text(match.hours),
        decision=str(policy.decision),
        token_ttl_minutes=str(policy.token_ttl_minutes),
        approval_required=policy.approval_required,
        approvers="" if route is None else "\n".join(map(_stage_text, route.stages)),
        approval_timeout_seconds=_timeout_text(route),
        step_up=route is not None and route.step_up,
        shadow_mode=policy.shadow_mode,
    )
    return found if _says(compose(found), policy) else None


def field_at(problem: Problem, text: str) -> str:
    """The field that a problem of the text stands at; empty where it is of none, or of the whole."""
    if problem.code == "missing-key":
        named = [name for name in _NAMED.findall(problem.message) if name in NAMES]
        return named[-1] if named else ""
    for line in reversed(text.split("\n")[: problem.span.line]):
        key = _KEY.match(line)
        if key is not None:
            name = _BELOW.get(key[1], key[1])
            return name if name in NAMES else ""
    return ""


# -- fields into YAML


def _said(fields: Fields) -> dict[str, Tree]:
    """What the fields come to, key by key in the order of `_ORDER`; a key whose field is empty is left out."""
    found: dict[str, Tree] = {
        "policy_id": fields.policy_id,
        "purpose_id": fields.purpose_id,
        "match": {
            "identity_required": fields.identity_required,
            **{key: texts for key in LISTS if (texts := list(parted(getattr(fields, key))))},
        },
        "decision": fields.decision,
        "token_ttl_minutes": _number(fields.token_ttl_minutes),
        "approval_required": fields.approval_required,
        "shadow_mode": fields.shadow_mode,
        "step_up": fields.step_up or "",
        "approval_timeout_seconds": _number(fields.approval_timeout_seconds),
        "approvers": _stages(fields.approvers),
    }
    sources, hours = found["match"].get("data_source_id", ()), _hours(fields.hours)
    if len(sources) == 1:
        found["match"]["data_source_id"] = sources[0]
    if hours:
        found["match"]["hours"] = hours
    return {key: value for key, value in found.items() if value != "" or key == "decision"}


def parted(text: str) -> tuple[str, ...]:
    """The texts of a field that holds several: parted by commas or line ends, in double quotes where they hold some."""
    try:
        rows = list(csv.reader(text.split("\n"), skipinitialspace=True))
    except csv.Error:  # longer than it reads: no name that could be right
        return (text,)
    return tuple(one.strip() for row in rows for one in row if one.strip())


def _hours(text: str) -> list[Tree]:
    found = []
    for line in _lines(text):
        told = _HOURS.fullmatch(line)
        zone, windows = (told["zone"], told["windows"]) if told else ("", line)
        found.append({"zone": zone, "windows": [one.strip() for one in windows.split(";") if one.strip()]})
    return found


def _stages(text: str) -> Tree:
    """The stages that the lines state; of one that names approvers alone, these."""
    found: Tree = ""
    for line in reversed(_lines(text)):
        told = _STAGE.fullmatch(line)
        names, quorum, minutes = (told["names"], told["quorum"], told["minutes"]) if told else (line, None, None)
        named = {"quorum": quorum, "escalate_after_minutes": minutes}
        stage = {"from": list(parted(names)), **{key: _number(one) for key, one in named.items() if one is not None}}
        if found:
            stage["then"] = found
        found = stage if len(stage) > 1 else stage["from"]
    return found


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _number(text: str) -> int | str:
    return int(text) if _WHOLE.fullmatch(text) else text


# -- fields changed within a text


def _with(tree: dict[str, Tree], key: str, value: Tree, order: Sequence[str]) -> dict[str, Tree]:
    """The tree with the value under the key, where it stands already or after what the order puts before it.

    Without a value, the tree without the key.
    """
    if value is None:
        return {one: inside for one, inside in tree.items() if one != key}
    if key in tree:
        return {**tree, key: value if key == "match" else _like(tree[key], value)}
    before = [one for one in tree if one in order[: order.index(key)]]
    at = list(tree).index(before[-1]) + 1 if before else 0
    pairs = list(tree.items())
    return dict([*pairs[:at], (key, value), *pairs[at:]])


def _like(old: Tree, new: Tree) -> Tree:
    """What is new, in the manner of the old where there are several: one text for a list of one, and so on."""
    match old, new:
        case dict(), list() if "from" in old:
            return _like(old, {"from": new})
        case dict() | str(), [one]:
            return _like(old, one)
        case list(), str():
            return [new]
        case list(), list():
            return [*map(_like, old, new), *new[len(old) :]]
        case dict(), dict():
            full = {"quorum": 1, **new} if "quorum" in old else new
            kept = [key for key in old if key in full]
            return {key: _like(old[key], full[key]) if key in old else full[key] for key in [*kept, *full]}
    return new


# -- and back


def _joined(texts: Iterable[str]) -> str:
    return ", ".join('"' + one.replace('"', '""') + '"' if {",", '"'} & set(one) else one for one in texts)


def _hours_text(windows: tuple[Window, ...] | None) -> str:
    return "\n".join(f"{zone}: {'; '.join(texts)}" for zone, texts in written(windows or ()))


def _stage_text(stage: Stage) -> str:
    quorum = f"{stage.quorum} of " if stage.quorum != 1 else ""
    seconds = stage.escalate_after_seconds
    after = "" if seconds is None else f"; next after {seconds // 60} min"
    return f"{quorum}{_joined(stage.approvers)}{after}"


def _timeout_text(route: Route | None) -> str:
    return "" if route is None or route.timeout_seconds == TIMEOUT_SECONDS else str(route.timeout_seconds)


_NOWHERE = Span("", 1, 1)


def _says(text: str, policy: PurposePolicy) -> bool:
    """Whether the text states just that policy."""
    try:
        found = parse_purposes(text)
    except PolicyError:
        return False
    return [_bare(one) for one in found if isinstance(one, PurposePolicy)] == [_bare(policy)]


def _bare(policy: PurposePolicy) -> PurposePolicy:
    """The policy without its place; a route that says nothing is none."""
    return msgspec.structs.replace(policy, span=_NOWHERE, route=None if policy.route == Route() else policy.route)
