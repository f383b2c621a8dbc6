"""Does the payload contain a text: verbatim, folded, or perhaps."""

from __future__ import annotations

import unicodedata

from tests.twin.kleene import Answer
from tests.twin.tree import Node, readable

QUOTES = "'\"`\u201a\u201e"

IGNORABLE = {
    0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0,
    *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000),
}  # fmt: skip


def fold(text: str) -> str:
    """The text as the contract folds it, step by step in its order."""
    text = unicodedata.normalize("NFKC", text).casefold()
    kept = ""
    for char in text:
        if char.isspace() or not dropped(char):
            kept += char
    kept = without_comments(kept.replace("${ifs}", " ").replace("$ifs", " "))
    spaced = ""
    for char in kept:
        if not char.isspace():
            spaced += char
        elif not spaced.endswith(" "):
            spaced += " "
    return spaced


def dropped(char: str) -> bool:
    """Whether the character is invisible, a quote or a backslash."""
    invisible = unicodedata.category(char) in ("Cc", "Cf") or ord(char) in IGNORABLE
    return invisible or char in QUOTES or unicodedata.category(char) in ("Pi", "Pf") or char == "\\"


def without_comments(text: str) -> str:
    """Every `/* */` replaced by a space; one that is never closed stays."""
    result = ""
    while "/*" in text:
        start = text.index("/*")
        end = text.find("*/", start + 2)
        if end < 0:
            break
        result += text[:start] + " "
        text = text[end + 2 :]
    return result + text


def contains(tree: Node | None, needle: str) -> Answer:
    """Whether the needle occurs in the payload's text."""
    if tree is None:
        return None
    nodes = list(tree.everything())
    values = [node.text for node in nodes if node.text is not None]
    keys = [key for node in nodes for key, _ in node.entries]
    if any(needle in value for value in values):
        return True
    if tree.hides() or any(node.kind == "bytes" for node in nodes):
        return None
    if not all(readable(text) for text in values + keys):
        return None
    if any(needle in key for key in keys):
        return None
    folded = fold(needle)
    searched = [*values, *keys, " ".join(values)]
    if folded and any(folded in fold(text) for text in searched):
        return None
    return False


def contains_one(text: str, needle: str) -> Answer:
    """Whether the needle occurs in this one text."""
    if needle in text:
        return True
    if not readable(text):
        return None
    folded = fold(needle)
    if folded and folded in fold(text):
        return None
    return False
