"""`.../shadow`, `.../promote`, `.../revert`, `/v1/promotions`: from shadow to live on evidence, and back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec

from onpurpose.app.control import Control
from onpurpose.app.documents import JUDGED
from onpurpose.app.promotion import Candidate
from onpurpose.app.shadow import ShadowReport
from onpurpose.core.feed import Cell
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.documents import meta
from onpurpose.server.api.serving import Answer, Asked, Use
from onpurpose.server.api.table import DOCUMENTS, Resource

_COUNTED = tuple(name for name in wire.CountsBody.model_fields if name != "start")


def uses(control: Control) -> Mapping[str, Use]:
    """What does the operations on shadow and promotion, by their names."""
    found: dict[str, Use] = {"promote_set": partial(promote_set, control), "revert_set": partial(revert_set, control)}
    for resource in DOCUMENTS:
        if resource.kind in JUDGED:
            word = resource.word
            found |= {
                f"get_{word}_shadow": partial(shadow, control, resource),
                f"list_{word}_shadow_dimensions": partial(dimensions, control, resource),
                f"promote_{word}": partial(promote, control, resource),
                f"revert_{word}": partial(revert, control, resource),
            }
    return found


def shadow(control: Control, resource: Resource, asked: Asked) -> Answer:
    """The numbers of a revision."""
    query = asked.asked(wire.ShadowQuery)
    seen = control.promotions.report(
        asked.workspace,
        resource.kind,
        asked.path["name"],
        revision=query.revision,
        dimension=query.dimension,
        since=query.since,
        until=query.until,
    )
    series = seen.days
    if query.bucket == "hour":
        series = control.promotions.hours(seen.judged, query.dimension, query.since, query.until)
    return _report(resource, seen, series)


def dimensions(control: Control, resource: Resource, asked: Asked) -> Answer:
    """The totals of every agent, group and capability."""
    revision = asked.asked(wire.DimensionQuery).revision
    cells = control.promotions.totals(asked.workspace, resource.kind, asked.path["name"], revision)
    ordered = sorted(cells, key=lambda cell: cell.dimension)
    return wire.DimensionList(items=[wire.DimensionBody(dimension=cell.dimension, **_counts(cell)) for cell in ordered])


def promote(control: Control, resource: Resource, asked: Asked) -> Answer:
    """Make the revision in shadow live."""
    body = asked.told(wire.Promoting)
    candidate = Candidate(kind=resource.kind, name=asked.path["name"], revision=body.revision)
    return _promote(control, asked, [candidate], body.reason, body.overrides)


def promote_set(control: Control, asked: Asked) -> Answer:
    """Make a set live at once."""
    body = asked.told(wire.PromotingSet)
    candidates = [Candidate(kind=one.kind, name=one.name, revision=one.revision) for one in body.policies]
    return _promote(control, asked, candidates, body.reason, body.overrides)


def revert(control: Control, resource: Resource, asked: Asked) -> Answer:
    """Go back to what was live before."""
    body = asked.told(wire.Reverting)
    documents = [(resource.kind, asked.path["name"])]
    return meta(control.promotions.revert(asked.workspace, documents, reason=body.reason, by=asked.by)[0])


def revert_set(control: Control, asked: Asked) -> Answer:
    """Go back to what was live before, of a set at once."""
    body = asked.told(wire.RevertingSet)
    documents = [(one.kind, one.name) for one in body.policies]
    standings = control.promotions.revert(asked.workspace, documents, reason=body.reason, by=asked.by)
    return wire.Reverted(policies=[meta(one) for one in standings])


def _promote(
    control: Control, asked: Asked, candidates: list[Candidate], reason: str, overrides: wire.Overrides
) -> Answer:
    limits = overrides.model_dump(exclude_none=True)
    done = control.promotions.promote(asked.workspace, candidates, reason=reason, by=asked.by, overrides=limits)
    return wire.Promoted(
        policies=[meta(one) for one in done.standings],
        promoted_at=done.at,
        undo_until=done.undo_until,
        evidence=msgspec.to_builtins(done.evidence),
    )


def _report(resource: Resource, seen: ShadowReport, series: tuple[Cell, ...]) -> wire.ShadowBody:
    return wire.ShadowBody(
        kind=resource.kind,
        name=seen.judged.name,
        revision=seen.judged.revision,
        dimension=seen.dimension,
        first_at=seen.first_at,
        last_at=seen.last_at,
        seconds=seen.seconds,
        numbers=wire.NumbersBody.model_validate(msgspec.to_builtins(seen.numbers)),
        ready=seen.readiness.ready,
        missing=list(seen.readiness.missing),
        series=[wire.CountsBody(**_counts(cell)) for cell in series],
    )


def _counts(cell: Cell) -> dict[str, int]:
    return {"start": cell.start} | {name: getattr(cell.counts, name) for name in _COUNTED}
