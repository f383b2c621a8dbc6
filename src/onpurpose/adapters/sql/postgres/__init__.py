"""The log in PostgreSQL: `PostgresLedger` writes it, `PostgresArchive` reads it whole, `PostgresFollow` reads on."""

from onpurpose.adapters.sql.postgres.archive import PostgresArchive
from onpurpose.adapters.sql.postgres.days import PostgresDays
from onpurpose.adapters.sql.postgres.follow import PostgresFollow
from onpurpose.adapters.sql.postgres.ledger import PostgresLedger

__all__ = ["PostgresArchive", "PostgresDays", "PostgresFollow", "PostgresLedger"]
