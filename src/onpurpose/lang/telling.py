"""Where people are told of approvals, as the settings of a workspace state it: nodes -> `Notify`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from onpurpose.core.purpose import Notify
from onpurpose.lang import shapes
from onpurpose.lang.nodes import Mapping, Node, Scalar
from onpurpose.lang.report import Report, shortened

MAX_WEBHOOKS = 10
"""How many webhooks a workspace may have."""

MAX_URL = 2048
"""How long the URL of a webhook may be, in characters."""

NOTIFY_KEYS = ("slack", "email", "webhooks")
"""Every key of `notify`."""

SLACK_KEYS = ("channel", "direct")
"""Every key of `slack` where it is a mapping."""

_CURE = "write `notify: {slack: C0123456789, email: true}`"
_FORM = shapes.Form("notify", _CURE, NOTIFY_KEYS)
_SLACK = shapes.Form("slack", "write `slack: C0123456789` or `slack: {direct: true}`", SLACK_KEYS)
_CHANNEL = re.compile(r"[CG][A-Z0-9]{2,31}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def notify(node: Node, report: Report) -> Notify:
    """What the node states; what is wrong with it is told."""
    if isinstance(node, Mapping):
        shapes.not_empty(node, report, "notify")
    fields = shapes.fields(node, report, _FORM)
    found: dict[str, Any] = {}
    if "slack" in fields:
        found.update(_slack(fields["slack"], report))
    if "email" in fields:
        found["email"] = bool(shapes.truth(fields["email"], report, "email"))
    if "webhooks" in fields:
        found["webhooks"] = _webhooks(fields["webhooks"], report)
    return Notify(**found)


def _slack(node: Node, report: Report) -> dict[str, Any]:
    if isinstance(node, Scalar):
        return {"slack": _channel(node, report)}
    if isinstance(node, Mapping):
        shapes.not_empty(node, report, "slack")
    fields = shapes.fields(node, report, _SLACK)
    found: dict[str, Any] = {}
    if "channel" in fields:
        found["slack"] = _channel(fields["channel"], report)
    if "direct" in fields:
        found["slack_direct"] = bool(shapes.truth(fields["direct"], report, "direct"))
    return found


def _channel(node: Node, report: Report) -> str | None:
    written = shapes.text(node, report, "channel")
    if written is None or _CHANNEL.fullmatch(written):
        return written
    message = f"`{shortened(written)}` is no id of a Slack channel"
    report.on(node, "malformed-channel", message, "copy the id from the channel's details in Slack: `C0123456789`")
    return None


def _webhooks(node: Node, report: Report) -> tuple[str, ...]:
    found = shapes.each(node, report, "webhooks", lambda child, text: _url(child, text, report)) or ()
    if len(found) > MAX_WEBHOOKS:
        report.on(node, "too-many", f"`webhooks` names at most {MAX_WEBHOOKS}", "have one of them pass it on")
    return found


def _url(node: Node, text: str, report: Report) -> str | None:
    if _is_url(text):
        return text
    message = f"`{shortened(text)}` is no URL of a webhook: `https://` and a host, without a user or a fragment"
    report.on(node, "malformed-url", message, "write `https://hooks.example.com/approvals`")
    return None


def _is_url(text: str) -> bool:
    """Whether it is one that may be written to: encrypted, but on this machine."""
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        url = urlsplit(text)
        _ = url.port  # raises where it is none
    except ValueError:
        return False
    plain = url.scheme == "http" and url.hostname in _LOOPBACK
    return bool(url.hostname) and (url.scheme == "https" or plain) and "@" not in url.netloc and not url.fragment
