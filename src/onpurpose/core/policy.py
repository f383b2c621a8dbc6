"""A capability policy as written: rules, conditions, risk levels. Values only; nothing here decides.

Rules and what they are made of are out of the garbage collector's sight (`gc=False`; they form trees):
ten thousand of them would cost each full collection, and so some call, several milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, TypeAlias

from msgspec import Struct

from onpurpose.core.outcome import Outcome
from onpurpose.core.routing import Route
from onpurpose.core.span import Span

AMOUNT_KEYS = ("amount", "total", "value", "price", "cost", "sum", "quantity")
"""Payload keys under which amounts are read, unless a policy sets `amount_keys`."""

PATH_KEYS = (
    "path", "paths", "file", "files", "file_path", "filepath", "filename", "directory", "dir",
    "root", "target", "source", "destination", "src", "dst",
)  # fmt: skip
"""Payload keys under which paths are read, unless a policy sets `path_keys`."""

APPROVAL_TIMEOUT_SECONDS = 3600
"""How long an approval stays open, unless a policy sets `approval_timeout_seconds`."""

SECTIONS = (Outcome.DENY, Outcome.REQUIRE_APPROVAL, Outcome.WARN, Outcome.ALLOW)
"""The order in which sections are evaluated, whatever their order in the file."""

Number: TypeAlias = int | Decimal
Scalar: TypeAlias = str | int | Decimal | bool


class Operator(StrEnum):
    """How a number is compared with a limit."""

    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


class ContextKey(StrEnum):
    """The keys of the policy context that a condition of their own name reads."""

    ENVIRONMENT = "environment"
    USER_ROLE = "user_role"
    TENANT = "tenant"


class RiskLevel(StrEnum):
    """An assessed level of risk, lowest first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Pattern(Protocol):
    """A compiled regular expression in linear time; the language's reader supplies it."""

    @property
    def pattern(self) -> str:
        """The expression as written."""
        ...

    def fullmatch(self, text: str, /) -> object | None:
        """Something when the whole text matches, else `None`."""
        ...


# The tests of an `args` condition. Every list of alternatives is a Kleene *or*.


class Equals(Struct, frozen=True, gc=False):
    """The value is this scalar: same type, numbers by value."""

    value: Scalar


class In(Struct, frozen=True, gc=False):
    """The value is one of these scalars."""

    values: tuple[Scalar, ...]


class Prefix(Struct, frozen=True, gc=False):
    """The string begins with one of these."""

    texts: tuple[str, ...]


class Suffix(Struct, frozen=True, gc=False):
    """The string ends with one of these."""

    texts: tuple[str, ...]


class Matches(Struct, frozen=True, gc=False):
    """The whole string matches the regular expression (RE2 syntax)."""

    pattern: Pattern


class ContainsText(Struct, frozen=True, gc=False):
    """The string contains one of these; found only in its folded text, the answer is unknown."""

    texts: tuple[str, ...]


class Compare(Struct, frozen=True, gc=False):
    """The number (no string, no boolean) compares with the limit."""

    operator: Operator
    limit: Number


class DomainIn(Struct, frozen=True, gc=False):
    """The e-mail address or URL is of one of these domains or a subdomain of one (lower case, ASCII)."""

    domains: tuple[str, ...]


class Under(Struct, frozen=True, gc=False):
    """The path lies at or under one of these absolute prefixes."""

    prefixes: tuple[str, ...]


class MaxItems(Struct, frozen=True, gc=False):
    """The list has at most this many items."""

    limit: int


class Exists(Struct, frozen=True, gc=False):
    """The path leads somewhere in the payload, or (false) does not."""

    wanted: bool


class Not(Struct, frozen=True, gc=False):
    """Not all of these tests hold: true and false change places, unknown stays."""

    tests: tuple[Test, ...]


Test: TypeAlias = (
    Equals | In | Prefix | Suffix | Matches | ContainsText | Compare | DomainIn | Under | MaxItems | Exists | Not
)

# The conditions of a rule, and-ed.


class Contains(Struct, frozen=True, gc=False):
    """Any of these texts occurs in the payload's strings."""

    texts: tuple[str, ...]


class Amount(Struct, frozen=True, gc=False):
    """Every amount in the payload compares with the limit (a non-negative number)."""

    operator: Operator
    limit: Number


class PathPrefix(Struct, frozen=True, gc=False):
    """Every path in the payload lies at or under a prefix (absolute, normal form, any of)."""

    prefixes: tuple[str, ...]


class ContextIs(Struct, frozen=True, gc=False):
    """The policy context's value under the key is one of these."""

    key: ContextKey
    values: tuple[str, ...]


class CallerDepth(Struct, frozen=True, gc=False):
    """`policy_context.caller_depth` compares with the limit."""

    operator: Operator
    limit: int


class Argument(Struct, frozen=True, gc=False):
    """What the dotted path leads to in the payload passes every test (`*`: any item or key)."""

    path: tuple[str, ...]
    tests: tuple[Test, ...]


Condition: TypeAlias = Contains | Amount | PathPrefix | ContextIs | CallerDepth | Argument


class Rule(Struct, frozen=True, gc=False, kw_only=True):
    """One rule: the outcome of its section, the capability it names, conditions that must all hold.

    `route` says who is asked, in a rule that asks; `None` where the policy as a whole says it.
    """

    outcome: Outcome
    capability: str
    conditions: tuple[Condition, ...]
    span: Span
    route: Route | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A capability policy that was read exactly.

    `rules` stand in the order of evaluation (`SECTIONS`, then as written); `sections` are those
    the text names, empty ones included; `digest` is the SHA-256 (hex) of the text. `route` says who is
    asked where a rule does not; `None` leaves it to the workspace.
    """

    rules: tuple[Rule, ...]
    source: str
    digest: str
    sections: tuple[tuple[Outcome, Span], ...] = ()
    risk_levels: Mapping[RiskLevel, Outcome] = field(default_factory=lambda: MappingProxyType({}))
    amount_keys: tuple[str, ...] = AMOUNT_KEYS
    path_keys: tuple[str, ...] = PATH_KEYS
    approval_timeout_seconds: int = APPROVAL_TIMEOUT_SECONDS
    route: Route | None = None
