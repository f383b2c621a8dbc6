"""How the tables of the contract ask, and the values that they share.

A row's answer is told from two policies that ask when the condition holds: alone (then nothing
matches: deny) and before a rule that allows. True asks in both, false denies and allows, and
unknown takes the stricter road in each.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from functools import cache

import pytest

from onpurpose.core.call import Call
from onpurpose.core.compile import CompiledPolicy, compile_policy
from onpurpose.core.decide import decide
from onpurpose.lang.read import parse

TRUE, FALSE, UNKNOWN = "true", "false", "unknown"
ALLOW, WARN, ASK, DENY = "allow", "warn", "require_approval", "deny"

ANSWERS = {(ASK, ASK): TRUE, (DENY, ALLOW): FALSE, (DENY, ASK): UNKNOWN}

COMBINING = "\u0301"


class Sealed:
    """An object that says nothing about itself."""


class Word(Enum):
    RM = "rm -rf"
    PRODUCTION = "production"
    ETC = "/etc/passwd"
    TEN = 10


class Label(StrEnum):
    PRODUCTION = "production"


class Count(IntEnum):
    FOUR = 4


class Fraction(float):
    """A float that spells itself as a smaller one."""

    def __repr__(self) -> str:
        return "1.0"


class Elsewhere:
    """A path of another library."""

    def __fspath__(self) -> str:
        return "/etc/hosts"


@cache
def compiled(text: str) -> CompiledPolicy:
    return compile_policy(parse(text, "policy.yaml"))


def outcome(text: str, capability: str, payload: object = None, context: object = None) -> str:
    call = Call("agent", capability, payload, context)  # type: ignore[arg-type]
    return str(decide((compiled(text),), call).outcome)


def answer(condition: str, payload: object, context: object = None, keys: str = "") -> str:
    alone = f"{keys}\nrequire_approval:\n  - capability: a.b\n    {condition}\n"
    before = alone + "allow:\n  - capability: '*'\n"
    return ANSWERS[outcome(alone, "a.b", payload, context), outcome(before, "a.b", payload, context)]


def table(*rows: tuple[object, ...]) -> list[object]:
    """Rows whose first field is their name."""
    return [pytest.param(*row[1:], id=str(row[0])) for row in rows]
