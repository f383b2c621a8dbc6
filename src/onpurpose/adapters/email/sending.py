"""The way to a mail server: smtplib, TLS demanded, the certificate checked, one connection for what leaves together."""

from __future__ import annotations

import contextlib
import ipaddress
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Self
from urllib.parse import unquote, urlsplit

from onpurpose.adapters.email.foreign import one_line
from onpurpose.adapters.email.written import WITH_UTF8, about, gathered, sender
from onpurpose.core.delivery import Delivery, RetryError, UndeliverableError, View

SECONDS = 20.0
"""How long each answer of the server is waited for."""

FRESH_SECONDS = 10.0
"""How long a connection is used again without asking whether it still stands."""

_PORTS = {"smtp": 587, "smtps": 465}
_OF_THE_SESSION = frozenset({502, 503, 530, 534, 535, 538})
"""Refusals that say nothing of the address: not signed in, no encryption, out of order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed over, and as whom. `password` is in no repr.

    `implicit`: TLS from the first byte (`smtps`); else STARTTLS, which is demanded unless `plain`.
    """

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    implicit: bool = False
    plain: bool = False

    @classmethod
    def of(cls, url: str) -> Self:
        """From `smtp://user:password@host:587` or `smtps://...`; a loopback host needs no TLS with `smtp`.

        Raises `ValueError`, which does not repeat the URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("the mail server's URL cannot be read") from None
        rest = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in _PORTS or not parts.hostname or rest or not url.isprintable():
            raise ValueError(
                "the mail server's URL is one such as `smtp://user:password@mail.example:587` or `smtps://`"
            )
        implicit = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            implicit=implicit,
            plain=not implicit and _is_loopback(parts.hostname),
        )


class SmtpMessenger:
    """`Messenger` and `DigestSender` by one mail server. Thread-safe; one mail at a time.

    `come_from` is the address that mails come from, with or without a name. `tls` is whom to trust: the
    machine's authorities, unless given. Raises `ValueError` for an address that is none.
    """

    def __init__(
        self, server: MailServer, come_from: str, *, tls: ssl.SSLContext | None = None, seconds: float = SECONDS
    ) -> None:
        self._server = server
        self._from = sender(come_from)
        self._tls = tls
        self._seconds = seconds
        self._lock = threading.Lock()
        self._line: smtplib.SMTP | None = None
        self._used = 0.0

    def __repr__(self) -> str:
        return f"SmtpMessenger({self._server.host!r}, {self._server.port})"

    def send(self, delivery: Delivery, view: View) -> str:
        """Send the mail; its Message-ID. Raises `RetryError`, `UndeliverableError`."""
        return self._hand_over(about(delivery, view, self._from), view.address)

    def send_digest(self, name: str, items: Sequence[tuple[Delivery, View]]) -> str:
        """Send one mail about several requests to the person they are all for; its Message-ID."""
        return self._hand_over(gathered(name, items, self._from), items[0][1].address)

    def rest(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._hang_up(politely=True)

    close = rest

    def _hand_over(self, message: EmailMessage, to: str) -> str:
        plain = to.isascii() and self._from.addr_spec.isascii()
        options = () if plain else ("SMTPUTF8",)
        with self._lock, self._failures():
            line = self._connected()
            data = message.as_bytes() if plain else message.as_bytes(policy=WITH_UTF8)
            line.sendmail(self._from.addr_spec, [to], data, mail_options=options)
            self._used = time.monotonic()
        return str(message["Message-ID"])

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """What may go wrong, as the courier knows it. The connection is not used again after any of it."""
        try:
            yield
        except smtplib.SMTPRecipientsRefused as refused:
            self._hang_up(politely=True)
            ((code, said),) = refused.recipients.values()
            if 500 <= code < 600 and code not in _OF_THE_SESSION:
                raise UndeliverableError(f"the mail server refuses the address: {_said(code, said)}") from refused
            raise RetryError(f"the mail server does not take it now: {_said(code, said)}") from refused
        except smtplib.SMTPNotSupportedError as error:
            self._hang_up(politely=True)
            raise RetryError(f"the mail server cannot do what is needed: {one_line(str(error), 200)}") from error
        except smtplib.SMTPResponseException as error:
            self._hang_up(politely=False)
            raise RetryError(f"the mail server refuses: {_said(error.smtp_code, error.smtp_error)}") from error
        except ssl.SSLError as error:
            self._hang_up(politely=False)
            raise RetryError(f"the mail server cannot be trusted: {one_line(str(error), 200)}") from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            self._hang_up(politely=False)
            raise RetryError(f"the mail server cannot be reached: {one_line(str(error), 200)}") from error

    # -- the connection

    def _connected(self) -> smtplib.SMTP:
        if self._line is not None and time.monotonic() - self._used > FRESH_SECONDS and not _stands(self._line):
            self._hang_up(politely=False)
        if self._line is None:
            self._line = self._opened()
            self._sign_in(self._line)
        return self._line

    def _opened(self) -> smtplib.SMTP:
        server = self._server
        if server.implicit:
            return smtplib.SMTP_SSL(server.host, server.port, timeout=self._seconds, context=self._trusted())
        return smtplib.SMTP(server.host, server.port, timeout=self._seconds)

    def _sign_in(self, line: smtplib.SMTP) -> None:
        server = self._server
        line.ehlo_or_helo_if_needed()
        if not server.implicit and not server.plain:
            line.starttls(context=self._trusted())  # raises where the server does not offer it
            line.ehlo()
        if server.user:
            line.login(server.user, server.password)

    def _trusted(self) -> ssl.SSLContext:
        return self._tls or ssl.create_default_context()

    def _hang_up(self, *, politely: bool) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        if politely:
            with contextlib.suppress(smtplib.SMTPException, OSError, ValueError):
                line.quit()
        line.close()


def _stands(line: smtplib.SMTP) -> bool:
    try:
        return line.noop()[0] == 250
    except (smtplib.SMTPException, OSError, ValueError):
        return False


def _said(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return f"{code} {one_line(text, 200)}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
