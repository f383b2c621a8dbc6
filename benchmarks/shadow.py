"""What purposes cost a decision, and what ten policies in shadow cost beside the live ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from zoneinfo import ZoneInfo

from common import CONTEXT, EIGHT, Rule, Table, nanoseconds, policy_text, report, target
from onpurpose import Call, Identity, Outcome, parse_policy
from onpurpose.core.compile import CompiledPolicy, compile_policy
from onpurpose.core.decide import judge, read_facts
from onpurpose.core.decision import PolicyRef
from onpurpose.core.purpose import Match, Purpose, PurposePolicy, Status, Window
from onpurpose.core.purposes import PurposeBook, Rules
from onpurpose.core.span import Span

LIMIT_RATIO = 1.5
ROUNDS = 15
LIVE, SHADOW = 3, 10
NOON = 1_782_302_400_000_000
PLACE = Span("bench.yaml", 1, 1)
GROUPS = [f"team-{number}" for number in range(8)]
AGENTS = [f"agent-{number}" for number in range(16)]
OFFICE = Window(days=tuple(range(5)), start=480, end=1080, zone=ZoneInfo("Europe/Berlin"), zone_name="Europe/Berlin")


def tables() -> list[Table]:
    ways = {name: _ways(by) for name, by in WORLDS.items()}
    took = {name: [math.inf] * 2 for name in ways}
    for _ in range(ROUNDS):  # in turn, so that what else the machine does falls on all of them
        for name, pair in ways.items():
            took[name] = [min(before, _each(way)) for before, way in zip(took[name], pair, strict=True)]
    alone = took[ALONE]
    rows = [[name, *_cells(values[0], alone[0]), *_cells(values[1], alone[1])] for name, values in took.items()]
    notes = [
        *(
            f"target: {name} under {LIMIT_RATIO:g} times those alone: {_kept(took[name][0] / alone[0])}"
            for name in (TARGET, CANDIDATE)
        ),
        f"{len(CALLS)} calls in turn, by several agents and people; each is judged, none is recorded",
        "each purpose policy asks for identity, groups, data source, capability, environment, agent and office hours",
        "a candidate is a whole capability policy; one with other rules for the call is asked itself",
    ]
    return [Table("Purposes and shadows", ["", "judge, us", "ratio", "with reading the call", "ratio"], rows, notes)]


def _kept(ratio: float) -> str:
    return f"{ratio:.2f}, {target(ratio, LIMIT_RATIO)}"


def _cells(nanos: float, of: float) -> tuple[str, str]:
    return f"{nanos / 1000:.2f}", f"{nanos / of:.2f}"


def compiled(*more: Rule) -> CompiledPolicy:
    return compile_policy(parse_policy(policy_text([*more, *EIGHT]).encode(), "bench.yaml"))


def policies(kind: str, number: int) -> list[tuple[PolicyRef, PurposePolicy]]:
    """So many, alike in what they ask and different in what they want."""
    return [(PolicyRef(kind="purpose_policy", name=f"{kind}-{n}", revision=1), _policy(kind, n)) for n in range(number)]


def _policy(kind: str, number: int) -> PurposePolicy:
    match = Match(
        user_groups=tuple(GROUPS if number == 0 else GROUPS[number % 4 :: 2]),
        data_source_id=("crm", f"source-{number}"),
        capabilities=("shell.*", f"service{number}.*"),
        agent_ids=tuple(AGENTS[number % 8 :]) if number else None,
        environments=("production",),
        hours=(OFFICE,),
    )
    decision = Outcome.ALLOW if number % 3 else Outcome.REQUIRE_APPROVAL
    return PurposePolicy(policy_id=f"{kind}-{number}", purpose_id="support", match=match, decision=decision, span=PLACE)


def rules(shadow: int, *candidates: CompiledPolicy) -> Rules:
    purpose = Purpose(id="support", status=Status.ACTIVE, elements=("users.*", "orders.id"), span=PLACE)
    live = compiled()
    ref = PolicyRef(kind="policy", name="candidate", revision=2)
    return Rules(
        policies=(live,),
        candidates=tuple((ref, live, candidate) for candidate in candidates),
        purposes=PurposeBook([purpose], policies("live", LIVE), policies("shadow", shadow)),
    )


OTHER_RULES = (
    Rule("deny", "shell.execute", "contains", "curl"),
    Rule("require_approval", "shell.*", "contains", "sudo"),
)
ELSEWHERE = Rule("deny", "payments.transfer", "amount_gt", 20000)
CANDIDATE = f"{LIVE} live, one candidate with two rules more for these calls"
PLAIN, ALONE, TARGET = "the 8 rules alone", f"{LIVE} live", f"{LIVE} live, {SHADOW} in shadow"
WORLDS = {
    PLAIN: Rules(policies=(compiled(),)),
    ALONE: rules(0),
    TARGET: rules(SHADOW),
    f"{LIVE} live, {SHADOW * 10} in shadow": rules(SHADOW * 10),
    CANDIDATE: rules(0, compiled(*OTHER_RULES)),
    f"{LIVE} live, one candidate that judges these calls alike": rules(0, compiled(ELSEWHERE)),
}


def call(person: str, agent: str, source: str, group: str) -> Call:
    return Call(
        agent, "shell.execute", {"command": "ls -la"}, CONTEXT, identity=Identity(person, (group, "everyone")),
        purpose_id="support", data_source_id=source, elements=("users.name", "orders.id"),
    )  # fmt: skip


CALLS = [call(f"user-{n}", AGENTS[n % 16], "crm", GROUPS[n % 8]) for n in range(64)]


def _ways(by: Rules) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """To judge a call that is read already, and to read and judge it."""
    facts = [read_facts(one) for one in CALLS]
    return (
        lambda n: judge(by, CALLS[n], facts[n], NOON),
        lambda n: judge(by, CALLS[n], read_facts(CALLS[n]), NOON),
    )


def _each(ask: Callable[[int], object]) -> float:
    def turn(_: object) -> None:
        for number in range(len(CALLS)):
            ask(number)

    return nanoseconds(turn, None) / len(CALLS)


if __name__ == "__main__":
    report(tables)
