"""The documents of a workspace, to be read: where each stands, its revisions, what differs between two."""

from __future__ import annotations

import difflib
import re
import threading
from collections import OrderedDict

from onpurpose.core.revision import Contents, Kind, MissingError, Revision, Standing
from onpurpose.ports import Documents

MAX_DIFF = 4000
"""Lines of a diff that are shown; what follows is cut, and said to be."""

WORDS = {Kind.PURPOSE: "purpose", Kind.PURPOSE_POLICY: "purpose policy", Kind.POLICY: "capability policy"}
"""What a document of a kind is called, where its kind's own name does not say it."""

MAX_NAME = 128
"""How long the name of a document may be, in characters."""

_NAME = re.compile(r"\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_KEPT = 32


def differences(a: str, b: str, *, a_name: str, b_name: str) -> str:
    """The unified diff from one text to another, at most `MAX_DIFF` lines; empty where they are the same."""
    lines = list(difflib.unified_diff(a.splitlines(), b.splitlines(), a_name, b_name, lineterm=""))
    if len(lines) > MAX_DIFF:
        lines = [*lines[:MAX_DIFF], f"... {len(lines) - MAX_DIFF} lines more"]
    return "".join(f"{line}\n" for line in lines)


class Shelf:
    """The documents of all workspaces, to be read: what was read last is held until its version changes."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._held: OrderedDict[str, Contents] = OrderedDict()
        self._lock = threading.Lock()

    def contents(self, workspace: str) -> Contents:
        """All of the workspace. `MissingError` where there is none."""
        version = self._documents.versions().get(workspace)
        with self._lock:
            held = self._held.get(workspace)
        if held is not None and held.version == version:
            return held
        contents = self._documents.contents(workspace)
        with self._lock:
            self._held[workspace] = contents
            self._held.move_to_end(workspace)
            if len(self._held) > _KEPT:
                self._held.popitem(last=False)
        return contents

    def find(self, workspace: str, kind: Kind, name: str) -> Standing | None:
        """Where the document stands, a removed one too; `None` where there never was one."""
        standings = self.contents(workspace).standings
        return next((one for one in standings if one.kind is kind and one.name == name), None)

    def standing(self, workspace: str, kind: Kind, name: str) -> Standing:
        """Where the document stands. `MissingError` where there is none, or none any more."""
        standing = self.find(workspace, kind, name)
        if standing is None or is_removed(standing):
            raise MissingError(f"there is no {word(kind)} `{name[:MAX_NAME]}`")
        return standing

    def standings(self, workspace: str, kind: Kind) -> list[Standing]:
        """Those of one kind that are not removed, by name."""
        found = (one for one in self.contents(workspace).standings if one.kind is kind and not is_removed(one))
        return sorted(found, key=lambda one: one.name)

    def removed(self, workspace: str, kind: Kind) -> list[Standing]:
        """Those of one kind that were removed, by name: their revisions are still there."""
        found = (one for one in self.contents(workspace).standings if one.kind is kind and is_removed(one))
        return sorted(found, key=lambda one: one.name)

    def revision(self, workspace: str, kind: Kind, name: str, number: int) -> Revision:
        """One revision. `MissingError` where there is none of that number."""
        found = self._documents.revisions(workspace, kind, name, number + 1, 1) if is_name(name) else []
        if not found or found[0].number != number:
            raise MissingError(f"there is no revision {number} of `{name[:MAX_NAME]}`")
        return found[0]

    def newest(self, workspace: str, kind: Kind, name: str) -> tuple[Standing, Revision]:
        """Where the document stands, and its newest revision."""
        standing = self.standing(workspace, kind, name)
        return standing, self.revision(workspace, kind, name, standing.newest)

    def revisions(self, workspace: str, kind: Kind, name: str, before: int | None, limit: int) -> list[Revision]:
        """The document's history, newest first. `MissingError` where there never was one."""
        found = self._documents.revisions(workspace, kind, name, before, limit) if is_name(name) else []
        if not found and self.find(workspace, kind, name) is None:
            raise MissingError(f"there never was a {word(kind)} `{name[:MAX_NAME]}`")
        return found

    def diff(self, workspace: str, kind: Kind, name: str, a: int, b: int) -> str:
        """What differs between two revisions, by number; 0 is the empty text before the first."""
        first = self.revision(workspace, kind, name, a).text if a else ""
        second = self.revision(workspace, kind, name, b).text if b else ""
        return differences(first, second, a_name=f"{name}@{a}", b_name=f"{name}@{b}")


def is_name(name: str) -> bool:
    """Whether a document may be called that: letters, digits, `_`, `-` and `.`, not dots alone."""
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def word(kind: Kind) -> str:
    """What a document of that kind is called."""
    return WORDS.get(kind, str(kind))


def is_removed(standing: Standing) -> bool:
    """Whether the document was removed: no revision of it is in force."""
    return standing.live is None and standing.shadow is None
