"""A courier that is killed (`kill -9`) amid its work, on a real store, with real mail and webhooks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import orjson
import pytest

from onpurpose.adapters.clock import SystemClock
from onpurpose.adapters.sql.local import LocalApprovals
from onpurpose.app.lane import TOGETHER
from onpurpose.core.approval import Approval, open_approval
from onpurpose.core.delivery import Channel, Delivery, Event, Progress
from onpurpose.core.routing import DEFAULT
from tests.app.courier_process import made
from tests.mail.server import MailHost, mail_host
from tests.webhook.receiver import Receiver, receiving

ROOT = Path(__file__).resolve().parents[2]
COUNT = 30
PATIENCE = 30


@contextmanager
def sending(store: Path, host: MailHost) -> Iterator[subprocess.Popen[bytes]]:
    """A process that sends, and is killed at the end of the block."""
    command = [sys.executable, "-m", "tests.app.courier_process", str(store), str(host.port)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def kept(store: LocalApprovals, receiver: Receiver) -> dict[str, str]:
    """Approvals of each of which one person is told by mail and one receiver by webhook: deliveries and approvals."""
    now, expected = SystemClock().now(), {}
    for number in range(COUNT):
        approval = open_approval(
            Approval(id=f"a{number:03}", workspace="acme", digest=f"d{number}", agent_id="agent-7",
                     capability="crm.export", routes=(DEFAULT,), context=b"{}", opened_at=now, until=0, wake_at=None)
        )  # fmt: skip
        to = {Channel.EMAIL: f"user{number}", Channel.WEBHOOK: f"http://127.0.0.1:{receiver.port}/{number}"}
        deliveries = [
            Delivery(id=f"{channel}-{number:03}", workspace="acme", approval_id=approval.id, channel=channel,
                     event=Event.REQUESTED, recipient=recipient, created_at=now, due_at=now)
            for channel, recipient in to.items()
        ]  # fmt: skip
        assert store.open(approval, deliveries=deliveries, notes=[]) is None
        expected |= {one.id: approval.id for one in deliveries}
    return expected


def left(host: MailHost, receiver: Receiver) -> list[tuple[str, str]]:
    """Identities of what arrived, and which approval each was about."""
    mails = [(str(mail["Message-ID"])[1:].partition("@")[0], link_of(mail.as_string())) for mail in host.received]
    return mails + [(headers["Webhook-Id"], orjson.loads(body)["data"]["id"]) for _, headers, body in receiver.got]


def link_of(text: str) -> str:
    return next(word for word in text.replace("=\n", "").split() if word.startswith("https://gate.example/approve/"))


@pytest.mark.parametrize("after", [1, 9])
def test_whenever_it_is_killed_nothing_is_lost_and_nothing_has_two_identities(tmp_path: Path, after: int) -> None:
    path = tmp_path / "approvals"
    with mail_host() as host, receiving() as receiver, closing(LocalApprovals(path)) as store:
        expected = kept(store, receiver)
        for box in (host, receiver, host):
            with sending(path, host):
                for _ in range(after):
                    assert box.arrived.acquire(timeout=PATIENCE)
        with closing(made(store, host.port)) as courier:
            courier.start()
            until = time.monotonic() + PATIENCE
            while not all_left(store):
                assert time.monotonic() < until, "something was lost"
                receiver.arrived.acquire(timeout=0.02)
        arrived = left(host, receiver)
    assert len(arrived) <= len(expected) + 3 * 2 * TOGETHER, "each has sent no more again than it had in hand"
    about: dict[str, set[str]] = {}
    for name, approval in arrived:
        about.setdefault(name, set()).add(approval)
    assert about.keys() == expected.keys()
    assert all(len(approvals) == 1 for approvals in about.values()), "sent again, a message says and links the same"


def all_left(store: LocalApprovals) -> bool:
    deliveries = [one for number in range(COUNT) for one in store.of("acme", f"a{number:03}")]
    return all(one.progress is Progress.SENT for one in deliveries)
