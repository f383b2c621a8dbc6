"""A host is told only where every program would read the same one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.domains import host_of, in_domain


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("ann@example.com", "example.com"),
        ("Ann.B+c@Mail.Example.COM", "mail.example.com"),
        ("ann@localhost", "localhost"),
        ("https://example.com", "example.com"),
        ("https://example.com:8080/a?b=c#d", "example.com"),
        ("HTTP://EXAMPLE.com./x", "example.com"),
        ("ftp://a-b.example.com", "a-b.example.com"),
        ("example.com", "example.com"),
        ("www.example.com/path", "www.example.com"),
    ],
)
def test_a_host_is_read_from_addresses_and_links(text: str, host: str) -> None:
    assert host_of(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "", "localhost", "ann", "ann@", "@example.com", "a@b@example.com", "ann@exam ple.com", "ann@example.com\n",
        " ann@example.com", "https://ann@example.com", "https://a:b@example.com", "https://example.com\\@evil.com",
        "https://example.com%2eevil.com", "https://ex\u00e4mple.com", "https:///x", "//example.com", "https://[::1]/",
        "https://-example.com", "a.example/@b.example", "ann@example..com", "ann@.example.com", "Ann <ann@example.com>",
        "ann@example.com,bob@evil.com", "a" * 9000 + "@example.com",
    ],
)  # fmt: skip
def test_what_two_programs_may_read_differently_has_no_host(text: str) -> None:
    assert host_of(text) is None


@pytest.mark.parametrize(
    ("host", "domain", "answer"),
    [
        ("example.com", "example.com", True),
        ("a.b.example.com", "example.com", True),
        ("notexample.com", "example.com", False),
        ("example.com.evil.com", "example.com", False),
        ("com", "example.com", False),
    ],
)
def test_a_subdomain_counts(host: str, domain: str, answer: bool) -> None:
    assert in_domain(host, domain) is answer


LABELS = st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True), min_size=2, max_size=4)


@given(LABELS)
def test_each_form_of_a_host_names_it(labels: list[str]) -> None:
    host = ".".join(labels)
    assert {host_of(form) for form in (f"ann@{host}", f"https://{host}/x", host, host.upper())} == {host}


@pytest.mark.parametrize("piece", ["a.", "a-", "a@", "://", "a/", "-", "."])
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    started = time.thread_time()
    for length in (8192, 1 << 20):
        assert host_of((piece * length)[:length]) is None
    assert time.thread_time() - started < 10, "by the square this would take minutes"
