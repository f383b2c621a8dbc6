"""A text that is being written: what is wrong with it, what is unwise, and what it would make of one call.

Nothing is written down and nothing is recorded.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from onpurpose.app.drafts import asks_to_be_live
from onpurpose.app.history import decider
from onpurpose.core.call import Call
from onpurpose.core.compile import compile_policy
from onpurpose.core.decision import Decision
from onpurpose.core.purpose import Purpose, PurposePolicy
from onpurpose.core.revision import Kind
from onpurpose.core.span import PolicyError, Problem
from onpurpose.lang.lint import lint
from onpurpose.lang.purpose_lint import lint_purposes
from onpurpose.lang.purposes import parse_purposes
from onpurpose.lang.read import parse

MOST_TOLD = 100
"""How many problems, and how many warnings, of one text are told."""


class Proof(Struct, frozen=True, kw_only=True):
    """What was found in a text: `problems` keep it from being saved, `warnings` do not.

    `document` is the purpose or purpose policy that it states, where it states one exactly.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    document: Purpose | PurposePolicy | None = None


def proofread(kind: Kind, name: str, text: str) -> Proof:
    """What is wrong or unwise in the text of a document of that kind; `name` may be empty while it has none."""
    try:
        if kind is Kind.POLICY:
            asks_to_be_live(kind, name or "policy", text)
            return Proof(warnings=tuple(lint(parse(text, name or "policy"), text)[:MOST_TOLD]))
        return _of_purposes(kind, name, text)
    except PolicyError as error:
        return Proof(problems=error.problems[:MOST_TOLD])


def _of_purposes(kind: Kind, name: str, text: str) -> Proof:
    found = parse_purposes(text, name or "policy")
    one = found[0]
    own = one.id if isinstance(one, Purpose) else one.policy_id
    asks_to_be_live(kind, name or own, text)
    return Proof(warnings=tuple(lint_purposes(found, text)[:MOST_TOLD]), document=one)


def own_name(kind: Kind, text: str) -> str:
    """The name that the text of a purpose or purpose policy gives itself. Raises `PolicyError`."""
    one = parse_purposes(text, str(kind))[0]
    return one.id if isinstance(one, Purpose) else one.policy_id


@lru_cache(maxsize=4096)
def stated(text: str) -> Purpose | PurposePolicy | None:
    """As `stated_now`, remembered: for texts that were saved."""
    return stated_now(text)


def stated_now(text: str) -> Purpose | PurposePolicy | None:
    """The one purpose or purpose policy that a text states; `None` where it states none exactly."""
    try:
        found = parse_purposes(text)
    except PolicyError:
        return None
    return found[0] if len(found) == 1 else None


def try_call(text: str, call: Call) -> Decision:
    """What a capability policy by itself makes of a call. Nothing is recorded. Raises `PolicyError`."""
    return decider(compile_policy(parse(text, "policy")))(call)
