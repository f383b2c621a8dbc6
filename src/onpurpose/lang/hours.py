"""Hours of the week: `mon-fri 08:00-18:00` in a time zone -> `Window`, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import chain, groupby
from typing import TypeAlias

from onpurpose.core.purpose import Window
from onpurpose.lang import shapes
from onpurpose.lang.nodes import Node, Sequence
from onpurpose.lang.report import Report, nearest, shortened

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days as they are written, Monday first."""

DAILY = "daily"
"""Every day, as it is written."""

Stretch: TypeAlias = tuple[tuple[int, ...], int, int]
"""Days, and the minutes of each from which and up to which."""

_DAY_MINUTES = 24 * 60
_EXAMPLE = "mon-fri 08:00-18:00"
_FORM = shapes.Form(
    "hours",
    f'write `hours: {{zone: Europe/Berlin, windows: ["{_EXAMPLE}"]}}`',
    ("zone", "windows"),
    ("zone", "windows"),
)
_WINDOW = re.compile(r"(?P<days>\S+) (?P<start>[0-9]{2}:[0-5][0-9])-(?P<end>[0-9]{2}:[0-5][0-9])")
_SEARCHED = 10  # after so many problems no nearest zone is looked for: each time takes some 30 ms
_OF_ONE_MACHINE = {"localtime", "posixrules", "Factory"}


def hours(node: Node, report: Report, name: str) -> tuple[Window, ...] | None:
    """The windows that the node states, none twice: a mapping of a zone and its windows, or a list of such."""
    if isinstance(node, Sequence):
        if not shapes.not_empty(node, report, name):
            return None
        stated = [_stated(child, report) for child in node.children]
    else:
        stated = [_stated(node, report)]
    whole = [windows for windows in stated if windows is not None]
    return tuple(dict.fromkeys(chain.from_iterable(whole))) if len(whole) == len(stated) else None


def _stated(node: Node, report: Report) -> tuple[Window, ...] | None:
    fields = shapes.fields(node, report, _FORM)
    zone = _zone(fields["zone"], report) if "zone" in fields else None
    if "windows" not in fields:
        return None
    found = shapes.each(fields["windows"], report, "windows", partial(_stretches, report))
    if found is None or zone is None:
        return None
    from zoneinfo import ZoneInfo  # noqa: PLC0415  see `_zones`

    window = partial(Window, zone=ZoneInfo(zone), zone_name=zone)
    return tuple(window(days=days, start=start, end=end) for days, start, end in chain.from_iterable(found))


def _zone(node: Node, report: Report) -> str | None:
    name = shapes.text(node, report, "zone")
    if name is None or name in _zones():
        return name
    near = nearest(name, sorted(_zones())) if len(report.problems) < _SEARCHED else None
    cure = "write a name of the IANA time zone database, like `Europe/Berlin`"
    message = f"`{shortened(name)}` is no time zone"
    report.on(node, "unknown-zone", message, cure if near is None else f"did you mean `{near}`?")
    return None


@cache
def _zones() -> frozenset[str]:
    """The zones that mean the same on every machine."""
    from zoneinfo import available_timezones  # noqa: PLC0415  only a policy with hours pays for it

    return frozenset(available_timezones() - _OF_ONE_MACHINE)


def _stretches(report: Report, node: Node, text: str) -> tuple[Stretch, ...] | None:
    """The stretch of hours that the text states; one that crosses midnight is two."""
    parts = _WINDOW.fullmatch(text)
    if parts is None:
        _malformed(node, report, text, "is no window of hours")
        return None
    days = _days(parts["days"], node, report)
    start, end = _minutes(parts["start"]), _minutes(parts["end"])
    if start >= _DAY_MINUTES or end > _DAY_MINUTES:
        _malformed(node, report, text, "names a time that is past the end of the day")
    elif start == end:
        _malformed(node, report, text, "is empty", f"for a whole day write `{DAILY} 00:00-24:00`")
    elif days is not None:
        return tuple(_split(days, start, end))
    return None


def _split(days: tuple[int, ...], start: int, end: int) -> Iterator[Stretch]:
    """The stretch; past midnight it goes on as one of the days that follow."""
    if start < end:
        yield days, start, end
        return
    yield days, start, _DAY_MINUTES
    if end:
        yield tuple(sorted((day + 1) % 7 for day in days)), 0, end


def _malformed(node: Node, report: Report, text: str, why: str, cure: str = f"write `{_EXAMPLE}`") -> None:
    report.on(node, "malformed-hours", f"`{shortened(text)}` {why}", cure)


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _days(text: str, node: Node, report: Report) -> tuple[int, ...] | None:
    """The days named, in the week's order: `mon`, `mon-fri`, `sat-mon`, `mon,wed`, `daily`."""
    if text == DAILY:
        return tuple(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-") if "-" in part else (part, "", part)
        for word in (first, last):
            if word not in DAYS:
                report.on(node, "malformed-hours", f"`{shortened(word)}` is no day", shapes.choice(word, DAYS))
                return None
        length = (DAYS.index(last) - DAYS.index(first)) % 7
        found.update((DAYS.index(first) + step) % 7 for step in range(length + 1))
    return tuple(sorted(found))


# -- and back


def written(windows: Iterable[Window]) -> list[tuple[str, tuple[str, ...]]]:
    """The windows as texts that `hours` reads as them, under the name of their zone, in order."""
    by_zone = groupby(windows, lambda window: window.zone_name)
    return [(zone, tuple(map(_window_text, group))) for zone, group in by_zone]


def _window_text(window: Window) -> str:
    return f"{_days_text(window.days)} {_clock(window.start)}-{_clock(window.end)}"


def _days_text(days: tuple[int, ...]) -> str:
    if len(days) == len(DAYS):
        return DAILY
    runs: list[list[int]] = []
    for day in days:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}" for run in runs)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
