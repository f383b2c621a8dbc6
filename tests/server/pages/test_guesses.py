"""Whoever tries keys that are wrong must be patient, from one address as with one key."""

from __future__ import annotations

from onpurpose.server.pages.guesses import BY_ADDRESS, BY_PREFIX, Guesses


class Now:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def tries(guesses: Guesses, now: Now, addresses: list[str], keys: list[str], seconds: int = 60) -> int:
    """How many wrong keys are looked at in that time by somebody who never rests."""
    count = 0
    for tick in range(10 * seconds):
        now.seconds = tick / 10
        for number in range(20):
            address, key = addresses[number % len(addresses)], keys[number % len(keys)]
            if not guesses.wait(address, key):
                guesses.wrong(address, key)
                count += 1
    return count


def test_an_address_tries_so_many_keys_a_minute() -> None:
    now = Now()
    keys = [f"op_{number:08}_x" for number in range(20)]
    assert tries(Guesses(now), now, ["192.0.2.1"], keys) <= BY_ADDRESS + 5


def test_a_key_is_tried_so_often_a_minute_from_wherever() -> None:
    now = Now()
    addresses = [f"192.0.2.{number}" for number in range(20)]
    assert tries(Guesses(now), now, addresses, ["op_abcdefgh_1", "op_abcdefgh_2"]) <= BY_PREFIX + 10


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    now = Now()
    addresses = [f"2001:db8::{number:x}" for number in range(20)]
    keys = [f"op_{number:08}_x" for number in range(20)]
    assert tries(Guesses(now), now, addresses, keys) <= BY_ADDRESS + 5


def test_others_are_not_held_up() -> None:
    guesses = Guesses(Now())
    while not guesses.wait("192.0.2.1", "op_abcdefgh_1"):
        guesses.wrong("192.0.2.1", "op_abcdefgh_1")
    assert guesses.wait("192.0.2.1", "op_other") > 0
    assert guesses.wait("192.0.2.2", "op_other") == 0
    assert guesses.wait("not an address", "op_other") == 0
