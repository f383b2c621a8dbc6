"""What a decision costs, without a record: eight rules, ten thousand, beside the peers; and who is wrong."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from common import CASES, CONTEXT, DENY, Case, Rule, Table, crowded, nanoseconds, policy_text, report, spread, target
from onpurpose import Call, parse_policy
from onpurpose.core.compile import compile_policy
from onpurpose.core.decide import decide
from peers import PEERS, Engine, closures

MANY = 10_000
LIMIT_US, LIMIT_RATIO = 3.0, 2.0


def onpurpose(rules: Iterable[Rule]) -> Engine:
    policies = (compile_policy(parse_policy(policy_text(rules).encode(), "bench.yaml")),)

    def request(case: Case) -> Call:
        return Call("agent", case.capability, case.payload, CONTEXT)

    return Engine(request, lambda call: decide(policies, call), lambda decision: str(decision.outcome))


ENGINES: dict[str, Callable[[Iterable[Rule]], Engine]] = {"onpurpose": onpurpose, "plain closures": closures, **PEERS}

NOTES = {
    "plain closures": "dictionary and lambdas by hand, reading one key each: the bare limit, not a policy",
    "cedarpy": "`like` sees one named attribute: nothing at any depth, no folding, no `..`",
    "pycasbin": "sees flat attributes that the caller hands over: nothing nested, no folding, no `..`",
    "regopy": "walks the payload, so depth and amounts are right; folding and `..` would be code of the author's own",
    "capfence": "reads the top level only, amounts without magnitude, paths without components, text without folding",
}


def outcome(engine: Engine, case: Case) -> str:
    """What the engine says; one that raises is taken for a denial, as a careful caller would."""
    try:
        return engine.read(engine.ask(engine.request(case)))
    except Exception:
        return DENY


def _by_case(engine: Engine, cases: Sequence[Case] = CASES) -> list[float]:
    """Nanoseconds for each of the calls; one that is slow is asked a few times only."""
    return [nanoseconds(engine.ask, engine.request(case)) for case in cases]


def tables() -> list[Table]:
    rows, wrong_rows, medians = [], [], {}
    for name, build in ENGINES.items():
        try:
            row, wrong, medians[name] = _one(name, build)
        except ImportError:
            row, wrong = [name, *["not installed"] * 7], []
        rows.append(row)
        wrong_rows.append((name, wrong))
    few, many = medians["onpurpose"]
    notes = [
        f"target: a median under {LIMIT_US:g} us with 8 rules: {few:.2f}, {target(few, LIMIT_US)}",
        f"target: with {MANY:,} rules at most {LIMIT_RATIO:g} times that: {many / few:.2f}, "
        + target(many / few, LIMIT_RATIO),
        "the same 8 rules and 20 calls for all, evasions and unknowns among them; medians and means over the calls",
        "what is asked is made beforehand, parsed policies are held; peers in the form that answers fastest",
        "the mean of onpurpose holds the calls whose facts are unknown, which get their reasons worked out",
    ]
    plain = [case for case in CASES if case.what == "plain"]
    took = statistics.median(_by_case(onpurpose(spread(8)), plain))
    notes.append(f"onpurpose on the {len(plain)} calls that hide nothing: a median of {_us(took)} us")
    head = ["", "8: median us", "mean", "10,000: median us", "mean", "ratio", "10,000 loaded in s", "wrong of 20"]
    return [Table("Decision without a record", head, rows, notes), _wrong(wrong_rows), _by_call(), _crowded()]


def _one(name: str, build: Callable[[Iterable[Rule]], Engine]) -> tuple[list[str], list[str], tuple[float, float]]:
    few = build(spread(8))
    took = _by_case(few)
    rules = spread(MANY)
    start = time.perf_counter()
    many = build(rules)
    loaded = time.perf_counter() - start
    took_many = _by_case(many)
    wrong = [case.what for case in CASES if outcome(few, case) != case.expected]
    medians = statistics.median(took) / 1000, statistics.median(took_many) / 1000
    cells = [_us(of(values)) for values in (took, took_many) for of in (statistics.median, statistics.mean)]
    cells += [f"{medians[1] / medians[0]:.2f}", f"{loaded:.2f}", str(len(wrong))]
    label = f"{name} {version(name)}" if name in PEERS else name
    del few, many
    gc.collect()
    return [label, *cells], wrong, medians


def _us(nanos: float) -> str:
    return f"{nanos / 1000:,.2f}" if nanos < 100_000 else f"{nanos / 1000:,.0f}"


def _wrong(rows: list[tuple[str, list[str]]]) -> Table:
    cells = [[name, str(len(wrong)), ", ".join(wrong) or "none"] for name, wrong in rows]
    notes = [f"{name}: {note}" for name, note in NOTES.items()]
    notes.append("an application can read and fold the payload itself and hand over clean facts: then that is its code")
    return Table("Wrong answers of the 20, by what the call does", ["", "wrong", "which"], cells, notes)


def _by_call() -> Table:
    engine = onpurpose(spread(8))
    took = zip(CASES, _by_case(engine), strict=True)
    rows = [[f"{case.capability}: {case.what}", case.expected, _us(nanos)] for case, nanos in took]
    return Table("onpurpose call by call, 8 rules", ["", "outcome", "us"], rows, [])


def _crowded() -> Table:
    """All rules on one capability: no index helps, each is asked."""
    rows = []
    for name in ("onpurpose", "plain closures", "cedarpy", "capfence"):
        try:
            engine = ENGINES[name](crowded(MANY))
        except ImportError:
            continue
        nanos = nanoseconds(engine.ask, engine.request(CASES[0]), budget=0.2)
        rows.append([name, f"{nanos / 1000:,.0f}", f"{nanos / MANY:,.0f}"])
    note = f"`{CASES[0].payload['command']}` goes past every rule before it is allowed; targets are for spread rules"
    return Table(f"{MANY:,} rules on one capability", ["", "us", "ns per rule"], rows, [note])


if __name__ == "__main__":
    report(tables)
