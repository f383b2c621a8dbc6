"""The ledger in PostgreSQL."""

from __future__ import annotations

import time
from pathlib import Path

from onpurpose.adapters.sql.groups import MAX_PENDING, MAX_PENDING_BYTES, GroupLedger, Item
from onpurpose.adapters.sql.postgres.connection import Address
from onpurpose.adapters.sql.postgres.store import Store
from onpurpose.ports import Signer

CHECKPOINT_SECONDS = 1.0
"""How often, at most, a checkpoint is signed while records come."""

CONNECT_TIMEOUT = 3
"""How long, in seconds, a server may take to accept a connection."""

_abandoned: list[object] = []


class PostgresLedger(GroupLedger):
    """A ledger in one PostgreSQL database that any number of threads, processes and hosts may share.

    A record that is acknowledged is committed with `synchronous_commit` on. One chain per process,
    begun with the first record; no lock is shared while records are written. While the server is away
    each append fails with `LedgerError`, and the first that can be written succeeds.

    `anchor`: a file of this host that keeps the newest checkpoint (its directory must exist); a log
    that does not reach as far is not written to. Behind a pooler, sessions must be kept
    (session pooling), as a writer holds an advisory lock. `ValueError` for a URL that cannot be read.
    """

    def __init__(  # noqa: PLR0913  limits that a deployment may want to set
        self,
        url: str,
        *,
        signer: Signer,
        anchor: Path | None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        max_pending: int = MAX_PENDING,
        max_pending_bytes: int = MAX_PENDING_BYTES,
        connect_timeout: int = CONNECT_TIMEOUT,
    ) -> None:
        self._address = Address(url)
        self._signer = signer
        self._anchor = anchor
        self._connect_timeout = connect_timeout
        limits = (max_pending, max_pending_bytes)
        super().__init__(self._address.name, checkpoint_seconds=checkpoint_seconds, limits=limits)

    def _begin(self) -> None:
        super()._begin()
        self._store: Store = Store(
            self._address,
            signer=self._signer,
            anchor=self._anchor,
            checkpoint_seconds=self._checkpoint_seconds,
            connect_timeout=self._connect_timeout,
        )

    def _write(self, part: list[Item]) -> None:
        group = self._taken(part)
        if not group:
            return
        chains = self._store.chains
        try:
            receipts = self._store.write([body for _, body in group])
        except Exception as error:  # whatever it is, whoever waits must be told
            self._fail(group, error)
        else:
            self._keep(group, receipts)
        if self._store.chains != chains:  # signed already
            self._sign_at = time.monotonic() + self._checkpoint_seconds
            self._note()

    def _sign(self, *, last: bool = False) -> None:
        wait = self._checkpoint_seconds
        try:
            wait = self._store.sign(last=last)
        except Exception as error:
            # The records are durable; what is missing shows in the status, and is tried again.
            self._last_error = str(error)
        else:
            self._failing = False
        self._sign_at = time.monotonic() + wait

    def _note(self) -> None:
        try:
            self._store.note()
        except Exception as error:  # the next checkpoint tries again
            self._last_error = str(error)

    def _after_fork_in_child(self) -> None:
        _abandoned.append(self._store)  # closing it would end the parent's session
        super()._after_fork_in_child()
