"""One service for all tests, and a world for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("slack_sdk", reason="slack-sdk is not installed")

from starlette.routing import Route

from onpurpose.core.purpose import Notify
from onpurpose.server.slack import PATH
from tests.server.serving import services, serving
from tests.slack.world import Door, World, a_world


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[Door, str]]:
    door = Door()
    with serving(services(routes=[Route(PATH, door.answer, methods=["POST"])])) as service:
        yield door, service.url


@pytest.fixture
def world(served: tuple[Door, str]) -> Iterator[World]:
    with a_world(*served) as made:
        yield made


@pytest.fixture
def quiet() -> Iterator[World]:
    """A world in which nobody is told in the channel, only each in person; nothing comes in by HTTP."""
    with a_world(None, "", Notify(slack_direct=True)) as made:
        yield made
