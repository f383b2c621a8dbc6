"""From the store to the log: at least once, in turn, and never without an answer."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future

import pytest

from onpurpose.app.outbox import Post, UntoldError
from onpurpose.core.record import Receipt, Record
from onpurpose.core.revision import Kind
from tests.app.logs import RECEIPT, Scripted, never, written
from tests.app.world import PURPOSE, World


def test_what_this_process_cannot_take_up_yet_is_done_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def fail() -> None:
        raise RuntimeError("the store went away")

    world.documents.count_up("default", [b'{"kind":"a"}'])
    post = Post(world.documents, world.memory, delivered=fail)
    with caplog.at_level(logging.ERROR, "onpurpose"):
        post.deliver()
    assert len(world.notes("a")) == 1
    assert "could not be taken up" in caplog.text


def test_who_waits_too_long_for_others_is_told_that_the_change_stands() -> None:
    world = World()
    asked, go = threading.Event(), threading.Event()

    def slow(record: Record) -> Future[Receipt]:
        asked.set()
        go.wait(30)
        return written(record)

    world.documents.count_up("default", [b'{"kind":"a"}'])
    post = Post(world.documents, Scripted(slow), patience=0.01)
    first = threading.Thread(target=post.drain)
    first.start()
    assert asked.wait(30)
    with pytest.raises(UntoldError, match="others wait"):
        post.drain()
    go.set()
    first.join(30)
    assert world.documents.unsent(9) == []


def test_changes_of_many_threads_are_each_told_once() -> None:
    world = World()

    def save(number: int) -> None:
        text = PURPOSE.replace("lookup", f"p{number}")
        world.control.library.save("default", Kind.PURPOSE, f"p{number}", text, author="a", reason="")

    threads = [threading.Thread(target=save, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(note["document"]["name"] for note in world.notes()) == sorted(f"p{n}" for n in range(16))


def test_of_many_that_wait_for_their_turn_one_carries_the_notes_of_all() -> None:
    world = World()
    asked, go = threading.Event(), threading.Event()
    carried: list[int] = []

    def slow(record: Record) -> Future[Receipt]:
        asked.set()
        go.wait(30)
        return written(record)

    post = Post(world.documents, Scripted(slow))

    def change() -> None:
        world.documents.count_up("default", [b'{"kind":"a"}'])
        carried.append(post.drain())

    threads = [threading.Thread(target=change) for _ in range(9)]
    threads[0].start()
    assert asked.wait(30)
    for thread in threads[1:]:
        thread.start()
    while post._asked < len(threads):
        """Until all of them wait."""
    go.set()
    for thread in threads:
        thread.join(30)
    assert sorted(carried) == [0] * 7 + [1, 8]
    assert world.documents.unsent(9) == []


def test_after_a_death_between_the_log_and_the_store_a_note_comes_again_under_its_id() -> None:
    world = World()
    world.documents.count_up("default", [b'{"kind":"a","id":"1"}'])
    late: Future[Receipt] = Future()
    dying = Post(world.documents, Scripted(lambda record: late), patience=0.01)
    with pytest.raises(UntoldError):
        dying.drain()
    late.set_result(RECEIPT)  # it became durable after all, and nobody was left to note that
    ledger = Scripted(written)
    assert Post(world.documents, ledger).drain() == 1
    assert [one["id"] for one in ledger.given] == ["1"]


def test_a_log_that_does_not_answer_is_not_waited_for_without_end() -> None:
    world = World()
    world.documents.count_up("default", [b'{"kind":"a"}'] * 3)
    with pytest.raises(UntoldError):
        Post(world.documents, Scripted(never), patience=0.01).deliver()
    assert len(world.documents.unsent(9)) == 3
