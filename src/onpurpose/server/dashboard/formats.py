"""Values as people read them: times with their zone, numbers with their units, shares with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from markupsafe import Markup, escape

from onpurpose.core.statistics import Rate
from onpurpose.server.pages.foreign import beginning, clipped, fitting

_SECOND = 1_000_000
_MISSING = "\N{EN DASH}"
_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def moment(at: int, to: str = "second") -> str:
    """A time in microseconds UTC to the `second`, `minute` or `day`, with its zone."""
    form = {"second": "%Y-%m-%d %H:%M:%S UTC", "minute": "%Y-%m-%d %H:%M UTC", "day": "%Y-%m-%d UTC"}[to]
    return datetime.fromtimestamp(at // _SECOND, UTC).strftime(form)


def iso(at: int) -> str:
    """A time in microseconds UTC for the attribute `datetime`."""
    return datetime.fromtimestamp(at // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def number(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A number with its unit; a word of more than two letters is put in the plural for anything but one."""
    if value is None:
        return _MISSING
    text = f"{value:,.{digits}f}"
    if not unit:
        return text
    plural = "s" if len(unit) > 2 and text != "1" else ""
    return f"{text} {unit}{plural}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share (0..1) in percent."""
    return _MISSING if share is None else f"{share * 100:.{digits}f} %"


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole % 60} s"


def ago(at: int, now: int) -> str:
    """How long a time is away from now (both microseconds UTC), in its largest unit."""
    seconds = abs(now - at) // _SECOND
    if seconds < 1:
        return "now"
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size)
    count = f"{seconds // size} {unit}"
    return f"{count} ago" if at <= now else f"in {count}"


_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def as_rate(
    value: Rate | float | None, low: float | None, high: float | None, count: int | None, of: int | None
) -> dict[str, Any]:
    """The parts of a share, whether it comes as a `Rate` or as numbers (0..1): what the macro `rate` shows."""
    if isinstance(value, Rate):
        return {"share": value.share, "low": value.low, "high": value.high, "count": value.count, "of": value.of}
    return {"share": value, "low": low, "high": high, "count": count, "of": of}


def data(value: object) -> Markup:
    """JSON for a `<script type="application/json">`: nothing in it ends the element."""
    text = orjson.dumps(value, default=str).decode()
    for char, written in _UNSAFE_IN_SCRIPT.items():
        text = text.replace(char, written)
    return Markup(text)  # noqa: S704  no character of it means anything in HTML


def exact(value: object) -> Markup:
    """A text that is edited: escaped, yet not made visible, so that it comes back as it was."""
    return escape("" if value is None else value)


def numbered(text: str, first: int = 1) -> list[tuple[int, str]]:
    """The lines of a text with their numbers."""
    return list(enumerate(text.split("\n"), first))


def diff_line(line: str) -> tuple[str, str]:
    """The kind of a line of a diff (`added`, `removed`, `place` or empty) and its text."""
    kind = {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "")
    return kind, line if kind == "place" else line[1:]


def option(value: object) -> tuple[str, str]:
    """The value and the label of a choice, which is a text or a pair of both."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return str(value[0]), str(value[1])
    return str(value), str(value)


def attributes(given: Mapping[str, object]) -> Markup:
    """Attributes of an element, each with a space before it: `hx_get` is `hx-get`, `class_` is `class`.

    True is an attribute without a value; false and none are left out.
    """
    parts = []
    for name, value in given.items():
        written = name.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(Markup(" {}").format(written))
        elif value is not None and value is not False:
            parts.append(Markup(' {}="{}"').format(written, value))
    return Markup("").join(parts)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "ago": ago,
    "as_rate": as_rate,
    "attributes": attributes,
    "beginning": beginning,
    "clipped": clipped,
    "data": data,
    "diff_line": diff_line,
    "duration": duration,
    "exact": exact,
    "fitting": fitting,
    "iso": iso,
    "moment": moment,
    "number": number,
    "numbered": numbered,
    "option": option,
    "percent": percent,
}
"""What templates know beside what Jinja2 has."""
