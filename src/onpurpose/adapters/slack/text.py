"""Foreign text for Slack: shown letter by letter, or not at all."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SECOND = 1_000_000


def shown(text: str) -> str:
    r"""The text with whatever cannot be seen, or turns the order of letters, written as `\u202e`; lines stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(char: str) -> str:
    if char == "\n" or unicodedata.category(char) not in _HIDDEN:
        return char
    return "    " if char == "\t" else f"\\u{ord(char):04x}"


def line(text: str, limit: int) -> str:
    """The text on one line of at most so many characters: what is cut off ends in an ellipsis."""
    text = text[: limit + 1]
    if "\n" in text or "\r" in text:
        text = " ⏎ ".join(text.splitlines())
    return cut(shown(text), limit)


def cut(text: str, limit: int) -> str:
    """The first so many characters, the last of them an ellipsis where there were more."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escaped(text: str) -> str:
    """The text for a place where Slack reads `<...>` as a mention or a link (its rule: these three characters)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def moment(microseconds: int) -> str:
    """A time that Slack shows in the reader's own zone, with UTC for whoever cannot."""
    seconds = microseconds // _SECOND
    fallback = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{seconds}^{{date_short_pretty}} at {{time}}|{fallback}>"


def plain(text: str) -> dict[str, object]:
    """A text object that Slack shows as it is: no formatting, no mention, no emoji."""
    return {"type": "plain_text", "text": text, "emoji": False}
