"""Reading paths as text: normal form, and what a lenient file system would take them for.

Nothing here looks at a disk: symbolic links and mounts are beyond what text can tell, except
those that every Linux has (`/proc/*/root`, `/proc/*/cwd`, `/dev/fd`), through which a path leads
anywhere.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from onpurpose.core.text import unreadable

_MAX_DECODINGS = 8
_FILE_URL = re.compile(r"file:(?://(?:localhost)?)?(/(?!/).*)", re.IGNORECASE | re.DOTALL)
_DOOR_NAMES = frozenset({"root", "cwd", "fd"})
_DOOR_DEPTH = 5
_NORMAL = re.compile(r"(?!/proc/|/dev/)(?:/[a-z0-9_-][a-z0-9._ @+,=:#~-]*+)++\Z").match
_DOORS = re.compile(r"/proc/[^/]+/(?:task/[^/]+/)?(?:root|cwd|fd)|/dev/fd")


Reading: TypeAlias = tuple[str, tuple[str, ...]]
"""A path in normal form, and the forms that lenient readers give it (case, characters, escapes resolved).

No such forms where all readers take it for the same.
"""


class Prefix(NamedTuple):
    """What an absolute path in normal form, ended by `/`, begins with under it; and as lenient readers see it."""

    strict: str
    loose: str


def prefix_of(path: str) -> Prefix:
    """The prefix of that normal form."""
    return Prefix(_ended(path), _ended(loosened(path) or path))


def _ended(path: str) -> str:
    return path.rstrip("/") + "/"


def under(reading: Reading, prefix: Prefix) -> bool | None:
    """Whether the path lies at or under the prefix, by component; unknown where the forms disagree."""
    path, forms = reading
    strict = f"{path}/".startswith(prefix.strict)
    for form in forms or (path,):
        if f"{form}/".startswith(prefix.loose) is not strict:
            return None
    return strict


def read_path(text: str, cwd: object = None) -> Reading | None:
    """The path that the text means, relative ones from `cwd`; `None` where that cannot be told."""
    if _NORMAL(text):  # as it is, for every reader
        return text, ()
    located = _located(text, cwd)
    strict = None if located is None else normal(located)
    if located is None or strict is None:
        return None
    # Some resolve `..` before they decode, some after.
    loose = [None if form is None else normal(form) for form in (loosened(located), loosened(strict))]
    return None if None in loose else (strict, tuple(form for form in loose if form is not None))


def normal(path: str) -> str | None:
    """The absolute path with `.`, `..` and `//` resolved as text; `None` if it passes a door of Linux."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if kept:
                kept.pop()
        elif part and part != ".":
            kept.append(part)
            if part in _DOOR_NAMES and len(kept) <= _DOOR_DEPTH and _DOORS.fullmatch("/" + "/".join(kept)):
                return None
    return "/" + "/".join(kept)


def loosened(path: str) -> str | None:
    """The path as a lenient reader sees it: percent-escapes decoded, NFKC, case-folded.

    `None` where escapes are wrapped in escapes without end in sight.
    """
    for _ in range(_MAX_DECODINGS):
        decoded = unquote(path) if "%" in path else path
        if decoded == path:
            return unicodedata.normalize("NFKC", path).casefold()
        path = decoded
    return None


def _located(text: str, cwd: object) -> str | None:
    """The absolute path as written, not yet in normal form."""
    if not _plain(text):
        return None
    if text[:5].lower() == "file:":
        match = _FILE_URL.fullmatch(text)
        if match is None or "?" in text or "#" in text:
            return None
        try:
            decoded = unquote(match[1], errors="strict")
        except UnicodeDecodeError:
            return None
        return decoded if _plain(decoded) else None
    if text[0] == "/":
        return text
    if isinstance(cwd, str) and _plain(cwd) and cwd[0] == "/":
        return f"{cwd}/{text}"
    return None


def _plain(text: str) -> bool:
    r"""Whether no shell would read more into the text than it says: `~`, `$HOME`, `` `cmd` ``, `\`."""
    return (
        bool(text)
        and text[0] != "~"
        and "$" not in text
        and "\0" not in text
        and "`" not in text
        and "\\" not in text
        and not unreadable(text)
    )
