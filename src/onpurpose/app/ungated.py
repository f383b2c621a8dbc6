"""Where policies and traffic pass each other by: rules that no call has met, and calls that no rule speaks of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from onpurpose.core.compile import covers
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.revision import Contents, Kind, Revision
from onpurpose.core.span import PolicyError
from onpurpose.lang.purposes import parse_purposes
from onpurpose.lang.read import parse

MOST_LOOKED_UP = 50
"""How many capabilities that are not among those known to be called are looked for in the whole feed."""

MOST_SHOWN = 50
MOST_PATTERNS = 200


class Named(Struct, frozen=True, kw_only=True):
    """A capability, perhaps with `*`, that a live policy names, and where: the first place of it."""

    capability: str
    kind: Kind
    policy: str
    line: int | None


class Ungated(Struct, frozen=True, kw_only=True):
    """`unused` are capabilities in force that no call has used, `unnamed` those that were called and no rule names.

    `named` is how many different ones are in force. Of each list there may be more than `MOST_SHOWN`.
    """

    unused: tuple[Named, ...]
    unnamed: tuple[str, ...]
    named: int


def ungated(
    contents: Contents, lately: Collection[str], ever: Collection[str], was_called: Callable[[str], bool]
) -> Ungated:
    """What in force and in traffic do not meet. `lately` and `ever` are capabilities that were called then.

    `was_called` tells of a capability whether it was ever called; it is asked of a few that are not in `ever`.
    """
    in_force = list(_in_force(contents))
    named = {one.capability: one for one in reversed(in_force)}
    plain = {name.lower() for name in named if "*" not in name}
    patterns = [name for name in named if "*" in name][:MOST_PATTERNS]
    unnamed = [name for name in sorted(lately) if not _speaks_of(plain, patterns, name)]
    return Ungated(
        unused=tuple(_unused(named, ever, was_called)), unnamed=tuple(unnamed[:MOST_SHOWN]), named=len(named)
    )


def _unused(named: dict[str, Named], ever: Collection[str], was_called: Callable[[str], bool]) -> Iterator[Named]:
    looked_up = shown = patterns = 0
    for name in sorted(named):
        if name in ever:
            continue
        if "*" in name:
            patterns += 1
            used = patterns > MOST_PATTERNS or any(covers(name, one) is True for one in ever)
        else:
            looked_up += 1
            if looked_up > MOST_LOOKED_UP:
                return
            used = was_called(name)
        if not used:
            shown += 1
            yield named[name]
        if shown == MOST_SHOWN:
            return


def _speaks_of(plain: set[str], patterns: Sequence[str], capability: str) -> bool:
    """Whether a rule names the call's capability, or one that it lies under."""
    segments = capability.lower().split(".")
    below = (".".join(segments[:end]) for end in range(1, len(segments) + 1))
    return any(name in plain for name in below) or any(covers(name, capability) is not False for name in patterns)


def _in_force(contents: Contents) -> Iterator[Named]:
    for standing in contents.standings:
        if standing.live is None or standing.kind not in (Kind.POLICY, Kind.PURPOSE_POLICY):
            continue
        revision = contents.texts[standing.kind, standing.name, standing.live]
        for capability, line in _capabilities(revision):
            yield Named(capability=capability, kind=standing.kind, policy=standing.name, line=line)


@lru_cache(maxsize=256)
def _capabilities(revision: Revision) -> tuple[tuple[str, int | None], ...]:
    """What the revision names; nothing where it cannot be read, which is told elsewhere."""
    try:
        if revision.kind is Kind.POLICY:
            return tuple((rule.capability, rule.span.line) for rule in parse(revision.text, revision.name).rules)
        found = parse_purposes(revision.text, revision.name)
    except PolicyError:
        return ()
    policies = [one for one in found if isinstance(one, PurposePolicy)]
    return tuple((name, None) for one in policies for name in one.match.capabilities or ())
