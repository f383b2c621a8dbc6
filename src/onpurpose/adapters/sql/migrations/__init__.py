"""Brings a database to the schema that this code knows: Alembic, run from within."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from onpurpose.core.revision import StoreError

VERSION_TABLE = "schema_version"
"""Where a database says which version of the schema it has."""

# Alembic keeps what it is doing in variables of its modules.
_RUNNING = threading.Lock()


def versions() -> list[str]:
    """Every version that this code knows, the newest first."""
    return [found.revision for found in ScriptDirectory.from_config(_config()).walk_revisions()]


def is_current(connection: Connection) -> bool:
    """Whether the database has the newest version. Raises `StoreError` where it has one that is unknown here."""
    known = versions()
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    strange = [version for version in context.get_current_heads() if version not in known]
    if strange:
        raise StoreError(
            f"the database was written by a newer onpurpose (schema `{strange[0]}`, this one knows `{known[0]}`)\n"
            "help: run that version, or a newer one"
        )
    return context.get_current_heads() == (known[0],)


def upgrade(connection: Connection, version: str = "head") -> None:
    """Bring the database to a version, the newest unless another is named, in the connection's transaction."""
    config = _config()
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    with _RUNNING:
        command.upgrade(config, version)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
