"""Approvals and the messages they owe in dictionaries: for tests and trials, gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from msgspec.structs import replace

from onpurpose.core.approval import Approval, State, Wanted
from onpurpose.core.delivery import Channel, Delivery, Progress
from onpurpose.core.revision import ConflictError


class MemoryApprovals:
    """`Approvals`, `Deliveries`, `GivenUp` and `Outbox` in dictionaries. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._approvals: dict[str, Approval] = {}
        self._pending: dict[tuple[str, str], str] = {}
        self._deliveries: dict[tuple[str, str], Delivery] = {}
        self._outbox: dict[int, bytes] = {}
        self._notes = 0

    # -- approvals

    def open(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> Approval | None:
        """Keep a new approval; where its workspace has a pending one of the same digest, only give that one.

        `ConflictError` where its id, or that of a delivery, is taken.
        """
        with self._lock:
            pending = self._pending.get((approval.workspace, approval.digest))
            if pending is not None:
                return self._approvals[pending]
            if approval.id in self._approvals:
                raise ConflictError(f"there is an approval `{approval.id}` already")
            self._keep(approval, deliveries, notes)
            return None

    def get(self, workspace: str, approval_id: str) -> Approval | None:
        """One approval of the workspace, as it was last kept."""
        with self._lock:
            return self._held(workspace, approval_id)

    def change(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
        """Keep the approval's next version. `ConflictError` unless the one before it is what the store holds."""
        with self._lock:
            held = self._held(approval.workspace, approval.id)
            if held is None or held.version != approval.version - 1:
                raise ConflictError(f"the approval `{approval.id}` has changed in the meantime")
            self._keep(approval, deliveries, notes)

    def find(self, wanted: Wanted) -> list[Approval]:
        """The approvals that are wanted, newest first (those that are due: by `wake_at`, soonest first)."""
        with self._lock:
            found = [one for one in self._approvals.values() if _is_wanted(one, wanted)]
        if wanted.due_at is None:
            found.sort(key=lambda one: one.id, reverse=True)
        else:
            found.sort(key=lambda one: (one.wake_at, one.id))
        return found[: max(0, wanted.limit)]

    def pending(self, workspace: str, agent_id: str) -> int:
        """How many approvals of the agent wait for a decision in the workspace."""
        with self._lock:
            names = [name for (of, _), name in self._pending.items() if of == workspace]
            return sum(self._approvals[name].agent_id == agent_id for name in names)

    def versions(self, approval_ids: Sequence[str]) -> Mapping[str, int]:
        """The versions of these approvals. Unknown ids are left out."""
        with self._lock:
            return {name: self._approvals[name].version for name in approval_ids if name in self._approvals}

    # -- deliveries

    def take(self, channel: Channel, now: int, leased_until: int, limit: int) -> list[Delivery]:
        """Deliveries that are due, oldest first, as they are from now on: put off until `leased_until`.

        Of several to one recipient about one approval only the first that has not left.
        """
        with self._lock:
            due = (one for one in self._first_in_line(channel) if one.due_at <= now)
            taken = [replace(one, due_at=leased_until) for one in islice(due, max(0, limit))]
            self._deliveries.update({(one.workspace, one.id): one for one in taken})
        return taken

    def settle(self, *deliveries: Delivery) -> None:
        """Keep what became of those that were taken, all at once. One that has left, or was given up, stays so."""
        with self._lock:
            for delivery in deliveries:
                self._settle(delivery)

    def _settle(self, delivery: Delivery) -> None:
        key = (delivery.workspace, delivery.id)
        held = self._deliveries.get(key)
        if held is not None and held.progress is Progress.WAITING:
            self._deliveries[key] = replace(
                held,
                due_at=delivery.due_at,
                attempts=delivery.attempts,
                progress=delivery.progress,
                ref=delivery.ref,
                error=delivery.error,
            )

    def of(self, workspace: str, approval_id: str) -> list[Delivery]:
        """The deliveries of one approval, oldest first."""
        with self._lock:
            return [
                one for one in self._deliveries.values() if (one.workspace, one.approval_id) == (workspace, approval_id)
            ]

    def dead(self, workspace: str, limit: int, channel: Channel | None = None) -> list[Delivery]:
        """Those that were given up, newest first, of one channel or of all."""
        with self._lock:
            newest = reversed(self._deliveries.values())
            theirs = (one for one in newest if one.workspace == workspace and one.progress is Progress.DEAD)
            found = (one for one in theirs if channel is None or one.channel is channel)
            return list(islice(found, max(0, limit)))

    def again(self, workspace: str, delivery_ids: Sequence[str], now: int) -> list[Delivery]:
        """Have those of them that are given up wait to be sent as if made `now`; what they are from then on."""
        fresh = {"created_at": now, "due_at": now, "attempts": 0, "progress": Progress.WAITING, "ref": "", "error": ""}
        wanted = {(workspace, name) for name in delivery_ids}
        with self._lock:
            dead = (
                (key, one) for key, one in self._deliveries.items() if key in wanted and one.progress is Progress.DEAD
            )
            found = {key: replace(one, **fresh) for key, one in dead}
            self._deliveries.update(found)
        return list(found.values())

    def next_due(self, channel: Channel) -> int | None:
        """When the next delivery of the channel can be taken (microseconds UTC); `None` where none waits.

        One that was taken can be again at its lease's end; one that waits for an older one does not count.
        """
        with self._lock:
            return min((one.due_at for one in self._first_in_line(channel)), default=None)

    # -- the outbox

    def unsent(self, limit: int) -> list[tuple[int, bytes]]:
        """Numbers and bodies, oldest first."""
        with self._lock:
            return list(islice(self._outbox.items(), max(0, limit)))

    def sent(self, numbers: Sequence[int]) -> None:
        """They are durable in the log: forget them."""
        with self._lock:
            for number in numbers:
                self._outbox.pop(number, None)

    def _held(self, workspace: str, approval_id: str) -> Approval | None:
        held = self._approvals.get(approval_id)
        return held if held is not None and held.workspace == workspace else None

    def _keep(self, approval: Approval, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
        """All of it, or a `ConflictError` and nothing."""
        added = {(one.workspace, one.id): one for one in deliveries}
        key = (approval.workspace, approval.digest)
        if len(added) < len(deliveries) or not added.keys().isdisjoint(self._deliveries):
            raise ConflictError("the id of a delivery is taken")
        if approval.state is State.PENDING:
            if self._pending.setdefault(key, approval.id) != approval.id:
                raise ConflictError("another approval of the same call is pending")
        elif self._pending.get(key) == approval.id:
            del self._pending[key]
        self._approvals[approval.id] = approval
        self._deliveries.update(added)
        for body in notes:
            self._notes += 1
            self._outbox[self._notes] = body

    def _first_in_line(self, channel: Channel) -> Iterator[Delivery]:
        """Of each approval and recipient the oldest that waits."""
        seen = set()
        for one in self._deliveries.values():
            line = (one.workspace, one.approval_id, one.recipient)
            if one.channel is channel and one.progress is Progress.WAITING and line not in seen:
                seen.add(line)
                yield one


def _is_wanted(approval: Approval, wanted: Wanted) -> bool:
    asked = (
        (wanted.workspace, approval.workspace),
        (wanted.digest, approval.digest),
        (wanted.agent_id, approval.agent_id),
        (wanted.capability, approval.capability),
    )
    return (
        all(want is None or want == has for want, has in asked)
        and (wanted.states is None or approval.state in wanted.states)
        and (wanted.due_at is None or (approval.wake_at is not None and approval.wake_at <= wanted.due_at))
        and (wanted.before is None or approval.id < wanted.before)
    )
