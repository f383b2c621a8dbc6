"""The same eight rules in the languages of others, each configured as well as its language allows.

What a peer is asked is made beforehand and what it answers is read afterwards: only its own work
is timed. Parsed policies are held; nothing is parsed again for a call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from common import ALLOW, ASK, CONTEXT, DENY, HERE, Case, Rule, policy_text

AMOUNT_KEYS = ("amount", "total", "value", "price", "cost", "sum", "quantity")
PATH_KEYS = ("path", "file", "filename", "directory", "dir", "root", "target", "source", "destination", "src", "dst")


@dataclass
class Engine:
    """Something that decides: `read(ask(request(case)))` is an outcome; `ask` is what is timed."""

    request: Callable[[Case], Any]
    ask: Callable[[Any], Any]
    read: Callable[[Any], str]


# -- plain closures: what a careful programmer writes by hand, and the bare limit of Python


def closures(rules: Iterable[Rule]) -> Engine:
    order = {DENY: 0, ASK: 1, ALLOW: 2}
    index: dict[str, list[tuple[Callable[[dict[str, Any]], bool], str]]] = {}
    for rule in sorted(rules, key=lambda rule: order[rule.outcome]):
        index.setdefault(rule.capability, []).append((_closure(rule), rule.outcome))

    def ask(case: Case) -> str:
        for holds, outcome in index.get(case.capability, ()):
            if holds(case.payload):
                return outcome
        return DENY

    return Engine(lambda case: case, ask, str)


def _closure(rule: Rule) -> Callable[[dict[str, Any]], bool]:
    value = rule.value
    return {
        "": lambda payload: True,
        "contains": lambda payload: value in payload.get("command", ""),
        "amount_gt": lambda payload: _amount(payload) > value,
        "amount_lte": lambda payload: _amount(payload) <= value,
        "path_prefix": lambda payload: payload.get("path", "").startswith(value),
    }[rule.test]


def _amount(payload: dict[str, Any]) -> float:
    amount = payload.get("amount")
    return amount if isinstance(amount, int | float) else float("nan")


# -- Cedar: `forbid` beats `permit`; which `forbid` it was tells a denial from a question


def cedar(rules: Iterable[Rule]) -> Engine:
    import cedarpy

    policies = cedarpy.PolicySet.from_str("\n".join(_cedar(rule) for rule in rules))
    entities = cedarpy.Entities.from_json_str("[]")

    def read(answer: Any) -> str:
        if answer.allowed:
            return ALLOW
        ids = set(answer.diagnostics.id_annotations_by_reason.values())
        return ASK if ids == {ASK} else DENY

    return Engine(_cedar_request, lambda request: cedarpy.is_authorized(request, policies, entities), read)


def _cedar_request(case: Case) -> dict[str, Any]:
    named = {"principal": "Agent", "action": "Action", "resource": "Tool"}
    ids = {"principal": "agent", "action": case.capability, "resource": "tool"}
    request: dict[str, Any] = {key: {"type": kind, "id": ids[key]} for key, kind in named.items()}
    return request | {"context": json.dumps({"payload": _decimals(case.payload)})}


def _decimals(value: Any) -> Any:
    """Cedar has no floats: every number becomes its decimal, of four places."""
    if isinstance(value, dict):
        return {key: _decimals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decimals(item) for item in value]
    return {"__extn": {"fn": "decimal", "arg": f"{value:.4f}"}} if isinstance(value, int | float) else value


def _cedar(rule: Rule) -> str:
    effect = "permit" if rule.outcome == ALLOW else "forbid"
    head = f'@id("{rule.outcome}") {effect}(principal, action == Action::"{rule.capability}", resource)'
    payload, value = "context.payload", rule.value
    above = f'{payload}.amount.greaterThan(decimal("{value}.0")) || {payload}.amount.lessThan(decimal("-{value}.0"))'
    when = {
        "": "",
        "contains": f'{payload} has command && {payload}.command like "*{value}*"',
        "amount_gt": f"{payload} has amount && ({above})",
        "amount_lte": f"{payload} has amount && !({above})",
        "path_prefix": f'{payload} has path && ({payload}.path == "{value}" || {payload}.path like "{value}/*")',
    }[rule.test]
    return head + (f" when {{ {when} }};" if when else ";")


# -- Casbin: rows of a table and one matcher; it sees flat attributes, which the caller hands over.
# It knows allow and deny only, so each section is asked for a hit, strictest first. Its index of rows
# (`FastEnforcer`) needs two keys and keeps no order: capability and section serve.

CASBIN_MODEL = HERE / "casbin.conf"


def casbin(rules: Iterable[Rule]) -> Engine:
    from casbin import FastEnforcer
    from casbin.model import FastModel

    model = FastModel([0, 1])
    model.load_model(str(CASBIN_MODEL))
    enforcer = FastEnforcer(model, cache_key_order=[0, 1])
    for name, function in (("float", float), ("abs", abs)):
        enforcer.add_function(name, function)
    rows = model.model["p"]["p"].policy  # filled here: `add_policies` counts all rows again for each
    for rule in rules:
        rows.append(_casbin(rule))

    def ask(request: tuple[Any, ...]) -> str:
        capability, *facts = request
        for outcome in (DENY, ASK, ALLOW):
            if enforcer.enforce(capability, outcome, *facts):
                return outcome
        return DENY

    return Engine(_casbin_request, ask, str)


def _casbin(rule: Rule) -> list[str]:
    columns = {"contains": "", "amount_gt": "", "amount_lte": "", "path_prefix": ""}
    if rule.test:
        columns[rule.test] = f"{rule.value}/*" if rule.test == "path_prefix" else str(rule.value)
    return [rule.capability, rule.outcome, *columns.values()]


def _casbin_request(case: Case) -> tuple[Any, ...]:
    payload = case.payload
    return case.capability, payload.get("command", ""), _amount(payload), payload.get("path", "")


# -- Rego: the rules are data by capability, one module reads them; built once into a bundle

REGO = HERE / "gate.rego"


def rego(rules: Iterable[Rule]) -> Engine:
    from regopy import Input, Interpreter

    index: dict[str, list[dict[str, Any]]] = {}
    for rule in rules:
        index.setdefault(rule.capability, []).append(rule._asdict())
    interpreter = Interpreter()
    interpreter.add_module("gate", REGO.read_text())
    interpreter.add_data({"rules": index, "amount_keys": AMOUNT_KEYS, "path_keys": PATH_KEYS})
    bundle = interpreter.build("outcome=data.gate.outcome", ["gate/outcome"])

    def ask(request: Any) -> Any:
        interpreter.set_input(request)
        return interpreter.query_bundle_entrypoint(bundle, "gate/outcome")

    def request(case: Case) -> Any:
        return Input({"capability": case.capability, "payload": case.payload})

    return Engine(request, ask, lambda answer: json.loads(str(answer))["expressions"][0])


# -- CapFence: the policy file as it stands


def capfence(rules: Iterable[Rule]) -> Engine:
    import yaml
    from capfence.core.policy import Policy

    policy = Policy(yaml.load(policy_text(rules), Loader=yaml.CSafeLoader))

    def ask(case: Case) -> Any:
        return policy.evaluate(case.capability, CONTEXT, case.payload)

    return Engine(lambda case: case, ask, lambda verdict: DENY if verdict == "default_deny" else verdict)


PEERS = {"cedarpy": cedar, "pycasbin": casbin, "regopy": rego, "capfence": capfence}
