"""Where a service keeps what it has: its options, and what differs between the two databases."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from onpurpose.adapters.signing import KeyFile, SecretKey
from onpurpose.adapters.sql.engine import Store
from onpurpose.adapters.sql.feed import SqlFeed, SqliteFollow, open_feed
from onpurpose.app.keeping import Keeping
from onpurpose.app.masking import Masking
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
    """

    database: str = "onpurpose.db"
    directory: str | None = None
    secret_file: str | None = None
    archive_folder: str | None = None
    issuer: str = "onpurpose"
    settings: Settings = field(default_factory=Settings)
    masking: Masking = field(default_factory=Masking)
    classifier: Classifier | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


class Place:
    """What differs between the two databases: the log, how it is read and followed, where the feed lies."""

    def __init__(self, options: Options, secret: str) -> None:
        self.store: Store
        self._options = options
        self._postgres = options.database.startswith(("postgresql:", "postgres:"))
        self._path = Path(options.database.removeprefix("sqlite:///")).absolute()
        self.signer = self._signer(secret)

    @staticmethod
    def directory(options: Options) -> Path:
        """Where files of this host lie."""
        if options.directory is not None:
            return Path(options.directory).absolute()
        if options.database.startswith(("postgresql:", "postgres:")):
            return Path.cwd()
        return Path(options.database.removeprefix("sqlite:///")).absolute().parent

    def _signer(self, secret: str) -> Signer:
        if self._postgres:  # every process signs with one key, and all that they share is the secret
            return SecretKey(secret)
        return KeyFile(f"{self._path}.key", f"{self._path}.pub")

    @property
    def _url(self) -> str:
        return self._options.database.replace("postgres://", "postgresql://", 1)

    @property
    def _anchor(self) -> Path:
        return self.directory(self._options) / "onpurpose.anchor"

    def ledger(self) -> Ledger:
        """The log, to be written."""
        if self._postgres:
            from onpurpose.adapters.sql.postgres.ledger import PostgresLedger  # noqa: PLC0415  an extra

            return PostgresLedger(self._url, signer=self.signer, anchor=self._anchor)
        from onpurpose.adapters.sql.writer import SqliteLedger  # noqa: PLC0415  as above

        return SqliteLedger(self._path, signer=self.signer)

    def archive(self) -> Archive:
        """The log, to be read."""
        if self._postgres:
            from onpurpose.adapters.sql.postgres.archive import PostgresArchive  # noqa: PLC0415  an extra

            return PostgresArchive(self._url, anchor=self._anchor, archived=self._archived())
        from onpurpose.adapters.sql.reader import SqliteArchive  # noqa: PLC0415  as above

        return SqliteArchive(self._path)

    def keeping(self, ledger: Ledger, clock: Clock, new_id: Callable[[int], str]) -> Keeping | None:
        """What lets go of archived days; `None` where the log is one file."""
        if not self._postgres:
            return None
        from onpurpose.adapters.sql.postgres.days import PostgresDays  # noqa: PLC0415  an extra

        return Keeping(PostgresDays(self._url), self._archived(), ledger, clock=clock, new_id=new_id)

    def _archived(self) -> DayFiles | None:
        from onpurpose.adapters.parquet import DayFiles  # noqa: PLC0415  an extra

        folder = self._options.archive_folder
        return None if folder is None else DayFiles(Path(folder))

    def follow(self) -> SqliteFollow | PostgresFollow:
        """The log, to be followed."""
        if self._postgres:
            from onpurpose.adapters.sql.postgres.follow import PostgresFollow  # noqa: PLC0415  an extra

            return PostgresFollow(self._url)
        return SqliteFollow(self._path)

    def feed(self, store: Store) -> SqlFeed:
        """The feed: beside the tables of PostgreSQL, and in a file of its own with SQLite."""
        return SqlFeed(store.engine) if self._postgres else open_feed(f"{self._path}.feed")
