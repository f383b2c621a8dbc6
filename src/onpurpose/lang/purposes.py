"""Purposes and purpose policies: YAML text, one document or several -> values, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from onpurpose.core.call import MAX_NAME
from onpurpose.core.outcome import BY_NAME, Outcome
from onpurpose.core.purpose import IntentClass, Match, Purpose, PurposePolicy, Status
from onpurpose.core.span import Span
from onpurpose.core.wording import flow
from onpurpose.lang import shapes
from onpurpose.lang.conditions import capability
from onpurpose.lang.decoding import MAX_BYTES
from onpurpose.lang.hours import hours, written
from onpurpose.lang.nodes import Mapping as MappingNode
from onpurpose.lang.nodes import Node, Sequence, compose_all, nothing
from onpurpose.lang.read import drained
from onpurpose.lang.report import Place, Report, shortened
from onpurpose.lang.routing import ASKING_KEYS, ASKING_READERS, asking_route, tell_needless, write_asking
from onpurpose.lang.write import name as plain
from onpurpose.lang.write import quoted

MAX_ID = 128
"""How long the id of a purpose or of a purpose policy may be, in characters."""

MAX_LABEL = 256
"""How long a purpose's name or owner may be, in characters: a token carries the name."""

MAX_DESCRIPTION = 4096
"""How long a purpose's description may be, in characters."""

MAX_TTL_SECONDS = 24 * 3600
"""The longest that a token of a purpose may live, in seconds."""

MAX_TTL_MINUTES = 24 * 60
"""The longest that a token may live, in minutes."""

FieldReader: TypeAlias = Callable[[Node, Report, str], Any]

_WIDTH = 100
_ID = re.compile(r"[A-Za-z0-9_.-]+")
_NAME = re.compile(r"[\w$-]+")
_ELEMENT = re.compile(r"[\w$-]+(?:\.[\w$-]+)?\.(?:[\w$-]+|\*)")
_FIRST_WORDS = "a purpose begins with `id: ...`, a purpose policy with `purpose_id: ...`"


def parse_purposes(
    text: bytes | str, source: str = "<purposes>", *, limit: int = MAX_BYTES
) -> tuple[Purpose | PurposePolicy, ...]:
    """The purposes and purpose policies that the text states, in its order; at least one.

    Each is a YAML document; several are parted by `---`. Raises `PolicyError` with every problem, in
    the text's order.
    """
    report = Report(source)
    roots = drained(compose_all(text, report, limit))
    if not roots and not report.problems:
        report.on(Place(1, 1), "empty", "there is no purpose and no purpose policy", _FIRST_WORDS)
    documents = [found for root in roots if (found := _document(root, report)) is not None]
    _tell_same_names(documents, report)
    report.raise_if_any()
    return tuple(documents)


def _document(root: Node, report: Report) -> Purpose | PurposePolicy | None:
    if nothing(root):
        report.on(root, "empty", "this document is empty", f"remove the `---`; {_FIRST_WORDS}")
        return None
    kind = _kind(root, report)
    if kind is None:
        return None
    fields = shapes.fields(root, report, kind.form)
    found = {name: kind.readers[name](node, report, name) for name, node in fields.items()}
    if kind is _POLICY and _asks_nobody(found):
        for name in ASKING_KEYS & fields.keys():
            tell_needless(fields[name], report, name, "this policy")
    if None in found.values() or not found.keys() >= {*kind.form.required}:
        return None
    return kind.make(found, report.span(root))


def _kind(root: Node, report: Report) -> _Kind | None:
    """What the document is: told by the key that only one kind has, or else by which keys are more."""
    if not isinstance(root, MappingNode):
        shapes.expected(root, report, "document", "a mapping", _FIRST_WORDS)
        return None
    keys = {key.value for key, _ in root.pairs()}
    if {"id", "purpose_id"} <= keys:
        message = "`id` and `purpose_id` stand in one document: it is a purpose or a purpose policy, not both"
        cure = "part the two by a line `---`; the name of a policy itself is its `policy_id`"
        report.on(root, "ambiguous-document", message, cure)
        return None
    if "id" in keys or "purpose_id" in keys:
        return _PURPOSE if "id" in keys else _POLICY
    of_purpose, of_policy = len(keys & {*PURPOSE_KEYS}), len(keys & {*PURPOSE_POLICY_KEYS})
    if of_purpose != of_policy:
        return _PURPOSE if of_purpose > of_policy else _POLICY
    if not report.cut_short:
        message = "this document is neither a purpose nor a purpose policy"
        report.on(root, "ambiguous-document", message, _FIRST_WORDS)
    return None


def _tell_same_names(documents: list[Purpose | PurposePolicy], report: Report) -> None:
    first: dict[tuple[type, str], int] = {}
    for one in documents:
        what, key = ("purpose", "id") if isinstance(one, Purpose) else ("purpose policy", "policy_id")
        name = str(getattr(one, key))
        line = first.setdefault((type(one), name), one.span.line)
        if line != one.span.line:
            message = f"a {what} of the `{key}` `{name}` stands on line {line} already"
            report.on(one.span, "duplicate-name", message, f"give each {what} a `{key}` of its own")


# -- fields


def _id(node: Node, report: Report, name: str) -> str | None:
    written_id = shapes.text(node, report, name)
    if written_id is None:
        return None
    if len(written_id) > MAX_ID:
        report.on(node, "malformed-id", f"`{name}` has at most {MAX_ID} characters", "shorten it")
    elif not _ID.fullmatch(written_id):
        better = re.sub(r"[^A-Za-z0-9_.-]+", "_", written_id.strip())
        message = f"`{shortened(written_id)}` is no id: letters, digits, `_`, `-` and `.`"
        report.on(node, "malformed-id", message, f"write `{name}: {shortened(better)}`")
    elif not written_id.strip("."):
        report.on(node, "malformed-id", f"`{name}` must not be dots alone", "write a name")
    else:
        return written_id
    return None


def _text(most: int) -> FieldReader:
    def read(node: Node, report: Report, name: str) -> str | None:
        found = shapes.text(node, report, name)
        if found is not None and len(found) > most:
            report.on(node, "too-long", f"`{name}` has at most {most:,} characters", "shorten it")
            return None
        return found

    return read


def _word(known: Mapping[str, Any]) -> FieldReader:
    return lambda node, report, name: shapes.word_of(node, report, name, known)


def _whole_number(most: int) -> FieldReader:
    return lambda node, report, name: shapes.whole_number(node, report, name, 1, most)


def _elements(node: Node, report: Report, name: str) -> tuple[str, ...] | None:
    if isinstance(node, Sequence) and not node.children:
        return ()
    return shapes.each(node, report, name, partial(_element, report))


def _element(report: Report, node: Node, text: str) -> str | None:
    if len(text) <= MAX_NAME and _ELEMENT.fullmatch(text):
        return text
    message = f"`{shortened(text)}` is no element: `table.column`, `schema.table.column` or `table.*`"
    report.on(node, "malformed-element", message, _element_cure(text))
    return None


def _element_cure(text: str) -> str:
    if len(text) > MAX_NAME:
        return f"shorten it: an element has at most {MAX_NAME} characters"
    if _NAME.fullmatch(text):
        return f"for every column of a table write `{shortened(text)}.*`"
    if "*" in text:
        return "a `*` stands for every column, and stands last: `customers.*`"
    return "write letters, digits, `_`, `$` and `-`, parted by one dot or two: `customers.email`"


def _capabilities(node: Node, report: Report, name: str) -> tuple[str, ...] | None:
    return shapes.each(node, report, name, lambda child, _: capability(child, report))


def _match(node: Node, report: Report, name: str) -> Match | None:
    if isinstance(node, MappingNode) and not shapes.not_empty(node, report, name):
        return None
    fields = shapes.fields(node, report, _MATCH_FORM)
    found = {key: _MATCH[key](value, report, key) for key, value in fields.items()}
    return None if None in found.values() else Match(**found)


_MATCH: dict[str, FieldReader] = {
    "identity_required": shapes.truth,
    "user_groups": shapes.trimmed,
    "data_source_id": shapes.trimmed,
    "agent_ids": shapes.trimmed,
    "capabilities": _capabilities,
    "environments": shapes.trimmed,
    "hours": hours,
}
_MATCH_FORM = shapes.Form("match", "write `match: {user_groups: [...]}`", tuple(_MATCH))


# -- the two kinds


class _Kind(NamedTuple):
    """What a document may be: its form, what reads each of its fields, what makes it of them."""

    form: shapes.Form
    readers: Mapping[str, FieldReader]
    make: Callable[[dict[str, Any], Span], Purpose | PurposePolicy]


def _purpose(found: dict[str, Any], span: Span) -> Purpose:
    return Purpose(**found, span=span)


def _policy(found: dict[str, Any], span: Span) -> PurposePolicy:
    asking = {name: found.pop(name) for name in ASKING_KEYS & found.keys()}
    route = asking_route(asking)
    return PurposePolicy(**{"policy_id": found["purpose_id"], **found}, route=route, span=span)


def _asks_nobody(found: Mapping[str, Any]) -> bool:
    """Whether a policy that was read asks no person, whatever it is asked."""
    decision = found.get("decision")
    return decision is Outcome.DENY or (decision is Outcome.ALLOW and found.get("approval_required") is not True)


_PURPOSE_FIELDS: dict[str, FieldReader] = {
    "id": _id,
    "name": _text(MAX_LABEL),
    "description": _text(MAX_DESCRIPTION),
    "intent_class": _word({str(one): one for one in IntentClass}),
    "elements": _elements,
    "ttl_seconds": _whole_number(MAX_TTL_SECONDS),
    "owner": _text(MAX_LABEL),
    "status": _word({str(one): one for one in Status}),
}
_POLICY_FIELDS: dict[str, FieldReader] = {
    "policy_id": _id,
    "purpose_id": _id,
    "match": _match,
    "decision": _word({name: outcome for name, outcome in BY_NAME.items() if outcome is not Outcome.WARN}),
    "approval_required": shapes.truth,
    "token_ttl_minutes": _whole_number(MAX_TTL_MINUTES),
    "shadow_mode": shapes.truth,
    **ASKING_READERS,
}
PURPOSE_KEYS = tuple(_PURPOSE_FIELDS)
"""Every key of a purpose."""

PURPOSE_POLICY_KEYS = tuple(_POLICY_FIELDS)
"""Every key of a purpose policy."""

MATCH_KEYS = tuple(_MATCH)
"""Every key of a purpose policy's `match`."""

_PURPOSE = _Kind(shapes.Form("purpose", _FIRST_WORDS, PURPOSE_KEYS, ("id",)), _PURPOSE_FIELDS, _purpose)
_POLICY = _Kind(
    shapes.Form("purpose policy", _FIRST_WORDS, PURPOSE_POLICY_KEYS, ("purpose_id", "decision")),
    _POLICY_FIELDS,
    _policy,
)


# -- and back


def write_purpose(purpose: Purpose) -> str:
    """The purpose as a YAML document that reads back as it is, but for its span.

    Raises `ValueError` for a text that holds half of a surrogate pair.
    """
    lines = [f"id: {plain(purpose.id)}"]
    lines += [f"{key}: {quoted(text)}" for key in ("name", "description") if (text := getattr(purpose, key))]
    lines.append(f"intent_class: {purpose.intent_class}")
    if purpose.elements is not None:
        lines += _list("elements", purpose.elements)
    lines.append(f"ttl_seconds: {purpose.ttl_seconds}")
    if purpose.owner:
        lines.append(f"owner: {quoted(purpose.owner)}")
    lines.append(f"status: {purpose.status}")
    return "\n".join([*lines, ""])


def write_purpose_policy(policy: PurposePolicy) -> str:
    """The purpose policy as a YAML document that reads back as it is, but for its span.

    Raises `ValueError` for a text that holds half of a surrogate pair.
    """
    lines = [
        f"policy_id: {plain(policy.policy_id)}",
        f"purpose_id: {plain(policy.purpose_id)}",
        "match:",
        *(f"  {line}" for line in _match_lines(policy.match)),
        f"decision: {policy.decision}",
        f"token_ttl_minutes: {policy.token_ttl_minutes}",
        f"approval_required: {flow(policy.approval_required)}",
        f"shadow_mode: {flow(policy.shadow_mode)}",
        *([] if policy.route is None else write_asking(policy.route)),
    ]
    return "\n".join([*lines, ""])


def _match_lines(match: Match) -> Iterator[str]:
    yield f"identity_required: {flow(match.identity_required)}"
    for key in MATCH_KEYS[1:-1]:
        texts: tuple[str, ...] | None = getattr(match, key)
        if texts is not None:
            yield from _list(key, texts)
    if match.hours is not None:
        yield "hours:"
        for zone, windows in written(match.hours):
            yield f"  - zone: {plain(zone)}"
            yield from (f"    {line}" for line in _list("windows", windows))


def _list(key: str, texts: tuple[str, ...]) -> list[str]:
    """The lines of a list of texts: one, or where that is long one for each text."""
    line = f"{key}: [{', '.join(map(quoted, texts))}]"
    return [line] if len(line) <= _WIDTH else [f"{key}:", *(f"  - {quoted(text)}" for text in texts)]
