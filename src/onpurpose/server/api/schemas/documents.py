"""Documents and their revisions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from onpurpose.core.revision import Kind
from onpurpose.server.api.schemas.bounds import MAX_NUMBER, MAX_TEXT, Limit, Number, Version, Wire, Words


class Draft(Wire):
    """A new revision of a document: its YAML `text`, or its fields as a `document`; one of the two.

    `expected_version` is the version of the document that the change was made against, 0 for one that
    is not there yet; without it, whatever is there is followed.
    """

    text: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    document: dict[str, JsonValue] | None = None
    reason: Words = ""
    expected_version: Version | None = None


class Restoring(Wire):
    """Which revision's text to write anew, and why."""

    revision: Number
    reason: Words = ""
    expected_version: Version | None = None


class ChangeQuery(Wire):
    """What a change says of itself where the body is the document's text, or there is none."""

    reason: Words = ""
    expected_version: Version | None = None


class HistoryQuery(Wire):
    """Which part of a history: the `limit` revisions below the number `before`, newest first."""

    before: Number | None = None
    limit: Limit = 50


class DiffQuery(Wire):
    """Which two revisions to compare; 0 is the empty text before the first."""

    a: Annotated[int, Field(ge=0, le=MAX_NUMBER)]
    b: Number


class RevisionMeta(Wire):
    """One revision of a document, without its text. `digest` is the SHA-256 of the text, in hex."""

    number: int
    digest: str
    author: str
    at: int
    reason: str
    removed: bool


class RevisionBody(RevisionMeta):
    """One revision of a document. An empty text says that it was removed."""

    text: str


class DocumentMeta(Wire):
    """Where a document stands: which revisions of it are `live`, in `shadow`, `newest`.

    `version` changes with every change. Within 30 seconds after a promotion, `undo_until` says until when
    a revert is offered as undo; a later revert does the same.
    """

    kind: Kind
    name: str
    version: int
    newest: int
    live: int | None
    shadow: int | None
    promoted_at: int | None
    undo_until: int | None
    revertible: bool


class DocumentBody(DocumentMeta):
    """A document, with its newest revision."""

    revision: RevisionBody


class DocumentPage(Wire):
    """Documents in the order of their names; `next` is the `after` of the next page."""

    items: list[DocumentMeta]
    next: str | None


class RevisionPage(Wire):
    """Revisions, newest first; `next` is the `before` of the next page."""

    items: list[RevisionMeta]
    next: int | None


class Difference(Wire):
    """What differs between two revisions, as a unified diff; empty where nothing does."""

    a: int
    b: int
    diff: str
