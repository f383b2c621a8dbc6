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


def is_current(connection: Connection) -> bool:
    """Whether the database has the newest version. Raises `StoreError` where it has one that is unknown here."""
    script = ScriptDirectory.from_config(_config())
    known = [found.revision for found in script.walk_revisions()]
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    strange = [version for version in context.get_current_heads() if version not in known]
    if strange:
        raise StoreError(
            f"the database was written by a newer onpurpose (schema `{strange[0]}`, this one knows `{known[0]}`)\n"
            "help: run that version, or a newer one"
        )
    return context.get_current_heads() == (known[0],)


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest version, in the transaction that the connection is in."""
    config = _config()
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    with _RUNNING:
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
