"""A folder of documents on the disk: read without following a link, written each file whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace as replaced

from onpurpose.app.drafts import SINGLE, asks_to_be_live
from onpurpose.app.folder import FolderError, document_of, path_of, read_files
from onpurpose.cli.output import fail
from onpurpose.core.revision import Kind
from onpurpose.core.span import PolicyError, Problem, Span
from onpurpose.lang.decoding import MAX_BYTES, decode
from onpurpose.lang.read import drained, read_bytes
from onpurpose.lang.report import Report

_FOLDERS = sorted({path_of(kind, "x").partition("/")[0] for kind in Kind if kind not in SINGLE})
_SINGLES = sorted(path_of(kind, name) for kind, name in SINGLE.items())


class Folder(Struct, frozen=True, kw_only=True):
    """What was read: the text of every document that could be, and what is wrong with the other files."""

    texts: dict[tuple[Kind, str], str]
    problems: tuple[Problem, ...]


def read_folder(folder: Path) -> Folder:
    """The documents of the folder; none of one that is not there. Files that are no documents are passed over."""
    texts: dict[tuple[Kind, str], str] = {}
    problems: list[Problem] = []
    for path in _paths(folder):
        try:
            if document_of(path) is not None:
                texts |= read_files({path: _text(folder, path)})
        except FolderError as error:
            problems.append(_problem(folder, path, error))
        except PolicyError as error:
            problems += error.problems
    return Folder(texts=texts, problems=tuple(problems))


def check_texts(folder: Path, texts: dict[tuple[Kind, str], str]) -> list[Problem]:
    """Every problem of the documents, each with its place in its file."""
    problems: list[Problem] = []
    for (kind, name), text in sorted(texts.items()):
        try:
            asks_to_be_live(kind, name, text)
        except PolicyError as error:
            source = str(folder / path_of(kind, name))
            problems += (replace(one, span=replaced(one.span, source=source)) for one in error.problems)
    return problems


def write_file(folder: Path, path: str, text: str) -> None:
    """Put the text where the path is: whoever reads the file sees the old text or the new one, whole."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    refuse_links(folder, path)
    scratch = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        with scratch.open("xb") as opened:
            opened.write(text.encode())
            opened.flush()
            os.fsync(opened.fileno())
        scratch.replace(file)
    except BaseException:
        with suppress(OSError):
            scratch.unlink()
        raise


def remove_file(folder: Path, path: str) -> None:
    """Remove the file; its folder stays."""
    refuse_links(folder, path)
    (folder / path).unlink()


def refuse_links(folder: Path, path: str) -> None:
    """End the verb where the path, or a folder on the way to it, is a link: it may lead anywhere."""
    for place in (folder / path, *(folder / path).parents):
        if place == folder:
            return
        if place.is_symlink():
            fail(f"`{place}` is a link, and no link is followed", "put the file itself there")


def _paths(folder: Path) -> Iterator[str]:
    """The files that may be documents, by their paths in the folder with `/` between the parts, links too."""
    yield from (name for name in _SINGLES if (folder / name).is_symlink() or (folder / name).exists())
    for name in _FOLDERS:
        refuse_links(folder, name)
        for place, folders, files in os.walk(folder / name, onerror=_raise):
            within = Path(place).relative_to(folder).as_posix()
            folders.sort()
            for found in folders:
                refuse_links(folder, f"{within}/{found}")
            yield from (f"{within}/{found}" for found in sorted(files))


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _text(folder: Path, path: str) -> str:
    refuse_links(folder, path)
    file = folder / path
    if not stat.S_ISREG(file.lstat().st_mode):  # reading a pipe could last for ever
        raise FolderError(f"`{path}` is no file\nhelp: move it out of the folder")
    content = read_bytes(file, MAX_BYTES)
    report = Report(str(file))
    drained(decode(content, report, MAX_BYTES))
    report.raise_if_any()
    return content.decode("utf-8").removeprefix("\ufeff")


def _problem(folder: Path, path: str, error: FolderError) -> Problem:
    message, _, cure = str(error).partition("\nhelp: ")
    return Problem(span=Span(str(folder / path), 1, 1), code="no-document", message=message, help=cure)
