"""A purpose policy as the fields of a form, and as YAML: each is made of the other.

What stands in a field need not be right. It is written into the YAML as it is, and the problems of the
YAML are told at the fields that they come from.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct

from onpurpose.core.purpose import TOKEN_TTL_MINUTES, PurposePolicy, Window
from onpurpose.core.routing import TIMEOUT_SECONDS, Route, Stage
from onpurpose.core.span import PolicyError, Problem, Span
from onpurpose.lang.hours import written
from onpurpose.lang.purposes import parse_purposes
from onpurpose.lang.write import name as plain
from onpurpose.lang.write import quoted

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


def fields_from(given: Mapping[str, str]) -> Fields:
    """The fields of a form as a browser sends it: a box that is not ticked is not there."""
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(Fields):
        sent = given.get(field.name)
        values[field.name] = sent is not None if field.type is bool else (sent or "").strip()
    return Fields(**values)  # type: ignore[arg-type]  # each has the type of its field


def compose(fields: Fields) -> str:
    """The YAML that the fields come to. It reads back as a policy where every field is right."""
    return "".join(f"{line}\n" for line in _lines(fields))


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


def _lines(fields: Fields) -> Iterator[str]:
    if fields.policy_id:
        yield f"policy_id: {plain(fields.policy_id)}"
    if fields.purpose_id:
        yield f"purpose_id: {plain(fields.purpose_id)}"
    yield "match:"
    yield f"  identity_required: {_truth(fields.identity_required)}"
    for key in LISTS:
        texts = parted(getattr(fields, key))
        if texts:
            alone = key == "data_source_id" and len(texts) == 1
            yield f"  {key}: {plain(texts[0]) if alone else _list(texts)}"
    yield from (f"  {line}" for line in _hours_lines(fields.hours))
    yield f"decision: {plain(fields.decision) if fields.decision else quoted('')}"
    if fields.token_ttl_minutes:
        yield f"token_ttl_minutes: {_number(fields.token_ttl_minutes)}"
    yield f"approval_required: {_truth(fields.approval_required)}"
    yield f"shadow_mode: {_truth(fields.shadow_mode)}"
    if fields.step_up:
        yield "step_up: true"
    if fields.approval_timeout_seconds:
        yield f"approval_timeout_seconds: {_number(fields.approval_timeout_seconds)}"
    yield from _approver_lines(fields.approvers)


def parted(text: str) -> tuple[str, ...]:
    """The texts of a field that holds several: parted by commas or line ends, in double quotes where they hold some."""
    try:
        rows = list(csv.reader(text.split("\n"), skipinitialspace=True))
    except csv.Error:  # longer than it reads: no name that could be right
        return (text,)
    return tuple(one.strip() for row in rows for one in row if one.strip())


def _hours_lines(text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if lines:
        yield "hours:"
    for line in lines:
        told = _HOURS.fullmatch(line)
        zone, windows = (told["zone"], told["windows"]) if told else ("", line)
        yield f"  - zone: {quoted(zone)}"
        yield f"    windows: {_list(_windows(windows))}"


def _windows(text: str) -> list[str]:
    return [one.strip() for one in text.split(";") if one.strip()]


def _approver_lines(text: str) -> Iterator[str]:
    indent = ""
    for number, line in enumerate(one.strip() for one in text.split("\n") if one.strip()):
        told = _STAGE.fullmatch(line)
        names, quorum, minutes = (told["names"], told["quorum"], told["minutes"]) if told else (line, None, None)
        yield f"{indent}{'then' if number else 'approvers'}:"
        indent += "  "
        yield f"{indent}from: {_list(parted(names))}"
        if quorum is not None:
            yield f"{indent}quorum: {_number(quorum)}"
        if minutes is not None:
            yield f"{indent}escalate_after_minutes: {_number(minutes)}"


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def _number(text: str) -> str:
    return text if _WHOLE.fullmatch(text) else quoted(text)


def _truth(value: bool) -> str:
    return "true" if value else "false"


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
