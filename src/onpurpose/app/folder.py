"""A workspace as a folder of files, as one keeps it under git: which file is which document, and what a move changes.

Pure: whoever reads the files and asks the store hands both over as texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from onpurpose.app.drafts import SINGLE
from onpurpose.app.shelf import differences, is_name
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import Kind

Texts: TypeAlias = Mapping[tuple[Kind, str], str]
"""The newest text of every document that is there."""

ORDER = (Kind.PURPOSE, Kind.PURPOSE_POLICY, Kind.POLICY, Kind.INDEX, Kind.SETTINGS)
"""In which order documents are written: what another names comes before it."""

_FOLDERS = {Kind.PURPOSE: "purposes", Kind.PURPOSE_POLICY: "purpose-policies", Kind.POLICY: "policies"}
_KINDS = {folder: kind for kind, folder in _FOLDERS.items()}
_SINGLES = {f"{name}.yaml": (kind, name) for kind, name in SINGLE.items()}
_SUFFIX = ".yaml"


class FolderError(OnPurposeError):
    """A file in the folder that is no document: its name says nothing, or says the same as another's."""


class Action(StrEnum):
    """What a move does to a document."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


class Move(Struct, frozen=True, kw_only=True):
    """One step of a plan: `before` and `after` are the texts on the side that changes, `None` for no document."""

    action: Action
    kind: Kind
    name: str
    before: str | None
    after: str | None

    @property
    def path(self) -> str:
        """The document's file."""
        return path_of(self.kind, self.name)

    def diff(self) -> str:
        """What the step changes, as a unified diff."""
        names = {"a_name": f"a/{self.path}", "b_name": f"b/{self.path}"}
        return differences(self.before or "", self.after or "", **names)


def path_of(kind: Kind, name: str) -> str:
    """The path of a document's file, relative to the folder, with `/` between its parts."""
    return f"{name}{_SUFFIX}" if kind in SINGLE else f"{_FOLDERS[kind]}/{name}{_SUFFIX}"


def document_of(path: str) -> tuple[Kind, str] | None:
    """The document that a file of the folder is; `None` for a file that is none of ours.

    Raises `FolderError` for one that looks like ours and has a name that no document may have.
    """
    if path in _SINGLES:
        return _SINGLES[path]
    folder, _, file = path.partition("/")
    if folder not in _KINDS or not file.endswith((_SUFFIX, ".yml")):
        return None
    name = file.removesuffix(_SUFFIX)
    if not is_name(name) or name == file:
        cure = f"name it `{folder}/NAME{_SUFFIX}`, with letters, digits, `_`, `-` and `.`"
        raise FolderError(f"`{path}` cannot be a document\nhelp: {cure}")
    return _KINDS[folder], name


def read_files(files: Mapping[str, str]) -> dict[tuple[Kind, str], str]:
    """The documents of a folder, from its files (by path relative to it) and their texts; others are passed over."""
    found: dict[tuple[Kind, str], str] = {}
    for path, text in files.items():
        document = document_of(path)
        if document is not None:
            if not text.strip():  # an empty text would say that the document was removed
                raise FolderError(f"`{path}` is empty\nhelp: remove the file, and push with `--prune`")
            found[document] = text
    return found


def write_files(texts: Texts) -> dict[str, str]:
    """The files of a workspace: their paths, relative to the folder, and texts.

    Raises `FolderError` where two names differ in letter case alone: on many disks they are one file.
    """
    files: dict[str, str] = {}
    folded: dict[str, str] = {}
    for (kind, name), text in sorted(texts.items()):
        path = path_of(kind, name)
        other = folded.setdefault(path.casefold(), path)
        if other != path:
            raise FolderError(f"`{other}` and `{path}` would be one file where letter case does not count")
        files[path] = text
    return files


def plan(target: Texts, source: Texts, *, prune: bool = False) -> tuple[Move, ...]:
    """The steps that make the target as the source, in an order in which they can be taken.

    A document that only the target has stays, unless `prune` is set.
    """
    written = [
        _step(key, target.get(key), text)
        for key, text in sorted(source.items(), key=lambda item: _rank(item[0]))
        if target.get(key) != text
    ]
    gone = sorted(target.keys() - source.keys(), key=_rank, reverse=True) if prune else []
    # Backwards: an index goes before the policies that it names, or the store would keep those.
    return (*written, *(_step(key, target[key], None) for key in gone))


def _step(key: tuple[Kind, str], before: str | None, after: str | None) -> Move:
    action = Action.ADD if before is None else Action.REMOVE if after is None else Action.CHANGE
    return Move(action=action, kind=key[0], name=key[1], before=before, after=after)


def _rank(key: tuple[Kind, str]) -> tuple[int, str]:
    return ORDER.index(key[0]), key[1]
