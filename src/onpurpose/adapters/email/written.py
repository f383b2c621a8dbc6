"""Mails as they leave: headers that nobody else can write into, and the same in text and in HTML."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2

from onpurpose.adapters.email.foreign import one_line
from onpurpose.adapters.email.sheet import Sheet, asking, settled, subject, summary
from onpurpose.core.approval import State
from onpurpose.core.delivery import Delivery, UndeliverableError, View

MAX_ADDRESS = 254
"""How long an address may be (RFC 5321)."""

_SECOND = 1_000_000
_ADDRESS = re.compile(r"(?P<local>[^\s\"(),:;<>@\[\]\\]{1,64})@(?P<domain>[^\W_](?:[\w.-]*\w)?)")
"""Without quoted local parts and numeric hosts, which nobody's address at work has."""
_EXACT = frozenset({"message-id", "in-reply-to", "references", "list-unsubscribe"})


class _Policy(EmailPolicy):
    """The library's way to write headers, but names of messages and URLs stay in one piece, however long."""

    def fold_binary(self, name: str, value: str) -> bytes:
        if name.lower() in _EXACT:
            return f"{name}: {value}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


POLICY = _Policy(linesep="\r\n", raise_on_defect=True)
WITH_UTF8 = _Policy(linesep="\r\n", raise_on_defect=True, utf8=True)
"""For addresses that are not ASCII, and servers that take them (RFC 6531)."""


def address(text: str, name: str = "") -> Address:
    """A mail address that can stand in a header. Raises `ValueError`."""
    found = _ADDRESS.fullmatch(text) if len(text) <= MAX_ADDRESS and text.isprintable() else None
    if found is None:
        raise ValueError("it is no mail address")
    return Address(one_line(name, 80).replace("\\", ""), username=found["local"], domain=found["domain"])


def sender(text: str) -> Address:
    """Whom mails come from: `approvals@example.com` or `Approvals <approvals@example.com>`. Raises `ValueError`."""
    name, spec = email.utils.parseaddr(text) if text.isprintable() else ("", "")
    found = address(spec, name)
    _host(found)
    return found


def about(delivery: Delivery, view: View, come_from: Address) -> EmailMessage:
    """The mail about one approval. Raises `UndeliverableError` where the recipient has no address."""
    pending = view.approval.state is State.PENDING
    sheet = asking(view, delivery.event) if pending else settled(view)
    message = _begun(delivery.id, view, come_from)
    first = next((one.ref for one in view.sent if _is_name(one.ref)), "")
    # One subject for all of them: some programs that read mail go by it, besides the references.
    message["Subject"] = f"Re: {subject(view.approval)}" if first else subject(view.approval)
    if first:
        message["In-Reply-To"] = first
        message["References"] = first
    return _filled(message, sheet.title, "", [sheet])


def gathered(name: str, items: Sequence[tuple[Delivery, View]], come_from: Address) -> EmailMessage:
    """One mail about several approvals that wait for one person."""
    message = _begun(f"{name}.digest", items[0][1], come_from)
    title = f"{len(items)} requests wait for your approval"
    message["Subject"] = title
    message["List-Unsubscribe"] = f"<mailto:{quote(come_from.addr_spec, safe='@')}?subject=unsubscribe>"
    lead = f"{title}. Several came within a few minutes, so that they come in one mail."
    return _filled(message, title, lead, [summary(view) for _, view in items])


def _begun(identity: str, view: View, come_from: Address) -> EmailMessage:
    message = EmailMessage(policy=POLICY)
    message["From"] = come_from
    try:
        message["To"] = address(view.address, view.name)
    except ValueError as error:
        raise UndeliverableError(f"{error}: {one_line(view.address, 80)!r}") from error
    message["Date"] = email.utils.formatdate(view.now / _SECOND)
    message["Message-ID"] = f"<{identity}@{_host(come_from)}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def _host(come_from: Address) -> str:
    return come_from.domain.encode("idna").decode()


def _is_name(ref: str) -> bool:
    """Whether it is the name of a mail, and can stand in a header."""
    return ref.startswith("<") and ref.endswith(">") and ref.isascii() and ref.isprintable() and len(ref) < 500


def _filled(message: EmailMessage, title: str, lead: str, sheets: Sequence[Sheet]) -> EmailMessage:
    text = "\n\n".join([lead] * bool(lead) + [_text(sheet) for sheet in sheets])
    message.set_content(f"{text}\n", cte="quoted-printable")
    html = _template().render(title=title, lead=lead, sheets=sheets)
    message.add_alternative(f"{html}\n", subtype="html", cte="quoted-printable")
    return message


def _text(sheet: Sheet) -> str:
    parts = [sheet.title, "=" * min(len(sheet.title), 72)]
    parts += ["", sheet.lead] if sheet.lead else []
    parts += ["", f"{sheet.action}:", sheet.url] if sheet.url else []
    parts += ["", *(f"{label}: {text}" for label, text in sheet.facts)] if sheet.facts else []
    for label, text in sheet.blocks:
        parts += ["", f"{label}:", *(f"    {line}" for line in text.splitlines())]
    return "\n".join([*parts, *(f"\n{note}" for note in sheet.notes)])


@cache
def _template() -> jinja2.Template:
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    surroundings = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined)
    return surroundings.get_template("sheet.html")
