"""Hours of the week: what a window means, and what is none."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from onpurpose.core.purpose import Window
from onpurpose.lang.purposes import parse_purposes
from tests.lang.reading import problems, told


def policy(hours: str) -> str:
    """A policy of these hours, which stand on line 1 from column 52."""
    return f"{{purpose_id: p, decision: allow, match: {{  hours:  {hours}}}}}\n"


def windows(hours: str) -> list[tuple[tuple[int, ...], int, int]]:
    (found,) = parse_purposes(policy(hours))
    return [(window.days, window.start, window.end) for window in found.match.hours]


def in_utc(*written: str) -> list[tuple[tuple[int, ...], int, int]]:
    return windows(f"{{zone: UTC, windows: [{', '.join(written)}]}}")


def test_windows_are_minutes_of_days_in_a_zone():
    (found,) = parse_purposes(
        policy('{zone: Europe/Berlin, windows: ["mon-fri 08:00-18:00", "sat 09:00-12:30"]}'),
    )
    berlin = {"zone": ZoneInfo("Europe/Berlin"), "zone_name": "Europe/Berlin"}
    assert found.match.hours == (
        Window(days=(0, 1, 2, 3, 4), start=480, end=1080, **berlin),
        Window(days=(5,), start=540, end=750, **berlin),
    )


@pytest.mark.parametrize(
    ("days", "meant"),
    [
        ("mon", (0,)),
        ("mon-tue", (0, 1)),
        ("wed,mon", (0, 2)),
        ("sat-mon", (0, 5, 6)),
        ("mon-wed,tue,fri-sat", (0, 1, 2, 4, 5)),
        ("sun-sun", (6,)),
        ("mon-sun", (0, 1, 2, 3, 4, 5, 6)),
        ("daily", (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_days_are_names_lists_and_ranges(days, meant):
    assert in_utc(f'"{days} 00:00-24:00"') == [(meant, 0, 1440)]


def test_a_window_that_crosses_midnight_is_two():
    assert in_utc("fri 22:00-06:00") == [((4,), 1320, 1440), ((5,), 0, 360)]
    assert in_utc("sun 22:00-06:00") == [((6,), 1320, 1440), ((0,), 0, 360)]
    assert in_utc("fri-sun 23:59-00:01") == [((4, 5, 6), 1439, 1440), ((0, 5, 6), 0, 1)]


def test_a_window_may_end_at_midnight():
    assert in_utc("fri 22:00-00:00") == in_utc("fri 22:00-24:00") == [((4,), 1320, 1440)]


def test_one_window_stands_for_a_list_of_it():
    assert windows("{zone: UTC, windows: mon 08:00-09:00}") == [((0,), 480, 540)]


def test_several_zones_stand_in_a_list():
    (found,) = parse_purposes(
        policy("[{zone: Europe/Berlin, windows: mon 08:00-09:00}, {zone: Asia/Tokyo, windows: mon 08:00-09:00}]")
    )
    assert [window.zone_name for window in found.match.hours] == ["Europe/Berlin", "Asia/Tokyo"]


def test_a_window_that_two_texts_state_is_one():
    assert in_utc("fri 22:00-06:00", "sat 00:00-06:00") == [((4,), 1320, 1440), ((5,), 0, 360)]


@pytest.mark.parametrize(
    ("hours", "place", "cure"),
    [
        ("mon 08:00-09:00", "1:52 wrong-type", "write `hours: {zone: Europe/Berlin"),
        ("", "1:52 wrong-type", "Europe/Berlin"),
        ("[]", "1:52 empty", "remove it"),
        ("[9]", "1:53 wrong-type", "Europe/Berlin"),
        ("{zone: UTC}", "1:52 missing-key", "add `windows"),
        ("{windows: mon 08:00-09:00}", "1:52 missing-key", "add `zone"),
        ("{zone: UTC, windows: []}", "1:73 empty", "remove it"),
        ("{zone: UTC, windows: mon 08:00-09:00, days: mon}", "1:90 unknown-key", "known: `zone`, `windows`"),
        ("{zone: 1, windows: mon 08:00-09:00}", "1:59 wrong-type", '"1"'),
        ("{zone: Europe/Berlim, windows: mon 08:00-09:00}", "1:59 unknown-zone", "did you mean `Europe/Berlin`?"),
        ("{zone: europe/berlin, windows: mon 08:00-09:00}", "1:59 unknown-zone", "did you mean `Europe/Berlin`?"),
        ("{zone: Qqq, windows: mon 08:00-09:00}", "1:59 unknown-zone", "IANA"),
        ("{zone: localtime, windows: mon 08:00-09:00}", "1:59 unknown-zone", ""),
        ("{zone: posixrules, windows: mon 08:00-09:00}", "1:59 unknown-zone", ""),
        ("{zone: /etc/localtime, windows: mon 08:00-09:00}", "1:59 unknown-zone", ""),
        ("{zone: ../Europe/Berlin, windows: mon 08:00-09:00}", "1:59 unknown-zone", "`Europe/Berlin`"),
        ("{zone: UTC, windows: mon}", "1:73 malformed-hours", "`mon-fri 08:00-18:00`"),
        ("{zone: UTC, windows: 08:00-18:00}", "1:73 malformed-hours", "`mon-fri 08:00-18:00`"),
        ("{zone: UTC, windows: mon 8:00-18:00}", "1:73 malformed-hours", "`mon-fri 08:00-18:00`"),
        ("{zone: UTC, windows: mon 08:00 - 18:00}", "1:73 malformed-hours", "`mon-fri 08:00-18:00`"),
        ("{zone: UTC, windows: mon 08:60-18:00}", "1:73 malformed-hours", "`mon-fri 08:00-18:00`"),
        ("{zone: UTC, windows: mon \u0660\u0668:00-18:00}", "1:73 malformed-hours", "`mon-fri 08:00-18:00`"),
        ("{zone: UTC, windows: mon 08:00-24:01}", "1:73 malformed-hours", "`mon-fri 08:00-18:00`"),
        ("{zone: UTC, windows: mon 24:00-08:00}", "1:73 malformed-hours", "`mon-fri 08:00-18:00`"),
        ("{zone: UTC, windows: mon 08:00-08:00}", "1:73 malformed-hours", "`daily 00:00-24:00`"),
        ("{zone: UTC, windows: Mon 08:00-18:00}", "1:73 malformed-hours", "did you mean `mon`?"),
        ("{zone: UTC, windows: monday 08:00-18:00}", "1:73 malformed-hours", "known: `mon`"),
        ("{zone: UTC, windows: mon-tues 08:00-18:00}", "1:73 malformed-hours", "did you mean `tue`?"),
        ("{zone: UTC, windows: 'mon, 08:00-18:00'}", "1:73 malformed-hours", "known: `mon`"),
        ("{zone: UTC, windows: [mon 08:00-09:00, mon 08:00-09:00]}", "1:91 duplicate-value", "remove one"),
        ("[{zone: UTC, windows: mon 08:00-09:00}, {zone: UTC}]", "1:92 missing-key", "add `windows"),
    ],
)
def test_what_are_no_hours_is_refused(hours, place, cure):
    assert told(policy(hours), parse_purposes) == [place]
    (problem,) = problems(policy(hours), parse_purposes)
    assert cure in problem.help


def test_a_zone_and_windows_are_both_told():
    text = policy("{zone: Berlin, windows: [mon, tue 08:00-08:00]}")
    assert told(text, parse_purposes) == ["1:59 unknown-zone", "1:77 malformed-hours", "1:82 malformed-hours"]


def test_the_nearest_zone_is_told_of_the_first_wrong_ones_alone():
    wrong = ", ".join(["{zone: Europe/Berlim, windows: mon 08:00-09:00}"] * 50)
    found = problems(policy(f"[{wrong}]"), parse_purposes)
    assert [problem.code for problem in found] == ["unknown-zone"] * 50
    assert ["did you mean" in problem.help for problem in found] == [True] * 10 + [False] * 40
