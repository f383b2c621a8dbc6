"""How soon a message is in Slack once a call needs a person: `python benchmarks/approving.py [--json]`.

A whole service on SQLite is asked over loopback, and tells a Slack in a process of its own: at a steady rate, beside
calls that need nobody, and then as fast as it answers. The second part needs `wrk`.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from common import HERE, Table, percentile, report, target

sys.path.insert(0, str(HERE.parent))

from tests.service.process import Process, put_in_force
from tests.slack.fake import TOKEN, FakeSlack, fake_slack

COUNT = 300
ASKED = 20.0
OTHERS = 400.0
CALLERS = 4
LIMIT = 1.0
SECONDS = 4
CONNECTIONS = (1, 16, 64)
CHANNEL = "C0APPROVALS"
POLICY = "require_approval:\n  - capability: payments.transfer\n    amount_gt: 1000\nallow:\n  - capability: '*'\n"
USERS = 20

_SCRIPT = """
local at = 0
init = function(args) wrk.headers["Authorization"] = "Bearer %s" end
request = function()
  at = at + 1
  local body = string.format('{"agent_id":"agent-%%d","capability":"payments.transfer","payload":{"amount":%%d}}',
    math.floor(at / 50), %d + at)
  return wrk.format("POST", "/v1/evaluate", nil, body)
end
done = function(summary, latency, _)
  local e, rate = summary.errors, summary.requests / summary.duration * 1e6
  io.stderr:write(string.format('{"rate":%%f,"p50":%%f,"p99":%%f,"errors":%%d}\\n', rate,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def tables() -> list[Table]:
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder,
        slack() as (url, line),
        service(Path(folder), url) as process,
    ):
        took, others = steady(process, line)
        fast = fastest(process, Path(folder)) if shutil.which("wrk") else []
    p99 = percentile(took, 0.99)
    cells = [f"{1000 * value:,.1f} ms" for value in (percentile(took, 0.5), p99, took[-1])]
    beside = [f"{1000 * percentile(others, share):,.1f} ms" for share in (0.5, 0.99)] + [f"{1000 * others[-1]:,.1f} ms"]
    notes = [
        f"target: 99 of 100 have left within {LIMIT:g} s of the answer: {p99:,.3f} s, {target(p99, LIMIT)}",
        f"{ASKED:g} calls a second need a person, {OTHERS:g} need nobody, over {CALLERS + 1} connections",
        "left: taken by a Slack on loopback, in a process of its own; 0 where it had it before the answer was read",
    ]
    found = [Table(f"{COUNT} calls that need a person, at a steady rate", ["", "p50", "p99", "most"],
                   [["from the answer to the message in Slack", *cells],
                    ["an answer to a call that needs nobody", *beside]], notes)]  # fmt: skip
    if fast:
        told = [
            "each call opens an approval of its own, whose message is kept in the same transaction",
            "late: answers after more than 2 s; wrk and the Slack share the machine with the service",
        ]
        columns = ["connections", "answers/s", "p50", "p99", "late"]
        found.append(Table("Calls that need a person, as fast as they are answered", columns, fast, told))
    return found


# -- at a steady rate


def steady(process: Process, line: Connection) -> tuple[list[float], list[float]]:
    """Seconds from each answer to its message having left, and those of an answer to the other calls; both sorted."""
    ended = threading.Event()
    others: list[float] = []
    callers = [threading.Thread(target=call_others, args=(process, ended, others)) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    answered: dict[str, float] = {}
    connection = http.client.HTTPConnection("127.0.0.1", process.port)
    began = time.monotonic()
    for number in range(COUNT):
        time.sleep(max(0.0, began + number / ASKED - time.monotonic()))
        approval = ask(connection, process.key, "payments.transfer", 2000 + number)["approval"]
        answered[approval["id"]] = time.monotonic()
    connection.close()
    ended.set()
    for caller in callers:
        caller.join()
    left: dict[str, float] = {}
    while len(left) < COUNT:
        time.sleep(0.2)
        line.send("left")
        left = line.recv()
    return sorted(max(0.0, left[name] - at) for name, at in answered.items()), sorted(others)


def call_others(process: Process, ended: threading.Event, took: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", process.port)
    due = time.monotonic()
    while not ended.is_set():
        time.sleep(max(0.0, due - time.monotonic()))
        due += CALLERS / OTHERS
        began = time.monotonic()
        ask(connection, process.key, "shell.execute", 1)
        took.append(time.monotonic() - began)
    connection.close()


def ask(connection: http.client.HTTPConnection, key: str, capability: str, amount: int) -> dict[str, dict[str, str]]:
    agent = f"agent-{amount // 50}"  # of one agent only so many may wait
    body = json.dumps({"agent_id": agent, "capability": capability, "payload": {"amount": amount}})
    connection.request("POST", "/v1/evaluate", body, {"Authorization": f"Bearer {key}"})
    answer: dict[str, dict[str, str]] = json.loads(connection.getresponse().read())
    return answer


# -- as fast as it answers


def fastest(process: Process, folder: Path) -> list[list[str]]:
    rows = []
    for number, connections in enumerate(CONNECTIONS, start=1):
        script = folder / "ask.lua"
        script.write_text(_SCRIPT % (process.key, number * 10_000_000))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(script), process.url]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stderr.strip().splitlines()[-1])
        rows.append([str(connections), f"{found['rate']:,.0f}", f"{found['p50']:.2f} ms", f"{found['p99']:.2f} ms",
                     f"{found['errors']:,.0f}"])  # fmt: skip
    return rows


# -- the service, and a Slack beside it


@contextmanager
def service(folder: Path, slack_url: str) -> Iterator[Process]:
    environment = {
        "ONPURPOSE_SLACK_BOT_TOKEN": TOKEN,
        "ONPURPOSE_SLACK_URL": slack_url,
        "ONPURPOSE_PUBLIC_URL": "https://gate.example",
    }
    process = Process(str(folder / "onpurpose.db"), folder, environment=environment)
    try:
        with process.client() as admin:
            put_in_force(admin, POLICY, "bench")
            yaml = {"Content-Type": "application/yaml"}
            admin.put(
                "/v1/settings?reason=bench", content=f"notify: {{slack: {CHANNEL}}}", headers=yaml
            ).raise_for_status()
            for n in range(USERS):
                user = {"id": f"u{n}", "name": f"User {n}", "email": f"u{n}@example.com", "groups": ["approvers"]}
                admin.post("/v1/users", json=user).raise_for_status()
        yield process
    finally:
        process.stop()


@contextmanager
def slack() -> Iterator[tuple[str, Connection]]:
    """The URL of a Slack, and a line to ask when it had the message of each approval."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        ours.send(None)
        process.join()


def serve(line: Connection) -> None:
    with fake_slack(time.time) as slack:
        left = watched(slack)
        line.send(slack.url)
        while line.recv() is not None:
            line.send(dict(left))


def watched(slack: FakeSlack) -> dict[str, float]:
    """When Slack had the first message about each approval, by the monotonic clock that all processes share."""
    left: dict[str, float] = {}
    answer = slack.answer

    def noted(method: str, token: str, fields: dict[str, Any]) -> Any:
        at, answered = time.monotonic(), answer(method, token, fields)
        if method == "chat.postMessage":
            value = fields["blocks"][-1]["elements"][0]["value"]
            left.setdefault(json.loads(value)["a"], at)
        return answered

    slack.answer = noted  # type: ignore[method-assign]  # it stands before the real one
    return left


if __name__ == "__main__":
    report(tables)
