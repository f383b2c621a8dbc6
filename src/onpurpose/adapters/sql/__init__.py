"""The log in SQLite: `SqliteLedger` writes it, `SqliteArchive` reads it and never writes."""

from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.adapters.sql.writer import SqliteLedger

__all__ = ["SqliteArchive", "SqliteLedger"]
