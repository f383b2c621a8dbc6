"""What was given up leaves again under the identity that it had, for a day anew, and never without a record."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteLedger
from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.app.audit import tail
from onpurpose.app.channels import Channels
from onpurpose.app.viewing import Viewer
from onpurpose.core.delivery import Channel, Delivery, Progress, RetryError, UndeliverableError
from onpurpose.core.purpose import Settings
from onpurpose.core.record import LedgerError
from onpurpose.ports import Ledger
from tests.app.courier_world import HOUR, LINKS, DigestBox, World, user

MAIL, SLACK = (Channel.EMAIL, "anna"), (Channel.SLACK, "C1")
ADMIN = user("ann", groups=())


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    path = tmp_path / "log.db"
    with SqliteLedger(path, signer=KeyFile(f"{path}.key", f"{path}.pub")) as made:
        yield made


def channels(world: World, ledger: Ledger) -> Channels:
    numbers = count()
    viewer = Viewer(world.store, world.store, people=lambda _: world.users, links=LINKS, clock=world.clock)
    return Channels(
        [], {}, world.store, view=viewer.view, wake=lambda _: None, settings=lambda _: Settings(),
        secret_of=lambda _: "", ledger=ledger, clock=world.clock, new_id=lambda _: f"n{next(numbers)}",
    )  # fmt: skip


def refuses(delivery: Delivery) -> None:
    raise UndeliverableError("no such address")


def fails(delivery: Delivery) -> None:
    raise RetryError("no answer")


def given_up(world: World, *told: tuple[Channel, str], hours: int = 100) -> list[Delivery]:
    """Messages about a request that is open for long still, which were given up."""
    _, deliveries = world.ask(*told, timeout=hours * HOUR)
    courier = world.courier()
    for channel, _ in told:
        world.boxes[channel].does = refuses
        courier.step(channel)
        world.boxes[channel].does = lambda _: None
    assert {world.kept(one).progress for one in deliveries} == {Progress.DEAD}
    return deliveries


def test_it_leaves_again_under_its_own_identity(world: World, ledger: SqliteLedger, tmp_path: Path) -> None:
    (mail,) = given_up(world, MAIL)
    world.pass_seconds(30 * HOUR)
    done = channels(world, ledger).send_again(Channel.EMAIL, ADMIN)
    assert [one.id for one in done.waiting] == [mail.id]
    world.courier().step(Channel.EMAIL)
    assert world.boxes[Channel.EMAIL].ids == [mail.id]
    assert world.kept(mail).progress is Progress.SENT
    archive = SqliteArchive(tmp_path / "log.db")
    told = orjson.loads(tail(archive, 1)[0].body)
    archive.close()
    assert (told["kind"], told["by"], told["channel"], told["deliveries"], told["dropped"]) == (
        "channel.sent_again", "ann", "email", [mail.id], [],
    )  # fmt: skip


def test_it_is_tried_for_a_day_anew(world: World, ledger: SqliteLedger) -> None:
    (message,) = given_up(world, SLACK, hours=300)
    world.pass_seconds(30 * HOUR)
    channels(world, ledger).send_again(Channel.SLACK, ADMIN)
    world.boxes[Channel.SLACK].does = fails
    courier = world.courier()
    world.run(courier, 23 * HOUR, [Channel.SLACK])
    assert world.kept(message).progress is Progress.WAITING
    world.run(courier, 2 * HOUR, [Channel.SLACK])
    assert world.kept(message).progress is Progress.DEAD


def test_many_to_one_person_are_gathered_as_new_ones_are(world: World, ledger: SqliteLedger) -> None:
    box = world.boxes[Channel.EMAIL] = DigestBox()
    several = [one for _ in range(9) for one in given_up(world, MAIL)]
    world.pass_seconds(30 * HOUR)
    assert len(channels(world, ledger).send_again(Channel.EMAIL, ADMIN).waiting) == 9
    world.run(world.courier(), HOUR, [Channel.EMAIL])
    assert [world.kept(one).progress for one in several] == [Progress.SENT] * 9
    assert len(box.ids) == 5
    assert [len(ids) for _, ids in box.digests] == [4]


def test_what_asks_about_a_settled_request_is_dropped_before_it_leaves(world: World, ledger: SqliteLedger) -> None:
    approval, deliveries = world.ask(MAIL, SLACK, timeout=100 * HOUR)
    for one in deliveries:
        world.store.settle(replace(one, progress=Progress.DEAD, error="down"))
    world.grant(approval, "bob")
    whys = []
    for channel in (Channel.EMAIL, Channel.SLACK):
        done = channels(world, ledger).send_again(channel, ADMIN)
        assert done.waiting == ()
        whys += [one.why for one in done.dropped]
        world.courier().step(channel)
    assert whys == ["there is nothing left for them to decide", "the request is granted meanwhile"]
    assert world.boxes[Channel.EMAIL].ids == world.boxes[Channel.SLACK].ids == []
    assert [world.kept(one).error for one in deliveries] == whys


def test_nothing_leaves_that_is_not_on_record(world: World) -> None:
    (mail,) = given_up(world, MAIL)

    class Full:
        """A log that takes nothing."""

        def append(self, record: object) -> object:
            raise LedgerError("the log is full")

    broken: Ledger = Full()  # type: ignore[assignment]  # all that is used of it
    with pytest.raises(LedgerError):
        channels(world, broken).send_again(Channel.EMAIL, ADMIN)
    assert world.kept(mail).progress is Progress.DEAD
