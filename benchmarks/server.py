"""Decisions over HTTP: one process, load from wrk on loopback, beside the bare limits of what it stands on.

Needs `wrk`, and a PostgreSQL as `postgres.py` does: without one, what needs it is left out. The server runs
in a process of its own, on whatever core the system gives it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from common import ASK, CASES, CONTEXT, EIGHT, HeadLedger, Table, policy_text, report, target

SECONDS = 5
CONNECTIONS = 64
MANY = 256
SECRET = "op_benchmrk_" + "x" * 43
TARGET_RATE = 12_000
TARGET_P99 = 10.0

if TYPE_CHECKING:
    Process: TypeAlias = subprocess.Popen[bytes]

_REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 430\r\n\r\n" + b"{" + b" " * 428 + b"}"

_SCRIPT = """
local bodies = { %s }
local requests, at = {}, 0
init = function(args)
  wrk.headers["Authorization"] = "Bearer %s"
  wrk.headers["Content-Type"] = "application/json"
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "%s", nil, body) end
end
request = function()
  at = at %% #requests + 1
  return requests[at]
end
done = function(summary, latency, _)
  local e, rate = summary.errors, summary.requests / summary.duration * 1e6
  io.stderr:write(string.format('{"requests":%%d,"rate":%%f,"p50":%%f,"p99":%%f,"errors":%%d}\\n',
    summary.requests, rate, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Server(NamedTuple):
    """A PostgreSQL, and the folder of the key that signs what all rows write there."""

    url: str
    folder: str


class Row(NamedTuple):
    """What is measured: how the server is made, how many connections, how many calls a request."""

    what: str
    server: str
    connections: int = CONNECTIONS
    batch: int = 0


DURABLE = Row("evaluate, durable on SQLite", "durable")
SERVICE = Row("evaluate by a whole service on SQLite: feed, statistics, policies of a workspace", "service")
POSTGRES = Row(f"evaluate, durable on PostgreSQL, {MANY} connections", "postgres", MANY)
SHARED = Row(f"evaluate by a whole service on PostgreSQL, {MANY} connections", "service-postgres", MANY)
ROWS = (
    Row("asyncio protocol that answers the same bytes", "protocol"),
    Row("raw ASGI that reads the body and answers the same bytes", "asgi"),
    Row("the same, and a record of it durable on SQLite", "asgi-durable"),
    Row("evaluate, nothing kept of the record but its hash", "head"),
    DURABLE,
    Row("evaluate, durable on SQLite, 1 connection", "durable", 1),
    Row(f"evaluate, durable on SQLite, {MANY} connections", "durable", MANY),
    Row("evaluate/batch of 64, durable on SQLite, 8 connections", "durable", 8, 64),
    SERVICE,
    Row(f"raw ASGI and a record of it durable on PostgreSQL, {MANY} connections", "asgi-postgres", MANY),
    POSTGRES,
    SHARED,
)


def tables() -> list[Table]:
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs `wrk`: apt-get install wrk")
    with _postgres() as server:
        measured = {row: _measure(row, server) for row in ROWS if server or "postgres" not in row.server}
    rows = []
    for row, found in measured.items():
        each = row.batch or 1
        rate, p50, p99 = (found["rate"] * each, found["p50"], found["p99"])
        rows.append([row.what, f"{rate:,.0f}", f"{p50:.2f} ms", f"{p99:.2f} ms", f"{found['cpu'] / each:.0f} us"])
    load = f"{CONNECTIONS} connections unless a row says otherwise, kept alive, {SECONDS} s a row"
    notes = [
        *_notes("the gate alone", measured[DURABLE]),
        *_notes("a whole service", measured[SERVICE]),
        *_postgres_notes({"the gate alone": measured.get(POSTGRES), "a whole service": measured.get(SHARED)}),
        f"{load}; {len(CASES)} calls by eight rules in turn; wrk shares the machine with the server",
        "the service is sent none of the calls that need a person: each would be stored, and people be told",
        f"the service's feed had all of it {measured[SERVICE]['feed']:.1f} s after the last answer",
        "processor: what the server, and the process beside a service, took of all cores for one decision",
    ]
    return [Table("Decisions over HTTP, one process", ["", "decisions/s", "p50", "p99", "processor"], rows, notes)]


def _notes(what: str, found: Mapping[str, float]) -> Iterator[str]:
    rate, p99 = found["rate"], found["p99"]
    yield f"target: {TARGET_RATE:,} decisions/s, {what}: {rate:,.0f}, {target(rate, TARGET_RATE, at_least=True)}"
    kept = target(p99, TARGET_P99)
    yield f"target: p99 under {TARGET_P99:.0f} ms at {CONNECTIONS} connections, {what}: {p99:.2f}, {kept}"


def _postgres_notes(measured: Mapping[str, Mapping[str, float] | None]) -> Iterator[str]:
    for what, found in measured.items():
        if found is None:
            yield "no PostgreSQL here, so that its rows are left out: install one"
            return
        kept = target(found["rate"], TARGET_RATE, at_least=True)
        yield f"target: {TARGET_RATE:,} decisions/s on PostgreSQL, {what}: {found['rate']:,.0f}, {kept}"
    yield "PostgreSQL shares the machine, and what it takes of the processor is not counted"


@contextmanager
def _postgres() -> Iterator[Server | None]:
    """A PostgreSQL that syncs each commit, if there is one."""
    try:
        from postgres import _server
    except ImportError:
        yield None
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(_server())
        except SystemExit:
            yield None
        else:
            yield Server(url, stack.enter_context(tempfile.TemporaryDirectory()))


@contextmanager
def _own_database(url: str) -> Iterator[str]:
    """A database that holds nothing yet: a service signs with another key than the rows before it."""
    import psycopg
    from psycopg import sql

    name = f"bench_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _measure(row: Row, server: Server | None = None) -> dict[str, float]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = ""
        if server is not None and "postgres" in row.server:
            url, folder = server
        if row is SHARED:
            url, folder = stack.enter_context(_own_database(url)), stack.enter_context(tempfile.TemporaryDirectory())
        port, process = stack.enter_context(_running(row.server, folder, url))
        secret = _prepare(port, Path(folder)) if "service" in row.server else SECRET
        script = Path(folder) / "load.lua"
        script.write_text(_script(row.batch, secret, asking="service" not in row.server), encoding="utf-8")
        os.sync()  # what the rows before it left unwritten is none of this one's
        _wrk(port, script, row.connections, 1)
        before = _cpu(process)
        found = _wrk(port, script, row.connections, SECONDS)
        if "asgi" not in row.server and row.server != "protocol" and not _is_recorded(port, secret):
            raise SystemExit(f"{row.what}: calls were denied as they could not be recorded")
        found["cpu"] = (_cpu(process) - before) / found["requests"] * 1e6
        if row.server == "service":
            found["feed"] = _await_feed(Path(folder))
    if found["errors"]:
        raise SystemExit(f"{row.what}: {found['errors']:.0f} requests went wrong")
    return found


def _prepare(port: int, folder: Path) -> str:
    """Have the service's first workspace judge by the eight rules; its key."""
    import httpx2

    secret = (folder / "key").read_text(encoding="ascii")
    headers = {"Authorization": f"Bearer {secret}"}
    limits = {"min_matched": 0, "min_days": 0, "would_deny": 1}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
        client.put("/v1/policies/bench", json={"text": policy_text(EIGHT)}).raise_for_status()
        promoting = {"reason": "a benchmark", "overrides": limits}
        client.post("/v1/policies/bench/promote", json=promoting).raise_for_status()
    return secret


def _is_recorded(port: int, secret: str) -> bool:
    """Whether a call is decided on its merits: one that cannot be recorded is denied, and answered all the same."""
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    asked = Request(f"http://127.0.0.1:{port}/v1/evaluate", json.dumps(_call(0)).encode(), headers)
    with urlopen(asked, timeout=30) as answer:
        return b"audit_unavailable" not in answer.read()


def _wrk(port: int, script: Path, connections: int, seconds: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stderr.strip().splitlines()[-1])
    return found


def _cpu(process: Process) -> float:
    """Seconds of processor time that the server has taken, on all cores, with the processes that it started."""
    children = [file.read_text("ascii").split() for file in Path(f"/proc/{process.pid}/task").glob("*/children")]
    pids = [str(process.pid), *(pid for some in children for pid in some)]
    stats = [Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


def _await_feed(folder: Path) -> float:
    """Seconds until a service's feed has every record of its log."""
    began = time.monotonic()
    log, feed = (sqlite3.connect(f"file:{folder}/onpurpose.db{name}?mode=ro", uri=True) for name in ("", ".feed"))
    with closing(log), closing(feed):
        while time.monotonic() < began + 60:
            (reached,) = feed.execute("SELECT decisions + events FROM feed_state").fetchone()
            if reached == log.execute("SELECT max(position) FROM records").fetchone()[0]:
                return time.monotonic() - began
            time.sleep(0.01)
    raise SystemExit("the service's feed does not keep up")


def _script(batch: int, secret: str, *, asking: bool = True) -> str:
    calls = [_call(number) for number, case in enumerate(CASES) if asking or case.expected != ASK]
    bodies: list[Any] = calls
    if batch:
        bodies = [{"calls": [calls[(start + n) % len(calls)] for n in range(batch)]} for start in range(4)]
    path = "/v1/evaluate/batch" if batch else "/v1/evaluate"
    return _SCRIPT % (",".join(f"[==[{json.dumps(body)}]==]" for body in bodies), secret, path)


def _call(number: int) -> Mapping[str, object]:
    case = CASES[number]
    return {
        "agent_id": "agent", "capability": case.capability, "payload": case.payload, "policy_context": CONTEXT,
        "identity": {"user_id": "ann", "groups": ["finance"]},
    }  # fmt: skip


@contextmanager
def _running(kind: str, folder: str, url: str = "") -> Iterator[tuple[int, Process]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", kind, str(port), folder, url])
    try:
        _wait(port, process)
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


def _wait(port: int, process: Process) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit("the server does not answer")


# -- what runs in the server's process


def serve(kind: str, port: int, folder: str, url: str = "") -> None:
    if kind == "protocol":
        _serve_protocol(port)
    elif kind == "asgi":
        _serve_asgi(port)
    elif kind == "asgi-durable":
        _serve_asgi(port, _sqlite(folder))
    elif kind == "asgi-postgres":
        _serve_asgi(port, _on_postgres(url, folder))
    elif "service" in kind:
        _serve_service(port, Path(folder), url)
    else:
        _serve_product(port, _ledger(kind, url, folder))


def _ledger(kind: str, url: str, folder: str) -> Any:
    if kind == "head":
        return HeadLedger()
    return _sqlite(folder) if kind == "durable" else _on_postgres(url, folder)


def _sqlite(folder: str) -> Any:
    from onpurpose.wiring import ledger_at

    return ledger_at(Path(folder) / "onpurpose.db")


def _on_postgres(url: str, folder: str) -> Any:
    from onpurpose.adapters.signing import KeyFile
    from onpurpose.adapters.sql.postgres import PostgresLedger

    here = Path(folder)
    return PostgresLedger(url, signer=KeyFile(here / "key", here / "pub"), anchor=here / "anchor")


def _serve_protocol(port: int) -> None:
    import uvloop

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(_REPLY)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(run())


def _serve_asgi(port: int, ledger: Any = None) -> None:
    import uvicorn

    from onpurpose.core.record import Record
    from onpurpose.waiting import done

    headers = [(b"content-type", b"application/json"), (b"content-length", b"430")]
    body = _REPLY.partition(b"\r\n\r\n")[2]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            message = await receive()
            if ledger is not None:
                receipt = ledger.append(Record("bare", message["body"]))
                await done(receipt, 10)
                receipt.result(0)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    options: Any = {"loop": "uvloop", "http": "httptools", "lifespan": "off", "ws": "none"}
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, **options)
    if ledger is not None:
        ledger.close()


def _serve_product(port: int, audit: Any) -> None:
    import hashlib

    from onpurpose import Gate, parse_policy
    from onpurpose.adapters.clock import SystemClock
    from onpurpose.core.access import ApiKey, Scope
    from onpurpose.server.build import Services, Settings, build, run
    from onpurpose.server.identity import Authority
    from onpurpose.server.metrics import Metrics

    gate = Gate(parse_policy(policy_text(EIGHT).encode(), "bench.yaml"), audit, reload_seconds=3600)

    class OneGate:
        def begin(
            self, call: Any, policy: str | None, *, workspace: str, key: str, approval_id: str | None = None
        ) -> Any:
            return gate.begin(call)

    key = ApiKey(
        id="k", workspace="w", name="benchmark", prefix=SECRET[:11], hash=hashlib.sha256(SECRET.encode()).digest(),
        scopes=frozenset({Scope.EVALUATE}), created_by="benchmark", created_at=0, per_minute=1_000_000_000,
    )  # fmt: skip
    parts = Services(
        evaluator=OneGate(), authority=Authority([key]), clock=SystemClock(), metrics=Metrics(), close=gate.close,
        gathering=audit.gathering, settings=Settings(),
    )  # fmt: skip
    run(build(parts), port=port)
    if hasattr(audit, "close"):
        audit.close()


def _serve_service(port: int, folder: Path, url: str) -> None:
    from onpurpose.place import Options
    from onpurpose.server.build import Settings, build, run
    from onpurpose.service import Service

    settings = Settings(per_minute=1_000_000_000)
    database = url or str(folder / "onpurpose.db")
    service = Service(Options(database=database, directory=str(folder), settings=settings, feed_apart=True))
    assert service.first_key is not None  # the store is new
    (folder / "key").write_text(service.first_key.secret, encoding="ascii")
    run(build(service.services), port=port)


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5] if len(sys.argv) > 5 else "")
    else:
        report(tables)
