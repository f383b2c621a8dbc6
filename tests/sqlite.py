"""SQLite files for the tests, with our tables in them: copies of one, which are sooner made than the tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from onpurpose.adapters.sql.engine import open_store

    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    open_store(str(path)).close()
    return path


@pytest.fixture
def sqlite_store_path(_migrated_file: Path, tmp_path: Path) -> str:
    """Where a fresh store with the newest schema lies, and nothing is in it."""
    return shutil.copy(_migrated_file, str(tmp_path / "onpurpose.db"))
