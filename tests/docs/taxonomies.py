"""The taxonomies as the page on risk shows them; run as a program, it writes them there."""

from __future__ import annotations

from collections.abc import Iterator

from onpurpose.core.risk import TAXONOMIES
from tests.docs.pages import DOCS

BEGIN, END = "<!-- taxonomies -->\n", "<!-- /taxonomies -->\n"
RISK = DOCS / "risk.md"


def rendered() -> str:
    return "\n".join(_lines())


def shown() -> str:
    """What the page shows now."""
    return RISK.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]


def _lines() -> Iterator[str]:
    for category, signs in TAXONOMIES.items():
        yield f"\n### `{category}`\n\n| signal | weight | found by |\n|---|--:|---|"
        for sign in signs:
            texts = ", ".join(map(_code, sign.texts))
            yield f"| `{sign.name}` | {sign.weight} | {texts or f'an amount of {sign.amount:,} or more'} |"
    yield "\n"


def _code(text: str) -> str:
    if "|" not in text:
        return f"`{text}`"
    return f"<code>{text.replace('|', '&#124;')}</code>"


def main() -> None:
    before, _, rest = RISK.read_text("utf-8").partition(BEGIN)
    RISK.write_text(before + BEGIN + rendered() + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
