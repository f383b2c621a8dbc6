"""What `args` asks of one argument: a row for each clause of the contract."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import PurePosixPath
from uuid import UUID

import pytest

from tests.core.asking import FALSE, TRUE, UNKNOWN, Sealed, Word, answer, table


@pytest.mark.parametrize(
    ("path", "payload", "expected"),
    table(
        ("a key", "x", {"x": "y"}, TRUE),
        ("a key below", "x.z", {"x": {"z": "y"}}, TRUE),
        ("another value", "x", {"x": "n"}, FALSE),
        ("a key in another case is absent", "x", {"X": "y"}, UNKNOWN),
        ("absent", "x", {}, UNKNOWN),
        ("a value where a mapping was meant", "x.z", {"x": "y"}, UNKNOWN),
        ("a list where a mapping was meant", "x.z", {"x": [{"z": "y"}]}, UNKNOWN),
        ("a list stands for its items", "x", {"x": ["y", "y"]}, TRUE),
        ("a tuple too", "x", {"x": ("y",)}, TRUE),
        ("lists in lists", "x", {"x": ["y", ["y", ["y"]]]}, TRUE),
        ("some pass", "x", {"x": ["y", "n"]}, UNKNOWN),
        ("none passes", "x", {"x": ["n", "m"]}, FALSE),
        ("an empty list", "x", {"x": []}, UNKNOWN),
        ("a star is every item", "x.*.z", {"x": [{"z": "y"}, {"z": "y"}]}, TRUE),
        ("a star is every value", "x.*.z", {"x": {"a": {"z": "y"}, "b": {"z": "y"}}}, TRUE),
        ("a branch that ends early", "x.*.z", {"x": [{"z": "y"}, {}]}, UNKNOWN),
        ("a branch that disagrees", "x.*.z", {"x": [{"z": "y"}, {"z": "n"}]}, UNKNOWN),
        ("a star of nothing", "x.*.z", {"x": []}, UNKNOWN),
        ("a star of a scalar", "x.*", {"x": "y"}, UNKNOWN),
        ("a first star", "'*'", {"a": "y", "b": "y"}, TRUE),
        ("a mapping at the end", "x", {"x": {"z": "y"}}, UNKNOWN),
        ("none at the end", "x", {"x": None}, UNKNOWN),
        ("bytes at the end", "x", {"x": b"y"}, UNKNOWN),
        ("an object at the end", "x", {"x": Sealed()}, UNKNOWN),
        ("an object on the way", "x.z", {"x": Sealed()}, UNKNOWN),
        ("an object elsewhere does not matter", "x", {"x": "y", "z": Sealed()}, TRUE),
        ("no payload", "x", None, UNKNOWN),
        ("a bare string", "x", "y", UNKNOWN),
    ),
)
def test_args_walk(path: str, payload: object, expected: str) -> None:
    assert answer(f"args: {{{path}: {{equals: y}}}}", payload) == expected


MIXED = {"x": 5, "y": "five"}


@pytest.mark.parametrize(
    ("tests", "value", "expected"),
    table(
        ("equals a string", "equals: a", "a", TRUE),
        ("equals is exact", "equals: a", "A", FALSE),
        ("equals a number", "equals: 7", 7, TRUE),
        ("equals a number as a float", "equals: 7", 7.0, TRUE),
        ("equals a number as a decimal", "equals: 7", Decimal("7.00"), TRUE),
        ("equals a decimal as a float", "equals: 0.1", 0.1, TRUE),
        ("equals no near number", "equals: 9007199254740993", 9007199254740992.0, FALSE),
        ("equals a boolean", "equals: true", True, TRUE),
        ("equals the other boolean", "equals: true", False, FALSE),
        ("a number is no boolean", "equals: true", 1, UNKNOWN),
        ("a boolean is no number", "equals: 1", True, UNKNOWN),
        ("a string is no number", "equals: 7", "7", UNKNOWN),
        ("a number is no string", "equals: '7'", 7, UNKNOWN),
        ("NaN equals nothing that can be told", "equals: 7", float("nan"), UNKNOWN),
        ("infinity is not seven", "equals: 7", float("inf"), FALSE),
        ("equals an enum's value", "equals: production", Word.PRODUCTION, TRUE),
        ("equals a date's text", "equals: '2026-01-02'", date(2026, 1, 2), TRUE),
        ("in", "in: [a, b]", "b", TRUE),
        ("not in", "in: [a, b]", "c", FALSE),
        ("in another type", "in: [a, b]", 7, UNKNOWN),
        ("in a list of types", "in: [a, 7]", 7, TRUE),
        ("in a list of types, not there", "in: [a, 7]", 8, FALSE),
        ("prefix", "prefix: ab", "abc", TRUE),
        ("prefix is exact", "prefix: ab", "ABC", FALSE),
        ("prefix of any", "prefix: [x, ab]", "abc", TRUE),
        ("prefix of a number", "prefix: '7'", 7, UNKNOWN),
        ("suffix", "suffix: bc", "abc", TRUE),
        ("suffix of none", "suffix: [ab, x]", "abc", FALSE),
        ("suffix and a line end", "suffix: bc", "abc\n", FALSE),
        ("suffix of a decimal", "suffix: '5'", Decimal("1.5"), UNKNOWN),
        ("matches the whole", "matches: '[a-c]+'", "abc", TRUE),
        ("matches no part", "matches: '[a-c]+'", "abcd", FALSE),
        ("matches no line end", "matches: '[a-c]+'", "abc\n", FALSE),
        ("matches one alternative whole", "matches: a|ab", "ab", TRUE),
        ("matches a number", "matches: '.*'", 7, UNKNOWN),
        ("matches a UUID", "matches: '[0-9a-f-]{36}'", UUID(int=7), TRUE),
        ("matches what is no Unicode", "matches: '.*'", "\ud800", UNKNOWN),
        ("contains", "contains: rm -rf", "x rm -rf y", TRUE),
        ("contains when folded", "contains: rm -rf", "R'M  -rf", UNKNOWN),
        ("contains not", "contains: rm -rf", "ls", FALSE),
        ("contains any", "contains: [x, y]", "y", TRUE),
        ("contains in a number", "contains: '7'", 7, UNKNOWN),
        ("gt", "gt: 7", 8, TRUE),
        ("gt at", "gt: 7", 7.0, FALSE),
        ("gt is signed", "gt: 7", -8, FALSE),
        ("lt is signed", "lt: -7", -8, TRUE),
        ("gte at", "gte: 7", Decimal(7), TRUE),
        ("lte above", "lte: 7", 7.000001, FALSE),
        ("gt of infinity", "gt: 7", float("inf"), TRUE),
        ("gt of NaN", "gt: 7", float("nan"), UNKNOWN),
        ("gt of a string", "gt: 7", "8", UNKNOWN),
        ("gt of a boolean", "gt: 0", True, UNKNOWN),
        ("under", "under: /etc", "/etc/passwd", TRUE),
        ("under not", "under: /etc", "/etcetera", FALSE),
        ("under when folded", "under: /etc", "/ETC/x", UNKNOWN),
        ("under of a relative path", "under: /etc", "x", UNKNOWN),
        ("under any", "under: [/etc, /srv]", "/srv/x", TRUE),
        ("under of a file URL", "under: /etc", "file:///etc/x", TRUE),
        ("under of a path object", "under: /etc", PurePosixPath("/etc/x"), TRUE),
        ("under of a number", "under: /etc", 7, UNKNOWN),
        ("max items", "max_items: 2", ["a", "b"], TRUE),
        ("too many items", "max_items: 2", ["a", "b", "c"], FALSE),
        ("no items", "max_items: 0", [], TRUE),
        ("items of a tuple", "max_items: 1", ("a", "b"), FALSE),
        ("items of a list in a list", "max_items: 1", [["a", "b"]], TRUE),
        ("items of a string", "max_items: 2", "ab", UNKNOWN),
        ("items of a mapping", "max_items: 2", {"a": 1}, UNKNOWN),
        ("exists", "exists: true", "a", TRUE),
        ("exists as none", "exists: true", None, TRUE),
        ("exists as an empty list", "exists: true", [], TRUE),
        ("exists as an object", "exists: true", Sealed(), TRUE),
        ("exists, unwanted", "exists: false", "a", FALSE),
        ("not true", "not: {equals: a}", "a", FALSE),
        ("not false", "not: {equals: a}", "b", TRUE),
        ("not unknown", "not: {equals: a}", 7, UNKNOWN),
        ("not some", "not: {equals: a}", ["a", "b"], UNKNOWN),
        ("not all of several", "not: {prefix: a, suffix: b}", "ac", TRUE),
        ("all of several, negated", "not: {prefix: a, suffix: b}", "ab", FALSE),
        ("not too many", "not: {max_items: 2}", ["a", "b", "c"], TRUE),
        ("several tests", "{prefix: a, suffix: b}", "ab", TRUE),
        ("several tests, one fails", "{prefix: a, suffix: b}", "ac", FALSE),
        ("several tests fail on different values", "{prefix: a, suffix: b}", ["ax", "xb"], FALSE),
        ("a range", "{gt: 1, lt: 5}", 3, TRUE),
        ("a range of strings", "{gt: 1, lt: 5}", "3", UNKNOWN),
        ("false beats unknown", "{equals: a, gt: 5}", "b", FALSE),
        ("unknown beats true", "{equals: a, gt: 5}", "a", UNKNOWN),
        ("few items that all pass", "{max_items: 2, equals: a}", ["a", "a"], TRUE),
        ("many items that all pass", "{max_items: 1, equals: a}", ["a", "a"], FALSE),
    ),
)
def test_args_tests(tests: str, value: object, expected: str) -> None:
    braced = tests if tests.startswith("{") else f"{{{tests}}}"
    assert answer(f"args: {{x: {braced}}}", {"x": value}) == expected


@pytest.mark.parametrize(
    ("path", "tests", "payload", "expected"),
    table(
        ("absent", "x", "exists: true", {}, FALSE),
        ("absent, as wanted", "x", "exists: false", {}, TRUE),
        ("absent below a scalar", "x.y", "exists: true", {"x": 3}, FALSE),
        ("present below a star", "x.*.y", "exists: true", {"x": [{}, {"y": 1}]}, TRUE),
        ("absent below a star", "x.*.y", "exists: true", {"x": [{}, {}]}, FALSE),
        ("an empty list below a star", "x.*", "exists: true", {"x": []}, FALSE),
        ("behind an object", "x.y", "exists: true", {"x": Sealed()}, UNKNOWN),
        ("no payload", "x", "exists: true", None, UNKNOWN),
        ("no payload, as wanted", "x", "exists: false", None, UNKNOWN),
        ("a bare string", "x", "exists: false", "text", UNKNOWN),
        ("not absent", "x", "not: {exists: true}", {}, TRUE),
        ("absent and tested", "x", "exists: true, equals: a", {}, FALSE),
        ("as wanted and tested", "x", "exists: false, equals: a", {}, UNKNOWN),
    ),
)
def test_args_exists(path: str, tests: str, payload: object, expected: str) -> None:
    assert answer(f"args: {{{path}: {{{tests}}}}}", payload) == expected


def test_several_arguments_must_all_hold() -> None:
    condition = "args: {x: {gt: 1}, y: {equals: five}}"
    assert answer(condition, MIXED) == TRUE
    assert answer(condition, MIXED | {"y": "six"}) == FALSE
    assert answer(condition, {"x": 5}) == UNKNOWN
    assert answer(condition, {"x": 0}) == FALSE


@pytest.mark.parametrize(
    ("text", "expected"),
    table(
        ("an address", "a@corp.example", TRUE),
        ("an address of a subdomain", "a@eu.corp.example", TRUE),
        ("an address in capitals", "A@CORP.Example", TRUE),
        ("an address with a last dot", "a@corp.example.", TRUE),
        ("an address outside", "x@evil.example", FALSE),
        ("a look-alike", "a@notcorp.example", FALSE),
        ("the domain further left", "a@corp.example.evil.example", FALSE),
        ("a parent", "a@example", FALSE),
        ("an address with all that it may hold", "a.b+c!#$%&'*/=?^_{|}~-@corp.example", TRUE),
        ("an address with a plus", "a.b+c@corp.example", TRUE),
        ("two at signs", "a@evil.example@corp.example", UNKNOWN),
        ("no local part", "@corp.example", UNKNOWN),
        ("no domain", "a@", UNKNOWN),
        ("a display name", "Bob <a@corp.example>", UNKNOWN),
        ("a display name that is an address", "a@corp.example <x@evil.example>", UNKNOWN),
        ("two addresses", "a@corp.example,b@corp.example", UNKNOWN),
        ("white space before", " a@corp.example", UNKNOWN),
        ("a line end", "a@corp.example\n", UNKNOWN),
        ("a header within", "a@corp.example\nBcc: x@evil.example", UNKNOWN),
        ("a NUL", "a@corp.example\0", UNKNOWN),
        ("quotes", '"a b"@corp.example', UNKNOWN),
        ("a backtick", "a`b@corp.example", UNKNOWN),
        ("a comment", "a@corp.example(x)", UNKNOWN),
        ("an address of numbers", "a@[10.0.0.1]", UNKNOWN),
        ("mailto", "mailto:a@corp.example", UNKNOWN),
        ("two dots", "a@corp..example", UNKNOWN),
        ("two last dots", "a@corp.example..", UNKNOWN),
        ("a letter of another script", "a@c\u043erp.example", UNKNOWN),
        ("full-width letters", "a@\uff43orp.example", UNKNOWN),
        ("an ideographic dot", "a@corp\u3002example", UNKNOWN),
        ("a zero-width space", "a@corp\u200b.example", UNKNOWN),
        ("punycode is another name", "a@xn--crp-5cd.example", FALSE),
        ("a URL", "https://corp.example", TRUE),
        ("a URL with everything", "https://api.corp.example:8443/x/y?z=1#w", TRUE),
        ("a URL with a query at once", "https://corp.example?x", TRUE),
        ("a URL of another scheme", "git+ssh://corp.example/x", TRUE),
        ("a URL outside", "https://evil.example/corp.example", FALSE),
        ("a URL whose query is inside", "https://evil.example/?u=https://corp.example", FALSE),
        ("a URL whose fragment is inside", "https://evil.example#.corp.example", FALSE),
        ("a URL with a user", "https://corp.example@evil.example/", UNKNOWN),
        ("a URL with a password", "https://u:corp.example@evil.example/", UNKNOWN),
        ("a URL with a backslash", "https://evil.example\\@corp.example/", UNKNOWN),
        ("a URL with a backslash for a slash", "https:\\\\corp.example", UNKNOWN),
        ("a URL with a strange port", "https://corp.example:x/", UNKNOWN),
        ("a URL of one slash", "https:/corp.example", UNKNOWN),
        ("a URL of three slashes", "https:///corp.example", UNKNOWN),
        ("a URL without a scheme", "//corp.example/x", UNKNOWN),
        ("a URL with an escape in its host", "https://corp.example%2eevil.example", UNKNOWN),
        ("a URL of a version 6 address", "https://[::1]/", UNKNOWN),
        ("a URL of a local host", "https://localhost/", FALSE),
        ("a URL with a tab", "https://corp.example\t.evil.example", UNKNOWN),
        ("a URL with a space before", " https://corp.example", UNKNOWN),
        ("a URL with at signs in its path", "https://corp.example/@a/@b", TRUE),
        ("a bare host", "corp.example", TRUE),
        ("a bare host with a port", "corp.example:80", TRUE),
        ("a bare host with a path", "corp.example/x", TRUE),
        ("a bare host outside", "evil.example", FALSE),
        ("a bare host of numbers", "10.0.0.1", FALSE),
        ("a word", "corp", UNKNOWN),
        ("empty", "", UNKNOWN),
        ("an address or a path, outside or inside", "evil.example/x@corp.example", UNKNOWN),
        ("an address or a path, inside or outside", "corp.example/x@evil.example", UNKNOWN),
        ("an address with two at signs or a path", "corp.example/x@y@evil.example", UNKNOWN),
        ("a label that ends in a hyphen", "a@corp-.example", UNKNOWN),
        ("a host with a port and an at sign", "evil.example:80@corp.example", UNKNOWN),
    ),
)
def test_args_domain_in(text: str, expected: str) -> None:
    assert answer("args: {x: {domain_in: corp.example}}", {"x": text}) == expected


@pytest.mark.parametrize("value", [7, None, True, b"a@corp.example", {"a": 1}, Sealed()])
def test_what_is_no_text_has_no_domain(value: object) -> None:
    assert answer("args: {x: {domain_in: [corp.example]}}", {"x": value}) == UNKNOWN
