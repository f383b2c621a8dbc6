"""The log in SQLite: `SqliteLedger` writes it."""

from onpurpose.adapters.sql.writer import SqliteLedger

__all__ = ["SqliteLedger"]
