"""Who is asked: what the reasons of a decision say, filled in from the workspace's settings."""

from __future__ import annotations

import pytest

from onpurpose.app.asking import routes_of
from onpurpose.core.decision import Code, Decision, Reason
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Settings
from onpurpose.core.routing import DEFAULT, Route, Stage

ANN = (Stage(approvers=("user:ann",)),)
BOB = (Stage(approvers=("user:bob",)),)


def decision(*routes: Route | None, outcome: Outcome = Outcome.REQUIRE_APPROVAL) -> Decision:
    """A decision with a reason for each route, and one that asks nobody."""
    asking = [Reason(code=Code.RULE_MATCHED, outcome=outcome, message="m", route=route) for route in routes]
    return Decision(outcome, (*asking, Reason(code=Code.RISK, outcome=Outcome.WARN, message="m")))


@pytest.mark.parametrize(
    ("asked", "general", "routes"),
    [
        ([Route(stages=ANN)], Route(stages=BOB), (Route(stages=ANN),)),
        ([Route(timeout_seconds=9)], Route(stages=BOB), (Route(stages=BOB, timeout_seconds=9),)),
        ([Route()], DEFAULT, (DEFAULT,)),
        ([Route()], Route(step_up=True), (Route(stages=DEFAULT.stages, step_up=True),)),
        ([Route(stages=ANN)], Route(stages=BOB, step_up=True), (Route(stages=ANN, step_up=True),)),
        ([Route(stages=ANN, step_up=True)], DEFAULT, (Route(stages=ANN, step_up=True),)),
        ([None], Route(stages=BOB), (Route(stages=BOB),)),
        ([], Route(stages=BOB), (Route(stages=BOB),)),
        ([Route(stages=ANN), Route(stages=ANN), Route()], Route(stages=BOB), (Route(stages=ANN), Route(stages=BOB))),
    ],
)
def test_all_who_are_asked_for_are_asked_once(
    asked: list[Route | None], general: Route, routes: tuple[Route, ...]
) -> None:
    assert routes_of(decision(*asked), Settings(route=general)) == routes
