"""A service with all that tells people: a Slack, a mail server and a receiver of webhooks, each real on loopback."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import orjson

from onpurpose import AsyncClient, Client
from onpurpose.adapters.webhook.signing import verify_webhook
from onpurpose.core.call import Identity
from tests.loopback import asking
from tests.mail.server import MailHost, mail_host
from tests.service.process import SET_ASIDE, Process, free_port
from tests.slack.fake import SIGNING_SECRET, TOKEN, FakeSlack, Json, fake_slack
from tests.webhook.receiver import Receiver, receiving

CHANNEL = "C0APPROVALS"
YAML = {"Content-Type": "application/yaml"}
PATIENCE = 20.0
SECRET = "a secret of at least thirty-two characters"
KIM = Identity("kim", ("support",))

_LINK = re.compile(r"https?://[^\s\"<>]+/approve/[A-Za-z0-9_.=-]+")
_numbers = count(1)


class Office:
    """The service and what stands around it. `process` is the one that runs now, `admin` its client."""

    def __init__(self, stack: ExitStack, database: str, directory: Path, **environment: str) -> None:
        self.slack: FakeSlack = stack.enter_context(fake_slack(time.time))
        self.mail: MailHost = stack.enter_context(mail_host())
        self.hooks: Receiver = stack.enter_context(receiving())
        self.database = database
        self.directory = directory
        self.port = free_port()
        self.key = ""
        self._more = environment
        self._stack = stack
        stack.callback(self._end)
        self.start()
        self.slack.request_url = f"{self.process.url}/slack/interactions"
        self.put_in_force("base", "allow:\n  - capability: '*'\n")
        self.put(
            "settings",
            f"notify: {{slack: {CHANNEL}, email: true, webhooks: ['http://127.0.0.1:{self.hooks.port}/hook']}}",
        )

    def environment(self, port: int) -> dict[str, str]:
        """What the service is told of where people are reached."""
        return {
            "ONPURPOSE_SECRET": SECRET,
            "ONPURPOSE_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "ONPURPOSE_SLACK_BOT_TOKEN": TOKEN,
            "ONPURPOSE_SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "ONPURPOSE_SLACK_URL": self.slack.url,
            "ONPURPOSE_SMTP_URL": f"smtp://127.0.0.1:{self.mail.port}",
            "ONPURPOSE_MAIL_FROM": "Approvals <approvals@gate.example>",
            "ONPURPOSE_WEBHOOK_REACH": "loopback",
            **self._more,
        }

    # -- the service

    def start(self) -> None:
        """Start the service, again on its port, if it is not the first time."""
        around = self.environment(self.port)
        self.process = Process(self.database, self.directory, key=self.key, port=self.port, environment=around)
        self.key = self.process.key
        self.admin = self.process.client()

    def kill(self) -> None:
        """End the service as a crash does."""
        self.admin.close()
        self.process.kill()

    @contextmanager
    def second(self) -> Iterator[Process]:
        """Another process on the same database."""
        port = free_port()
        process = Process(self.database, self.directory, key=self.key, port=port, environment=self.environment(port))
        try:
            yield process
        finally:
            process.stop()

    def at_the_end(self, close: Callable[[], object]) -> None:
        """Have it called when the office closes, while the service still runs."""
        self._stack.callback(close)

    def _end(self) -> None:
        self.admin.close()
        if self.process.running:
            self.process.stop()

    def put(self, path: str, text: str) -> None:
        """Save a document of the workspace."""
        done(self.admin.put(f"/v1/{path}?reason=test", content=text, headers=YAML))

    def put_in_force(self, name: str, text: str) -> None:
        """Have a capability policy decide beside the others."""
        self.put(f"policies/{name}", text)
        done(self.admin.post(f"/v1/policies/{name}/promote", json={"reason": "test", "overrides": SET_ASIDE}))

    def make_key(self, name: str, *scopes: str, user: str | None = None) -> str:
        """A new key's text."""
        body = {"name": name, "scopes": scopes, "user": user}
        return str(done(self.admin.post("/v1/keys", json=body)).json()["secret"])

    def log(self) -> list[Json]:
        """Every record's body."""
        return [one["record"] for one in self._exported()]

    def _exported(self, after: int | None = None) -> list[Json]:
        """Every record behind that position, with its place in the log."""
        behind = {} if after is None else {"after": after}
        lines = done(self.admin.get("/v1/audit/export", params={"whole": "true", **behind})).text.splitlines()
        return [orjson.loads(line) for line in lines]

    def refused(self, approval_id: str, why: str) -> Json:
        """The record of an attempt that was turned away for that reason, once it is in the log."""
        after, until = None, time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for line in self._exported(after):
                after, one = line["position"], line["record"]
                if one["kind"] == "approval.refused" and one["approval"] == approval_id and why in one["why"]:
                    return one
        raise AssertionError(f"nothing was refused because `{why}`")

    def verified(self) -> Json:
        """The report on the log, which is whole."""
        report: Json = done(self.admin.post("/v1/audit/verify")).json()
        assert report["ok"], report
        return report

    def approval(self, approval_id: str, wait: float = 0) -> Json:
        """An approval as people see it, after at most so many seconds for somebody to decide."""
        told: Json = done(self.admin.get(f"/v1/approvals/{approval_id}", params={"wait": wait})).json()
        return told

    # -- what was told

    def message(self, approval_id: str) -> Json:
        """The message in the channel about the approval, once it is there."""
        self.slack.wait_for(lambda: self._about(approval_id))
        return self.slack.message(at=self._about(approval_id)[0])

    def _about(self, approval_id: str) -> list[int]:
        # By its buttons: in other messages it may stand as a similar request.
        return [n for n, one in enumerate(self.slack.channels[CHANNEL]) if approval_id in str(one["blocks"][-1:])]

    def messages(self, approval_id: str) -> list[Json]:
        """All messages in the channel about the approval."""
        return [self.slack.message(at=n) for n in self._about(approval_id)]

    def mails(self, user: str, needed: int = 1) -> list[EmailMessage]:
        """So many mails to the user, once they are there."""

        def found() -> list[EmailMessage]:
            both = zip(list(self.mail.received), list(self.mail.recipients), strict=False)
            return [one for one, to in both if to == f"{user}@example.com"]

        wait_for(self.mail.arrived, lambda: len(found()) >= needed, f"{user} was not written {needed} times")
        return found()

    def link(self, user: str) -> str:
        """The path of the link in the first mail to the user."""
        return links_in(self.mails(user)[0])[0].partition(f":{self.port}")[2]

    def told(self, approval_id: str, kind: str) -> Json:
        """What the receiver of webhooks was told of that kind about the approval; its signature was verified."""

        def found() -> list[Json]:
            return [one for one in self.webhooks(approval_id) if one["type"] == f"approval.{kind}"]

        wait_for(self.hooks.arrived, found, f"no webhook came that it is {kind}")
        return found()[0]

    def webhooks(self, approval_id: str) -> list[Json]:
        """All that the receiver was told about the approval, verified."""
        secret = done(self.admin.get("/v1/webhooks/secret")).json()["secret"]
        told = [verify_webhook(headers, body, secret) for _, headers, body in list(self.hooks.got)]
        return [one for one in told if one["data"]["id"] == approval_id]  # type: ignore[index]

    def post(self, path: str, *, at: httpx2.Client | None = None, **form: str) -> httpx2.Response:
        """Send the form of a page."""
        headers = {"Origin": self.process.url}
        return (at or self.admin).post(path, data=form, headers=headers)

    def case(self, **fields: Any) -> Case:
        """People, a purpose and a policy of their own; see `Case`."""
        return Case(self, next(_numbers), **fields)


class Case:
    """A purpose whose policy asks two people, of whom one must grant; the agent that declares it, with its key.

    `people` are the ids of who is asked. `timeout` in seconds is how long an approval is open.
    """

    def __init__(self, office: Office, number: int, *, people: int = 2, timeout: int = 600, more: str = "") -> None:
        self.office = office
        self.purpose = f"pii_export{number}"
        self.group = f"owners{number}"
        self.agent = f"agent-{number}"
        self.capability = f"crm{number}.export"
        self.people = [f"{name}{number}" for name in ("anna", "bob", "carol", "dora", "emil")[:people]]
        for name in self.people:
            self.hire(name)
        self.key = office.make_key(f"key of {self.agent}", "evaluate")
        office.put(
            f"purposes/{self.purpose}",
            f"id: {self.purpose}\nname: PII export\nstatus: active\nelements: [crm.contacts.*]\n",
        )
        self.ask_people(f"approvers: [group:{self.group}]\napproval_timeout_seconds: {timeout}\n{more}")

    def hire(self, name: str, *groups: str) -> None:
        """A new user, in the group of those who are asked unless others are named, and in Slack."""
        self.office.slack.add_member(member(name), f"{name}@example.com")
        body = {"id": name, "name": name.title(), "email": f"{name}@example.com", "groups": groups or [self.group]}
        done(self.office.admin.post("/v1/users", json=body))

    def ask_people(self, routing: str) -> None:
        """Have the purpose's policy ask people that way."""
        self.office.put(
            f"purpose-policies/{self.purpose}",
            f"policy_id: {self.purpose}\npurpose_id: {self.purpose}\n"
            "match:\n  identity_required: true\n  user_groups: [support]\n"
            "decision: allow\ntoken_ttl_minutes: 5\napproval_required: true\nshadow_mode: false\n" + routing,
        )

    def client(self, process: Process | None = None) -> Client:
        """A client of the agent, which is closed with the office."""
        client = Client((process or self.office.process).url, self.key, timeout_seconds=20)
        self.office.at_the_end(client.close)
        return client

    def async_client(self) -> AsyncClient:
        """The agent's client for coroutines."""
        return AsyncClient(self.office.process.url, self.key, timeout_seconds=20)

    def fields(self, **payload: object) -> Json:
        """A call that needs a person, as `evaluate` takes it."""
        return {
            "agent_id": self.agent,
            "capability": self.capability,
            "payload": {"limit": 500, "api_key": "sk-very-secret", **payload},
            "identity": KIM,
            "purpose_id": self.purpose,
            "elements": ("crm.contacts.email",),
        }

    def grant_in_slack(self, approval_id: str, name: str = "") -> None:
        """Press the button, and return when it was dealt with."""
        self.office.slack.press(self.office.message(approval_id), "onpurpose_grant", member(name or self.people[0]))
        assert self.office.approval(approval_id, wait=10)["state"] == "granted"

    def personal(self, name: str = "") -> httpx2.Client:
        """A client with that person's key. Close it."""
        user = name or self.people[0]
        key = self.office.make_key(f"of {user}", "approve", "read", user=user)
        return asking(self.office.process.url, key)


def member(name: str) -> str:
    """The id of a user's account in Slack."""
    return f"U0{name.upper()}"


def links_in(mail: EmailMessage) -> list[str]:
    """The signed links of a mail."""
    body = mail.get_body(("plain",))
    assert body is not None
    return list(dict.fromkeys(_LINK.findall(body.get_content())))


def done(response: httpx2.Response) -> httpx2.Response:
    """The response to what was done."""
    assert response.is_success, f"{response.status_code} {response.text}"
    return response


def wait_for(arrived: threading.Semaphore, holds: Callable[[], object], what: str) -> None:
    """Return once that holds; it is looked at after everything that arrives."""
    until = time.monotonic() + PATIENCE
    while not holds():
        assert arrived.acquire(timeout=max(0.0, until - time.monotonic())), what
