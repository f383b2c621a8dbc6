"""Webhooks sent to real receivers: signed, bounded in time and size, and only where they may go."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from onpurpose.adapters.webhook.addresses import Reach, Target, may_reach
from onpurpose.adapters.webhook.sending import WebhookMessenger, told
from onpurpose.adapters.webhook.signing import MAX_BODY, verify_webhook, webhook_secret
from onpurpose.core.approval import Act, Move, Via, advance
from onpurpose.core.delivery import Channel, Delivery, Event, RetryError, UndeliverableError
from tests.mail.examples import CONTEXT, NOW, SECOND, approval, message, view
from tests.mail.server import certificate
from tests.webhook.receiver import Receiver, receiving

HERE = Reach(loopback=True)


def secret(workspace: str) -> str:
    return webhook_secret("0123456789abcdef0123456789abcdef", workspace)


def sends(**changed: object) -> WebhookMessenger:
    return WebhookMessenger(secret, **({"reach": HERE, "seconds": 5.0} | changed))  # type: ignore[arg-type]  # a test's


def to(receiver: Receiver, path: str = "/hooks?key=s3cret", scheme: str = "http", **changed: object) -> Delivery:
    url = f"{scheme}://localhost:{receiver.port}{path}"
    return message(Event.GRANTED, channel=Channel.WEBHOOK, recipient=url, **changed)


def test_a_receiver_is_told_what_happened_and_can_verify_it() -> None:
    one = advance(approval(), Act(move=Move.DENY, at=NOW + SECOND, by="bob", via=Via.SLACK, text="no"))
    seen = view(approval=one)
    with receiving() as receiver:
        delivery = replace(to(receiver), event=Event.DENIED)
        assert sends().send(delivery, seen) == delivery.id
    ((first, headers, body),) = receiver.got
    assert first == "POST /hooks?key=s3cret HTTP/1.1"
    assert headers["Host"] == f"localhost:{receiver.port}"
    assert (headers["Content-Type"], headers["Webhook-Id"]) == ("application/json", delivery.id)
    said = verify_webhook(headers, body, secret("acme"), now=seen.now / SECOND)
    assert (said["type"], said["timestamp"]) == ("approval.denied", "2026-11-18T11:06:40.000000Z")
    data = said["data"]
    assert isinstance(data, dict)
    assert (data["id"], data["state"], data["version"]) == ("a1", "denied", 2)
    assert data["acts"] == [
        {"move": "deny", "at": "2026-11-18T11:06:41.000000Z", "by": "bob", "via": "slack", "text": "no"}
    ]
    assert (data["context"], data["page"]) == (CONTEXT, "https://gate.example/approvals/a1")
    assert "link" not in data


def test_a_message_sent_again_carries_the_same_id_and_a_new_time() -> None:
    with receiving() as receiver:
        sends().send(to(receiver), view())
        sends().send(to(receiver), view(now=NOW + 7200 * SECOND))
    first, second = (headers for _, headers, _ in receiver.got)
    assert first["Webhook-Id"] == second["Webhook-Id"]
    assert int(second["Webhook-Timestamp"]) - int(first["Webhook-Timestamp"]) == 6600


def test_a_context_that_is_too_long_is_left_out() -> None:
    body = told(message(), view(context={"payload": "x" * MAX_BODY}))
    assert len(body) < MAX_BODY
    assert orjson.loads(body)["data"]["context"] is None


def test_https_is_spoken_and_the_certificate_checked(tmp_path: Path) -> None:
    server, trusted = certificate(tmp_path)
    with receiving(server) as receiver:
        sends(tls=trusted).send(to(receiver, scheme="https"), view())
        with pytest.raises(RetryError, match="CERTIFICATE_VERIFY_FAILED"):
            sends().send(to(receiver, scheme="https"), view())
    assert len(receiver.got) == 1


def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    server, trusted = certificate(tmp_path, "hooks.example")
    with receiving(server) as receiver, pytest.raises(RetryError, match="CERTIFICATE_VERIFY_FAILED"):
        sends(tls=trusted).send(to(receiver, scheme="https"), view())
    assert receiver.got == []


# -- what receivers answer


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_is_one(status: int) -> None:
    with receiving() as receiver:
        receiver.answers = [b"HTTP/1.1 %d Fine\r\nContent-Length: 2\r\n\r\nok" % status]
        assert sends().send(to(receiver), view())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as receiver:
        receiver.answers = [b"HTTP/1.1 %d Moved\r\nLocation: http://localhost:%d/x\r\n\r\n" % (status, receiver.port)]
        with pytest.raises(RetryError, match=f"answers {status}: redirects are not followed"):
            sends().send(to(receiver), view())
    assert receiver.connections == 1


def test_who_is_gone_is_undeliverable() -> None:
    with receiving() as receiver:
        receiver.answers = [b"HTTP/1.1 410 Gone\r\n\r\n"]
        with pytest.raises(UndeliverableError, match="410"):
            sends().send(to(receiver), view())


@pytest.mark.parametrize(
    ("header", "after"),
    [(b"120", 120.0), (b" 7 ", 7.0), (b"Wed, 18 Nov 2026 11:17:40 GMT", 60.0), (b"Wed, 18 Nov 2020 11:17:40 GMT", 0.0),
     (b"", None), (b"soon", None), (b"-5", None), (b"1e3", None), (b"9" * 400, None), (b"nan", None)],
)  # fmt: skip
@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_may_say_when_to_come_again(status: int, header: bytes, after: float | None) -> None:
    with receiving() as receiver:
        receiver.answers = [b"HTTP/1.1 %d Later\r\nRetry-After: %s\r\n\r\n" % (status, header)]
        with pytest.raises(RetryError) as late:
            sends().send(to(receiver), view())
    assert late.value.after == after


@pytest.mark.parametrize("status", [100, 101, 400, 401, 404, 500, 502])
def test_anything_else_is_tried_again(status: int) -> None:
    with receiving() as receiver:
        receiver.answers = [b"HTTP/1.1 %d Hm\r\n\r\n" % status]
        with pytest.raises(RetryError):
            sends().send(to(receiver), view())


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 20", b"nonsense\r\n\r\n", b"\x00" * 100, b"HTTP/1.1 204 OK\r\n" + b"a: b\r\n" * 1000,
     b"HTTP/1.1 204 " + b"x" * 200_000, b"HTTP/1.1 204 OK\r\n" + b"x" * 200_000, b"HTTP/9.9 204 OK\r\n\r\n",
     b"HTTP/1.1 99999 OK\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n"], ids=range(10),
)  # fmt: skip
def test_an_answer_that_is_none_is_tried_again(answer: bytes) -> None:
    with receiving() as receiver:
        receiver.answers = [answer]
        with pytest.raises(RetryError, match="`localhost`"):
            sends().send(to(receiver), view())


def test_a_huge_answer_is_not_read() -> None:
    with receiving() as receiver:
        receiver.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n" + b"x" * 5_000_000]
        receiver.hangs_up = False
        assert sends().send(to(receiver), view())


def test_a_receiver_that_hangs_is_left_in_time() -> None:
    with receiving() as receiver:
        receiver.answers = [None]
        with pytest.raises(RetryError, match="no answer in time"):
            sends(seconds=0.2).send(to(receiver), view())


def test_a_receiver_that_sends_a_byte_now_and_then_is_left_in_time() -> None:
    with receiving() as receiver:
        receiver.drips = True
        began = time.monotonic()
        with pytest.raises(RetryError, match="no answer in time"):
            sends(seconds=0.3).send(to(receiver), view())
    assert time.monotonic() - began < 5


def test_a_receiver_that_speaks_no_tls_is_tried_again() -> None:
    with receiving() as receiver, pytest.raises(RetryError):
        sends(seconds=0.3).send(to(receiver, scheme="https"), view())


def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RetryError, match="cannot be reached"):
        sends().send(message(recipient=f"http://127.0.0.1:{port}/"), view())


def test_a_host_that_nobody_knows_is_tried_again() -> None:
    with pytest.raises(RetryError, match=r"`hooks\.invalid` cannot be reached"):
        sends().send(message(recipient="https://hooks.invalid/"), view())


# -- where they may go


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.1", "2130706433", "0x7f000001", "0", "[::]"])
def test_this_machine_is_reached_only_where_the_setting_and_the_url_say_so(host: str) -> None:
    with receiving() as receiver:
        for reach in (Reach(), Reach(private=True)):
            with pytest.raises(UndeliverableError):
                sends(reach=reach).send(message(recipient=f"https://{host}:{receiver.port}/"), view())
        if host in {"127.1", "2130706433", "0x7f000001", "0", "[::]"}:
            with pytest.raises(UndeliverableError):
                sends().send(message(recipient=f"https://{host}:{receiver.port}/"), view())
    assert receiver.connections == 0


def test_a_name_that_leads_to_this_machine_is_refused_though_loopback_is_allowed() -> None:
    lying = sends(resolve=lambda name, port: ["93.184.216.34", "127.0.0.1"])
    with receiving() as receiver, pytest.raises(UndeliverableError, match="may not go to"):
        lying.send(message(recipient=f"https://hooks.example:{receiver.port}/"), view())
    assert receiver.connections == 0


def test_a_name_is_looked_up_once_so_that_what_was_looked_at_is_connected_to() -> None:
    answers = [["203.0.113.7"], ["127.0.0.1"]]
    with receiving() as receiver, pytest.raises(UndeliverableError, match="may not go to"):
        sends(resolve=lambda name, port: answers.pop(0)).send(
            message(recipient=f"https://hooks.example:{receiver.port}/"), view()
        )
    assert (answers, receiver.connections) == ([["127.0.0.1"]], 0)


def test_a_host_with_several_addresses_is_reached_by_the_first_that_answers() -> None:
    with receiving() as receiver:
        both = sends(resolve=lambda name, port: ["127.0.0.2", "127.0.0.1"])
        assert both.send(to(receiver), view())
    assert receiver.connections == 1


def test_a_host_without_addresses_is_refused() -> None:
    with pytest.raises(UndeliverableError):
        sends(resolve=lambda name, port: []).send(message(recipient="https://hooks.example/"), view())


A = Target(name="hooks.example", port=443, encrypted=True, path="/")
L = Target(name="localhost", port=443, encrypted=True, path="/")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1",
     "169.254.169.254", "fe80::1", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255",
     "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1", "::7f00:1",
     "64:ff9b:1::7f00:1", "198.18.0.1", "192.0.2.1", "203.0.113.1", "2001:db8::1", "240.0.0.1", "no address", "",
     "2001:0:0:0:0:0:80ff:fffe"],
)  # fmt: skip
def test_no_webhook_goes_to_an_address_that_is_not_of_the_world(address: str) -> None:
    assert not may_reach(address, A, Reach())


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::5db8:d822"])
def test_webhooks_go_into_the_world(address: str) -> None:
    assert may_reach(address, A, Reach())


@pytest.mark.parametrize("address", ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"])
def test_networks_of_one_s_own_are_opened_by_the_setting(address: str) -> None:
    assert may_reach(address, A, Reach(private=True))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "ff02::1"])
def test_no_setting_opens_link_local_ones_or_this_machine_by_another_name(address: str) -> None:
    assert not may_reach(address, A, Reach(private=True, loopback=True))
    assert may_reach(address, L, Reach(loopback=True)) is (address in {"127.0.0.1", "::1"})


@pytest.mark.parametrize(
    "url",
    ["", "hooks.example", "ftp://hooks.example/", "https://", "https:///path", "https://u:s3cret@hooks.example/",
     "https://hooks.example/s3cret\r\nX: y", "https://hooks.example/s3cret path", "https://hooks.example/s3crét",
     "https://hooks.example/s3cret" + "x" * 3000, "https://hooks.example:99999/s3cret", "http://hooks.example/s3cret",
     "https://[::1/s3cret", f"https://{'x' * 70}.example/s3cret", "https://hooks.example/s3cret\u202e",
     "file:///etc/s3cret", "http://localhost.hooks.example/s3cret"],
)  # fmt: skip
def test_a_url_of_no_webhook_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UndeliverableError, match="webhook") as refused:
        sends().send(message(recipient=url), view())
    assert "s3cr" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://hooks.example", "hooks.example", "/"),
        ("https://hooks.example?a=b", "hooks.example", "/?a=b"),
        ("https://HOOKS.example:443/x#y", "hooks.example", "/x"),
        ("https://hooks.example:8443/x?y=z", "hooks.example:8443", "/x?y=z"),
        ("https://bücher.example/", "xn--bcher-kva.example", "/"),
        ("https://[2606:4700:4700::1111]:444/", "[2606:4700:4700::1111]:444", "/"),
        ("http://localhost:8080/", "localhost:8080", "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, path: str) -> None:
    target = Target.of(url, HERE)
    assert (target.host, target.path) == (host, path)
