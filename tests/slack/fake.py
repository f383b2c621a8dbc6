"""A Slack on loopback: its Web API over HTTP, Socket Mode over WebSocket, and people who press buttons.

It refuses what Slack refuses (tokens, triggers, blocks that are too long, unknown channels), signs what it
sends as Slack does, and fails when it is told to.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import http.client
import itertools
import json
import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.slack.limits import MOST_OF_A_VIEW, fault_of
from tests.slack.socket import SocketServer

TOKEN = "xoxb-0123456789-bot-secret"
APP_TOKEN = "xapp-1-A0-0123456789-app-secret"
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TEAM = "T0TEAM"
BOT = "B0BOT"
TRIGGER_SECONDS = 3

FORMS_ALONE = {"auth.test", "conversations.history", "conversations.replies", "users.info", "users.lookupByEmail"}
"""Methods that see nothing of a body in JSON."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with one call. `acts`: it is done all the same, only the answer is lost."""

    status: int = 200
    error: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    closes: bool = False
    hangs: bool = False
    acts: bool = False


def limited(seconds: int) -> Trouble:
    return Trouble(status=429, error="ratelimited", headers=(("Retry-After", str(seconds)),))


@dataclass(frozen=True)
class Answer:
    """What our endpoint (or our end of the socket) answered."""

    status: int
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body) if self.body else {}


class No(Exception):  # noqa: N818  what Slack says
    """`ok: false`."""


class FakeSlack:
    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.channels: dict[str, list[Json]] = {"C0APPROVALS": []}
        self.direct: dict[str, str] = {}
        self.members: dict[str, Json] = {}
        self.outsiders: set[str] = set()
        self.archived: set[str] = set()
        self.ephemeral: list[Json] = []
        self.views: list[Json] = []
        self.calls: list[tuple[str, Json]] = []
        self.scopes_missing: set[str] = set()
        self.request_url = ""
        self.down = False
        self._troubles: defaultdict[str, deque[Trouble]] = defaultdict(deque)
        self._triggers: dict[str, float] = {}
        self._count = itertools.count(1)
        self._changed = threading.Condition(threading.RLock())
        self._closing = threading.Event()
        self._http = _server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.sockets = SocketServer(self._changed)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/api/"

    def close(self) -> None:
        self._closing.set()
        self.sockets.close()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    # -- what a test arranges and looks at

    def add_member(self, member: str, email: str = "", *, confirmed: bool = True, **fields: Any) -> None:
        profile = {"email": email} if email else {}
        user = {"id": member, "team_id": TEAM, "deleted": False, "is_bot": False, "is_email_confirmed": confirmed}
        self.members[member] = {**user, "profile": profile, **fields}

    def fail(self, method: str, *troubles: Trouble) -> None:
        """Have the next calls of the method fail, one after another."""
        self._troubles[method].extend(troubles)

    def wait_for(self, holds: Callable[[], object]) -> None:
        """Return once that holds; it is looked at after every change."""
        with self._changed:
            assert self._changed.wait_for(holds, timeout=10), "it never came to be"

    def message(self, channel: str = "C0APPROVALS", at: int = -1) -> Json:
        """A message as it is now: what somebody sees, who may be slow to press."""
        with self._changed:
            return copy.deepcopy(self.channels[channel][at])

    def methods(self) -> list[str]:
        return [method for method, _ in self.calls]

    # -- people

    def press(self, message: Json, action: str, member: str, *, team: str = TEAM, home: str = "") -> Answer:
        """Press a button of the message. Raises `KeyError` where it has no such button."""
        return self.deliver(self.pressed(message, action, member, team=team, home=home))

    def pressed(self, message: Json, action: str, member: str, *, team: str = TEAM, home: str = "") -> Json:
        element, block_id = button(message, action)
        channel = message["channel"]
        shown = {key: value for key, value in message.items() if key not in {"channel", "metadata"}}
        return {
            "type": "block_actions",
            "team": {"id": team, "domain": "acme"},
            "user": {"id": member, "username": member.lower(), "team_id": home or team},
            "api_app_id": "A0",
            "token": "deprecated",
            "container": {"type": "message", "message_ts": message["ts"], "channel_id": channel, "is_ephemeral": False},
            "trigger_id": self._trigger(),
            "channel": {"id": channel, "name": "approvals"},
            "message": shown,
            "response_url": "http://127.0.0.1:9/none",
            "actions": [{**element, "block_id": block_id, "action_ts": "1"}],
        }

    def submit(self, view: Json, values: Mapping[str, str], member: str, *, team: str = TEAM) -> Answer:
        """Fill in the form and send it. Raises `KeyError` for a field or an option that it does not have."""
        state: Json = {block["block_id"]: {} for block in view["blocks"] if block["type"] == "input"}
        for block in view["blocks"]:
            if block["type"] == "input":
                element = block["element"]
                state[block["block_id"]][element["action_id"]] = _filled(element, values.get(block["block_id"]))
                if not block.get("optional") and block["block_id"] not in values:
                    raise KeyError(block["block_id"])
        told = {**view, "state": {"values": state}}
        user = {"id": member, "team_id": team}
        return self.deliver({"type": "view_submission", "team": {"id": team}, "user": user, "view": told})

    def deliver(self, payload: Json) -> Answer:
        """Send it as Slack does: over the socket where one is open, else signed to our endpoint."""
        if self.sockets.is_open():
            answer = self.sockets.ask("interactive", payload)
            return Answer(200, json.dumps(answer).encode() if answer else b"")
        body = urlencode({"payload": json.dumps(payload)}).encode()
        return self.post(body, self.signed(body))

    def signed(self, body: bytes, secret: str = SIGNING_SECRET, at: int | None = None) -> dict[str, str]:
        """The headers of a request of ours with that body."""
        timestamp = str(int(self.now()) if at is None else at)
        mac = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": f"v0={mac}",
        }

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        url = urlsplit(self.request_url)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
        try:
            connection.request("POST", url.path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def _trigger(self) -> str:
        trigger = f"{next(self._count)}.trigger"
        self._triggers[trigger] = self.now() + TRIGGER_SECONDS
        return trigger

    # -- the Web API

    def answer(self, method: str, token: str, fields: Json) -> tuple[int, tuple[tuple[str, str], ...], bytes] | None:
        """Status, headers and body; `None` hangs up."""
        with self._changed:
            self.calls.append((method, fields))
            waiting = self._troubles[method]
            trouble = Trouble(closes=True) if self.down else waiting.popleft() if waiting else Trouble()
            done: Json = {"ok": False, "error": trouble.error}
            if trouble.acts or trouble == Trouble():
                done = self._done(method, token, fields)
            self._changed.notify_all()
        if trouble.hangs:
            self._closing.wait(10)
        if trouble.closes or trouble.hangs:
            return None
        body = trouble.body if trouble.body is not None else json.dumps(done).encode()
        return trouble.status, trouble.headers, body

    def _done(self, method: str, token: str, fields: Json) -> Json:
        try:
            if not token:
                raise No("not_authed")
            wanted = APP_TOKEN if method == "apps.connections.open" else TOKEN
            if not hmac.compare_digest(token, wanted):
                raise No("not_allowed_token_type" if token in {TOKEN, APP_TOKEN} else "invalid_auth")
            if method in self.scopes_missing:
                raise No("missing_scope")
            act = getattr(self, "_" + method.replace(".", "_"), None)
            if act is None:
                raise No("unknown_method")
            return {"ok": True, **act(fields)}
        except No as no:
            return {"ok": False, "error": str(no)}

    def _auth_test(self, fields: Json) -> Json:
        return {"team_id": TEAM, "user_id": "U0BOT", "bot_id": BOT}

    def _apps_connections_open(self, fields: Json) -> Json:
        return {"url": self.sockets.invite()}

    def _chat_postMessage(self, fields: Json) -> Json:
        channel = self._channel(fields)
        message = {"type": "message", "user": "U0BOT", "bot_id": BOT, "channel": channel, "ts": self._ts()}
        message |= self._content(fields)
        thread = fields.get("thread_ts")
        if thread:
            self._found(channel, thread, "thread_not_found")
            message |= {"thread_ts": thread, "broadcast": bool(fields.get("reply_broadcast"))}
        message["options"] = {key: fields.get(key) for key in ("unfurl_links", "unfurl_media", "parse", "mrkdwn")}
        self.channels[channel].append(message)
        return {"channel": channel, "ts": message["ts"], "message": message}

    def _chat_update(self, fields: Json) -> Json:
        channel = self._channel(fields)
        message = self._found(channel, fields.get("ts"), "message_not_found")
        if message["bot_id"] != BOT:
            raise No("cant_update_message")
        message.update({"blocks": [], **self._content(fields), "edited": True})
        return {"channel": channel, "ts": message["ts"], "text": message["text"]}

    def _chat_postEphemeral(self, fields: Json) -> Json:
        channel = self._channel(fields)
        member = fields.get("user")
        if member not in self.members or member in self.outsiders:
            raise No("user_not_in_channel")
        shown = {"channel": channel, "user": member, **self._content(fields)}
        self.ephemeral.append(shown)
        return {"message_ts": self._ts()}

    def _conversations_open(self, fields: Json) -> Json:
        member = str(fields.get("users"))
        if member not in self.members:
            raise No("user_not_found")
        if self.members[member]["deleted"]:
            raise No("user_disabled")
        channel = self.direct.setdefault(member, "D" + member[1:])
        self.channels.setdefault(channel, [])
        return {"channel": {"id": channel}}

    def _conversations_history(self, fields: Json) -> Json:
        seen = [one for one in self.channels[self._channel(fields)] if one.get("broadcast", True)]
        return self._page(seen, fields)

    def _conversations_replies(self, fields: Json) -> Json:
        channel = self._channel(fields)
        root = self._found(channel, fields.get("ts"), "thread_not_found")
        return self._page(
            [one for one in self.channels[channel] if root["ts"] in {one["ts"], one.get("thread_ts")}], fields
        )

    def _page(self, messages: list[Json], fields: Json) -> Json:
        oldest = float(fields.get("oldest", 0))
        newest_first = [one for one in reversed(messages) if float(one["ts"]) > oldest]
        start, limit = int(fields.get("cursor") or 0), int(fields.get("limit", 100))
        page = copy.deepcopy(newest_first[start : start + limit])
        if not fields.get("include_all_metadata"):
            for one in page:
                one.pop("metadata", None)
        more = start + limit < len(newest_first)
        return {
            "messages": page, "has_more": more,
            "response_metadata": {"next_cursor": str(start + limit) if more else ""},
        }  # fmt: skip

    def _users_info(self, fields: Json) -> Json:
        if fields.get("user") not in self.members:
            raise No("user_not_found")
        return {"user": self.members[fields["user"]]}

    def _users_lookupByEmail(self, fields: Json) -> Json:
        for one in self.members.values():
            if one["profile"].get("email") == fields.get("email"):
                return {"user": one}
        raise No("users_not_found")

    def _views_open(self, fields: Json) -> Json:
        until = self._triggers.pop(str(fields.get("trigger_id")), None)
        if until is None:
            raise No("invalid_trigger_id")
        if self.now() > until:
            raise No("expired_trigger_id")
        view = fields["view"]
        fits = len(view["private_metadata"]) <= 3000 and len(view["title"]["text"]) <= 24
        if not fits or fault_of(view["blocks"], MOST_OF_A_VIEW):
            raise No("invalid_arguments")
        self.views.append({**view, "id": f"V{next(self._count)}"})
        return {"view": self.views[-1]}

    def _channel(self, fields: Json) -> str:
        channel = fields.get("channel")
        if channel not in self.channels:
            raise No("channel_not_found")
        if channel in self.archived:
            raise No("is_archived")
        return str(channel)

    def _found(self, channel: str, ts: object, error: str) -> Json:
        for one in self.channels[channel]:
            if one["ts"] == ts:
                return one
        raise No(error)

    def _content(self, fields: Json) -> Json:
        blocks = fields.get("blocks") or []
        fault = fault_of(blocks)
        if fault:
            raise No(fault)
        if not blocks and not fields.get("text"):
            raise No("no_text")
        content = {"text": fields.get("text", ""), "blocks": copy.deepcopy(blocks)}
        metadata = fields.get("metadata")
        if metadata is not None:
            if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
                raise No("invalid_metadata_format")
            content["metadata"] = metadata
        return content

    def _ts(self) -> str:
        return f"{int(self.now())}.{next(self._count):06d}"


@contextmanager
def fake_slack(now: Callable[[], float]) -> Iterator[FakeSlack]:
    slack = FakeSlack(now)
    try:
        yield slack
    finally:
        slack.close()


# -- reading messages as Slack shows them


def button(message: Json, action: str) -> tuple[Json, str]:
    """The button and the id of its block. Raises `KeyError` where there is none."""
    for block in message["blocks"]:
        for element in block.get("elements", ()) if block["type"] == "actions" else ():
            if element["action_id"] == action:
                return element, block["block_id"]
    raise KeyError(action)


def buttons(message: Json) -> list[str]:
    """The labels of the buttons."""
    found = [block["elements"] for block in message["blocks"] if block["type"] == "actions"]
    return [element["text"]["text"] for elements in found for element in elements]


def texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text object and rich text element in the blocks: how Slack reads it, and the text."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str) and isinstance(value.get("type"), str):
            yield value["type"], value["text"]
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def seen(message: Json) -> str:
    """All that a reader sees in the message."""
    return "".join(f"{text}" for _, text in texts(message["blocks"]))


def specials(message: Json) -> list[str]:
    """What Slack would make mentions, links and dates of, in the blocks and in the notification."""
    read = [text for kind, text in texts(message["blocks"]) if kind == "mrkdwn"] + [message["text"]]
    return [one for text in read for one in re.findall(r"<[^>]*>?", text)]


def _filled(element: Json, value: str | None) -> Json:
    if element["type"] != "static_select":
        return {"type": element["type"], "value": value}
    options = element.get("options") or [one for group in element["option_groups"] for one in group["options"]]
    chosen = None if value is None else next((one for one in options if one["value"] == value), None)
    if value is not None and chosen is None:
        raise KeyError(value)
    return {"type": "static_select", "selected_option": chosen}


# -- HTTP


def _server(slack: FakeSlack) -> ThreadingHTTPServer:
    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            method = self.path.removeprefix("/api/")
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get_content_type() == "application/json":
                fields = json.loads(raw or b"{}") if method not in FORMS_ALONE else {}
            else:
                fields = {key: values[0] for key, values in parse_qs(raw.decode()).items()}
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            answer = slack.answer(method, token, fields)
            self.close_connection = True
            if answer is None:
                return
            status, headers, body = answer
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Api)
