"""What an agent holds of an approval: how it stands, and a way to wait for it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from onpurpose.core.approval import State


class Waiter(Protocol):
    """Waits for approvals, wherever they are kept."""

    def wait(self, ticket: Ticket, seconds: float | None) -> Ticket:
        """The approval as it stands once it is decided, or after so many seconds. Never raises: see `Ticket.wait`."""
        ...

    async def wait_async(self, ticket: Ticket, seconds: float | None) -> Ticket:
        """The same for a coroutine."""
        ...


class Ticket(Struct, frozen=True, eq=False, kw_only=True):
    """An approval as the one who asked for it sees it.

    `until` (microseconds UTC) is when it expires. Once it is decided, `by` names who did so and `reason` is
    what they said. `page` is where people decide it, empty where there is no page.
    """

    id: str
    state: State
    until: int
    by: str = ""
    reason: str = ""
    page: str = ""
    waiter: Waiter | None = None

    @property
    def granted(self) -> bool:
        """Whether the call may be resumed now."""
        return self.state is State.GRANTED

    @property
    def pending(self) -> bool:
        """Whether nobody has decided yet."""
        return self.state is State.PENDING

    def wait(self, timeout: float | None = None) -> Ticket:
        """The approval as it stands once it is decided, or after so many seconds (`None`: until it expires).

        Where it cannot be asked how it stands, it is tried again until the time is over; what comes back
        is then as pending as it was.
        """
        if self.waiter is None or not self.pending:
            return self
        return self.waiter.wait(self, timeout)

    async def wait_async(self, timeout: float | None = None) -> Ticket:
        """`wait` for a coroutine: the event loop runs on."""
        if self.waiter is None or not self.pending:
            return self
        return await self.waiter.wait_async(self, timeout)

    def __repr__(self) -> str:
        return f"Ticket({self.id!r}, {str(self.state)!r})"
