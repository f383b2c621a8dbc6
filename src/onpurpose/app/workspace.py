"""What is in force in a workspace: its documents compiled, chosen for a call, replaced as a whole.

A process holds this in memory and never asks the store on a call. It looks at the store's versions
again and again; one that could not do so for `STALE_SECONDS` says so wherever it is asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

import orjson
from msgspec import Struct

from onpurpose.app.elements import MakeReader, Touching
from onpurpose.app.policies import NOTHING, Choice, Chosen, Fixed, State, states_for, written
from onpurpose.core.compile import CompiledPolicy
from onpurpose.core.decision import Code, Decision, PolicyRef, denial
from onpurpose.core.purpose import Purpose, PurposePolicy, Settings
from onpurpose.core.purposes import PurposeBook, Rules
from onpurpose.core.revision import Contents, Kind, MissingError, Revision, Standing, StoreError
from onpurpose.core.span import PolicyError
from onpurpose.lang.index import parse_index
from onpurpose.lang.purposes import parse_purposes
from onpurpose.lang.read import parse
from onpurpose.lang.settings import parse_settings
from onpurpose.ports import Documents

log = logging.getLogger("onpurpose")

STALE_SECONDS = 5.0
"""A process that could not confirm for so long that its policies are the newest ones is stale."""

POLL_SECONDS = 0.5
"""How long at most a change in another process stays unseen where the store cannot tell of it."""

_MOST_SELECTIONS = 1024
"""Selections of capability policies that are remembered."""

T = TypeVar("T")
Candidate: TypeAlias = tuple[PolicyRef, CompiledPolicy | None, CompiledPolicy]


class Selection(Struct, frozen=True, eq=False, gc=False):
    """The capability policies that count for a call, and the rules that they make with the purposes.

    With a `refusal` nothing of it can be judged: the call is denied by it. `written` is how records have the policies.
    """

    states: tuple[State, ...]
    rules: Rules
    refusal: Decision | None
    written: orjson.Fragment


class Compiled:
    """Documents as they were compiled, by revision: what did not change is not compiled again."""

    def __init__(self) -> None:
        self._old: dict[tuple[Kind, str, int], object] = {}
        self._new: dict[tuple[Kind, str, int], object] = {}

    def get(self, revision: Revision, make: Callable[[Revision], T]) -> T:
        """The revision compiled. Raises `PolicyError` where its text cannot be read."""
        key = (revision.kind, revision.name, revision.number)
        found = self._old[key] if key in self._old else make(revision)
        self._new[key] = found
        return found  # type: ignore[return-value]  # one kind is compiled in one way

    def settle(self) -> None:
        """Forget what was not asked for since the last time."""
        self._old, self._new = self._new, {}


class InForce:
    """What is in force in one workspace at one version of it. Never changed once made, but for what it remembers."""

    def __init__(self, contents: Contents, compiled: Compiled, readers: MakeReader | None = None) -> None:
        self.workspace = contents.workspace
        self.version = contents.version
        self.refusal: Decision | None = None
        self.touching = Touching((), None)
        self.settings = Settings()
        self._by_name: dict[str, State] = {}
        self._choices: tuple[Choice, ...] | None = None
        self._candidates: tuple[Candidate, ...] = ()
        self._base = Rules(policies=None)
        self._all: Selection | None = None
        self._selections: dict[tuple[int, ...], Selection] = {}
        try:
            self._take(contents, compiled, readers)
        except PolicyError as error:  # it could be read when it was saved: another version of the product saved it
            log.error("what is in force in workspace %s cannot be read:\n%s", self.workspace, error)
            self.refusal = denial(Code.POLICY_UNREADABLE, f"what is in force cannot be read: {_first_line(error)}")

    def _take(self, contents: Contents, compiled: Compiled, readers: MakeReader | None) -> None:
        for revision in _live(contents, Kind.POLICY):
            self._by_name[revision.name] = compiled.get(revision, _policy_state)
        index = next(_live(contents, Kind.INDEX), None)
        if index is not None:
            self._choices = tuple(self._choices_of(index))
        settings = next(_live(contents, Kind.SETTINGS), None)
        if settings is not None:
            self.settings, self.touching = compiled.get(settings, lambda one: _settings(one, readers))
        self._candidates = tuple(self._candidates_of(contents, compiled))
        self._base = Rules(
            policies=None,
            candidates=(),
            purposes=_book(contents, compiled),
            purpose_required=self.settings.purpose_required,
            unmatched=self.settings.unmatched,
        )

    def _choices_of(self, index: Revision) -> Iterator[Choice]:
        for entry in parse_index(index.text, "index").entries:
            name = entry.file.removesuffix(".yaml").removesuffix(".yml")
            state = self._by_name.get(name) or State(name, None, "the index names it, and it is not live")
            yield Choice(Chosen(state), agents=entry.agents, environments=entry.environments, tenants=entry.tenants)

    def _candidates_of(self, contents: Contents, compiled: Compiled) -> Iterator[Candidate]:
        for revision in _shadow(contents, Kind.POLICY):
            try:
                state = compiled.get(revision, _policy_state)
            except PolicyError as error:
                log.error("a candidate in workspace %s cannot be read, and is not judged:\n%s", self.workspace, error)
                continue
            live = self._by_name.get(revision.name)
            replaced = live.policies[0] if live is not None and live.policies else None
            yield _ref(revision), replaced, state.policies[0]

    def select(self, name: str | None, agent_id: str, context: object) -> Selection:
        """What counts for a call. `name` is the policy that the call itself names."""
        if name is not None:
            state = self._by_name.get(name)
            if state is None:
                return self._selection_of((State(_shown(name), None, "there is no live policy of that name"),))
            return self._chosen((state,))
        if self._choices is not None:
            return self._chosen(states_for(self._choices, agent_id, context) or (NOTHING,))
        if self._all is None:
            self._all = self._selection_of(tuple(self._by_name.values()))
        return self._all

    def _chosen(self, states: tuple[State, ...]) -> Selection:
        key = tuple(map(id, states))
        selection = self._selections.get(key)
        if selection is None:
            selection = self._selection_of(states)
            if len(self._selections) < _MOST_SELECTIONS:
                self._selections[key] = selection
        return selection

    def _selection_of(self, states: tuple[State, ...]) -> Selection:
        refusals = (state.refusal for state in states if state.refusal is not None)
        return Selection(states, self._rules_of(states), self.refusal or next(refusals, None), written(states))

    def _rules_of(self, states: tuple[State, ...]) -> Rules:
        policies = tuple(policy for state in states for policy in state.policies)
        candidates = tuple(
            (ref, replaced, candidate)
            for ref, replaced, candidate in self._candidates
            if (replaced in policies if replaced is not None else self._choices is None)
        )
        base = self._base
        return Rules(
            policies=policies if states else None,
            candidates=candidates,
            purposes=base.purposes,
            purpose_required=base.purpose_required,
            unmatched=base.unmatched,
        )


class Workspaces:
    """What is in force in every workspace, followed in the store. Thread-safe.

    `readers` makes what reads SQL in calls; without it, what such calls touch cannot be told.
    """

    def __init__(
        self,
        documents: Documents,
        *,
        readers: MakeReader | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._readers = readers
        self._elapsed = elapsed
        self._held: dict[str, InForce] = {}
        self._compiled: dict[str, Compiled] = {}
        self._confirmed = -STALE_SECONDS
        self._lock = threading.Lock()
        self._untold = False
        self.changed: list[Callable[[], None]] = []
        """Called by a look that finds something new, one look at a time; again by the next one where a call raises.

        Only then what it found is confirmed: whoever waits for a look finds that these were called.
        """

    def __getitem__(self, workspace: str) -> InForce:
        """What is in force there. `MissingError` where there is no such workspace."""
        try:
            return self._held[workspace]
        except KeyError:
            raise MissingError(f"there is no workspace `{_shown(workspace)}`") from None

    def stale(self) -> float:
        """Seconds since it was confirmed that nothing newer is in the store; 0 where that is not long ago."""
        since = self._elapsed() - self._confirmed
        return since if since > STALE_SECONDS else 0.0

    def refresh(self) -> None:
        """Take up what changed. Raises `StoreError`; what is in force then stays."""
        with self._lock:
            asked = self._elapsed()
            versions = self._documents.versions()
            new = {name: v for name, v in versions.items() if name not in self._held or self._held[name].version != v}
            for name in new:
                self._take_up(name)
                self._untold = True
            for name in self._held.keys() - versions.keys():
                self._held = {kept: held for kept, held in self._held.items() if kept != name}
                del self._compiled[name]
                self._untold = True
            if self._untold:
                for call in self.changed:
                    call()
                self._untold = False
            self._confirmed = asked

    def _take_up(self, name: str) -> None:
        compiled = self._compiled.setdefault(name, Compiled())
        held = InForce(self._documents.contents(name), compiled, self._readers)
        compiled.settle()
        self._held = {**self._held, name: held}

    def follow(self, stopped: threading.Event) -> None:
        """Take up changes as they come, until stopped: the loop of a thread."""
        while not stopped.is_set():
            try:
                self._documents.wait(POLL_SECONDS)
                self.refresh()
            except StoreError as error:
                log.warning("the store cannot be asked for changes: %s", error)
                stopped.wait(POLL_SECONDS)
            except Exception:  # what is in force stays, and the next look may mend it
                log.exception("changes could not be taken up")
                stopped.wait(POLL_SECONDS)


def _settings(revision: Revision, readers: MakeReader | None) -> tuple[Settings, Touching]:
    given = parse_settings(revision.text, "settings")
    return given, Touching(given.sql, readers)


def _policy_state(revision: Revision) -> State:
    source = f"{revision.name}@{revision.number}"
    return Fixed(parse(revision.text, source)).state


def _book(contents: Contents, compiled: Compiled) -> PurposeBook:
    purposes = [_one(compiled, revision, Purpose) for revision in _live(contents, Kind.PURPOSE)]
    live = [(_ref(one), _one(compiled, one, PurposePolicy)) for one in _live(contents, Kind.PURPOSE_POLICY)]
    shadow = []
    for revision in _shadow(contents, Kind.PURPOSE_POLICY):
        try:
            shadow.append((_ref(revision), _one(compiled, revision, PurposePolicy)))
        except PolicyError as error:
            log.error("a policy in shadow cannot be read, and is not judged:\n%s", error)
    return PurposeBook(purposes, live, shadow)  # an empty one too: in a workspace, no purpose goes unasked


def _one(compiled: Compiled, revision: Revision, wanted: type[T]) -> T:
    return compiled.get(revision, lambda one: _only(one, wanted))


def _only(revision: Revision, wanted: type[T]) -> T:
    found = parse_purposes(revision.text, f"{revision.name}@{revision.number}")
    if len(found) != 1 or not isinstance(found[0], wanted):
        raise ValueError(f"revision {revision.number} of {revision.name} is no {wanted.__name__}")
    return found[0]


def _ref(revision: Revision) -> PolicyRef:
    return PolicyRef(kind=str(revision.kind), name=revision.name, revision=revision.number)


def _live(contents: Contents, kind: Kind) -> Iterator[Revision]:
    return _at(contents, kind, lambda standing: standing.live)


def _shadow(contents: Contents, kind: Kind) -> Iterator[Revision]:
    return _at(contents, kind, lambda standing: standing.shadow)


def _at(contents: Contents, kind: Kind, number: Callable[[Standing], int | None]) -> Iterator[Revision]:
    for standing in contents.standings:
        wanted = number(standing)
        if standing.kind is kind and wanted is not None:
            yield contents.texts[kind, standing.name, wanted]


def _first_line(error: PolicyError) -> str:
    return str(error).splitlines()[0]


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:128])
