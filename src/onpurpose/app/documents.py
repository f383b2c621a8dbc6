"""The documents of a workspace: write, restore, remove. Nothing is overwritten.

A new purpose, index or settings counts at once. A new purpose policy or capability policy goes into
shadow, and what is live stays live until a promotion; `shadow_mode: false` in the text of a purpose
policy is a promotion in the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onpurpose.app.drafts import asks_to_be_live, check_index, names_policy
from onpurpose.app.notes import Pen, document
from onpurpose.app.outbox import Post
from onpurpose.app.shelf import Shelf, is_removed, word
from onpurpose.core.access import Scope
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import Change, ConflictError, Kind, Revision, Standing
from onpurpose.ports import Clock, Documents

JUDGED = frozenset({Kind.PURPOSE_POLICY, Kind.POLICY})
"""What is judged in shadow before it is live."""


class NotPermittedError(OnPurposeError):
    """The caller may change documents, but not what decides. `scope` is what is missing."""

    def __init__(self, what: str, scope: Scope = Scope.POLICY_PROMOTE) -> None:
        self.scope = scope
        super().__init__(f"{what}: this needs the scope `{scope}`")


class Library:
    """Writes documents: each change is a revision with author, time and reason, and a note in the log.

    `may_promote` says whether the author may change what decides; without it, what would do so raises
    `NotPermittedError`. A method returns once its note is durable in the log. It raises `ConflictError`
    where somebody else was faster, and then nothing was changed; and `UntoldError` where everything was
    changed, but is not told of in the log yet.
    """

    def __init__(
        self, documents: Documents, shelf: Shelf, post: Post, *, clock: Clock, new_id: Callable[[int], str]
    ) -> None:
        self._documents = documents
        self._shelf = shelf
        self._post = post
        self._clock = clock
        self._new_id = new_id

    def save(  # noqa: PLR0913  what a revision is made of
        self,
        workspace: str,
        kind: Kind,
        name: str,
        text: str,
        *,
        author: str,
        reason: str,
        expected_version: int | None = None,
        may_promote: bool = False,
    ) -> Revision:
        """Write a new revision; the newest one where it says just that already. Raises `PolicyError` too."""
        live = asks_to_be_live(kind, name, text)
        if live and kind is not Kind.PURPOSE and not may_promote:
            raise NotPermittedError(f"the revision of `{name}` would decide at once")
        if kind is Kind.INDEX:
            check_index(self._shelf.contents(workspace), text)
        standing = self._shelf.find(workspace, kind, name)
        expected = _expected(standing, expected_version)
        if standing is not None and not (live and standing.live != standing.newest):
            newest = self._shelf.revision(workspace, kind, name, standing.newest)
            if newest.text == text:
                return newest
        pen = self.pen(workspace, author)
        change = _saved(kind, name, text, expected, standing, live=live, at=pen.at)
        number = (standing.newest if standing else 0) + 1
        told = {"document": document(kind, name, number, text), "reason": reason}
        notes = [pen.note("purpose.saved" if kind is Kind.PURPOSE else "policy.saved", **told)]
        if live and kind in JUDGED:
            notes.append(pen.note("policy.promoted", **_at_once(change, number, reason)))
        self.change(pen, [change], reason, notes)
        return self._shelf.revision(workspace, kind, name, number)

    def restore(  # noqa: PLR0913  what a revision is made of
        self,
        workspace: str,
        kind: Kind,
        name: str,
        number: int,
        *,
        author: str,
        reason: str,
        expected_version: int | None = None,
        may_promote: bool = False,
    ) -> Revision:
        """Write the text of an old revision anew, as `save` does. `ConflictError` where it says that it was removed."""
        old = self._shelf.revision(workspace, kind, name, number)
        if not old.text:
            raise ConflictError(f"revision {number} of `{name}` says that it was removed: there is nothing to restore")
        reason = reason or f"restores revision {number}"
        return self.save(
            workspace, kind, name, old.text,
            author=author, reason=reason, expected_version=expected_version, may_promote=may_promote,
        )  # fmt: skip

    def remove(  # noqa: PLR0913  what a revision is made of
        self,
        workspace: str,
        kind: Kind,
        name: str,
        *,
        author: str,
        reason: str,
        expected_version: int | None = None,
        may_promote: bool = False,
    ) -> Revision:
        """Take the document out of force; its revisions stay, behind one of empty text, which is returned."""
        standing = self._shelf.standing(workspace, kind, name)
        expected = _expected(standing, expected_version)
        if standing.live is not None and kind is not Kind.PURPOSE and not may_promote:
            raise NotPermittedError(f"the {word(kind)} `{name}` is live")
        if kind is Kind.POLICY and self.is_named(workspace, name):
            raise ConflictError(f"the index names the policy `{name}`: every call it chooses would be denied")
        pen = self.pen(workspace, author)
        number = standing.newest + 1
        told = {"document": document(kind, name, number), "live": standing.live, "reason": reason}
        change = Change(kind=kind, name=name, expected=expected, text="")
        self.change(pen, [change], reason, [pen.note("policy.removed", **told)])
        return self._shelf.revision(workspace, kind, name, number)

    def is_named(self, workspace: str, name: str) -> bool:
        """Whether the index names the capability policy, so that it cannot be removed."""
        index = self._shelf.find(workspace, Kind.INDEX, "index")
        if index is None or index.live is None:
            return False
        return names_policy(self._shelf.revision(workspace, Kind.INDEX, "index", index.live).text, name)

    def pen(self, workspace: str, by: str) -> Pen:
        """What writes the notes of one change that is made now."""
        return Pen(self._clock, self._new_id, workspace, by)

    def change(self, pen: Pen, changes: Sequence[Change], reason: str, notes: Sequence[bytes]) -> None:
        """Make all the changes or none, and return once their notes are durable in the log."""
        self._documents.change(pen.workspace, changes, author=pen.by, at=pen.at, reason=reason, notes=notes)
        self._post.deliver()


def _expected(standing: Standing | None, expected: int | None) -> int:
    """The version that a change is made against; `ConflictError` where the author saw another one."""
    version = 0 if standing is None else standing.version
    absent = standing is None or is_removed(standing)
    if expected is None or expected == version or (expected == 0 and absent):
        return version
    if standing is None:
        raise ConflictError(f"it was changed from version {expected}, and is not there")
    raise ConflictError(f"`{standing.name}` is at version {version}, and was changed from version {expected}")


def _saved(  # noqa: PLR0913  what a change is made of
    kind: Kind, name: str, text: str, expected: int, standing: Standing | None, *, live: bool, at: int
) -> Change:
    number = (standing.newest if standing else 0) + 1
    before = standing.live if standing else None
    if kind not in JUDGED:
        return Change(kind=kind, name=name, expected=expected, text=text, live=number)
    if live:
        return Change(
            kind=kind, name=name, expected=expected, text=text, live=number, former=(before, number), promoted_at=at
        )
    former, promoted_at = (standing.former, standing.promoted_at) if standing else (None, None)
    return Change(
        kind=kind, name=name, expected=expected, text=text,
        live=before, shadow=number, former=former, promoted_at=promoted_at,
    )  # fmt: skip


def _at_once(change: Change, number: int, reason: str) -> dict[str, object]:
    """What is told of a promotion that the text itself asked for: nothing was watched before."""
    former = change.former[0] if change.former else None
    promoted = document(change.kind, change.name, number) | {"former": former, "evidence": None}
    return {"documents": [promoted], "overrides": {"shadow_mode": False}, "reason": reason}
