"""What a workspace holds, every revision of it: texts, and which of them are in force. Values only."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from onpurpose.core.errors import OnPurposeError


class Kind(StrEnum):
    """What a document of a workspace is."""

    PURPOSE = "purpose"
    PURPOSE_POLICY = "purpose_policy"
    POLICY = "policy"
    """A capability policy."""
    INDEX = "index"
    """Which capability policy counts for whom; one a workspace, named `index`."""
    SETTINGS = "settings"
    """`purpose_required`, `unmatched`; one a workspace, named `settings`."""


class Revision(Struct, frozen=True, kw_only=True):
    """One text of a document, never changed once written. `number` counts from 1 without gaps.

    `digest` is the SHA-256 (hex) of the text in UTF-8. An empty text says that the document was removed.
    """

    workspace: str
    kind: Kind
    name: str
    number: int
    text: str
    digest: str
    author: str
    at: int
    reason: str


class Standing(Struct, frozen=True, kw_only=True):
    """Which revisions of a document are in force, by number: `live` decides, `shadow` is judged beside it.

    `newest` is the last revision written. `former` is what `live` and `shadow` were before the last
    promotion, which can be reverted to it; `promoted_at` when that was. `version` changes with every
    change of the standing: what a change expects.
    """

    kind: Kind
    name: str
    version: int
    newest: int
    live: int | None
    shadow: int | None
    former: tuple[int | None, int | None] | None = None
    promoted_at: int | None = None


class Change(Struct, frozen=True, kw_only=True):
    """One change of a document: perhaps a new revision, and what is in force from then on.

    `expected` is the standing's version that the change was made against, 0 for a document that is
    not there yet. `text` is a new revision's text, `None` for a change of standing alone; it gets the
    number `newest + 1`, which `live` or `shadow` may name.
    """

    kind: Kind
    name: str
    expected: int
    text: str | None = None
    live: int | None = None
    shadow: int | None = None
    former: tuple[int | None, int | None] | None = None
    promoted_at: int | None = None


class Contents(Struct, frozen=True, kw_only=True):
    """All that a workspace holds at one version of it: standings, and the texts of what is live or in shadow.

    `texts` by (kind, name, revision number).
    """

    workspace: str
    version: int
    standings: tuple[Standing, ...]
    texts: dict[tuple[Kind, str, int], Revision]


class ConflictError(OnPurposeError):
    """Somebody else changed the document in the meantime, or it is there already. Nothing was changed."""


class MissingError(OnPurposeError):
    """There is no such document, workspace, key or decision (or none that the caller may see)."""


class StoreError(OnPurposeError):
    """The store cannot be read or written now. Nothing is known to be changed; whoever asked is refused."""


def advance(standing: Standing | None, change: Change) -> Standing:
    """The document's standing after the change, `None` being that of a document that is not there yet.

    A new revision has its `newest` as number. Raises `ConflictError` where the standing is not at the
    version expected or the change names a revision that is not there, and `MissingError` where it
    changes the standing of a document that is not there.
    """
    version, newest = (0, 0) if standing is None else (standing.version, standing.newest)
    document = f"the {change.kind.replace('_', ' ')} `{change.name}`"
    if version != change.expected:
        raise ConflictError(
            f"{document} is at version {version}, and the change was made against {change.expected}\n"
            "help: read it again, and repeat the change if it still holds"
        )
    newest += change.text is not None
    if newest == 0:
        raise MissingError(f"there is no {document.removeprefix('the ')}")
    for number in (change.live, change.shadow, *(change.former or ())):
        if number is not None and not 1 <= number <= newest:
            raise ConflictError(f"{document} has no revision {number}: the newest is {newest}")
    return Standing(
        kind=change.kind,
        name=change.name,
        version=version + 1,
        newest=newest,
        live=change.live,
        shadow=change.shadow,
        former=change.former,
        promoted_at=change.promoted_at,
    )
