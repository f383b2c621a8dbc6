"""Sends the messages of approvals to Slack, and keeps them true until the approval is settled."""

from __future__ import annotations

from typing import Any

from onpurpose.adapters.slack.api import RefusedError, SlackApi
from onpurpose.adapters.slack.blocks import EVENT_TYPE, Blocks, least, message, summary
from onpurpose.adapters.slack.text import escaped, moment
from onpurpose.core.approval import State, settled
from onpurpose.core.delivery import Delivery, Event, RetryError, UndeliverableError, View

NOWHERE = frozenset(
    {
        "channel_not_found", "user_not_found", "users_not_found", "user_disabled", "user_not_visible", "is_archived",
        "cannot_dm_bot", "channel_type_not_supported", "messages_tab_disabled", "invalid_users", "cannot_dm_self",
    }
)  # fmt: skip
"""Errors that no later try mends. Others may be mended meanwhile: a token renewed, a scope added, the app invited."""

_TOO_MUCH = frozenset({"msg_blocks_too_long", "msg_too_long", "invalid_blocks", "invalid_blocks_format", "no_text"})
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})

FRESH_SECONDS = 5
"""A message not older than this cannot have been sent by somebody who crashed: a lease is longer."""

_SKEW_SECONDS = 300
_PAGES = 10
_PAGE = 100
_MOST_KNOWN = 10_000
_SECOND = 1_000_000

_ASKS_AGAIN = frozenset({Event.REMINDED, Event.ESCALATED})


class SlackMessenger:
    """`Messenger` for `Channel.SLACK`. A `ref` is `channel/ts` of the message. Thread-safe.

    To one recipient an approval is one message, brought up to date by whatever happens; reminders are
    replies to it. Each carries the id of its delivery, by which it is found again after a crash.
    """

    def __init__(self, api: SlackApi) -> None:
        self._api = api
        self._direct: dict[str, str] = {}
        self._untaken: dict[str, int] = {}

    def send(self, delivery: Delivery, view: View) -> str:
        """Send it, or bring what was sent up to date; `channel/ts`. Raises `RetryError`, `UndeliverableError`."""
        try:
            return self._send(delivery, view)
        except RefusedError as error:
            if error.code in NOWHERE:
                raise UndeliverableError(str(error)) from None
            raise RetryError(str(error)) from None

    def _send(self, delivery: Delivery, view: View) -> str:
        first = next((one for one in view.sent if one.ref), None)
        if first is None:
            return self._begin(delivery, view)
        pending = view.approval.state is State.PENDING
        if not self._bring_up_to_date(first, first.ref, view):
            return self._begin(delivery, view) if pending else first.ref
        if pending and delivery.event in _ASKS_AGAIN:
            return self._reply(delivery, view, first.ref)
        if not pending:
            self._close_replies(view, first.ref)
        return first.ref

    # -- the message itself

    def _begin(self, delivery: Delivery, view: View) -> str:
        channel = self._channel(delivery.recipient)
        ts = self._find(delivery, view, "conversations.history", channel=channel)
        if ts and self._bring_up_to_date(delivery, f"{channel}/{ts}", view):
            return f"{channel}/{ts}"
        try:
            ts = self._put("chat.postMessage", delivery, view, channel=channel, **_NO_UNFURLING)
        except RetryError as error:
            if error.after is not None and len(self._untaken) < _MOST_KNOWN:
                self._untaken[delivery.id] = delivery.attempts
            raise
        return f"{channel}/{ts}"

    def _bring_up_to_date(self, delivery: Delivery, ref: str, view: View) -> bool:
        """Whether the message, which is that delivery, is still there."""
        channel, _, ts = ref.partition("/")
        try:
            self._put("chat.update", delivery, view, channel=channel, ts=ts)
        except RefusedError as error:
            if error.code in _GONE:
                return False
            raise
        return True

    def _put(self, method: str, delivery: Delivery, view: View, **fields: object) -> str:
        """Post or update with all that Slack takes; the message's `ts`."""
        url = _url(delivery, view)
        try:
            return self._write(method, delivery, view, message(view, delivery.id, url), fields)
        except RefusedError as error:
            if error.code not in _TOO_MUCH:
                raise
        return self._write(method, delivery, view, least(view, delivery.id, url), fields)

    def _write(self, method: str, delivery: Delivery, view: View, blocks: Blocks, fields: dict[str, object]) -> str:
        answer = self._api.call(
            method, text=summary(view.approval), blocks=blocks, metadata=_identity(delivery), **_LITERAL, **fields
        )
        return _ts(answer)

    # -- replies

    def _reply(self, delivery: Delivery, view: View, ref: str) -> str:
        channel, _, root = ref.partition("/")
        ts = self._find(delivery, view, "conversations.replies", channel=channel, ts=root)
        if not ts:
            text = f"Still waiting for a decision, open until {moment(view.approval.until)}"
            answer = self._api.call(
                "chat.postMessage", channel=channel, thread_ts=root, reply_broadcast=True, text=text,
                metadata=_identity(delivery), **{**_LITERAL, "mrkdwn": True}, **_NO_UNFURLING,
            )  # fmt: skip
            ts = _ts(answer)
        return f"{channel}/{ts}"

    def _close_replies(self, view: View, root: str) -> None:
        """Reminders that are out do not go on to ask."""
        for one in {one.ref: one for one in view.sent if one.ref not in {"", root}}.values():
            channel, _, ts = one.ref.partition("/")
            text = escaped(f"Nothing to decide any more: {settled(view.approval)}")
            try:
                self._api.call("chat.update", channel=channel, ts=ts, text=text, metadata=_identity(one), **_LITERAL)
            except RefusedError as error:
                if error.code not in _GONE:
                    raise

    # -- what is there already

    def _find(self, delivery: Delivery, view: View, method: str, **where: object) -> str:
        """The `ts` of the message that an earlier try left, or nothing: also where we may not look."""
        if self._untaken.pop(delivery.id, None) == delivery.attempts - 1:
            return ""  # Slack asked for a pause then, and took nothing: a look would wear out its patience too
        if delivery.attempts == 0 and view.now - delivery.created_at < FRESH_SECONDS * _SECOND:
            return ""
        try:
            return self._search(delivery, method, where)
        except RefusedError:  # said twice can do no harm, not said at all can
            return ""

    def _search(self, delivery: Delivery, method: str, where: dict[str, object]) -> str:
        oldest = f"{delivery.created_at // _SECOND - _SKEW_SECONDS}.000000"
        cursor: dict[str, object] = {}
        for _ in range(_PAGES):
            answer = self._api.call(method, oldest=oldest, limit=_PAGE, include_all_metadata=True, **where, **cursor)
            found = _carrying(answer.get("messages"), delivery.id)
            if found:
                return found
            more = answer.get("response_metadata")
            cursor = {"cursor": more.get("next_cursor")} if isinstance(more, dict) else {}
            if not cursor.get("cursor"):
                break
        return ""

    def _channel(self, recipient: str) -> str:
        """The channel of a recipient; to a person it is the conversation with the app, opened once."""
        if not _is_person(recipient):
            return recipient
        known = self._direct.get(recipient)
        if known is None:
            channel = self._api.call("conversations.open", users=recipient).get("channel")
            known = str(channel.get("id", "")) if isinstance(channel, dict) else ""
            if not known:
                raise RetryError("slack opened no conversation")
            if len(self._direct) < _MOST_KNOWN:
                self._direct[recipient] = known
        return known


_LITERAL: dict[str, object] = {"parse": "none", "link_names": False, "mrkdwn": False}
_NO_UNFURLING: dict[str, object] = {"unfurl_links": False, "unfurl_media": False}
"""Nobody's server is asked for a page only because a payload names it."""


def _identity(delivery: Delivery) -> dict[str, object]:
    return {"event_type": EVENT_TYPE, "event_payload": {"delivery_id": delivery.id}}


def _ts(answer: dict[str, Any]) -> str:
    """What Slack calls the message that it took."""
    ts = answer.get("ts")
    if not isinstance(ts, str) or not ts:
        raise RetryError("slack took a message, and did not say which it is")
    return ts


def _carrying(messages: Any, delivery_id: str) -> str:
    for one in messages if isinstance(messages, list) else ():
        metadata = one.get("metadata") or {}
        said = metadata.get("event_payload") or {}
        if metadata.get("event_type") == EVENT_TYPE and said.get("delivery_id") == delivery_id:
            return str(one.get("ts", ""))
    return ""


def _is_person(recipient: str) -> bool:
    return recipient.startswith(("U", "W"))


def _url(delivery: Delivery, view: View) -> str:
    """Where the rest is seen. The signed link is one person's: no channel sees it, and no step-up rests on it."""
    if view.link and _is_person(delivery.recipient) and not view.approval.step_up:
        return view.link
    return view.page
