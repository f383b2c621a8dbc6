"""What the feed of decisions holds and can be asked, and what is counted beside it. Values only.

All of it is derived from the log and can be made from it again.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from onpurpose.core.outcome import Outcome
from onpurpose.core.statistics import Counts

LONGEST = 256
"""How many characters of a name the feed keeps and finds; the record holds all of it."""

OTHER = "other"
"""What the dimensions `other:agent`, `other:group`, `other:capability` begin with: all that is not kept apart."""

ALL = "all"
"""The dimension that counts every call."""


class Bucket(IntEnum):
    """Over which stretch of time counts are summed."""

    TOTAL = 0
    DAY = 1
    HOUR = 2


WIDTHS = {Bucket.HOUR: 3_600_000_000, Bucket.DAY: 86_400_000_000}
"""How long a bucket is, in microseconds; it begins at a multiple of that, in UTC."""


class Judged(Struct, frozen=True, gc=False, kw_only=True, order=True):
    """One revision of a policy in shadow, whose calls are counted. `kind` as in a document's kind."""

    workspace: str
    kind: str
    name: str
    revision: int


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """A decision in the feed. `n` counts from 1 without gaps, over all workspaces.

    `policy` is what decided: the place of a rule, or a purpose policy and its revision. `chain` and
    `seq` say where its record stands in the log. `shadow_outcome` is the strictest that policies in
    shadow would have come to, `None` where none had an opinion. `at` is in microseconds UTC.
    """

    n: int
    workspace: str
    decision_id: str
    at: int
    agent_id: str
    user_id: str | None
    capability: str
    purpose_id: str | None
    outcome: Outcome
    code: str
    policy: str | None
    digest: str | None
    chain: str
    seq: int
    shadow_outcome: Outcome | None
    newly_blocked: bool


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """A record that is no decision: what kind it is of and where it stands. `n` counts events from 1.

    A body that cannot be read is of kind `unreadable`.
    """

    n: int
    workspace: str
    kind: str
    at: int
    chain: str
    seq: int


class Cell(Struct, frozen=True, kw_only=True):
    """The counts of one revision, bucket and dimension: as they stand, or to be added to those.

    `start` is where the bucket begins (0 for the total), `dimension` is `all`, `agent:X`, `group:X`,
    `capability:X`, or `other:agent` and the like; `first_at` and `last_at` are times of the earliest and the
    latest call. Times are in microseconds UTC.
    """

    judged: Judged
    bucket: Bucket
    start: int
    dimension: str
    counts: Counts
    first_at: int
    last_at: int


class OutcomeCount(Struct, frozen=True, gc=False, kw_only=True):
    """How many decisions of one hour or day came to an outcome.

    `start` is where that begins, in microseconds UTC; `newly_blocked` of them ran and a policy in shadow would have
    stopped them.
    """

    start: int
    outcome: Outcome
    count: int
    newly_blocked: int


class Counted(Struct, frozen=True, kw_only=True):
    """What decisions came to over a time, in order of time. Each is counted, but for the `uncounted` ones.

    Those were stored before outcomes were counted, and are being counted, the newest first: over all workspaces and
    times.
    """

    counts: tuple[OutcomeCount, ...]
    uncounted: int


class Called(Struct, frozen=True, gc=False, kw_only=True):
    """A capability that was called, and when the newest of its calls was decided, in microseconds UTC."""

    capability: str
    last_at: int


class Position(Struct, frozen=True, kw_only=True):
    """How far the feed has followed the log.

    `chains` maps each chain to the last record taken of it; `decisions` and `events` are the
    newest numbers given. `epoch` differs once the feed was made anew, for then its numbers
    may tell of other records.
    """

    epoch: str
    decisions: int
    events: int
    chains: dict[str, int]


class Batch(Struct, frozen=True, kw_only=True):
    """What some records of the log come to: made at one position, and all added at once.

    `policies` pairs numbers of `entries` with the names of policies that had a say, live or in
    shadow; `withdrawn` are workspaces and ids of decisions whose calls were denied after all;
    `chains` says how far the chains that were read are then taken.
    """

    before: Position
    chains: dict[str, int]
    entries: list[Entry]
    policies: list[tuple[str, str, int]]
    events: list[Event]
    withdrawn: list[tuple[str, str]]
    cells: list[Cell]


class Search(Struct, frozen=True, kw_only=True):
    """Which decisions of one workspace; `None` is any. Times in microseconds, `since` included, `until` not."""

    workspace: str
    since: int | None = None
    until: int | None = None
    agent_id: str | None = None
    user_id: str | None = None
    capability: str | None = None
    purpose_id: str | None = None
    outcome: Outcome | None = None
    shadow_outcome: Outcome | None = None
    policy: str | None = None
    newly_blocked: bool | None = None


def meets(entry: Entry, search: Search) -> bool:
    """Whether a search finds the decision, its policy aside: an entry does not say which policies had a say."""
    return (
        entry.workspace == search.workspace
        and (search.since is None or entry.at >= search.since)
        and (search.until is None or entry.at < search.until)
        and (search.agent_id is None or entry.agent_id == kept(search.agent_id))
        and (search.user_id is None or entry.user_id == kept(search.user_id))
        and (search.capability is None or entry.capability == kept(search.capability))
        and (search.purpose_id is None or entry.purpose_id == kept(search.purpose_id))
        and (search.outcome is None or entry.outcome is search.outcome)
        and (search.shadow_outcome is None or entry.shadow_outcome is search.shadow_outcome)
        and (search.newly_blocked is None or entry.newly_blocked is search.newly_blocked)
    )


class Page(Struct, frozen=True, kw_only=True):
    """Decisions, newest first. `before` is the cursor of the next page, `None` where there is none.

    A page may hold less than was asked for and still have a next one: a search looks at so many
    decisions at most, and says where it stopped.
    """

    entries: tuple[Entry, ...]
    before: int | None


def kept(text: str) -> str:
    """The text as the feed keeps it: its first characters, none of which a database refuses."""
    if text.isascii() and len(text) <= LONGEST and "\0" not in text:
        return text
    return text[:LONGEST].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
