from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledger.log import Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    folder = tmp_path / "log"
    folder.mkdir()
    return Log(folder)
