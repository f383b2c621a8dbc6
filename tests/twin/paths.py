"""The paths of a payload, and what they lie under."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote, unquote_to_bytes

from tests.twin.amounts import holds_key
from tests.twin.kleene import Answer, agreed, either
from tests.twin.tree import Node, readable

Steps = list[str]


def suspicious(text: str) -> bool:
    """Whether a shell or a kernel could read something else than it says."""
    if not text or text.startswith("~") or not readable(text):
        return True
    return any(char in text for char in "\0$`\\")


def walk(text: str) -> Steps | None:
    """The components of an absolute path after `.` and `..`; `None` where it leaves the name space."""
    steps: Steps = []
    for part in text.split("/"):
        if part == "..":
            steps = steps[:-1]
        elif part not in ("", "."):
            steps = [*steps, part]
        if leaves(steps):
            return None
    return steps


def leaves(steps: Steps) -> bool:
    """Whether these components name a place that stands for another."""
    doors = ("root", "cwd", "fd")
    if steps == ["dev", "fd"]:
        return True
    if len(steps) == 3 and steps[0] == "proc":
        return steps[2] in doors
    if len(steps) == 5 and steps[0] == "proc" and steps[2] == "task":
        return steps[4] in doors
    return False


def unwrapped(text: str) -> str | None:
    """The path in a `file:` URL; any other text as it is; `None` for a URL that cannot be told."""
    if not text.lower().startswith("file:"):
        return text
    rest = text[5:]
    if "?" in rest or "#" in rest:
        return None
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost") or not slash:
            return None
        rest = "/" + path
    if not rest.startswith("/"):
        return None
    try:
        return unquote_to_bytes(rest).decode("utf-8")
    except UnicodeDecodeError:
        return None


def absolute(text: str, cwd: object) -> str | None:
    """The path as an absolute text, or `None` when that cannot be told."""
    if suspicious(text):
        return None
    inner = unwrapped(text)
    if inner is None or suspicious(inner):
        return None
    if inner.startswith("/"):
        return inner
    if not isinstance(cwd, str) or suspicious(cwd) or not cwd.startswith("/"):
        return None
    return cwd + "/" + inner


def loose(text: str) -> str | None:
    """The most that a tool might make of it; `None` when that does not settle."""
    for _ in range(8):
        before = text
        text = unquote(unicodedata.normalize("NFKC", text).casefold())
        if text == before:
            return text
    return None


def steps_under(steps: Steps | None, prefix: str) -> Answer:
    """Whether the components begin with those of the prefix."""
    if steps is None:
        return None
    wanted = [part for part in prefix.split("/") if part]
    return steps[: len(wanted)] == wanted


def under(text: str, prefix: str, cwd: object) -> Answer:
    """Whether this one path lies at or under the prefix."""
    whole = absolute(text, cwd)
    if whole is None:
        return None
    steps = walk(whole)
    if steps is None:
        return None
    strict = steps_under(steps, prefix)
    decoded_first, decoded_last = loose(whole), loose("/" + "/".join(steps))
    loose_prefix = loose(prefix)
    if decoded_first is None or decoded_last is None or loose_prefix is None:
        return None
    return agreed(
        [strict, steps_under(walk(decoded_first), loose_prefix), steps_under(walk(decoded_last), loose_prefix)]
    )


def found(node: Node, keys: set[str]) -> list[str | None]:
    """Every path below the node; `None` for one that cannot be read."""
    paths: list[str | None] = []
    for item in node.items:
        paths += found(item, keys)
    for key, value in node.entries:
        paths += under_key(value, keys) if key.lower() in keys else found(value, keys)
    return paths


def under_key(value: Node, keys: set[str]) -> list[str | None]:
    """What stands under a path key."""
    if value.kind == "list":
        return [path for item in value.items for path in under_key(item, keys)]
    if value.kind == "mapping" and holds_key(value, keys):
        return found(value, keys)
    return [None if value.kind == "number" else value.text]


def path_prefix(tree: Node | None, keys: tuple[str, ...], prefixes: tuple[str, ...], cwd: object) -> Answer:
    """Whether every path in the payload lies under one of the prefixes."""
    if tree is None or tree.kind != "mapping":
        return None
    if tree.hides():
        return None
    paths = found(tree, {key.lower() for key in keys})
    return either(agreed(None if path is None else under(path, prefix, cwd) for path in paths) for prefix in prefixes)


LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
LABELS = re.compile(rf"{LABEL}(\.{LABEL})*\.?")
LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}://(?P<host>[^/?#:@]+)(:[0-9]+)?([/?#].*)?")
BARE = re.compile(r"(?P<host>[^/?#:@]+)(:[0-9]+)?([/?#].*)?")


def hosts(text: str) -> set[str]:
    """Every host that the text could mean."""
    means = set()
    if text.count("@") == 1:
        local, _, host = text.partition("@")
        if LOCAL.fullmatch(local) and LABELS.fullmatch(host):
            means.add(host)
    url = URL.fullmatch(text)
    if url and LABELS.fullmatch(url["host"]):
        means.add(url["host"])
    bare = BARE.fullmatch(text)
    if bare and text.count("@") <= 1 and LABELS.fullmatch(bare["host"]) and "." in bare["host"].rstrip("."):
        means.add(bare["host"])
    return {host.removesuffix(".").lower() for host in means}


def domain_in(text: str, domain: str) -> Answer:
    """Whether the address or URL is of the domain or one below it."""
    if any(not "!" <= char <= "~" or char == "\\" for char in text):
        return None
    means = hosts(text)
    if len(means) != 1:
        return None
    return all(host == domain or host.endswith("." + domain) for host in means)
