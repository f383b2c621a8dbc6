"""Loading: ten thousand rules, an import, and memory over a million decisions. Each in a fresh process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

from common import CASES, CONTEXT, HeadLedger, Table, policy_text, report, spread, target

MANY = 10_000
TRIES = 5
RSS_OPEN = 100_000
RSS_END = 1_000_000


def tables() -> list[Table]:
    return [_loading(), _imports(), _flat()]


def fresh(what: str) -> dict[str, float]:
    """What a process of its own measured."""
    done = subprocess.run([sys.executable, __file__, what], check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _loading() -> Table:
    tries = [fresh("load") for _ in range(TRIES)]
    seconds = {part: [one[part] for one in tries] for part in ("parse", "compile", "both")}
    rows = [[part, f"{statistics.median(took):.3f} s", f"{min(took):.3f} s"] for part, took in seconds.items()]
    traced, rss = fresh("traced"), [one["rss"] for one in tries]
    rows.append(["memory held, by tracemalloc", f"{traced['held']:.1f} MiB", ""])
    rows.append(["its peak while loading", f"{traced['peak']:.1f} MiB", ""])
    rows.append(["memory, by what the process grew", f"{statistics.median(rss):.1f} MiB", f"{min(rss):.1f} MiB"])
    both, held = statistics.median(seconds["both"]), traced["held"]
    notes = [
        f"target: 0.3 s: {both:.3f}, {target(both, 0.3)}; target: 20 MiB held: {held:.1f}, {target(held, 20)}",
        f"{MANY:,} rules spread over capabilities, {len(policy_text(spread(MANY))) / 1024:,.0f} KiB of YAML",
        f"median and best of {TRIES} fresh processes",
    ]
    return Table(f"Loading {MANY:,} rules, checked and compiled", ["", "median", "best"], rows, notes)


def _imports() -> Table:
    wanted = {"python alone": "pass", "import onpurpose": "import onpurpose",
              "from onpurpose import Gate": "from onpurpose import Gate"}  # fmt: skip
    took: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(2 * TRIES):
        for name, line in wanted.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", line], check=True)
            took[name].append(1000 * (time.perf_counter() - start))
    medians = {name: statistics.median(ms) for name, ms in took.items()}
    bare, alone, gate = medians.values()
    rows = [[name, f"{ms:.0f} ms", f"{ms - bare:.0f} ms"] for name, ms in medians.items()]
    note = f"target: `import onpurpose` in 100 ms: {alone - bare:.0f}, {target(alone - bare, 100)}"
    more = f"with all that a gate needs: {gate - bare:.0f}, {target(gate - bare, 100)}; medians of {2 * TRIES}"
    return Table("Import, in a fresh process", ["", "start to end", "beyond python"], rows, [note, more])


def _flat() -> Table:
    measured = fresh("flat")
    rows = [[f"after {count:,} decisions", f"{measured[str(count)]:.1f} MiB"] for count in (RSS_OPEN, RSS_END)]
    grew = measured[str(RSS_END)] - measured[str(RSS_OPEN)]
    notes = [
        f"target: flat; grew by {grew:.1f} MiB, {target(grew, 1)} (1 MiB is taken for flat)",
        "`gate.evaluate` with digest, record and chain; the ledger keeps the last hash alone: what grows is ours",
        "every payload differs, one call in ten names a capability that was never met and one in five cannot be told",
    ]
    return Table("Memory over a million decisions", ["", "resident"], rows, notes)


# -- what runs in the fresh processes


def load() -> dict[str, float]:
    from onpurpose import parse_policy
    from onpurpose.core.compile import compile_policy

    text = policy_text(spread(MANY)).encode()
    before = resident()
    start = time.perf_counter()
    policy = parse_policy(text, "bench.yaml")
    parsed = time.perf_counter()
    compiled = compile_policy(policy)
    end = time.perf_counter()
    if len(compiled.policy.rules) != MANY:
        raise SystemExit("rules are missing")
    return {"parse": parsed - start, "compile": end - parsed, "both": end - start, "rss": resident() - before}


def traced() -> dict[str, float]:
    from onpurpose import parse_policy
    from onpurpose.core.compile import compile_policy

    text = policy_text(spread(MANY)).encode()
    parse_policy(policy_text(spread(8)).encode(), "warm.yaml")
    tracemalloc.start()
    compiled = compile_policy(parse_policy(text, "bench.yaml"))
    held, peak = (size / (1 << 20) for size in tracemalloc.get_traced_memory())
    return {"held": held, "peak": peak, "rules": len(compiled.policy.rules)}


def flat() -> dict[str, float]:
    from onpurpose import Gate, parse_policy

    gate = Gate(parse_policy(policy_text(spread(8)).encode(), "bench.yaml"), HeadLedger())
    found: dict[str, float] = {}
    for number in range(1, RSS_END + 1):
        case = CASES[number % len(CASES)]
        if number % 10 == 0:
            gate.evaluate("agent", f"tool{number}.use", {"text": f"word {number}"}, policy_context=CONTEXT)
        elif number % 5 == 0:
            gate.evaluate("agent", "shell.execute", {"command": f"rm  -rf /{number}"}, policy_context=CONTEXT)
        else:
            payload = {**case.payload, "note": f"call {number}"}
            gate.evaluate("agent", case.capability, payload, policy_context=CONTEXT)
        if number in (RSS_OPEN, RSS_END):
            found[str(number)] = resident()
    return found


def resident() -> float:
    """The process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    ways = {"load": load, "traced": traced, "flat": flat}
    if sys.argv[-1] in ways:
        print(json.dumps(ways[sys.argv[-1]]()))
    else:
        report(tables)
