"""What `gate.evaluate` costs with digest, record and chain hash, but no disk: and where the time goes."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable
from typing import Any

import orjson

from common import CASES, CONTEXT, Case, HeadLedger, Table, nanoseconds, policy_text, report, spread, target
from onpurpose import Call, Gate, Masking, parse_policy
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.core.canonical import digest
from onpurpose.core.compile import compile_policy
from onpurpose.core.decide import decide, read_facts
from onpurpose.core.record import GENESIS, Record, link

LIMIT_US = 10.0
POLICY = parse_policy(policy_text(spread(8)).encode(), "bench.yaml")


def tables() -> list[Table]:
    chained, kept = "evaluate, digest, record, chain hash", MemoryLedger()
    ways: dict[str, Callable[[Any], object]] = {
        "bare: orjson and SHA-256 of a call and a record": bare,
        "evaluate, no record (audit=None)": through(Gate(POLICY, None)),
        chained: through(Gate(POLICY, HeadLedger())),
        "the same, records kept in memory": through(Gate(POLICY, kept)),
    }
    took = {name: [nanoseconds(way, case) for case in CASES] for name, way in ways.items()}
    rows = [_row(name, values) for name, values in took.items()]
    median = statistics.median(took[chained]) / 1000
    plain = statistics.median(nanos for nanos, case in zip(took[chained], CASES, strict=True) if case.what == "plain")
    notes = [
        f"target: a plain call under {LIMIT_US:g} us with all but the disk: {plain / 1000:.2f}, "
        + target(plain / 1000, LIMIT_US),
        f"the same over all 20 calls: {median:.2f}, {target(median, LIMIT_US)}",
        "most calls that are not plain leave a fact unknown, and their records say why and what would settle it",
        "bare writes the same two documents and takes their hashes, with nothing decided, masked or waited for",
        "chained by a ledger that keeps the last hash alone; `MemoryLedger` takes new memory for each record",
        "the 20 calls of the decision table, 8 rules; plain ones hide nothing and leave nothing out",
        f"kept in memory: {len(kept.records()):,} records by the end",
    ]
    return [Table("evaluate without a disk", ["us", "median", "mean", "plain calls, median"], rows, notes), _parts()]


def _row(name: str, values: list[float]) -> list[str]:
    plain = [nanos for nanos, case in zip(values, CASES, strict=True) if case.what == "plain"]
    shown = statistics.median(values), statistics.mean(values), statistics.median(plain)
    return [name, *(f"{nanos / 1000:.2f}" for nanos in shown)]


def through(gate: Gate) -> Callable[[Case], object]:
    def ask(case: Case) -> object:
        return gate.evaluate("agent", case.capability, case.payload, policy_context=CONTEXT)

    return ask


def bare(case: Case) -> bytes:
    """The least that a digest, a record and a link take: two documents written, three hashes."""
    call = {"agent": "agent", "capability": case.capability, "payload": case.payload, **CONTEXT}
    seal = hashlib.sha256(orjson.dumps(call, option=orjson.OPT_SORT_KEYS)).hexdigest()
    record = {"v": 1, "kind": "decision", "id": "0" * 32, "at": 0, **call, "digest": seal, "outcome": "allow"}
    return hashlib.sha256(GENESIS + orjson.dumps(record)).digest()


def _parts() -> Table:
    """The steps of one plain call, each by itself."""
    case = CASES[0]
    call = Call("agent", case.capability, case.payload, CONTEXT)
    facts, masking, ledger = read_facts(call), Masking(), MemoryLedger()
    policies = (compile_policy(POLICY),)
    body = orjson.dumps({"payload": case.payload, "context": CONTEXT, "filler": "x" * 400})
    steps: dict[str, Callable[[Any], object]] = {
        "make the Call": lambda _: Call("agent", case.capability, case.payload, CONTEXT),
        "read the facts": lambda _: read_facts(call),
        "facts and decision": lambda _: decide(policies, call),
        "digest of the call": lambda _: digest(call, facts),
        "mask payload": lambda _: masking.payload(case.payload, facts),
        "mask context": lambda _: masking.context(CONTEXT),
        "hash of the chain": lambda _: link(GENESIS, "c" * 32, 1, body),
        "append to memory": lambda _: ledger.append(Record("decision", body)),
    }
    rows = [[name, f"{nanoseconds(step, None) / 1000:.2f}"] for name, step in steps.items()]
    note = "`ls -la`; each step with the 0.03 us of calling it; the facts are read within the decision"
    return Table("Where the time of a plain call goes", ["", "us"], rows, [note])


if __name__ == "__main__":
    report(tables)
