"""Who is asked, as policies and settings write it: `approvers`, `step_up` and `notify`."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from onpurpose.core.routing import ANYONE, GROUP, TIMEOUT_SECONDS, USER, Route, Stage
from onpurpose.core.wording import flow
from onpurpose.lang import shapes
from onpurpose.lang.nodes import Mapping, Node, Sequence
from onpurpose.lang.report import Report, shortened
from onpurpose.lang.write import quoted

MAX_APPROVERS = 50
"""How many approvers a stage may name."""

MAX_QUORUM = 20
"""How many people a stage may ask for."""

MAX_STAGES = 4
"""How many stages an approval may have."""

MAX_APPROVAL_TIMEOUT = 30 * 24 * 3600
"""The longest that an approval may stay open, in seconds."""

MAX_ESCALATION_MINUTES = 7 * 24 * 60
"""The longest that somebody may be waited for before the next one is told, in minutes."""

STAGE_KEYS = ("from", "quorum", "escalate_after_minutes", "then")
"""Every key of `approvers` where it is a mapping."""

_MAX_NAME = 256
_NAMED = re.compile(r"(?:user|group):\S(?:.*\S)?")
_CURE = "write `approvers: [group:finance]`, or `approvers: {from: [group:finance], quorum: 2}`"
_FORM = shapes.Form("approvers", _CURE, STAGE_KEYS, ("from",))


def approvers(node: Node, report: Report, name: str) -> tuple[Stage, ...] | None:
    """The stages that the node states, at least one: a text, a list of texts, or a mapping with `from`."""
    stages: list[Stage] = []
    whole = True
    while isinstance(node, Mapping):
        if len(stages) >= MAX_STAGES:
            report.on(node, "too-many", f"`{name}` has at most {MAX_STAGES} stages", "ask more people in one of them")
            return None
        fields = shapes.fields(node, report, _FORM)
        stage = _stage(fields, report)
        whole = whole and stage is not None
        stages.append(stage or Stage(approvers=(ANYONE,)))
        if "then" not in fields:
            return tuple(stages) if whole else None
        node = fields["then"]
    named = _people(node, report, name)
    if named is None or not whole:
        return None
    if len(stages) >= MAX_STAGES:
        report.on(node, "too-many", f"`{name}` has at most {MAX_STAGES} stages", "ask more people in one of them")
        return None
    return (*stages, Stage(approvers=named))


def _stage(fields: dict[str, Node], report: Report) -> Stage | None:
    found: dict[str, Any] = {}
    for key, read in _READ.items():
        if key in fields:
            found[key] = read(fields[key], report, key)
    if "from" not in found or None in found.values():
        return None
    named, quorum, minutes = found["from"], found.get("quorum", 1), found.get("escalate_after_minutes")
    if all(one.startswith(USER) for one in named) and quorum > len(named):
        message = f"`quorum` is {quorum}, but `from` names {len(named)} people: it can never be met"
        report.on(fields["quorum"], "never", message, "name more people, or a group, or lower the quorum")
        return None
    if minutes is not None and len(named) == 1:
        message = "`escalate_after_minutes` tells one approver after another, but `from` names only one"
        report.on(fields["escalate_after_minutes"], "never", message, "name the next one in `from`, or remove it")
        return None
    return Stage(approvers=named, quorum=quorum, escalate_after_seconds=None if minutes is None else minutes * 60)


def _people(node: Node, report: Report, name: str) -> tuple[str, ...] | None:
    if isinstance(node, Sequence) and len(node.children) > MAX_APPROVERS:
        report.on(node, "too-many", f"`{name}` names at most {MAX_APPROVERS} approvers", "name a group of them")
        return None
    return shapes.each(node, report, name, partial(_person, report))


def _person(report: Report, node: Node, text: str) -> str | None:
    if text == ANYONE or (len(text) <= _MAX_NAME and _NAMED.fullmatch(text)):
        return text
    message = f"`{shortened(text)}` names no approver: `group:NAME`, `user:ID` or `{ANYONE}`"
    report.on(node, "malformed-approver", message, _person_cure(text))
    return None


def _person_cure(text: str) -> str:
    bare = text.rpartition(":")[2].strip()
    if not bare or len(text) > _MAX_NAME:
        return f"write a name of at most {_MAX_NAME} characters: `{GROUP}finance`"
    return f"write `{GROUP}{shortened(bare)}` for a group, `{USER}{shortened(bare)}` for one person"


def _quorum(node: Node, report: Report, name: str) -> int | None:
    return shapes.whole_number(node, report, name, 1, MAX_QUORUM)


def _minutes(node: Node, report: Report, name: str) -> int | None:
    return shapes.whole_number(node, report, name, 1, MAX_ESCALATION_MINUTES)


_READ: dict[str, Any] = {"from": _people, "quorum": _quorum, "escalate_after_minutes": _minutes}


ROUTE_READERS: dict[str, Any] = {"approvers": approvers, "step_up": shapes.truth}
"""What reads each key that says who is asked."""

ROUTE_KEYS = tuple(ROUTE_READERS)
"""Every key that says who is asked, in a rule, a policy, a purpose policy and the settings."""


def route_of(found: dict[str, Any], timeout_seconds: int = TIMEOUT_SECONDS) -> Route | None:
    """What the keys come to, once read; `None` where none of them was given."""
    stages, step_up = found.get("approvers"), found.get("step_up")
    if stages is None and step_up is None:
        return None
    return Route(stages=stages or (), step_up=bool(step_up), timeout_seconds=timeout_seconds)


def timeout(node: Node, report: Report, name: str) -> int | None:
    """How long an approval stays open, in seconds."""
    return shapes.whole_number(node, report, name, 1, MAX_APPROVAL_TIMEOUT)


ASKING_READERS: dict[str, Any] = {**ROUTE_READERS, "approval_timeout_seconds": timeout}
"""What reads each key of a purpose policy that says who is asked, and for how long."""

ASKING_KEYS = frozenset(ASKING_READERS)


def asking_route(found: dict[str, Any]) -> Route | None:
    """What the keys of a purpose policy come to, once read; `None` where none of them was given."""
    seconds = found.get("approval_timeout_seconds")
    if seconds is None:
        return route_of(found)
    return route_of(found, seconds) or Route(timeout_seconds=seconds)


def write_asking(route: Route) -> list[str]:
    """The lines of a purpose policy that read back as the route."""
    lines = [f"step_up: {flow(route.step_up)}", f"approval_timeout_seconds: {route.timeout_seconds}"]
    indent = ""
    for number, stage in enumerate(route.stages):
        lines.append(f"{indent}{'then' if number else 'approvers'}:")
        indent += "  "
        lines.append(f"{indent}from: [{', '.join(map(quoted, stage.approvers))}]")
        lines.append(f"{indent}quorum: {stage.quorum}")
        if stage.escalate_after_seconds is not None:
            lines.append(f"{indent}escalate_after_minutes: {stage.escalate_after_seconds // 60}")
    return lines


def tell_needless(key: Node, report: Report, name: str, where: str) -> None:
    """Tell that the key stands where nobody is asked."""
    message = f"`{name}` says who is asked, but {where} asks nobody"
    report.on(key, "needless", message, "remove it, or have the call ask: `require_approval`")
