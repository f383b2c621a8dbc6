"""Options -> parts -> service: one process of the control plane, on SQLite or on PostgreSQL."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from platform import node

from onpurpose.adapters.clock import Ids, SystemClock
from onpurpose.adapters.elements import quick_elements
from onpurpose.adapters.files import FileSource
from onpurpose.adapters.signing import verify_signature
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import Store, open_store
from onpurpose.adapters.sql.feed import SqlFeed
from onpurpose.adapters.sql.idempotency import SqlIdempotency
from onpurpose.adapters.sql.outcomes import SqlOutcomes
from onpurpose.adapters.sql.processes import SqlProcesses
from onpurpose.adapters.sql.rollups import SqlRollups
from onpurpose.adapters.sql.signing_keys import SqlSigningKeys
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.adapters.vault import AesVault, find_secret
from onpurpose.app import audit
from onpurpose.app.control import Control, control
from onpurpose.app.gate import Gate, Pending
from onpurpose.app.keys import NewKey
from onpurpose.app.policies import Policies
from onpurpose.app.presence import Presence
from onpurpose.app.projection import Follow
from onpurpose.app.tokens import Tokens
from onpurpose.app.workspace import Workspaces
from onpurpose.core.access import ApiKey
from onpurpose.core.call import Call
from onpurpose.core.chain import Report
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.record import Stored
from onpurpose.core.result import Result
from onpurpose.entrance import sign_ins
from onpurpose.feeding import feeding
from onpurpose.front import Uses, front
from onpurpose.people import Asking, Means
from onpurpose.place import Options, Place
from onpurpose.server.api.audit import Log
from onpurpose.server.api.decisions import Past, told
from onpurpose.server.api.routes import routes
from onpurpose.server.dashboard.session import Sessions
from onpurpose.server.identity import Authority
from onpurpose.server.metrics import Metrics
from onpurpose.server.services import Services

log = logging.getLogger("onpurpose")

CHORE_SECONDS = 1.0
"""How often revocations are read again, notes of other processes are sent and uses of keys are written."""


class Judge:
    """Judges calls by what is in force in their workspace."""

    def __init__(self, gate: Gate, workspaces: Workspaces) -> None:
        self._gate = gate
        self._workspaces = workspaces

    def begin(
        self, call: Call, policy: str | None, *, workspace: str, key: str, approval_id: str | None = None
    ) -> Pending:
        """Judge the call and hand its record to the log, without waiting."""
        held, stale = self._workspaces[workspace], self._workspaces.stale()
        return self._gate.begin_in(held, call, policy, key=key, stale=stale, approval_id=approval_id)

    def follow(self, result: Result, key: ApiKey) -> Result:
        """The result, with the approval that people are asked for where it needs one."""
        return self._gate.follow(result, key.workspace, key)


class Records:
    """A followed log for several threads."""

    def __init__(self, follow: Follow) -> None:
        self._follow = follow
        self._lock = threading.Lock()

    def chains(self) -> Mapping[str, int]:
        """The number of the newest record of every chain."""
        with self._lock:
            return self._follow.chains()

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        """The records of a chain behind a number, in order, at most so many."""
        with self._lock:
            return self._follow.after(chain, seq, limit)


class Told:
    """The feed as the stream sends it."""

    def __init__(self, feed: SqlFeed) -> None:
        self._feed = feed

    def newest(self) -> tuple[str, int]:
        """The feed's epoch and the newest number."""
        return self._feed.newest()

    def after(self, workspace: str, number: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """The workspace's next decisions behind a number: numbers and JSON objects."""
        entries = self._feed.since(workspace, number, limit)
        return [(entry.n, told(entry).model_dump_json().encode()) for entry in entries]


class Service:
    """One process of the control plane: its parts, and the threads that keep them up to date.

    `first_key` is the admin key that was made because the store had none; it is known only now.
    Raises `OnPurposeError` where a part cannot be had. `close` it in the end.
    """

    def __init__(self, options: Options) -> None:
        self._closing = contextlib.ExitStack()
        self._stopped = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failing = False
        try:
            self._open(options)
        except BaseException:
            self.close()
            raise

    def _open(self, options: Options) -> None:
        clock, ids = SystemClock(), Ids()
        directory = Place.directory(options)
        secret = find_secret(options.environment, options.secret_file or directory / "onpurpose.secret")
        vault = AesVault(secret)  # before anything is made: with an unfit secret nothing is
        place = Place(options, secret)
        self._place = place
        store = open_store(options.database)
        self._closing.callback(store.close)
        self.ledger = place.ledger()
        self._closing.callback(self.ledger.close)
        self._keeping = place.keeping(self.ledger, clock, ids.new)
        self.feed = place.feed(store)
        self._closing.callback(self.feed.close)
        self._open_uses(options, store, vault, clock, ids)
        sessions = self._open_doors(options, store, vault, secret, clock, ids)
        # Once all that may refuse is open: a key that is made and never shown would lock everybody out.
        self.first_key: NewKey | None = self._first_key(store)
        self.control.post.drain()
        self.workspaces.changed.append(self._take_up_keys)
        self.workspaces.refresh()
        self._take_up_keys()
        self.presence = Presence(
            SqlProcesses(store),
            self.unready,
            clock=clock,
            process_id=ids.new(clock.now()),
            name=f"{node()}:{os.getpid()}",
        )
        gate = Gate(
            Policies(FileSource), self.ledger, clock=clock, new_id=ids.new, masking=options.masking,
            patience=options.settings.patience, classifier=options.classifier, asking=self.asking.consent,
        )  # fmt: skip
        self._services(options, gate, sessions, clock)
        self._start(apart=options.feed_apart)

    def _open_uses(self, options: Options, store: Store, vault: AesVault, clock: SystemClock, ids: Ids) -> None:
        documents, access = SqlDocuments(store), SqlAccess(store)
        self._closing.callback(documents.close)
        self._access, self._idempotency = access, SqlIdempotency(store)
        self.workspaces = Workspaces(documents, readers=quick_elements)
        self.authority = Authority()
        self.control: Control = control(
            documents, documents, access, SqlRollups(self.feed.engine), self.ledger,
            clock=clock, new_id=ids.new, delivered=self.workspaces.refresh,
        )  # fmt: skip
        self.tokens = Tokens(options.issuer, SqlSigningKeys(store), vault, JwtFormat(), clock=clock, new_id=ids.new)
        self.tokens.start()

    def _open_doors(  # noqa: PLR0913, PLR0917  what people come in by
        self, options: Options, store: Store, vault: AesVault, secret: str, clock: SystemClock, ids: Ids
    ) -> Sessions:
        """What asks people, and who may come in."""
        access, post = self._access, self.control.post
        self.asking = Asking(
            Means.of(options.environment), store=store, access=access, workspaces=self.workspaces, ledger=self.ledger,
            post=post, secret=secret, masking=options.masking, authority=self.authority, clock=clock,
            new_id=ids.new,
        )  # fmt: skip
        self._closing.callback(self.asking.close)
        return sign_ins(
            store, access=access, keyring=self.control.keyring, post=post, ledger=self.ledger,
            authority=self.authority, vault=vault, secret=secret, masking=options.masking,
            environment=options.environment, clock=clock, new_id=ids.new,
        )  # fmt: skip

    def _first_key(self, store: Store) -> NewKey | None:
        with store.alone():
            return self.control.keyring.first_key()

    def _services(self, options: Options, gate: Gate, sessions: Sessions, clock: SystemClock) -> None:
        records = Records(self._follow())
        seen = Log(self._place.archive, self._verify)
        past = Past(decisions=self.feed, log=records)
        judge = Judge(gate, self.workspaces)
        json = routes(self.control, past=past, tokens_of=self.tokens, log=seen, clock=clock)
        metrics = Metrics(pending=self._pending, stale=self.workspaces.stale, messages=self.asking.courier.status)
        uses = Uses(
            control=self.control, past=past, feed=Told(self.feed), rollups=SqlRollups(self.feed.engine),
            outcomes=SqlOutcomes(self.feed.engine), tokens=self.tokens, log=seen, workspaces=self.workspaces,
            metrics=metrics, asking=self.asking, channels=self.asking.channels, verify=self._verify,
            keeping=self._keeping, ready=self.unready, stopping=self._stopping.is_set, presence=self.presence,
        )  # fmt: skip
        pages = front(uses, sessions, public_url=options.environment.get("ONPURPOSE_PUBLIC_URL", ""), clock=clock)
        self.services = Services(
            evaluator=judge,
            follow=judge.follow,
            authority=self.authority,
            clock=clock,
            metrics=metrics,
            routes=[*json, *pages.routes, *self.asking.routes],
            answers=pages.answers,
            ready=self.unready,
            gathering=self.ledger.gathering,
            feed=Told(self.feed),
            minter=self.tokens,
            idempotency=self._idempotency,
            stop=self._begin_to_stop,
            close=self.close,
            settings=options.settings,
        )
        self._clock = clock

    def _follow(self) -> Follow:
        follow = self._place.follow()
        self._closing.callback(follow.close)
        return follow

    def _begin_to_stop(self) -> None:
        self._stopping.set()
        self.asking.desk.close()

    def _verify(self, progress: Callable[[int], None] | None = None) -> Report:
        key = self._place.signer.public_key
        return audit.verify(self._place.archive, public_key=key, verify_signature=verify_signature, progress=progress)

    def _pending(self) -> float:
        pending = self.ledger.status().get("pending")
        return float(pending) if isinstance(pending, int) else 0.0

    def unready(self) -> list[str]:
        """What is not ready, one line each; nothing where all is."""
        missing = []
        if self.ledger.status().get("failing"):
            missing.append("the log cannot be written, so that every call is denied")
        stale = self.workspaces.stale()
        if stale:
            missing.append(f"for {stale:.0f} s it could not be confirmed that what is in force is the newest")
        return missing + self._feeding.unready()

    # -- what goes on beside the answers

    def _start(self, *, apart: bool) -> None:
        self._feeding = feeding(self._place.source, self.feed, apart=apart)
        self._closing.callback(self._feeding.close)  # before the feed, which is whole only then
        self._tell()
        self.asking.start()
        for work in (lambda: self.workspaces.follow(self._stopped), self._do_chores):
            thread = threading.Thread(target=work, name="onpurpose-service", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _do_chores(self) -> None:
        chores: tuple[Callable[[], object], ...] = (
            self.tokens.refresh, self.control.post.drain, self._write_uses, self._forget_answers,
            self._watch_log, self.asking.desk.sweep, self.presence.tell,
        )  # fmt: skip
        while not self._stopped.wait(CHORE_SECONDS):
            for chore in chores:
                try:
                    chore()
                except OnPurposeError as error:
                    log.warning("%s", error)
                except Exception:
                    log.exception("a chore failed, and is tried again")

    def _tell(self) -> None:
        """Be among the processes from the start, and no more in the end."""
        self._closing.callback(self.presence.leave)
        try:
            self.presence.tell()
        except OnPurposeError as error:  # it is told again
            log.warning("%s", error)

    def _take_up_keys(self) -> None:
        self.authority.replace(self._access.keys())

    def _write_uses(self) -> None:
        used = self.authority.drain_used()
        if used:
            self._access.used(used)

    def _forget_answers(self) -> None:
        self._idempotency.forget(self._clock.now())

    def _watch_log(self) -> None:
        """Tell the operator when the log can be written no more, and when it can again."""
        status = self.ledger.status()
        failing = bool(status.get("failing"))
        if failing and not self._failing:
            log.error("calls are denied: %s", status.get("last_error"))
        elif self._failing and not failing:
            log.warning("the log can be written again")
        self._failing = failing

    def close(self) -> None:
        """Stop the threads, write what is pending, anchor the log, let go of the store. May be called twice."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._closing.close()
