"""Policy test files: named cases of a call and the outcome that is expected of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import Code
from onpurpose.core.outcome import BY_NAME, Outcome
from onpurpose.core.span import Span
from onpurpose.lang import shapes
from onpurpose.lang.decoding import MAX_BYTES
from onpurpose.lang.nodes import Mapping, Node, Scalar, Sequence, compose, nothing
from onpurpose.lang.read import drained
from onpurpose.lang.report import Place, Report, shortened

DEFAULT_AGENT = "test-agent"
"""Who acts in a case that does not say."""

_LABELS = ("agent_id", "capability", "task_context", "risk_category")
_CODES = {str(code): code for code in Code}
_FIRST_WORDS = "write `policy: my_policy.yaml`, and `cases:` with a list of cases"
_FILE = shapes.Form("test file", _FIRST_WORDS, ("policy", "defaults", "cases"), ("policy", "cases"))
_DEFAULTS = shapes.Form("defaults", "write `defaults: {agent_id: ...}`", (*_LABELS, "policy_context"))
_CASE = shapes.Form(
    "case",
    "write `- name: ...`, `capability: ...`, `payload: {...}`, `outcome: allow`",
    ("name", *_LABELS, "payload", "policy_context", "identity", "outcome", "rule", "reason"),
    ("name", "outcome"),
)
_IDENTITY = shapes.Form(
    "identity", "write `identity: {user_id: ..., groups: [...]}`", ("user_id", "groups"), ("user_id",)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A call, the outcome expected of it and, where told, the line of the rule and the reason that decide."""

    name: str
    call: Call
    outcome: Outcome
    rule: int | None = None
    reason: Code | None = None
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """The cases of one file, at least one, and the policy they are for (a path relative to the file)."""

    policy: str
    cases: tuple[Case, ...]
    source: str


def parse_cases(text: bytes | str, source: str = "<cases>", *, limit: int = MAX_BYTES) -> CaseFile:
    """The cases that the text states. Raises `PolicyError` with every problem, in the text's order."""
    report = Report(source)
    root = drained(compose(text, report, limit))
    policy, cases = "", tuple[Case, ...]()
    if root is None or nothing(root):
        if not report.problems:
            report.on(Place(1, 1), "empty", "the test file is empty", _FIRST_WORDS)
    else:
        policy, cases = _file(root, report)
    report.raise_if_any()
    return CaseFile(policy=policy, cases=cases, source=source)


def _file(root: Node, report: Report) -> tuple[str, tuple[Case, ...]]:
    fields = shapes.fields(root, report, _FILE)
    policy = shapes.text(fields["policy"], report, "policy") if "policy" in fields else None
    defaults: dict[str, Any] = {}
    if "defaults" in fields:
        defaults = _call_fields(shapes.fields(fields["defaults"], report, _DEFAULTS), report)
    cases: list[Case | None] = []
    node = fields.get("cases")
    if isinstance(node, Sequence):
        shapes.not_empty(node, report, "cases")
        names: dict[str, int] = {}
        cases = [_case(child, report, defaults, names) for child in node.children]
    elif node is not None:
        shapes.expected(node, report, "cases", "a list of cases", _CASE.cure)
    return policy or "", tuple(case for case in cases if case is not None)


def _case(node: Node, report: Report, defaults: dict[str, Any], names: dict[str, int]) -> Case | None:
    needed = () if "capability" in defaults else ("capability",)
    fields = shapes.fields(node, report, _CASE._replace(required=(*_CASE.required, *needed)))
    name = _name(fields.get("name"), report, names)
    outcome = shapes.word_of(fields["outcome"], report, "outcome", BY_NAME) if "outcome" in fields else None
    rule = shapes.whole_number(fields["rule"], report, "rule", 1) if "rule" in fields else None
    reason = shapes.word_of(fields["reason"], report, "reason", _CODES) if "reason" in fields else None
    told = _call_fields(fields, report)
    if name is None or outcome is None or "capability" not in (defaults | told):
        return None
    return Case(
        name=name, call=_call(defaults, told), outcome=outcome, rule=rule, reason=reason, span=report.span(node)
    )


def _name(node: Node | None, report: Report, names: dict[str, int]) -> str | None:
    name = None if node is None else shapes.text(node, report, "name")
    if node is None or name is None:
        return None
    if name in names:
        message = f"a case named `{shortened(name)}` stands on line {names[name]} already"
        report.on(node, "duplicate-name", message, "give each case a name of its own")
    names.setdefault(name, node.line)
    return name


def _call(defaults: dict[str, Any], told: dict[str, Any]) -> Call:
    fields = {"agent_id": DEFAULT_AGENT, **defaults, **told}
    if "policy_context" in defaults and "policy_context" in told:
        fields["policy_context"] = defaults["policy_context"] | told["policy_context"]
    return Call(**fields)


def _call_fields(fields: dict[str, Node], report: Report) -> dict[str, Any]:
    """What is told of a call, ready to make one of."""
    found: dict[str, Any] = {}
    for name in _LABELS:
        if name in fields:
            found[name] = shapes.text(fields[name], report, name)
    if "policy_context" in fields:
        found["policy_context"] = _context(fields["policy_context"], report)
    if "payload" in fields:
        found["payload"] = _payload(fields["payload"], report)
    if "identity" in fields:
        found["identity"] = _identity(fields["identity"], report)
    return found


def _context(node: Node, report: Report) -> dict[str, Any]:
    cure = "write `policy_context: {environment: production}`"
    return {name: _value(value) for _, name, value in shapes.pairs(node, report, "policy_context", cure)}


def _payload(node: Node, report: Report) -> Any:
    if isinstance(node, Mapping) or (isinstance(node, Scalar) and (node.value is None or isinstance(node.value, str))):
        return _value(node)
    shapes.expected(node, report, "payload", "a mapping or a text", "write `payload: {command: ls}`")
    return None


def _identity(node: Node, report: Report) -> Identity | None:
    fields = shapes.fields(node, report, _IDENTITY)
    user = shapes.text(fields["user_id"], report, "user_id") if "user_id" in fields else None
    groups = shapes.texts(fields["groups"], report, "groups") if "groups" in fields else ()
    return None if user is None or groups is None else Identity(user, groups)


def _value(node: Node) -> Any:
    """The node as an application would pass it: mappings, lists, scalars."""
    if isinstance(node, Mapping):
        return {key.value: _value(value) for key, value in node.pairs()}
    if isinstance(node, Sequence):
        return [_value(child) for child in node.children]
    value = node.value if isinstance(node, Scalar) else None
    return _as_float(value) if isinstance(value, Decimal) else value


def _as_float(number: Decimal) -> float | Decimal:
    """The float that is written like the number, or the number where none is."""
    nearest = float(number)
    return nearest if Decimal(repr(nearest)) == number else number
