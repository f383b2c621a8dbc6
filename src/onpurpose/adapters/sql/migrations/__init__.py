"""Brings a database to the schema that this code knows: Alembic, run from within.

Alembic takes a third of a second to import, and most starts find the database up to date: what that
asks is asked without it.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from onpurpose.core.revision import StoreError

VERSION_TABLE = "schema_version"
"""Where a database says which version of the schema it has."""

_VERSIONS = Table(VERSION_TABLE, MetaData(), Column("version_num", String))  # as Alembic makes it

# Alembic keeps what it is doing in variables of its modules.
_RUNNING = threading.Lock()


def versions() -> list[str]:
    """Every version that this code knows, the newest first: their files are named after them, in order."""
    found = (Path(__file__).parent / "versions").glob("[0-9]*_*.py")
    return sorted((path.stem for path in found), reverse=True)


def is_current(connection: Connection) -> bool:
    """Whether the database has the newest version. Raises `StoreError` where it has one that is unknown here."""
    known = versions()
    heads = _heads(connection)
    strange = [version for version in heads if version not in known]
    if strange:
        raise StoreError(
            f"the database was written by a newer onpurpose (schema `{strange[0]}`, this one knows `{known[0]}`)\n"
            "help: run that version, or a newer one"
        )
    return heads == [known[0]]


def _heads(connection: Connection) -> list[str]:
    """The versions that the database says it has; none where no table says any."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return []
    return list(connection.scalars(select(_VERSIONS.c.version_num)))


def upgrade(connection: Connection, version: str = "head") -> None:
    """Bring the database to a version, the newest unless another is named, in the connection's transaction."""
    from alembic import command  # noqa: PLC0415  see above
    from alembic.config import Config  # noqa: PLC0415  as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    with _RUNNING:
        command.upgrade(config, version)
