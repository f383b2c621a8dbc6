"""The parts of a service on a new database, by a clock that is moved: what a history is written with."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from onpurpose.adapters.clock import Ids
from onpurpose.adapters.elements import quick_elements
from onpurpose.adapters.files import FileSource
from onpurpose.adapters.one_time_codes import TotpCodes
from onpurpose.adapters.passwords import Argon2Passwords
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.approvals import SqlApprovals
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import Store, open_store
from onpurpose.adapters.sql.rollups import SqlRollups
from onpurpose.adapters.sql.sign_ins import SqlCredentials
from onpurpose.adapters.sql.signing_keys import SqlSigningKeys
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.adapters.vault import AesVault, find_secret
from onpurpose.app.approvals import Desk
from onpurpose.app.consent import Consent
from onpurpose.app.control import control
from onpurpose.app.gate import Gate
from onpurpose.app.own_proofs import OwnProofs
from onpurpose.app.policies import Policies
from onpurpose.app.projection import Projector
from onpurpose.app.proofs import Means, Proofs
from onpurpose.app.tokens import Tokens
from onpurpose.app.workspace import Workspaces
from onpurpose.core.purpose import Settings
from onpurpose.demo.moved_clock import MovedClock
from onpurpose.place import Options, Place


class Parts:
    """What a service has, without its threads and its network. Close it before a service opens the database."""

    def __init__(self, options: Options, clock: MovedClock) -> None:
        self.clock = clock
        self._ids = Ids()
        self._closing = ExitStack()
        try:
            self._open(options)
        except BaseException:
            self._closing.close()
            raise

    def _open(self, options: Options) -> None:
        ids, clock = self._ids, self.clock
        secret = find_secret(options.environment, options.secret_file or Place.directory(options) / "onpurpose.secret")
        place = Place(options, secret)
        store = open_store(options.database)
        self._closing.callback(store.close)
        ledger = place.ledger()
        self._closing.callback(ledger.close)
        feed = place.feed(store)
        self._closing.callback(feed.close)
        follow = place.follow()
        self._closing.callback(follow.close)
        documents = SqlDocuments(store)
        self._closing.callback(documents.close)
        access = SqlAccess(store)
        self.workspaces = Workspaces(documents, readers=quick_elements)
        self.control = control(
            documents, documents, access, SqlRollups(feed.engine), ledger,
            clock=clock, new_id=ids.new, delivered=self.workspaces.refresh,
        )  # fmt: skip
        self._seal(options, store, secret)
        self.desk = Desk(
            SqlApprovals(store), self.control.post, people=access.users, settings=self._settings, clock=clock,
            new_id=ids.new, masking=options.masking, ledger=ledger,
        )  # fmt: skip
        self._closing.callback(self.desk.close)
        self.gate = Gate(
            Policies(FileSource), ledger, clock=clock, new_id=ids.new, masking=options.masking,
            classifier=options.classifier, asking=Consent(self.desk, settings=self._settings),
        )  # fmt: skip
        self._projector = Projector(follow, feed)

    def _seal(self, options: Options, store: Store, secret: str) -> None:
        """What tokens are signed and passwords are set with."""
        vault = AesVault(secret)
        self.tokens = Tokens(
            options.issuer, SqlSigningKeys(store), vault, JwtFormat(), clock=self.clock, new_id=self._ids.new
        )
        means = Means(
            credentials=SqlCredentials(store), passwords=Argon2Passwords(), codes=TotpCodes(), vault=vault,
            clock=self.clock, new_id=self._ids.new,
        )  # fmt: skip
        self.proofs = OwnProofs(means, Proofs(means), self.control.post, secret=secret, people=SqlAccess(store).users)

    def _settings(self, workspace: str) -> Settings:
        return self.workspaces[workspace].settings

    def project(self) -> None:
        """Bring the feed and the numbers of what is in shadow up to the end of the log."""
        while self._projector.step():
            continue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()
