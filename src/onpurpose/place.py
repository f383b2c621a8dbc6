"""Where a service keeps what it has: its options, and what differs between the two databases."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from onpurpose.adapters.signing import KeyFile, SecretKey
from onpurpose.adapters.sql.engine import Store
from onpurpose.adapters.sql.feed import SqlFeed, SqliteFollow
from onpurpose.app.keeping import Keeping
from onpurpose.app.masking import Masking
from onpurpose.follower import Source
from onpurpose.ports import Archive, Classifier, Clock, Ledger, Signer
from onpurpose.server.services import Settings

if TYPE_CHECKING:
    from onpurpose.adapters.parquet import DayFiles
    from onpurpose.adapters.sql.postgres.follow import PostgresFollow


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where a service keeps what it has, and how it behaves.

    `database`: a path, or `postgresql://...`. `directory`: where files of this host lie (beside the
    database's file, unless given): the secret, the keys, the anchor. `secret_file`: what keys in the
    store are sealed with, unless `ONPURPOSE_SECRET` is set. `archive_folder`: where days of a log in
    PostgreSQL lie that were archived and let go. `issuer`: the service's name in tokens, best its URL.
    `feed_apart`: the feed is kept up with the log by a process of its own, so that calls have this one for themselves.
    """

    database: str = "onpurpose.db"
    directory: str | None = None
    secret_file: str | None = None
    archive_folder: str | None = None
    issuer: str = "onpurpose"
    feed_apart: bool = False
    settings: Settings = field(default_factory=Settings)
    masking: Masking = field(default_factory=Masking)
    classifier: Classifier | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


class Place:
    """What differs between the two databases: the log, how it is read and followed, where the feed lies."""

    def __init__(self, options: Options, secret: str) -> None:
        self.store: Store
        self._options = options
        self.source = Source.of(options.database)
        self._postgres = self.source.is_postgres
        self.signer = self._signer(secret)

    @staticmethod
    def directory(options: Options) -> Path:
        """Where files of this host lie."""
        if options.directory is not None:
            return Path(options.directory).absolute()
        source = Source.of(options.database)
        return Path.cwd() if source.is_postgres else source.path.parent

    def _signer(self, secret: str) -> Signer:
        if self._postgres:  # every process signs with one key, and all that they share is the secret
            return SecretKey(secret)
        return KeyFile(f"{self.source.path}.key", f"{self.source.path}.pub")

    @property
    def _anchor(self) -> Path:
        return self.directory(self._options) / "onpurpose.anchor"

    def ledger(self) -> Ledger:
        """The log, to be written."""
        if self._postgres:
            from onpurpose.adapters.sql.postgres.ledger import PostgresLedger  # noqa: PLC0415  an extra

            return PostgresLedger(self.source.database, signer=self.signer, anchor=self._anchor)
        from onpurpose.adapters.sql.writer import SqliteLedger  # noqa: PLC0415  as above

        return SqliteLedger(self.source.path, signer=self.signer)

    def archive(self) -> Archive:
        """The log, to be read."""
        if self._postgres:
            from onpurpose.adapters.sql.postgres.archive import PostgresArchive  # noqa: PLC0415  an extra

            return PostgresArchive(self.source.database, anchor=self._anchor, archived=self._archived())
        from onpurpose.adapters.sql.reader import SqliteArchive  # noqa: PLC0415  as above

        return SqliteArchive(self.source.path)

    def keeping(self, ledger: Ledger, clock: Clock, new_id: Callable[[int], str]) -> Keeping | None:
        """What lets go of archived days; `None` where the log is one file."""
        if not self._postgres:
            return None
        from onpurpose.adapters.sql.postgres.days import PostgresDays  # noqa: PLC0415  an extra

        return Keeping(PostgresDays(self.source.database), self._archived(), ledger, clock=clock, new_id=new_id)

    def _archived(self) -> DayFiles | None:
        from onpurpose.adapters.parquet import DayFiles  # noqa: PLC0415  an extra

        folder = self._options.archive_folder
        return None if folder is None else DayFiles(Path(folder))

    def follow(self) -> SqliteFollow | PostgresFollow:
        """The log, to be followed."""
        return self.source.follow()

    def feed(self, store: Store) -> SqlFeed:
        """The feed: beside the tables of PostgreSQL, and in a file of its own with SQLite."""
        return self.source.feed(store)
