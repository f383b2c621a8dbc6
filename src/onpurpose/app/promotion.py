"""From shadow to live, and back: a set at once, on the evidence of what was watched, which the log keeps.

A set is judged as a set. Each member must have been watched enough and must deny little by itself; and
members of one purpose may meet in one call, where the strictest decides, so that what they deny
together is bounded by the sum of what each denies: that must stay little too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from onpurpose.app.documents import JUDGED, Library
from onpurpose.app.notes import document
from onpurpose.app.shadow import Rollups, ShadowReport, report
from onpurpose.app.shelf import Shelf, word
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.feed import Bucket, Cell, Judged
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.revision import Change, ConflictError, Kind, Revision, Standing
from onpurpose.core.statistics import MOST_DENIED, Rate, wilson
from onpurpose.lang.purposes import parse_purposes

UNDO_SECONDS = 30
"""How long after a promotion its reversal is offered as undo."""

OVERRIDES = ("min_matched", "min_days", "would_deny")
"""What a promotion may set aside, by name and limit: calls matched, days watched, upper end of would-deny (0..1)."""

_SECOND = 1_000_000


class NotReadyError(OnPurposeError):
    """Too little was watched, or too much would be denied. `missing` says what, in plain words; nothing was changed."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.missing = missing
        super().__init__(f"not ready to be live: {'; '.join(missing)}")


class Candidate(Struct, frozen=True, kw_only=True):
    """What is to be promoted: the revision of it that was looked at, or (`None`) whichever is in shadow."""

    kind: Kind
    name: str
    revision: int | None = None


class Promoted(Struct, frozen=True, kw_only=True):
    """What a promotion did. `evidence` is what the log was told; times in microseconds UTC."""

    standings: tuple[Standing, ...]
    at: int
    undo_until: int
    evidence: dict[str, object]


class Watched(Struct, frozen=True, kw_only=True):
    """A revision that is to be promoted, and what was seen of it in shadow. `purpose_id` of a purpose policy's."""

    standing: Standing
    revision: Revision
    purpose_id: str | None
    report: ShadowReport


def undo_until(standing: Standing) -> int | None:
    """Until when (microseconds UTC) a revert is offered as undo; `None` where there is nothing to undo."""
    if standing.former is None or standing.promoted_at is None:
        return None
    return standing.promoted_at + UNDO_SECONDS * _SECOND


class Promotions:
    """Promotes and reverts. Methods raise as those of `Library` do."""

    def __init__(self, library: Library, shelf: Shelf, rollups: Rollups) -> None:
        self._library = library
        self._shelf = shelf
        self._rollups = rollups

    def report(  # noqa: PLR0913  a question has these parts
        self,
        workspace: str,
        kind: Kind,
        name: str,
        *,
        revision: int | None = None,
        dimension: str = "all",
        since: int | None = None,
        until: int | None = None,
    ) -> ShadowReport:
        """The numbers of a revision, the one in shadow unless one is named. Raises `MissingError`, `ConflictError`."""
        judged = self._judged(workspace, kind, name, revision)
        return report(self._rollups, judged, dimension=dimension, since=since, until=until)

    def hours(self, judged: Judged, dimension: str, since: int | None, until: int | None) -> tuple[Cell, ...]:
        """What was counted of a revision in each hour that begins in the window (microseconds UTC)."""
        return tuple(self._rollups.series(judged, Bucket.HOUR, dimension, since, until))

    def totals(self, workspace: str, kind: Kind, name: str, revision: int | None = None) -> list[Cell]:
        """What was counted of each agent, group and capability; of the revision in shadow unless one is named."""
        return self._rollups.totals(self._judged(workspace, kind, name, revision))

    def _judged(self, workspace: str, kind: Kind, name: str, revision: int | None) -> Judged:
        if revision is None:
            revision = self._in_shadow(workspace, Candidate(kind=kind, name=name)).shadow or 0
        else:
            self._shelf.revision(workspace, kind, name, revision)
        return Judged(workspace=workspace, kind=str(kind), name=name, revision=revision)

    def promote(
        self,
        workspace: str,
        candidates: Sequence[Candidate],
        *,
        reason: str,
        by: str,
        overrides: Mapping[str, float] | None = None,
    ) -> Promoted:
        """Make what is in shadow live, all of it at once; from then on it decides.

        Raises `NotReadyError` unless the set is ready or `overrides` sets aside what is missing,
        `ConflictError` where another revision is in shadow by now, `ValueError` for an unknown override.
        """
        limits = _checked(overrides or {})
        _refuse_twice([(candidate.kind, candidate.name) for candidate in candidates])
        watched = [self._watch(workspace, candidate, limits) for candidate in candidates]
        missing = _missing(watched, limits)
        if missing:
            raise NotReadyError(missing)
        pen = self._library.pen(workspace, by)
        evidence = _evidence(watched)
        changes = [_promotion(one.standing, pen.at) for one in watched]
        note = pen.note("policy.promoted", **evidence, overrides=limits, reason=reason)
        self._library.change(pen, changes, reason, [note])
        return Promoted(
            standings=tuple(self._shelf.standing(workspace, one.kind, one.name) for one in candidates),
            at=pen.at,
            undo_until=pen.at + UNDO_SECONDS * _SECOND,
            evidence=evidence,
        )

    def revert(
        self, workspace: str, documents: Sequence[tuple[Kind, str]], *, reason: str, by: str
    ) -> tuple[Standing, ...]:
        """Go back to what was live before the last promotion of each, all of them at once.

        What went live then is in shadow again, unless a newer revision is. `ConflictError` where there is
        no promotion to revert.
        """
        _refuse_twice(documents)
        standings = [self._shelf.standing(workspace, kind, name) for kind, name in documents]
        pen = self._library.pen(workspace, by)
        changes = [_reversal(standing) for standing in standings]
        told = [
            document(one.kind, one.name, one.live) | {"restored": change.live, "promoted_at": one.promoted_at}
            for one, change in zip(standings, changes, strict=True)
        ]
        self._library.change(pen, changes, reason, [pen.note("policy.reverted", documents=told, reason=reason)])
        return tuple(self._shelf.standing(workspace, kind, name) for kind, name in documents)

    def _in_shadow(self, workspace: str, candidate: Candidate) -> Standing:
        if candidate.kind not in JUDGED:
            raise ConflictError(f"a {word(candidate.kind)} is never in shadow: its newest revision decides")
        standing = self._shelf.standing(workspace, candidate.kind, candidate.name)
        if standing.shadow is None:
            raise ConflictError(f"no revision of `{standing.name}` is in shadow: {standing.live} is live")
        if candidate.revision not in (None, standing.shadow):
            message = f"revision {standing.shadow} of `{standing.name}` is in shadow, not {candidate.revision}"
            raise ConflictError(f"{message}: somebody wrote a newer one")
        return standing

    def _watch(self, workspace: str, candidate: Candidate, limits: Mapping[str, float]) -> Watched:
        standing = self._in_shadow(workspace, candidate)
        number = standing.shadow or 0
        revision = self._shelf.revision(workspace, standing.kind, standing.name, number)
        judged = Judged(workspace=workspace, kind=str(standing.kind), name=standing.name, revision=number)
        enough = {name: limit for name, limit in limits.items() if name != "would_deny"}
        return Watched(
            standing=standing,
            revision=revision,
            purpose_id=_purpose_of(revision),
            report=report(self._rollups, judged, overrides=enough),
        )


def _purpose_of(revision: Revision) -> str | None:
    if revision.kind is not Kind.PURPOSE_POLICY:
        return None
    return next(one.purpose_id for one in parse_purposes(revision.text) if isinstance(one, PurposePolicy))


def _checked(overrides: Mapping[str, float]) -> dict[str, float]:
    for name, limit in overrides.items():
        if name not in OVERRIDES:
            raise ValueError(f"`{name}` is nothing that can be overridden: {', '.join(OVERRIDES)} are")
        if not 0 <= limit < float("inf"):
            raise ValueError(f"the limit `{name}` must be a number from 0 on")
    return dict(overrides)


def _refuse_twice(documents: Sequence[tuple[Kind, str]]) -> None:
    if len(set(documents)) < len(documents):
        raise ConflictError("a document stands twice in the set")


def _missing(watched: Sequence[Watched], limits: Mapping[str, float]) -> tuple[str, ...]:
    """What keeps the set from being live, but for what the limits set aside."""
    most = max(MOST_DENIED, limits.get("would_deny", 0.0))
    missing = []
    for one in watched:
        told = one.report.readiness.missing
        denied = one.report.numbers.would_deny.high
        if MOST_DENIED <= denied <= most:  # the last that is told, and set aside
            told = told[:-1]
        missing += [f"{one.standing.name}: {text}" for text in told]
    for purpose_id, rate in _together(watched).items():
        if rate.high >= MOST_DENIED and rate.high > most:
            missing.append(
                f"together, the policies of `{purpose_id}` may deny up to {100 * rate.high:.1f} % of what they match"
            )
    return tuple(missing)


def _together(watched: Sequence[Watched]) -> dict[str, Rate]:
    """By purpose, where the set has several of it: the most that they can deny, of the least that they can match."""
    purposes = defaultdict(list)
    for one in watched:
        if one.purpose_id is not None:
            purposes[one.purpose_id].append(one.report.numbers.would_deny)
    bounds = {}
    for purpose_id, rates in purposes.items():
        if len(rates) > 1:
            matched = max(rate.of for rate in rates)
            bounds[purpose_id] = wilson(min(matched, sum(rate.count for rate in rates)), matched)
    return bounds


def _evidence(watched: Sequence[Watched]) -> dict[str, object]:
    """What was watched, as the log keeps it: per revision the window, counts and intervals, and those of the set."""
    return {
        "documents": [
            document(one.standing.kind, one.standing.name, one.revision.number, one.revision.text)
            | {"former": one.standing.live, "evidence": written_report(one.report)}
            for one in watched
        ],
        "together": {name: msgspec.to_builtins(rate) for name, rate in _together(watched).items()},
    }


def written_report(seen: ShadowReport) -> dict[str, object]:
    """The numbers of a revision fit for JSON, with their window."""
    window = {"first_at": seen.first_at, "last_at": seen.last_at, "seconds": seen.seconds}
    readiness = {"ready": seen.readiness.ready, "missing": list(seen.readiness.missing)}
    return {"window": window, "numbers": msgspec.to_builtins(seen.numbers), **readiness}


def _promotion(standing: Standing, at: int) -> Change:
    return Change(
        kind=standing.kind,
        name=standing.name,
        expected=standing.version,
        live=standing.shadow,
        former=(standing.live, standing.shadow),
        promoted_at=at,
    )


def _reversal(standing: Standing) -> Change:
    if standing.former is None:
        raise ConflictError(f"there is no promotion of `{standing.name}` to revert")
    live, shadow = standing.former
    newer = standing.shadow  # somebody's work since then, which stays
    return Change(
        kind=standing.kind,
        name=standing.name,
        expected=standing.version,
        live=live,
        shadow=shadow if newer is None else newer,
    )
