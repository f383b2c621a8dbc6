"""Agents and people that are stopped end, whether or not there was a service."""

from __future__ import annotations

import threading

from onpurpose.core.access import ApiKey
from onpurpose.demo.crowd import Crowd
from onpurpose.demo.repertoire import Repertoire
from onpurpose.demo.workspace import Keys
from tests.service.process import free_port

KEY = ApiKey(
    id="k", workspace="default", name="agents", prefix="op_k", hash=bytes(32), scopes=frozenset(), created_by="",
    created_at=0,
)  # fmt: skip
KEYS = Keys(password="p", admin="a", visitor="v", agents="op_agents", agents_key=KEY, approvers={"pablo": "op_pablo"})


def crowd(told: list[str]) -> Crowd:
    url = f"http://127.0.0.1:{free_port()}"
    return Crowd(url, KEYS, Repertoire(), rate=5, seed=1, ready=lambda: told.append("ready"))


def test_without_a_service_nothing_begins_and_a_stop_ends_the_waiting() -> None:
    told: list[str] = []
    one = crowd(told)
    one.start()
    one.stop()
    assert told == []
    assert not [thread for thread in threading.enumerate() if thread.name == "onpurpose-demo"]


def test_what_was_never_started_can_be_stopped_and_twice() -> None:
    one = crowd([])
    one.stop()
    one.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "onpurpose-demo"]
