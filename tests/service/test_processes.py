"""Processes that serve one database know of each other, and of one that ended."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from onpurpose.place import Options
from onpurpose.service import Service

SECRET = "a secret of at least thirty-two characters"


def test_processes_of_one_database_see_each_other_until_they_end(postgres_url: str, tmp_path: Path) -> None:
    options = Options(database=postgres_url, directory=str(tmp_path), environment={"ONPURPOSE_SECRET": SECRET})
    with closing(Service(options)) as first:
        with closing(Service(options)) as second:
            assert [one.id for one in first.presence.all()] == [first.presence.id, second.presence.id]
            assert first.presence.all() == second.presence.all()
            assert [one.wrong for one in first.presence.all()] == [(), ()]
        assert [one.id for one in first.presence.all()] == [first.presence.id]
