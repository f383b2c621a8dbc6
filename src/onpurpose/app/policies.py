"""The policies in force: loaded, compiled, chosen for a call, replaced when their text changes.

A text that is replaced by one that cannot be read keeps its last good policy in force; one that
never had a good policy denies everything.
"""

from __future__ import annotations

import gc
import hashlib
import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from itertools import islice
from typing import TypeVar

import orjson

from onpurpose.core.compile import CompiledPolicy, compile_policy, compile_steps
from onpurpose.core.decision import NO_POLICY, Code, Decision, denial
from onpurpose.core.policy import Policy
from onpurpose.core.span import PolicyError
from onpurpose.core.values import plain
from onpurpose.lang.decoding import MAX_BYTES
from onpurpose.lang.index import parse_index
from onpurpose.lang.read import parse_steps
from onpurpose.ports import PolicySource

log = logging.getLogger("onpurpose")

T = TypeVar("T")

_FREED = 256
"""Parts of a replaced policy that are let go of between two breaths."""


def run(steps: Generator[None, None, T], pace: Callable[[], None]) -> T:
    """Run the steps to their end, calling `pace` between them."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        pace()


class State:
    """What one source has in force at one moment: replaced as a whole, never changed.

    `written` is its JSON in records, `alone` the list of it alone.
    """

    __slots__ = ("alone", "digest", "policies", "refusal", "written")

    def __init__(self, source: str, compiled: CompiledPolicy | None, trouble: str = "", failed: str = "") -> None:
        self.policies: tuple[CompiledPolicy, ...] = () if compiled is None else (compiled,)
        self.digest = None if compiled is None else compiled.policy.digest
        self.refusal: Decision | None = None
        if compiled is None:
            self.refusal = denial(Code.POLICY_UNREADABLE, f"the policy {source} cannot be read: {trouble}")
        fields: dict[str, object] = {"source": source, "digest": self.digest}
        if failed:
            fields["reload_failed"] = failed
        self.written = orjson.dumps(fields)
        self.alone = orjson.Fragment(b"[" + self.written + b"]")


def written(states: tuple[State, ...]) -> orjson.Fragment:
    """The JSON of all of them, as records have it."""
    if len(states) == 1:
        return states[0].alone
    return orjson.Fragment(b"[" + b",".join([state.written for state in states]) + b"]")


class Watch:
    """Tells when a text changed and then rested for one look at it.

    Half a text, as an editor leaves it for a moment, can be a policy that allows more.
    """

    def __init__(self, source: PolicySource) -> None:
        self._source = source
        self._seen: object = None
        self._taken: object = None  # also after the first load: what it read had not rested

    def rested(self) -> bytes | None:
        """The text, if it is to be taken up now. Raises `OSError` where there is none."""
        try:
            version = self._source.version()
            due = version == self._seen and version != self._taken
            self._seen = version
            text = self._source.read(MAX_BYTES) if due else None
            if text is None or self._source.version() != version:
                return None
        except OSError:  # whatever is there next is new, though it may look like what was there before
            self._seen = self._taken = None
            raise
        self._taken = version
        return text


class Held:
    """One source of a policy and what it has in force."""

    def __init__(self, source: PolicySource) -> None:
        self.source = source
        self.problem: str | None = None
        self.state = State(source.name, None, "it was not read yet")
        self._watch = Watch(source)
        self._failed = ""

    def load(self) -> None:
        """Read the source now, as it is."""
        self._take_up(lambda: self.source.read(MAX_BYTES), lambda: None)
        gc.collect(0)  # the rules are young: amid the work of a later swap this would hold up every call

    def refresh(self, pace: Callable[[], None]) -> None:
        """Read the source again if it changed; in force afterwards is the new policy, or the last good one."""
        self._take_up(self._watch.rested, pace)

    def _take_up(self, read: Callable[[], bytes | None], pace: Callable[[], None]) -> None:
        digest = _UNREADABLE
        try:
            text = read()
            if text is None:
                return
            digest = hashlib.sha256(text).hexdigest()
            if digest not in (self.state.digest, self._failed):
                policy = run(parse_steps(text, self.source.name), pace)
                compiled = run(compile_steps(policy), pace)
                held = _hold(self.state.policies, pace)
                self.state = State(self.source.name, compiled)
                while held:
                    held.pop()
                    pace()
            if digest != self._failed:
                self._recovered()
        except (OSError, PolicyError) as error:
            self._refuse(_problem(self.source, error), digest)

    def _recovered(self) -> None:
        if self.problem is not None:
            log.info("policy %s is in force again", self.source.name)
            self.state = State(self.source.name, self.state.policies[0] if self.state.policies else None)
        self.problem, self._failed = None, ""

    def _refuse(self, problem: str, failed: str) -> None:
        if failed == self._failed:
            return
        self.problem, self._failed = problem, failed
        kept = self.state.policies[0] if self.state.policies else None
        self.state = State(self.source.name, kept, problem.splitlines()[0], failed)
        what = "the last good policy stays in force" if kept else "every call is denied"
        log.error("policy %s was not loaded, %s:\n%s", self.source.name, what, problem)

    def status(self) -> dict[str, object]:
        """What is in force from this source, and what is wrong with it."""
        return {"source": self.source.name, "digest": self.state.digest, "problem": self.problem}


def _hold(policies: Iterable[CompiledPolicy], pace: Callable[[], None]) -> list[list[object]]:
    """What policies are made of, in portions: freed at once, it would hold up every call for milliseconds."""
    held: list[list[object]] = []
    for policy in policies:
        parts = policy.parts()
        while portion := list(islice(parts, _FREED)):
            held.append(portion)
            pace()
    return held


class Fixed:
    """A policy given as a value: in force as it is."""

    def __init__(self, policy: Policy) -> None:
        self.state = State(policy.source, compile_policy(policy))
        self._name = policy.source

    def refresh(self, pace: Callable[[], None]) -> None:
        """A value does not change."""

    def status(self) -> dict[str, object]:
        """What is in force."""
        return {"source": self._name, "digest": self.state.digest, "problem": None}


class Chosen:
    """A state that is in force as it is."""

    def __init__(self, state: State) -> None:
        self.state = state

    def refresh(self, pace: Callable[[], None]) -> None:
        """A state does not change."""

    def status(self) -> dict[str, object]:
        """What is in force."""
        return {"source": "", "digest": self.state.digest, "problem": None}


class Choice:
    """One line of the choice: for which agents, environments and tenants (any, where empty) a policy counts."""

    __slots__ = ("_agents", "_environments", "_tenants", "held")

    def __init__(
        self,
        held: Held | Fixed | Chosen,
        *,
        agents: tuple[str, ...] = (),
        environments: tuple[str, ...] = (),
        tenants: tuple[str, ...] = (),
    ) -> None:
        self.held = held
        self._agents, self._environments, self._tenants = agents, environments, tenants

    @property
    def suits_all(self) -> bool:
        """Whether the policy counts for every call."""
        return not (self._agents or self._environments or self._tenants)

    def suits(self, agent_id: str, context: Mapping[str, object]) -> bool | None:
        """Whether the policy counts for the call; unknown where the context does not tell."""
        answers = (
            not self._agents or agent_id in self._agents,
            _is_one_of(context.get("environment"), self._environments),
            _is_one_of(context.get("tenant"), self._tenants),
        )
        return False if False in answers else None if None in answers else True


def states_for(choices: tuple[Choice, ...], agent_id: str, context: object) -> tuple[State, ...]:
    """What the choices lead to for a call: the first that suits, and those before it that may; none where none can."""
    told: Mapping[str, object] = context if isinstance(context, Mapping) else {}
    found: list[State] = []
    for choice in choices:
        suits = choice.suits(agent_id, told)
        if suits is not False:
            found.append(choice.held.state)
        if suits:
            return tuple(found)
    # Perhaps none of them counts, and what no policy covers is denied.
    return (*found, NOTHING) if found else ()


def _is_one_of(value: object, wanted: tuple[str, ...]) -> bool | None:
    if not wanted:
        return True
    value = plain(value)
    if not isinstance(value, str):
        return None
    if value in wanted:
        return True
    return None if value.strip().casefold() in {text.casefold() for text in wanted} else False


class Policies:
    """The policies of one gate, and which of them count for a call."""

    def __init__(self, sources: Callable[[str], PolicySource]) -> None:
        self._sources = sources
        self._by_path: dict[str, Held] = {}
        self._choices: tuple[Choice, ...] = ()
        self._only: Held | Fixed | Chosen | None = None
        self._index: Index | None = None
        self._otherwise: tuple[State, ...] = ()

    def use(self, *choices: Choice) -> None:
        """From now on choose among these, the first that suits."""
        self._choices, self._otherwise = choices, ()
        self._only = choices[0].held if len(choices) == 1 and choices[0].suits_all else None

    def use_none(self, source: str, problem: str) -> None:
        """Until there is something to choose among, every call is denied for this problem of the source."""
        if not self._choices:
            self._otherwise = (State(source, None, problem.splitlines()[0]),)

    def use_index(self, source: PolicySource) -> None:
        """From now on choose by this index, and follow its changes."""
        self._index = Index(source, self)
        self._index.load()

    def held(self, path: str) -> Held:
        """The policy of that path, read at its first use."""
        held = self._by_path.get(path)
        if held is None:
            held = Held(self._sources(path))
            held.load()
            held = self._by_path.setdefault(path, held)
        return held

    def states(self, path: str | None, agent_id: str, context: object) -> tuple[State, ...]:
        """What is in force for a call. More than one where the context does not tell which: the strictest decides.

        A context that is no mapping tells nothing; the call is denied for it elsewhere.
        """
        if path is not None:
            return (self.held(path).state,)
        if self._only is not None:
            return (self._only.state,)
        return states_for(self._choices, agent_id, context) or self._otherwise

    def refresh(self, pace: Callable[[], None] = lambda: None) -> None:
        """Take up every text that changed."""
        if self._index is not None:
            self._index.refresh()
        for held in {id(h): h for h in [*self._by_path.values(), *(c.held for c in self._choices)]}.values():
            held.refresh(pace)

    def status(self) -> list[dict[str, object]]:
        """What is in force, source by source."""
        held = {id(h): h for h in [*(c.held for c in self._choices), *self._by_path.values()]}
        index = [self._index.status()] if self._index is not None else []
        return index + [one.status() for one in held.values()]


NOTHING = State("no policy", None, "no policy covers the call")
NOTHING.refusal = NO_POLICY

_UNREADABLE = "unreadable"
"""In place of the digest of a text that could not be read at all."""


def _problem(source: PolicySource, error: OSError | PolicyError) -> str:
    return str(error) if isinstance(error, PolicyError) else f"{source.name}: {error.strerror or error}"


class Index:
    """An index of policy files, read like a policy: the last good one stays in force."""

    def __init__(self, source: PolicySource, policies: Policies) -> None:
        self._source = source
        self._policies = policies
        self._watch = Watch(source)
        self._problem: str | None = None

    def load(self) -> None:
        """Read the index now, as it is, and the policies it names."""
        self._take_up(lambda: self._source.read(MAX_BYTES))

    def refresh(self) -> None:
        """Read the index again if it changed."""
        self._take_up(self._watch.rested)

    def _take_up(self, read: Callable[[], bytes | None]) -> None:
        try:
            text = read()
            if text is None:
                return
            index = parse_index(text, self._source.name)
        except (OSError, PolicyError) as error:
            self._refuse(_problem(self._source, error))
            return
        choices = []
        for entry in index.entries:
            held = self._policies.held(self._source.sibling(entry.file).name)
            choices.append(Choice(held, agents=entry.agents, environments=entry.environments, tenants=entry.tenants))
        self._policies.use(*choices)
        self._problem = None

    def _refuse(self, problem: str) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        self._policies.use_none(self._source.name, problem)
        log.error("the index %s was not loaded, the last good one stays in force:\n%s", self._source.name, problem)

    def status(self) -> dict[str, object]:
        """What is wrong with the index."""
        return {"source": self._source.name, "problem": self._problem}
