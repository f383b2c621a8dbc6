"""The stores of the control plane that the suites of the ports run on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from onpurpose.adapters.memory_store import MemoryAccess, MemoryDocuments
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import open_store
from onpurpose.core.access import Workspace


@dataclass
class Parts:
    """A store with the workspaces `acme` and `other`; `elsewhere` is the same one, as another process has it."""

    documents: MemoryDocuments | SqlDocuments
    access: MemoryAccess | SqlAccess
    elsewhere: MemoryDocuments | SqlDocuments


def with_workspaces(parts: Parts) -> Parts:
    for name in ("acme", "other"):
        parts.access.put(Workspace(id=name, name=name.title(), created_at=1), notes=[])
    return parts


@contextlib.contextmanager
def in_memory() -> Iterator[Parts]:
    documents = MemoryDocuments()
    yield with_workspaces(Parts(documents, MemoryAccess(documents), documents))


@contextlib.contextmanager
def in_database(database: str) -> Iterator[Parts]:
    with contextlib.closing(open_store(database)) as store, contextlib.closing(open_store(database)) as second:
        documents, elsewhere = SqlDocuments(store), SqlDocuments(second)
        with contextlib.closing(documents), contextlib.closing(elsewhere):
            yield with_workspaces(Parts(documents, SqlAccess(store), elsewhere))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    if request.param == "memory":
        made = in_memory()
    elif request.param == "sqlite":
        made = in_database(request.getfixturevalue("sqlite_store_path"))
    else:
        made = in_database(request.getfixturevalue("postgres_store_url"))
    with made as found:
        yield found
