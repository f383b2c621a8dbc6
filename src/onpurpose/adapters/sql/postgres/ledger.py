"""The ledger in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from onpurpose.adapters.sql.postgres.connection import Address
from onpurpose.adapters.sql.postgres.groups import MAX_PENDING, MAX_PENDING_BYTES, GroupLedger
from onpurpose.adapters.sql.postgres.store import Store
from onpurpose.ports import Signer

CHECKPOINT_SECONDS = 1.0
"""How often, at most, a checkpoint is signed while records come."""

CONNECT_TIMEOUT = 3
"""How long, in seconds, a server may take to accept a connection."""


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
        address = Address(url)

        def store() -> Store:
            return Store(
                address,
                signer=signer,
                anchor=anchor,
                checkpoint_seconds=checkpoint_seconds,
                connect_timeout=connect_timeout,
            )

        limits = (max_pending, max_pending_bytes)
        super().__init__(address.name, store, checkpoint_seconds=checkpoint_seconds, limits=limits)
