"""A courier in a process of its own, with real mail and webhooks, to be killed: `python -m ... STORE SMTP_PORT`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from onpurpose.adapters.clock import SystemClock
from onpurpose.adapters.email import MailServer, SmtpMessenger
from onpurpose.adapters.sql.local import LocalApprovals
from onpurpose.adapters.webhook.addresses import Reach
from onpurpose.adapters.webhook.sending import WebhookMessenger
from onpurpose.adapters.webhook.signing import webhook_secret
from onpurpose.app.courier import Courier
from onpurpose.app.viewing import Viewer
from onpurpose.core.access import User
from onpurpose.core.delivery import Channel, Delivery
from tests.app.courier_world import LINKS

LEASE_SECONDS = 1.0
"""How long what a killed process had taken is left alone."""

PEOPLE = [
    User(id=f"user{n}", workspace="acme", name=f"User {n}", email=f"user{n}@example.com", groups=("approvers",),
         created_at=0)
    for n in range(100)
]  # fmt: skip


def made(store: LocalApprovals, smtp_port: int, lease_seconds: float = LEASE_SECONDS) -> Courier:
    """A courier on the store, whose mail goes to that port and whose webhooks to loopback."""
    clock = SystemClock()
    return Courier(
        store,
        {
            Channel.EMAIL: SmtpMessenger(
                MailServer(host="127.0.0.1", port=smtp_port, plain=True), "approvals@gate.example"
            ),
            Channel.WEBHOOK: WebhookMessenger(
                lambda workspace: webhook_secret("0" * 32, workspace), reach=Reach(loopback=True)
            ),
        },
        Viewer(store, store, people=lambda _: PEOPLE, links=LINKS, clock=clock),
        undelivered=give_up,
        clock=clock,
        lease_seconds=lease_seconds,
        poll_seconds=0.01,
    )


def give_up(delivery: Delivery) -> None:
    """Nothing is given up here."""
    raise AssertionError(delivery)


def main() -> None:
    """Send until killed."""
    made(LocalApprovals(Path(sys.argv[1])), int(sys.argv[2])).start()
    signal.pause()


if __name__ == "__main__":
    main()
