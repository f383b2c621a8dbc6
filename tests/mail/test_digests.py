"""From the store to the mail server: many requests to one person arrive as a few mails and one digest."""

from __future__ import annotations

from contextlib import closing

from onpurpose.adapters.email import MailServer, SmtpMessenger
from onpurpose.app.digests import GATHER_SECONDS, MANY
from onpurpose.core.delivery import Channel
from tests.app.courier_world import World
from tests.mail.examples import FROM
from tests.mail.server import mail_host


def test_many_requests_arrive_as_a_few_mails_and_a_digest_to_which_outcomes_are_answers() -> None:
    world = World()
    with (
        mail_host() as host,
        closing(SmtpMessenger(MailServer(host="127.0.0.1", port=host.port, plain=True), FROM)) as sends,
    ):
        courier = world.courier({Channel.EMAIL: sends})
        asked = [world.ask((Channel.EMAIL, "anna")) for _ in range(MANY + 3)]
        world.run(courier, GATHER_SECONDS, [Channel.EMAIL])
        world.grant(asked[-1][0], "bob", (Channel.EMAIL, "anna"))
        courier.step(Channel.EMAIL)
    *single, digest, outcome = host.received
    assert [mail["Subject"] for mail in single] == ["Approval needed: crm.export by agent-7"] * MANY
    assert digest["Subject"] == "3 requests wait for your approval"
    assert digest["List-Unsubscribe"] is not None
    body = digest.get_body(("plain",))
    assert body is not None
    assert body.get_content().count("https://gate.example/approve/") == 3
    assert (outcome["In-Reply-To"], outcome["Subject"]) == (
        digest["Message-ID"],
        "Re: Approval needed: crm.export by agent-7",
    )
