"""Keeps the write-ahead log small, beside the writer rather than in its way."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

STEP = 1 << 24
"""After how many bytes of records the write-ahead log is moved into the database.

Commits that fall into a move wait for the disk longer: seldom and much costs fewer of them than often and little.
"""

MOST_FRAMES = 1 << 14
"""How many pages may stay in the write-ahead log (64 MiB) before the writer itself must wait."""


class Keeper:
    """Moves committed pages from the write-ahead log into the database, on a thread while needed.

    Without it either the writer pays for the move (and whoever waits for it), or the write-ahead log
    grows without end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = 0
        self._frames = 0
        self._thread: threading.Thread | None = None

    def note(self, size: int) -> bool:
        """Take note of bytes written; true when the writer should pause and move the rest itself."""
        self._written += size
        if self._written < STEP or (self._thread is not None and self._thread.is_alive()):
            return False
        full = self._frames > MOST_FRAMES
        self._written = self._frames = 0
        self._thread = threading.Thread(target=self._move, name="onpurpose-keeper", daemon=True)
        with contextlib.suppress(RuntimeError):  # no new thread while the interpreter ends: the close moves all
            self._thread.start()
        return full

    def join(self) -> None:
        """Wait for the move under way; the file is then closed on our side."""
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _move(self) -> None:
        # A failure here loses nothing: the pages stay where they are, and the next move tries again.
        with contextlib.suppress(sqlite3.Error):
            connection = sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0)
            with contextlib.closing(connection):
                _, self._frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
