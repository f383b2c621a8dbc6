"""`/v1/backtest`: what a set of policies would have done on the recorded past."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec

from onpurpose.app.backtest import Backtests, Member, Trial
from onpurpose.core.access import Scope
from onpurpose.ports import Clock
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, Use
from onpurpose.server.problems import forbidden

DAYS = 14
"""How far back a backtest goes, unless its window is given."""

_DAY = 86_400_000_000


def uses(backtests: Backtests, clock: Clock) -> Mapping[str, Use]:
    """What does the operation, by its name."""
    return {"backtest": partial(run, backtests, clock)}


def run(backtests: Backtests, clock: Clock, asked: Asked) -> Answer:
    """Try a set; nothing is changed. The key must be one that may read the decisions that are named."""
    if not asked.key.may(Scope.READ):
        raise forbidden(f"a backtest names decisions: this needs the scope `{Scope.READ}` too")
    body = asked.told(wire.Backtesting)
    now = clock.now()
    until = now if body.until is None else body.until
    since = until - int((body.days or DAYS) * _DAY) if body.since is None else body.since
    members = [Member(kind=one.kind, name=one.name, revision=one.revision, text=one.text) for one in body.policies]
    done = backtests.run(asked.workspace, members, since=max(0, since), until=until, limit=body.calls)
    told = [
        _trial(trial) | {"kind": one.kind, "name": one.name, "revision": one.revision}
        for one, trial in zip(members, done.members, strict=True)
    ]
    rest = {name: getattr(done, name) for name in _REST}
    return wire.BacktestBody.model_validate(
        {"together": _trial(done.together), "policies": told, "since": max(0, since), "until": until, **rest}
    )


_REST = ("calls", "masked", "unreadable", "gone", "changed", "first_at", "stopped")


def _trial(trial: Trial) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(trial)
    return told
