"""Approvals and deliveries as rows, and back: a row that was damaged is never taken for an approval."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from onpurpose.core.approval import Approval, open_approval
from onpurpose.core.delivery import Delivery
from onpurpose.core.revision import StoreError


class Row(Protocol):
    """What a database gives: values by the names of their columns."""

    def __getitem__(self, name: str, /) -> Any:
        """The value of that column."""
        ...


REPEATED = ("workspace", "id", "version", "state", "digest", "agent_id", "capability", "opened_at", "wake_at")
"""The columns that repeat what the body of an approval says."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Approval, strict=True).decode


def approval_row(approval: Approval) -> dict[str, object]:
    """The row of an approval: what is looked for, in columns, and the whole of it in `body` (MessagePack)."""
    row: dict[str, object] = {name: getattr(approval, name) for name in REPEATED}
    row.update(state=approval.state.value, body=_encode(approval))
    return row


def read_approval(row: Row) -> Approval:
    """The approval of a row. Raises `StoreError` where its body is none, or says anything else than its columns."""
    try:
        approval = _decode(row["body"])
        open_approval(approval)  # which refuses what asks nobody, and so would count as granted by all
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise _damaged("approval", row["id"]) from error
    if any(getattr(approval, name) != row[name] for name in REPEATED):
        raise _damaged("approval", row["id"])
    return approval


def delivery_row(delivery: Delivery) -> dict[str, object]:
    """The row of a delivery, but for its number."""
    row: dict[str, object] = msgspec.to_builtins(delivery)
    return row


def read_delivery(row: Row) -> Delivery:
    """The delivery of a row. Raises `StoreError` where it is none."""
    try:
        return msgspec.convert({name: row[name] for name in Delivery.__struct_fields__}, Delivery, strict=True)
    except msgspec.MsgspecError as error:
        raise _damaged("delivery", row["id"]) from error


def _damaged(what: str, name: object) -> StoreError:
    return StoreError(f"the {what} `{name}` cannot be read: its row is damaged\nhelp: restore the store from a backup")
