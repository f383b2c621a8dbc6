"""A thousand messages about approvals, by mail and webhook, to real servers: how long from kept to left?

    python benchmarks/courier.py [--json]

Kept in the service's SQLite at a steady rate, and all at once. One in three goes by a channel that hangs.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from common import HERE, Table, percentile, report, target

sys.path.insert(0, str(HERE.parent))

from tests.mail.server import mail_host
from tests.webhook.receiver import receiving

from onpurpose.adapters.clock import SystemClock
from onpurpose.adapters.email import MailServer, SmtpMessenger
from onpurpose.adapters.sql.approvals import SqlApprovals
from onpurpose.adapters.sql.deliveries import SqlDeliveries
from onpurpose.adapters.sql.engine import Store, open_store
from onpurpose.adapters.webhook.addresses import Reach
from onpurpose.adapters.webhook.sending import WebhookMessenger
from onpurpose.adapters.webhook.signing import webhook_secret
from onpurpose.app.courier import Courier
from onpurpose.app.links import Links
from onpurpose.app.viewing import Viewer
from onpurpose.core.access import User
from onpurpose.core.approval import Approval, open_approval
from onpurpose.core.delivery import Channel, Delivery, Event, View
from onpurpose.core.routing import DEFAULT
from onpurpose.ports import Messenger

COUNT = 1000
RATES = (20.0, 50.0, float("inf"))
LIMIT = 1.0
PEOPLE = 250
CONTEXT = b'{"payload":"' + b"x" * 4096 + b'"}'
SECRET = "0" * 32


class Watched:
    """A messenger, and when each message had left."""

    def __init__(self, inner: Messenger, left: dict[str, float], done: threading.Semaphore) -> None:
        self._inner, self._left, self._done = inner, left, done

    def send(self, delivery: Delivery, view: View) -> str:
        ref = self._inner.send(delivery, view)
        self._left[delivery.id] = time.perf_counter()
        self._done.release()
        return ref


class Hanging:
    """A channel that answers nothing for as long as the run lasts."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def send(self, delivery: Delivery, view: View) -> str:
        self.ended.wait()
        return "late"


def tables() -> list[Table]:
    rows, steady = [], 0.0
    for rate in RATES:
        took = sorted(once(rate))
        cells = [f"{1000 * value:,.1f}" for value in (percentile(took, 0.5), percentile(took, 0.99), took[-1])]
        rows.append(["all at once" if rate == float("inf") else f"{rate:.0f} a second", *cells])
        if rate != float("inf"):
            steady = max(steady, percentile(took, 0.99))
    notes = [
        f"target: at a steady rate 99 of 100 leave within {LIMIT:g} s: {steady:,.3f} s, {target(steady, LIMIT)}",
        "left: taken by a mail server, or answered by a webhook's receiver, in a process of their own",
        f"half go by mail to {PEOPLE} people, half by webhook; beside them hangs the third channel",
        "all at once: the last of them waits for all the others, which one thread a channel sends one by one",
        "the messages, the store and whoever asks share one interpreter; a mail costs it 4 to 6 ms of processor time",
    ]
    return [Table(f"{COUNT:,} messages, from kept to left (ms)", ["kept", "p50", "p99", "most"], rows, notes)]


def once(rate: float) -> list[float]:
    """The seconds that each of the messages took."""
    kept: dict[str, float] = {}
    left: dict[str, float] = {}
    done = threading.Semaphore(0)
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder,
        closing(open_store(str(Path(folder) / "onpurpose.db"))) as store,
        servers() as (smtp, hooks),
        running(store, smtp, left, done) as courier,
    ):
        approvals, began = SqlApprovals(store), time.perf_counter()
        for number in range(COUNT // 2):
            while time.perf_counter() - began < 2 * number / rate:
                time.sleep(0.0005)
            deliveries = keep(approvals, number, hooks)
            kept |= dict.fromkeys((one.id for one in deliveries[:2]), time.perf_counter())
            courier.wake()
        for _ in range(COUNT):
            done.acquire()
    return [left[name] - at for name, at in kept.items()]


@contextmanager
def servers() -> Iterator[tuple[int, int]]:
    """The ports of a mail server and a receiver of webhooks, in a process of their own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def serve(line: Connection) -> None:
    with mail_host() as mail, receiving() as hooks:
        line.send((mail.port, hooks.port))
        line.recv()


@contextmanager
def running(store: Store, smtp: int, left: dict[str, float], done: threading.Semaphore) -> Iterator[Courier]:
    hanging, clock = Hanging(), SystemClock()
    server = MailServer(host="127.0.0.1", port=smtp, plain=True)
    hooks = WebhookMessenger(lambda name: webhook_secret(SECRET, name), reach=Reach(loopback=True))
    messengers: dict[Channel, Messenger] = {
        Channel.EMAIL: Watched(SmtpMessenger(server, "approvals@gate.example"), left, done),
        Channel.WEBHOOK: Watched(hooks, left, done),
        Channel.SLACK: hanging,
    }
    people = [
        User(id=f"u{n}", workspace="acme", name=f"User {n}", email=f"u{n}@example.com", groups=("approvers",),
             created_at=0)
        for n in range(PEOPLE)
    ]  # fmt: skip
    deliveries = SqlDeliveries(store)
    viewer = Viewer(
        SqlApprovals(store), deliveries, people=lambda _: people,
        links=Links(SECRET, "https://gate.example"), clock=clock,
    )  # fmt: skip
    courier = Courier(deliveries, messengers, viewer, undelivered=lambda one: None, clock=clock)
    courier.start()
    try:
        yield courier
    finally:
        hanging.ended.set()
        courier.close()


def keep(approvals: SqlApprovals, number: int, port: int) -> list[Delivery]:
    now = time.time_ns() // 1000
    approval = open_approval(
        Approval(id=f"a{number:04}", workspace="acme", digest=f"d{number}", agent_id="agent-7", capability="crm.export",
                 routes=(DEFAULT,), context=CONTEXT, opened_at=now, until=0, wake_at=None)
    )  # fmt: skip
    to = [(Channel.EMAIL, f"u{number % PEOPLE}"), (Channel.WEBHOOK, f"http://127.0.0.1:{port}/"), (Channel.SLACK, "C1")]
    deliveries = [
        Delivery(id=f"{channel}-{number:04}", workspace="acme", approval_id=approval.id, channel=channel,
                 event=Event.REQUESTED, recipient=recipient, created_at=now, due_at=now)
        for channel, recipient in to
    ]  # fmt: skip
    approvals.open(approval, deliveries=deliveries, notes=[])
    return deliveries


if __name__ == "__main__":
    report(tables)
