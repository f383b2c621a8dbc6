"""Who is told of approvals: the fields of a form, and put into a workspace's settings, all else as it was written."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from onpurpose.core.purpose import Notify
from onpurpose.core.span import PolicyError, Problem
from onpurpose.lang.amend import Tree, amended, tree_of
from onpurpose.lang.settings import parse_settings
from onpurpose.lang.write import quoted

_INDENT = "  "
_FIRST = "notify:\n  email: false\n"
"""What settings are begun with."""


class NotifyFields(Struct, frozen=True, kw_only=True):
    """What stands in the form, as typed. `slack` is the id of a channel, or empty."""

    slack: str = ""
    slack_direct: bool = False
    email: bool = False
    webhooks: tuple[str, ...] = ()


def notify_of(text: str) -> Notify:
    """What the text of a workspace's settings says of it; empty text says nothing. Raises `PolicyError`."""
    return parse_settings(text).notify if text.strip() else Notify()


def name_of(url: str) -> str:
    """What tells the URL of a webhook from others without showing it: such a URL may be a secret."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def read_notify(fields: NotifyFields) -> tuple[Notify | None, dict[str, list[str]]]:
    """What the fields say, or what is wrong with them, in sentences by the name of the field."""
    slack = [f"channel: {quoted(fields.slack)}"] if fields.slack else []
    slack += ["direct: true"] if fields.slack_direct else []
    lines = [("", "notify:"), ("email", f"{_INDENT}email: {_word(fields.email)}")]
    lines += [("slack", f"{_INDENT}slack: {{{', '.join(slack)}}}")] if slack else []
    lines += [("webhooks", f"{_INDENT}webhooks:")] if fields.webhooks else []
    lines += [("webhooks", f"{_INDENT}  - {quoted(one)}") for one in fields.webhooks]
    try:
        return notify_of("".join(f"{line}\n" for _, line in lines)), {}
    except PolicyError as error:
        faults: dict[str, list[str]] = {}
        for one in error.problems:
            faults.setdefault(lines[one.span.line - 1][0], []).append(_sentence(one))
        return None, faults


def with_notify(text: str, wanted: Notify) -> str:
    """The text of the settings, saying that; comments, order and layout of all else stay. Raises `PolicyError`."""
    if text.strip() and notify_of(text) == wanted:
        return text
    before = tree_of(text or _FIRST)
    return amended(text or _FIRST, before | {"notify": _tree(wanted, before.get("notify") or {})})


def _sentence(problem: Problem) -> str:
    text = f"{problem.message}: {problem.help}." if problem.help else f"{problem.message}."
    return f"{text[:1].upper()}{text[1:]}"


def _word(value: bool) -> str:
    return "true" if value else "false"


def _tree(wanted: Notify, before: Tree) -> Tree:
    """What the settings are to say of it, in the form that it has."""
    said: Tree = {}
    if wanted.slack_direct or (wanted.slack and isinstance(before.get("slack"), dict)):
        channel = {"channel": wanted.slack} if wanted.slack else {}
        said["slack"] = channel | {"direct": wanted.slack_direct}
    elif wanted.slack:
        said["slack"] = wanted.slack
    if wanted.email or "email" in before:
        said["email"] = wanted.email
    if wanted.webhooks:
        said["webhooks"] = list(wanted.webhooks)
    return said or {"email": False}
