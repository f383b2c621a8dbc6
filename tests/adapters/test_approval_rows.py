"""What is read from a damaged row: an error, never an approval."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from onpurpose.adapters.sql.approval_rows import approval_row, delivery_row, read_approval, read_delivery
from onpurpose.adapters.sql.approvals import SqlApprovals
from onpurpose.adapters.sql.engine import open_store
from onpurpose.core.approval import Approval, Wanted
from onpurpose.core.revision import StoreError
from onpurpose.core.routing import Route, Stage
from tests.ports.approval_stores import approval, delivery

ROW = approval_row(approval())
BODY = msgspec.msgpack.encode(approval())


def body(**rest: object) -> bytes:
    return msgspec.msgpack.encode({**msgspec.to_builtins(approval(), builtin_types=(bytes,)), **rest})


def test_what_is_not_damaged_comes_back() -> None:
    assert ROW["body"] == BODY
    assert read_approval(ROW) == approval()
    assert read_approval({**ROW, "body": body()}) == approval()
    message = delivery(approval())
    assert read_delivery(delivery_row(message)) == message


@pytest.mark.parametrize("cut", range(0, len(BODY), 7))
def test_a_body_that_was_cut_is_refused(cut: int) -> None:
    with pytest.raises(StoreError, match="the approval `ap_000001` cannot be read: its row is damaged\nhelp: "):
        read_approval({**ROW, "body": BODY[:cut]})


@pytest.mark.parametrize(
    "damaged",
    [
        BODY + b"\0",
        b"\xc0",
        b"\x93" * 5000,
        None,
        "text",
        body(state="lost"),
        body(version="1"),
        body(version=1.5),
        body(until=None),
        body(context="text"),
        body(routes=[]),
        body(routes=[{"stages": []}]),
        body(routes=[{"stages": [{"approvers": []}]}]),
        body(routes=[{"stages": [{"approvers": ["anyone"], "quorum": 0}]}]),
        body(routes=[{"stages": [{"approvers": ["anyone"]}], "step_up": 1}]),
        body(acts=[{"move": "bribe", "at": 1, "via": "api"}]),
    ],
)
def test_a_body_that_says_no_approval_is_refused(damaged: object) -> None:
    with pytest.raises(StoreError):
        read_approval({**ROW, "body": damaged})


@pytest.mark.parametrize("name", [name for name in ROW if name != "body"])
def test_a_row_whose_columns_say_anything_else_than_its_body_is_refused(name: str) -> None:
    for value in ("granted", 7, None):
        with pytest.raises(StoreError):
            read_approval({**ROW, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("progress", "lost"), ("channel", "pigeon"), ("event", ""), ("attempts", "1"), ("due_at", None), ("ref", b"x")],
)
def test_a_delivery_that_is_none_is_refused(name: str, value: object) -> None:
    with pytest.raises(StoreError, match=r"the delivery `.*` cannot be read"):
        read_delivery({**delivery_row(delivery(approval())), name: value})


def test_what_no_database_keeps_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    asks_nobody = Route(stages=(Stage(approvers=("\ud800",)),))
    with contextlib.closing(open_store(str(tmp_path / "onpurpose.db"))) as store:
        approvals = SqlApprovals(store)
        for unkept in (approval(agent_id="\ud800"), approval(routes=(asks_nobody,)), approval(joined=2**70)):
            with pytest.raises(StoreError):
                approvals.open(unkept, deliveries=[], notes=[b"note"])
        assert approvals.find(Wanted()) == []
        opened: Approval = approval(2)
        assert approvals.open(opened, deliveries=[], notes=[]) is None
        with pytest.raises(StoreError):
            approvals.change(replace(opened, version=2, joined=2**70), deliveries=[], notes=[])
        assert approvals.find(Wanted()) == [opened]
