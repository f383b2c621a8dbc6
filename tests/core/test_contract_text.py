"""What `contains` finds: a row for each clause of the contract."""

from __future__ import annotations

from collections import UserDict
from datetime import UTC, date, datetime
from datetime import time as clock_time
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID

import pytest

from tests.core.asking import COMBINING, FALSE, TRUE, UNKNOWN, Sealed, Word, answer, table


@pytest.mark.parametrize(
    ("payload", "expected"),
    table(
        ("verbatim", {"cmd": "sudo rm -rf /"}, TRUE),
        ("verbatim in a bare string", "rm -rf /", TRUE),
        ("verbatim in a list in a list", {"a": [["x", ("rm -rf",)]]}, TRUE),
        ("verbatim under a key that is no string", {1: "rm -rf"}, TRUE),
        ("absent", {"cmd": "ls -la"}, FALSE),
        ("an empty payload has no text", {}, FALSE),
        ("an empty bare string has no text", "", FALSE),
        ("no payload", None, UNKNOWN),
        ("in a key", {"rm -rf": 1}, UNKNOWN),
        ("in a key, folded", {"RM  -rf": 1}, UNKNOWN),
        ("spread over two keys", {"rm": 1, "-rf": 2}, FALSE),
        ("letter case", {"cmd": "RM -RF"}, UNKNOWN),
        ("two spaces", {"cmd": "rm  -rf"}, UNKNOWN),
        ("a tab", {"cmd": "rm\t-rf"}, UNKNOWN),
        ("a line end", {"cmd": "rm\r\n-rf"}, UNKNOWN),
        ("a line separator", {"cmd": "rm\u2028-rf"}, UNKNOWN),
        ("an information separator", {"cmd": "rm\x1c-rf"}, UNKNOWN),
        ("a next-line control", {"cmd": "rm\x85-rf"}, UNKNOWN),
        ("a no-break space", {"cmd": "rm\u00a0-rf"}, UNKNOWN),
        ("an ideographic space", {"cmd": "rm\u3000-rf"}, UNKNOWN),
        ("quotes within a word", {"cmd": "r''m -rf"}, UNKNOWN),
        ("double quotes", {"cmd": '"rm" "-rf"'}, UNKNOWN),
        ("backticks", {"cmd": "r``m -rf"}, UNKNOWN),
        ("typographic quotes", {"cmd": "\u201crm\u201d -\u2018rf\u2019"}, UNKNOWN),
        ("low quotes", {"cmd": "r\u201am\u201e -rf"}, UNKNOWN),
        ("guillemets", {"cmd": "\u00abrm\u00bb -rf"}, UNKNOWN),
        ("full-width quotes", {"cmd": "r\uff07\uff07m -rf"}, UNKNOWN),
        ("a backslash", {"cmd": "r\\m -rf"}, UNKNOWN),
        ("a full-width backslash", {"cmd": "r\uff3cm -rf"}, UNKNOWN),
        ("a zero-width space", {"cmd": "r\u200bm -rf"}, UNKNOWN),
        ("a soft hyphen", {"cmd": "r\u00adm -rf"}, UNKNOWN),
        ("a byte order mark", {"cmd": "\ufeffr\ufeffm -rf"}, UNKNOWN),
        ("a bidirectional override", {"cmd": "r\u202em -rf"}, UNKNOWN),
        ("a grapheme joiner", {"cmd": "r\u034fm -rf"}, UNKNOWN),
        ("a variation selector", {"cmd": "r\ufe0fm -rf"}, UNKNOWN),
        ("a variation selector of the supplement", {"cmd": "r\U000e0100m -rf"}, UNKNOWN),
        ("a tag character", {"cmd": "r\U000e0061m -rf"}, UNKNOWN),
        ("a Hangul filler", {"cmd": "r\u3164m -rf"}, UNKNOWN),
        ("a half-width Hangul filler", {"cmd": "r\uffa0m -rf"}, UNKNOWN),
        ("a Khmer inherent vowel", {"cmd": "r\u17b4m -rf"}, UNKNOWN),
        ("a Mongolian vowel separator", {"cmd": "r\u180em -rf"}, UNKNOWN),
        ("a NUL", {"cmd": "r\0m -rf"}, UNKNOWN),
        ("a delete control", {"cmd": "r\x7fm -rf"}, UNKNOWN),
        ("a C1 control", {"cmd": "r\x9fm -rf"}, UNKNOWN),
        ("full-width letters", {"cmd": "\uff52\uff4d -rf"}, UNKNOWN),
        ("mathematical letters", {"cmd": "\U0001d42b\U0001d426 -rf"}, UNKNOWN),
        ("$IFS", {"cmd": "rm$IFS-rf"}, UNKNOWN),
        ("${IFS}", {"cmd": "rm${IFS}-rf"}, UNKNOWN),
        ("$IFS with quotes within", {"cmd": "rm$I''FS-rf"}, UNKNOWN),
        ("$IFS beside a space", {"cmd": "rm $IFS -rf"}, UNKNOWN),
        ("another variable", {"cmd": "rm$X-rf"}, FALSE),
        ("a comment", {"cmd": "rm/* x */-rf"}, UNKNOWN),
        ("an empty comment", {"cmd": "rm/**/-rf"}, UNKNOWN),
        ("a comment over lines", {"cmd": "rm/*\n*\n*/-rf"}, UNKNOWN),
        ("a comment with a comment's start within", {"cmd": "rm/* /* */-rf"}, UNKNOWN),
        ("a comment that a quote hides", {"cmd": "rm/'*x*'/-rf"}, UNKNOWN),
        ("an overlapping comment is none", {"cmd": "rm/*/-rf"}, FALSE),
        ("an open comment is text", {"cmd": "rm/*-rf"}, FALSE),
        ("over a list", {"argv": ["rm", "-rf"]}, UNKNOWN),
        ("over a tuple", {"argv": ("rm", "-rf", "/")}, UNKNOWN),
        ("over two fields", {"cmd": "rm", "args": "-rf /"}, UNKNOWN),
        ("over two fields in the wrong order", {"args": "-rf /", "cmd": "rm"}, FALSE),
        ("over fields with a number between", {"cmd": "rm", "n": 3, "args": "-rf"}, UNKNOWN),
        ("over fields, in a comment that spans them", {"a": "rm /*", "b": "*/ -rf"}, UNKNOWN),
        ("split without a space stays split", {"a": "rm -", "b": "rf"}, FALSE),
        ("a homoglyph is another letter", {"cmd": "r\u043c -rf"}, FALSE),
        ("letters in reverse are others", {"cmd": "fr- mr"}, FALSE),
        ("bytes", {"x": b"ls"}, UNKNOWN),
        ("a bytearray", {"x": bytearray(b"rm -rf")}, UNKNOWN),
        ("an object", {"x": Sealed()}, UNKNOWN),
        ("a set", {"x": {"ls"}}, UNKNOWN),
        ("a generator", {"x": (char for char in "ls")}, UNKNOWN),
        ("a key that is no string", {1: "ls"}, UNKNOWN),
        ("a lone surrogate", {"x": "\ud800"}, UNKNOWN),
        ("a lone surrogate in a key", {"\udfff": 1}, UNKNOWN),
        ("33 combining marks", {"x": "a" + COMBINING * 33}, UNKNOWN),
        ("32 combining marks", {"x": "a" + COMBINING * 32}, FALSE),
        ("bytes beside a verbatim text", {"x": b"", "cmd": "rm -rf"}, TRUE),
        ("numbers, booleans and none hold no text", {"x": 1, "y": 2.5, "z": [True, None]}, FALSE),
        ("an enum is read as its value", {"x": Word.RM}, TRUE),
        ("a path is read as text", {"x": PurePosixPath("rm -rf")}, TRUE),
        ("a mapping that is no dict", UserDict({"x": MappingProxyType({"y": "rm -rf"})}), TRUE),
    ),
)
def test_contains(payload: object, expected: str) -> None:
    assert answer("contains: rm -rf", payload) == expected


@pytest.mark.parametrize(
    ("condition", "payload", "expected"),
    table(
        ("any of a list", "contains: [drop, rm]", {"x": "rm"}, TRUE),
        ("true beats unknown", "contains: [DROP, rm]", {"x": "drop rm"}, TRUE),
        ("unknown beats false", "contains: [nope, RM]", {"x": "rm"}, UNKNOWN),
        ("none of a list", "contains: [nope, neither]", {"x": "rm"}, FALSE),
        ("a date's text", "contains: '2026-01-02'", {"x": date(2026, 1, 2)}, TRUE),
        ("a timestamp's text", "contains: T03:04", {"x": datetime(2026, 1, 2, 3, 4, tzinfo=UTC)}, TRUE),
        ("a time's text", "contains: '03:04'", {"x": clock_time(3, 4)}, TRUE),
        ("a UUID's text", "contains: 0000-00000000000a", {"x": UUID(int=10)}, TRUE),
        ("a decimal's text", "contains: '12.50'", {"x": Decimal("12.50")}, TRUE),
        ("a number has no text", "contains: '12'", {"x": 12}, FALSE),
        ("sharp s folds to ss", "contains: strasse", {"x": "Stra\u00dfe"}, UNKNOWN),
        ("a composed letter and its parts", "contains: \u00e9", {"x": "e\u0301"}, UNKNOWN),
        ("a long s", "contains: base64", {"x": "ba\u017fe64"}, UNKNOWN),
        ("a ligature", "contains: file", {"x": "\ufb01le"}, UNKNOWN),
        ("the policy's text is folded too", 'contains: "R\'M"', {"x": "rm"}, UNKNOWN),
        ("a text of quotes alone, verbatim", "contains: \"''\"", {"x": "a''b"}, TRUE),
        ("a text of quotes alone is no part of every text", "contains: \"''\"", {"x": "ab"}, FALSE),
        ("a text of quotes alone, in a key", "contains: \"''\"", {"''": 1}, UNKNOWN),
        ("an open comment, verbatim", "contains: /*", {"x": "a /* b"}, TRUE),
        ("a comment in the text hides a comment sign", "contains: '*/'", {"x": "/\u200b* *\u200b/"}, FALSE),
    ),
)
def test_contains_of_other_texts(condition: str, payload: object, expected: str) -> None:
    assert answer(condition, payload) == expected
