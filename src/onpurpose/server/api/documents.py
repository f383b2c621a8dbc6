"""The documents of a workspace and their revisions: `/v1/purposes`, `/v1/purpose-policies`, `/v1/policies`, ..."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from onpurpose.app.control import Control
from onpurpose.app.drafts import from_fields
from onpurpose.app.promotion import undo_until
from onpurpose.core.revision import Kind, MissingError, Revision, Standing
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, Text, Use, written
from onpurpose.server.api.table import DOCUMENTS, YAML, Resource
from onpurpose.server.problems import Fault, invalid


def uses(control: Control) -> Mapping[str, Use]:
    """What does the operations on documents, by their names."""
    found: dict[str, Use] = {}
    for resource in DOCUMENTS:
        word = resource.word
        done = {
            f"list_{resource.tag.replace(' ', '_')}": list_all,
            f"get_{word}": get,
            f"save_{word}": save,
            f"remove_{word}": remove,
            f"list_{word}_revisions": list_revisions,
            f"get_{word}_revision": get_revision,
            f"diff_{word}": diff,
            f"restore_{word}": restore,
        }
        if resource.name:
            del done[f"list_{resource.tag.replace(' ', '_')}"]
        found |= {name: partial(use, control, resource) for name, use in done.items()}
    return found


def list_all(control: Control, resource: Resource, asked: Asked) -> Answer:
    """Those of one kind, by name."""
    query = asked.asked(wire.ListQuery)
    standings = control.shelf.standings(asked.workspace, resource.kind)
    behind = [one for one in standings if query.after is None or one.name > query.after]
    page = behind[: query.limit]
    return wire.DocumentPage(items=[meta(one) for one in page], next=page[-1].name if len(behind) > len(page) else None)


def get(control: Control, resource: Resource, asked: Asked) -> Answer:
    """The newest revision, and where the document stands."""
    standing, revision = control.shelf.newest(asked.workspace, resource.kind, _name(resource, asked))
    return Text(text=revision.text, media=YAML) if asked.wants == YAML else _document(standing, revision)


def save(control: Control, resource: Resource, asked: Asked) -> Answer:
    """Write a new revision."""
    draft = asked.told(wire.Draft)
    name = _name(resource, asked)
    control.library.save(
        asked.workspace,
        resource.kind,
        name,
        _text(resource.kind, name, draft),
        author=asked.by,
        reason=draft.reason,
        expected_version=draft.expected_version,
        may_promote=asked.may_promote,
    )
    return _document(*control.shelf.newest(asked.workspace, resource.kind, name))


def remove(control: Control, resource: Resource, asked: Asked) -> Answer:
    """Take it out of force."""
    query = asked.asked(wire.ChangeQuery)
    revision = control.library.remove(
        asked.workspace,
        resource.kind,
        _name(resource, asked),
        author=asked.by,
        reason=query.reason,
        expected_version=query.expected_version,
        may_promote=asked.may_promote,
    )
    return _revision_meta(revision)


def restore(control: Control, resource: Resource, asked: Asked) -> Answer:
    """Write an old revision's text anew."""
    body = asked.told(wire.Restoring)
    name = _name(resource, asked)
    control.library.restore(
        asked.workspace,
        resource.kind,
        name,
        body.revision,
        author=asked.by,
        reason=body.reason,
        expected_version=body.expected_version,
        may_promote=asked.may_promote,
    )
    return _document(*control.shelf.newest(asked.workspace, resource.kind, name))


def list_revisions(control: Control, resource: Resource, asked: Asked) -> Answer:
    """Its history, newest first."""
    query = asked.asked(wire.HistoryQuery)
    name = _name(resource, asked)
    found = control.shelf.revisions(asked.workspace, resource.kind, name, query.before, query.limit)
    more = len(found) == query.limit and found[-1].number > 1
    return wire.RevisionPage(items=[_revision_meta(one) for one in found], next=found[-1].number if more else None)


def get_revision(control: Control, resource: Resource, asked: Asked) -> Answer:
    """One revision."""
    name, number = _name(resource, asked), _number(asked)
    revision = control.shelf.revision(asked.workspace, resource.kind, name, number)
    return Text(text=revision.text, media=YAML) if asked.wants == YAML else _revision(revision)


def diff(control: Control, resource: Resource, asked: Asked) -> Answer:
    """What differs between two revisions."""
    query = asked.asked(wire.DiffQuery)
    name = _name(resource, asked)
    text = control.shelf.diff(asked.workspace, resource.kind, name, query.a, query.b)
    return wire.Difference(a=query.a, b=query.b, diff=text)


def meta(standing: Standing) -> wire.DocumentMeta:
    """Where a document stands, in the wire form."""
    return wire.DocumentMeta(
        kind=standing.kind,
        name=standing.name,
        version=standing.version,
        newest=standing.newest,
        live=standing.live,
        shadow=standing.shadow,
        promoted_at=standing.promoted_at,
        undo_until=undo_until(standing),
        revertible=standing.former is not None,
    )


def _document(standing: Standing, revision: Revision) -> wire.DocumentBody:
    return wire.DocumentBody(**meta(standing).model_dump(), revision=_revision(revision))


def _revision_meta(revision: Revision) -> wire.RevisionMeta:
    return wire.RevisionMeta(
        number=revision.number,
        digest=revision.digest,
        author=revision.author,
        at=revision.at,
        reason=revision.reason,
        removed=not revision.text,
    )


def _revision(revision: Revision) -> wire.RevisionBody:
    return wire.RevisionBody(**_revision_meta(revision).model_dump(), text=revision.text)


def _name(resource: Resource, asked: Asked) -> str:
    return resource.name or asked.path["name"]


def _number(asked: Asked) -> int:
    digits = asked.path["number"]
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise MissingError("there is no revision of that number")
    return int(digits)


def _text(kind: Kind, name: str, draft: wire.Draft) -> str:
    if (draft.text is None) == (draft.document is None):
        raise invalid([Fault("/text", "give the `text`, or the `document`, and not both")])
    if draft.text is not None:
        return draft.text
    return from_fields(kind, name, written(draft.document))
