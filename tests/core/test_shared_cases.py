"""The worked calls of the contract, where their folder stands beside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onpurpose.core.call import Call
from onpurpose.core.compile import compile_policy
from onpurpose.core.decide import decide
from onpurpose.lang.read import parse
from tests import twin

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "semantics" / "calls.jsonl"


def cases() -> list[Any]:
    if not CASES.exists():
        reason = pytest.mark.skip(reason=f"no worked calls beside the repository ({CASES.name} not found)")
        return [pytest.param({}, marks=reason, id="absent")]
    read = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    return [pytest.param(case, id=f"{case['id']} {case['section_and_point']}") for case in read]


@pytest.mark.parametrize("case", cases())
def test_a_worked_call_has_the_outcome_that_follows(case: dict[str, Any]) -> None:
    policy = parse(case["policy"], case["id"])
    call = Call("agent", case["capability"], case["payload"], case["policy_context"])
    decided = decide((compile_policy(policy),), call).outcome
    assert str(decided) == str(twin.decide(policy, call)) == case["outcome"]
