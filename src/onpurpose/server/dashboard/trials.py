"""What a policy would have done to the last days' calls, before anybody saves it."""

from __future__ import annotations

from dataclasses import dataclass

from onpurpose.app.backtest import Backtested, Member, Trial
from onpurpose.app.drafting import sentence
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import ConflictError, Kind, MissingError, StoreError
from onpurpose.core.session import Principal
from onpurpose.core.span import PolicyError
from onpurpose.server.dashboard.shell import Parts

DAYS = (1, 3, 7, 14)
"""Over how many of the last days one can look."""

MOST_CALLS = 20_000
"""How many of the newest calls are looked at."""

_DAY = 86_400_000_000
_KINDS = {
    "newly_blocked": "ran, and would not have run",
    "unmatched": "would have stopped because nothing matched them",
    "would_deny": "matched, and would have been denied",
    "would_ask": "matched, and a person would have been asked",
    "newly_allowed": "did not run, and would have",
    "unknown": "cannot be told: the record lacks what the policy asks for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a backtest came to, or why there is none; `examples` pairs what calls are with ids of decisions."""

    days: int
    done: Backtested | None = None
    trial: Trial | None = None
    why: str = ""

    @property
    def examples(self) -> list[tuple[str, tuple[str, ...]]]:
        """The kinds of calls worth a look, those that there are."""
        found = {} if self.trial is None else self.trial.examples
        return [(_KINDS[kind], ids) for kind, ids in found.items() if ids]


def days_of(text: str) -> int:
    """How many days were asked for; a week unless it is one of `DAYS`."""
    return next((one for one in DAYS if str(one) == text), 7)


def tried(  # noqa: PLR0913  what is tried, and on what
    parts: Parts, principal: Principal, kind: Kind, name: str, *, text: str, days: int
) -> Told:
    """The text on the calls of the last days. It takes seconds: run it in a worker thread."""
    until = parts.clock.now() + 1  # a call of this very moment too
    try:
        done = parts.backtests.run(
            principal.workspace, [Member(kind=kind, name=name, text=text)],
            since=max(0, until - days * _DAY), until=until, limit=MOST_CALLS,
        )  # fmt: skip
    except PolicyError as error:
        return Told(days=days, why="Mend the text first: " + sentence(error.problems[0]))
    except ConflictError as error:
        return Told(days=days, why=f"It was not tried: {error}.")
    except (StoreError, LedgerError, MissingError) as error:
        return Told(days=days, why=f"The recorded calls cannot be read now: {_first_line(error)}.")
    return Told(days=days, done=done, trial=done.members[0])


def _first_line(error: OnPurposeError) -> str:
    return (str(error).splitlines() or [""])[0]
