"""One decision: every layer's opinion, the rules that had a say, its record, and what can be made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app import likeness
from onpurpose.app.case_text import Wrought, case_of
from onpurpose.app.documents import NotPermittedError
from onpurpose.app.neighbours import linked, stored
from onpurpose.app.retelling import Opinion, Spot, Told, retell, spot
from onpurpose.core.access import Scope
from onpurpose.core.approval import Approval, Wanted
from onpurpose.core.feed import Entry, kept
from onpurpose.core.record import Stored
from onpurpose.core.revision import ConflictError, Kind, MissingError
from onpurpose.core.session import Principal
from onpurpose.core.span import PolicyError
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import HEADERS, Parts
from onpurpose.server.pages.foreign import beginning, lines

PATH = "/decisions/{id}"

MOST_SHOWN = 80_000
"""How many bytes of a page a record takes; all of it can be fetched."""

MOST_OPINIONS = 50
MOST_LISTED = 50
"""Of groups, elements, policies in shadow, so many are shown."""

CLIP = 400
AROUND = 6
"""How many lines are shown before and behind a rule."""

_WORKSPACE_FREE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A stretch of a policy's text as it was when it decided. `first` is the number of its first line."""

    kind: Kind
    name: str
    revision: int
    text: str
    first: int
    hits: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A decision as far as it is at hand: `record` is `None` where it was archived, `told` where it cannot be read."""

    entry: Entry
    record: Stored | None
    told: Told | None


def routes(parts: Parts) -> list[BaseRoute]:
    """One decision, its record and its test case to be fetched, and a purpose made from calls like it."""

    @page(parts, Scope.READ)
    def show(request: Request, principal: Principal) -> Response:
        return _show(parts, request, principal)

    @page(parts, Scope.READ)
    def record(request: Request, principal: Principal) -> Response:
        return _record(_at_hand(parts, request, principal))

    @page(parts, Scope.READ)
    def case(request: Request, principal: Principal) -> Response:
        return _case(parts, _at_hand(parts, request, principal), principal)

    @page(parts, Scope.POLICY_WRITE)
    def purpose(request: Request, principal: Principal) -> Response:
        return _purpose(parts, request, principal) if request.method != "POST" else _create(parts, request, principal)

    return [
        Route(f"{PATH}/record.json", record, methods=["GET"]),
        Route(f"{PATH}/case.yaml", case, methods=["GET"]),
        Route(f"{PATH}/purpose", purpose, methods=["GET", "POST"]),
        Route(PATH, show, methods=["GET"]),
    ]


def _see(parts: Parts, request: Request, principal: Principal) -> Seen:
    entry = parts.past.decisions.decision(principal.workspace, kept(request.path_params["id"]))
    if entry is None:
        raise MissingError("there is no decision of that id, or none yet")
    try:
        record = stored(parts.past.log, entry.chain, entry.seq)
    except MissingError:
        return Seen(entry=entry, record=None, told=None)
    return Seen(entry=entry, record=record, told=retell(record.body))


def _at_hand(parts: Parts, request: Request, principal: Principal) -> tuple[Stored, Told]:
    seen = _see(parts, request, principal)
    if seen.record is None or seen.told is None:
        raise MissingError("the record of that decision is not at hand")
    return seen.record, seen.told


def _show(parts: Parts, request: Request, principal: Principal) -> Response:
    seen = _see(parts, request, principal)
    told, record = seen.told, seen.record
    opinions = told.reasons[:MOST_OPINIONS] if told else ()
    text, more = _pretty(record.body) if record else ([], 0)
    return parts.shell.render(
        request, "decision.html", principal,
        entry=seen.entry, told=told, opinions=opinions, clip=clip, most=MOST_LISTED,
        sources=list(_sources(parts, principal.workspace, opinions)),
        asked=_approval(parts, principal.workspace, seen),
        record=text, more=more,
        place=linked(parts.past.log, seen.entry.chain, seen.entry.seq) if record else None,
        verify="verify" in request.query_params,
        case=None if told is None else _made_case(parts, told, principal.workspace),
    )  # fmt: skip


def clip(text: str, most: int = CLIP) -> str:
    """The beginning of a text, and that it goes on."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} characters more)"


# -- the rules that had a say


def _sources(parts: Parts, workspace: str, opinions: Sequence[Opinion]) -> Iterator[Source]:
    """The texts that the opinions name, each once: of a capability policy the lines about the rules."""
    places: dict[tuple[Kind, str, int], list[int]] = {}
    for one in opinions:
        found = _named(one)
        if found is not None:
            kind, place = found
            places.setdefault((kind, place.name, place.revision or 0), []).append(place.line)
    for (kind, name, revision), hits in list(places.items())[:MOST_LISTED]:
        try:
            text = parts.control.shelf.revision(workspace, kind, name, revision).text
        except MissingError:  # the record is of an embedded gate, or names what never was
            continue
        yield _source(kind, name, revision, text, tuple(hit for hit in hits if hit))


def _named(opinion: Opinion) -> tuple[Kind, Spot] | None:
    place = None if opinion.rule is None else spot(opinion.rule.at)
    if place is not None and place.revision is not None:
        return Kind.POLICY, place
    policy = opinion.document
    if policy is None or policy.revision is None or policy.kind not in (Kind.PURPOSE_POLICY, Kind.POLICY):
        return None
    return Kind(policy.kind), Spot(policy.name, policy.revision, 0)


def _source(kind: Kind, name: str, revision: int, text: str, hits: tuple[int, ...]) -> Source:
    """Of a long text, what stands about the first of the lines."""
    found = text.rstrip("\n").split("\n")
    near = hits[0] if hits else 1
    first = max(1, near - AROUND)
    shown = [clip(line) for line in found[first - 1 : near + 4 * AROUND]]
    return Source(kind=kind, name=name, revision=revision, text="\n".join(shown), first=first, hits=hits)


def _approval(parts: Parts, workspace: str, seen: Seen) -> Approval | None:
    """The approval that was opened for this decision, or that its call used."""
    if seen.told is not None and seen.told.approval is not None:
        try:
            return parts.desk.get(workspace, seen.told.approval.id)
        except MissingError:
            return None
    entry = seen.entry
    if str(entry.outcome) != "require_approval":
        return None
    wanted = Wanted(workspace=workspace, agent_id=entry.agent_id, capability=entry.capability)
    return next((one for one in parts.desk.find(wanted) if entry.decision_id in one.decision_ids), None)


# -- the record


def _pretty(body: bytes) -> tuple[Sequence[object], int]:
    """The lines of a record as people read it, and how many bytes of it are not shown."""
    try:
        text = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "backslashreplace")
    part, more = beginning(text, MOST_SHOWN)
    return lines(part), more


def _record(seen: tuple[Stored, Told]) -> Response:
    """The record, byte for byte what was hashed."""
    record, told = seen
    return _file(record.body, f"{told.id}.json", "application/json")


def _file(body: bytes, name: str, media: str) -> Response:
    """A file to be kept, of a name that means nothing to a header or a file system."""
    safe = _WORKSPACE_FREE.sub("_", name)[-120:]
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{safe}"', "X-Content-Type-Options": "nosniff"}
    return Response(body, headers=headers, media_type=media)


def _made_case(parts: Parts, told: Told, workspace: str) -> Wrought:
    def text_of(name: str, revision: int) -> str:
        return parts.control.shelf.revision(workspace, Kind.POLICY, name, revision).text

    try:
        return case_of(told, text_of)
    except MissingError:
        return Wrought(why="the policy that decided is not one of this workspace")


def _case(parts: Parts, seen: tuple[Stored, Told], principal: Principal) -> Response:
    made = _made_case(parts, seen[1], principal.workspace)
    if not made.text:
        raise MissingError(made.why)
    return _file(made.text.encode(), made.file, "application/yaml")


# -- a purpose made from calls like this


def _purpose(parts: Parts, request: Request, principal: Principal) -> Response:
    _, told = _at_hand(parts, request, principal)
    found = likeness.suggest(parts.past.decisions, parts.past.log, principal.workspace, told)
    return _confirm(parts, request, principal, told, found, found.purpose, found.policy)


def _confirm(  # noqa: PLR0913, PLR0917  what the page shows
    parts: Parts, request: Request, principal: Principal, told: Told, found: likeness.Suggestion,
    purpose: str, policy: str, reason: str = "", problems: Sequence[str] = (),
) -> Response:  # fmt: skip
    return parts.shell.render(
        request, "decision_purpose.html", principal, status=422 if problems else 200,
        told=told, found=found, purpose=purpose, policy=policy, reason=reason, problems=problems, clip=clip,
    )  # fmt: skip


def _create(parts: Parts, request: Request, principal: Principal) -> Response:
    _, told = _at_hand(parts, request, principal)
    form = form_of(request)
    purpose, policy, reason = form.get("purpose"), form.get("policy"), form.get("reason").strip()[:2000]
    problems: list[str] = [] if reason else ["Say why: the reason stands in the log."]
    if not problems:
        try:
            _, name = likeness.create(
                parts.control, principal.workspace, purpose, policy, by=principal.user, reason=reason
            )
        except PolicyError as error:
            problems = [one.render() for one in error.problems]
        except (ConflictError, NotPermittedError, ValueError) as error:
            problems = [str(error)]
        else:
            return RedirectResponse(f"/policies/{Kind.PURPOSE_POLICY}/{quote(name, safe='')}", 303, HEADERS)
    found = likeness.suggest(parts.past.decisions, parts.past.log, principal.workspace, told)
    return _confirm(parts, request, principal, told, found, purpose, policy, reason, problems)
