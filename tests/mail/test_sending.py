"""Mail handed over to real servers: encrypted, once, and with failures told apart."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from onpurpose.adapters.email import MailServer, SmtpMessenger
from onpurpose.core.delivery import RetryError, UndeliverableError
from tests.mail.examples import FROM, message, view
from tests.mail.server import certificate, mail_host, serving


@contextmanager
def messenger(port: int, **changed: object) -> Iterator[SmtpMessenger]:
    fields: dict[str, object] = {"host": "127.0.0.1", "port": port, "plain": True}
    settings = {name: changed.pop(name) for name in ("tls", "seconds") if name in changed}
    made = SmtpMessenger(MailServer(**(fields | changed)), FROM, **settings)  # type: ignore[arg-type]  # a test's
    with closing(made):
        yield made


def test_a_mail_arrives_and_is_called_by_its_message_id() -> None:
    with mail_host() as host, messenger(host.port) as sends:
        ref = sends.send(message(), view())
    (mail,) = host.received
    assert ref == mail["Message-ID"] == "<0123456789abcdef0123456789abcdef@gate.example>"
    assert (host.recipients, host.senders) == (["anna@example.com"], ["approvals@gate.example"])


def test_what_leaves_together_leaves_over_one_connection() -> None:
    with mail_host() as host, messenger(host.port) as sends:
        for number in range(5):
            sends.send(message(id=f"{number:032}"), view())
        assert host.sessions == 1
        sends.rest()
        sends.send(message(), view())
    assert (len(host.received), host.sessions) == (6, 2)


def test_a_connection_that_the_server_has_closed_meanwhile_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onpurpose.adapters.email.sending.FRESH_SECONDS", -1.0)
    with mail_host() as host, messenger(host.port) as sends:
        sends.send(message(), view())
        assert sends._line is not None
        assert sends._line.sock is not None
        sends._line.sock.shutdown(socket.SHUT_RDWR)
        sends.send(message(), view())
    assert len(host.received) == 2


# -- encryption


def test_starttls_is_spoken_and_the_certificate_checked(tmp_path: Path) -> None:
    server, trusted = certificate(tmp_path)
    with (
        mail_host(starttls=server, auth=True) as host,
        messenger(host.port, plain=False, tls=trusted, user="gate", password="s3cret/word") as sends,
    ):
        sends.send(message(), view())
    assert (host.encrypted, host.signed_in) == ([True], ["gate"])


def test_tls_is_spoken_from_the_first_byte_with_smtps(tmp_path: Path) -> None:
    server, trusted = certificate(tmp_path)
    with mail_host(tls=server) as host, messenger(host.port, implicit=True, plain=False, tls=trusted) as sends:
        sends.send(message(), view())
    assert len(host.received) == 1


def test_no_mail_leaves_where_the_server_offers_no_tls() -> None:
    with (
        mail_host() as host,
        messenger(host.port, plain=False, user="gate", password="x") as sends,
        pytest.raises(RetryError, match="STARTTLS"),
    ):
        sends.send(message(), view())
    assert host.received == []
    assert host.signed_in == []


@pytest.mark.parametrize("implicit", [True, False])
def test_no_mail_leaves_to_a_server_whose_certificate_nobody_vouches_for(tmp_path: Path, implicit: bool) -> None:
    server, _ = certificate(tmp_path)
    hosts = mail_host(tls=server) if implicit else mail_host(starttls=server)
    with (
        hosts as host,
        messenger(host.port, implicit=implicit, plain=False) as sends,
        pytest.raises(RetryError, match="cannot be trusted"),
    ):
        sends.send(message(), view())
    assert host.received == []


def test_no_mail_leaves_to_a_server_of_another_name(tmp_path: Path) -> None:
    server, trusted = certificate(tmp_path, "mail.example")
    with (
        mail_host(starttls=server) as host,
        messenger(host.port, plain=False, tls=trusted) as sends,
        pytest.raises(RetryError, match="cannot be trusted"),
    ):
        sends.send(message(), view())
    assert host.received == []


def test_a_wrong_password_is_no_fault_of_the_address(tmp_path: Path) -> None:
    server, trusted = certificate(tmp_path)
    with (
        mail_host(starttls=server, auth=True) as host,
        messenger(host.port, plain=False, tls=trusted, user="gate", password="wr0ng") as sends,
        pytest.raises(RetryError, match="535") as refused,
    ):
        sends.send(message(), view())
    assert "wr0ng" not in str(refused.value)


# -- what servers do


@pytest.mark.parametrize("answer", ["550 5.1.1 no such user", "551 not here", "553 bad mailbox name", "556 no mail"])
def test_an_address_that_is_refused_for_good_is_undeliverable(answer: str) -> None:
    with mail_host() as host, messenger(host.port) as sends:
        host.rcpt = [answer]
        with pytest.raises(UndeliverableError, match=answer[:3]):
            sends.send(message(), view())
        sends.send(message(), view())
    assert len(host.received) == 1


@pytest.mark.parametrize("answer", ["450 4.2.0 greylisted, try again", "451 later", "452 full", "421 going down"])
def test_an_address_that_is_not_taken_now_is_tried_again(answer: str) -> None:
    with mail_host() as host, messenger(host.port) as sends:
        host.rcpt = [answer]
        with pytest.raises(RetryError, match=answer[:3]):
            sends.send(message(), view())
        sends.send(message(), view())
    assert len(host.received) == 1


@pytest.mark.parametrize("answer", ["530 5.7.0 sign in first", "503 not now"])
def test_a_refusal_of_the_session_is_no_fault_of_the_address(answer: str) -> None:
    with mail_host() as host, messenger(host.port) as sends:
        host.rcpt = [answer]
        with pytest.raises(RetryError, match=answer[:3]):
            sends.send(message(), view())


@pytest.mark.parametrize("answer", ["554 5.7.1 looks like spam", "552 too big", "451 later", "drop"])
def test_a_mail_that_is_not_taken_is_tried_again(answer: str) -> None:
    with mail_host() as host, messenger(host.port) as sends:
        host.data = [answer]
        with pytest.raises(RetryError):
            sends.send(message(), view())
        sends.send(message(), view())
    assert len(host.received) == 1


class Peer(asyncio.Protocol):
    """Says what it is told to, then nothing more, or hangs up."""

    def __init__(self, says: bytes, hangs_up: bool) -> None:
        self._says = says
        self._hangs_up = hangs_up

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._says)
        if self._hangs_up:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport.abort()


def peer(says: bytes, hangs_up: bool = False) -> Callable[[], Peer]:
    return lambda: Peer(says, hangs_up)


@pytest.mark.parametrize(
    ("says", "hangs_up"),
    [(b"", False), (b"", True), (b"220 hel", True), (b"220 hello\r\n", False), (b"220 hello\r\n", True),
     (b"554 go away\r\n", True), (b"\x00\xff" * 10_000 + b"\r\n", True), (b"220-" + b"x" * 70_000, True)],
)  # fmt: skip
@pytest.mark.parametrize("implicit", [False, True])
def test_a_server_that_hangs_or_drops_or_talks_nonsense_is_tried_again(
    says: bytes, hangs_up: bool, implicit: bool
) -> None:
    with (
        serving(peer(says, hangs_up)) as port,
        messenger(port, seconds=0.2, implicit=implicit) as sends,
        pytest.raises(RetryError),
    ):
        sends.send(message(), view())


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with messenger(port) as sends, pytest.raises(RetryError, match="cannot be reached"):
        sends.send(message(), view())


# -- addresses


@pytest.mark.parametrize(
    "address",
    ["", "anna", "anna@", "@example.com", "anna@example.com\r\nBcc: all@example.com", "anna @example.com",
     "a@b@c", "anna@example.com, bob@example.com", "<anna@example.com>", "x" * 255 + "@example.com", "a\u202e@b.c"],
)  # fmt: skip
def test_what_is_no_address_is_undeliverable(address: str) -> None:
    with mail_host() as host, messenger(host.port) as sends, pytest.raises(UndeliverableError):
        sends.send(message(), view(address=address))
    assert host.sessions == 0


@pytest.mark.parametrize("utf8", [True, False])
def test_an_address_that_is_not_ascii_arrives_where_the_server_can(utf8: bool) -> None:
    with mail_host(utf8=utf8) as host, messenger(host.port) as sends:
        if utf8:
            sends.send(message(), view(address="åsa@example.com"))
        else:
            with pytest.raises(RetryError, match="SMTPUTF8"):
                sends.send(message(), view(address="åsa@example.com"))
    assert host.recipients == ["åsa@example.com"] * utf8


@pytest.mark.parametrize("come_from", ["", "approvals", "a@b\r\nBcc: x@y.z", f"a@{'x' * 70}.example"])
def test_a_sender_that_is_no_address_is_refused(come_from: str) -> None:
    with pytest.raises(ValueError, match=r"it is no mail address|label"):
        SmtpMessenger(MailServer(host="localhost", port=25), come_from)


# -- the server's URL


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example", MailServer(host="mail.example", port=587)),
        ("smtps://mail.example", MailServer(host="mail.example", port=465, implicit=True)),
        ("smtps://localhost:1465/", MailServer(host="localhost", port=1465, implicit=True)),
        ("smtp://localhost:25", MailServer(host="localhost", port=25, plain=True)),
        ("smtp://127.0.0.9", MailServer(host="127.0.0.9", port=587, plain=True)),
        ("smtp://[::1]:26", MailServer(host="::1", port=26, plain=True)),
        ("smtp://10.0.0.1", MailServer(host="10.0.0.1", port=587)),
        ("smtp://localhost.example", MailServer(host="localhost.example", port=587)),
        ("smtp://a%40b:s%2Fd@h:2525", MailServer(host="h", port=2525, user="a@b", password="s/d")),
    ],
)
def test_a_server_is_named_by_its_url(url: str, expected: MailServer) -> None:
    assert MailServer.of(url) == expected


@pytest.mark.parametrize(
    "url", ["", "mail.example", "http://mail.example", "smtp://", "smtp://h:99999", "smtp://u:s3cret@h/x",
            "smtp://u:s3cret@h?x=y", "smtp://u:s3cret@h\r\n", "smtp://u:s3cret@[::1"]
)  # fmt: skip
def test_a_url_of_no_mail_server_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="mail server's URL") as refused:
        MailServer.of(url)
    assert "s3cret" not in str(refused.value)


def test_a_password_is_in_no_repr() -> None:
    server = MailServer.of("smtp://gate:s3cret@mail.example")
    assert "s3cret" not in repr(server)
    assert repr(SmtpMessenger(server, FROM)) == "SmtpMessenger('mail.example', 587)"
