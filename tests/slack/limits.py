"""What Slack takes of Block Kit: as its reference has it (docs.slack.dev), and where that is silent, as it was seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

MOST_OF_A_MESSAGE = 13_200
"""Characters of all blocks as JSON; not documented (slackapi/bolt-js#2509)."""

MOST_OF_A_VIEW = 250_000


def fault_of(blocks: list[Json], most: int = MOST_OF_A_MESSAGE) -> str:
    """The error that Slack answers, or nothing."""
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(blocks) > 50 or len(set(ids)) < len(ids) or any(len(one) > 255 for one in ids):
        return "invalid_blocks"
    if any(not good for block in blocks for good in _checks(block)):
        return "invalid_blocks"
    return "msg_blocks_too_long" if len(json.dumps(blocks)) > most else ""


def _checks(block: Json) -> Iterator[bool]:
    kind = block.get("type")
    if kind == "header":
        yield block["text"]["type"] == "plain_text" and _fits(block["text"], 150)
    elif kind == "section":
        yield _fits(block["text"], 3000)
    elif kind == "context":
        yield 0 < len(block["elements"]) <= 10
        yield all(_fits(element, 3000) for element in block["elements"])
    elif kind == "actions":
        yield 0 < len(block["elements"]) <= 25
        yield len({element["action_id"] for element in block["elements"]}) == len(block["elements"])
        yield from map(_button, block["elements"])
    elif kind == "rich_text":
        yield bool(block["elements"])
        yield all(_rich(element) for element in block["elements"])
    elif kind == "input":
        yield _fits(block["label"], 2000)
        yield _input(block["element"])
    else:
        yield False


def _fits(text: Json, limit: int) -> bool:
    return text["type"] in {"plain_text", "mrkdwn"} and 0 < len(text["text"]) <= limit


def _button(element: Json) -> bool:
    return (
        element["type"] == "button"
        and element["text"]["type"] == "plain_text"
        and _fits(element["text"], 75)
        and 0 < len(element["action_id"]) <= 255
        and len(element.get("value", "")) <= 2000
        and len(element.get("url", "http://x")) <= 3000
        and element.get("url", "http://x").startswith(("http://", "https://"))
        and element.get("style", "primary") in {"primary", "danger"}
    )


def _rich(element: Json) -> bool:
    kinds = {"rich_text_section", "rich_text_preformatted"}
    return element["type"] in kinds and bool(element["elements"]) and all(one["text"] for one in element["elements"])


def _input(element: Json) -> bool:
    if element["type"] == "plain_text_input":
        return 0 < element.get("max_length", 3000) <= 3000
    groups = element.get("option_groups", [])
    lists = [group["options"] for group in groups] or [element["options"]]
    return (
        element["type"] == "static_select"
        and len(groups) <= 100
        and all(_fits(group["label"], 75) for group in groups)
        and all(0 < len(options) <= 100 for options in lists)
        and all(_fits(one["text"], 75) and 0 < len(one["value"]) <= 150 for options in lists for one in options)
    )
