"""Folding takes a text for what a lenient reader would, in time linear in it."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.text import BETWEEN, MAX_MARKS, fold, fold_all, unreadable

SAME = [
    "rm -rf",
    "RM -RF",
    "rm  -rf",
    "rm\t-rf",
    "rm\n-rf",
    "rm\x0b\x1f-rf",
    "r''m -rf",
    'r"m" -rf',
    "r`m` -rf",
    "r\\m -rf",
    "rm$IFS-rf",
    "rm${IFS}-rf",
    "rm$ifs$IFS -rf",
    "rm/**/-rf",
    "rm /* x */ -rf",
    "r\u200bm -rf",
    "\uff52\uff4d -rf",
    "rm\u00a0-rf",
    "rm\u3000-rf",
    "rm\u2028-rf",
    "r\x00m -rf",
    "r\x7fm -rf",
    "r\u00adm -rf",
    "r\ufe0fm -rf",
    "\u201crm\u201d -rf",
    "r\U000e0041m -rf",
]

OTHER = ["rm-rf", "rm -r f", "r m -rf", "rm -rg", "rm /*-rf", "rm $IF -rf", "ram -rf", ""]


@pytest.mark.parametrize("text", SAME)
def test_what_reads_the_same_folds_to_the_same(text: str) -> None:
    assert fold(text) == fold("rm -rf")


@pytest.mark.parametrize("text", OTHER)
def test_what_reads_otherwise_folds_otherwise(text: str) -> None:
    assert fold(text) != fold("rm -rf")


TEXTS = st.text(max_size=12) | st.lists(
    st.sampled_from(
        ["rm", " ", "  ", "\t", "'", '"', "`", "\\", "/*", "*/", "$IFS", "${IFS}", "$", "A", "\u00df", "\u200b"]
    ),
    max_size=8,
).map("".join)
READABLE = TEXTS.filter(lambda text: not unreadable(text))


@given(READABLE)
def test_a_folded_text_has_single_spaces_and_no_capitals(text: str) -> None:
    folded = fold(text)
    assert "  " not in folded
    assert not any(char in folded for char in "A'\"`\\\t\n")


@given(st.lists(READABLE, max_size=4), st.lists(READABLE, max_size=3))
def test_all_texts_are_found_where_they_are_sought(texts: list[str], names: list[str]) -> None:
    haystack = fold_all(" ".join(texts), texts, names)
    for text in [*texts, *names]:
        assert fold(text) in haystack
    assert fold(" ".join(texts)) in haystack


@given(st.lists(READABLE, min_size=1, max_size=3))
def test_no_match_spans_texts_and_names(texts: list[str]) -> None:
    parts = fold_all(" ".join(texts), texts, ["x", "y"]).split(BETWEEN)
    assert parts[-2:] == ["x", "y"]


@pytest.mark.parametrize("broken", ["\ud800", "a\udfffb", "x" + "\u0301" * (MAX_MARKS + 1), "\uff9e" * 40])
def test_what_is_no_text_is_unreadable(broken: str) -> None:
    assert unreadable(broken)


@pytest.mark.parametrize(
    "text", ["", "abc", "\u00fc", "\u65e5\u672c", "e\u0301" * 100, "x" + "\u0301" * MAX_MARKS, "\U0001f600"]
)
def test_text_is_readable(text: str) -> None:
    assert not unreadable(text)
    assert fold(text) == fold(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    "piece", ["/*", "*/", "/* ", "$IFS", "$", " ", "\t", "'", "\\", "\u00fc/*", "e\u0301", "\u200b", "A"]
)
def test_much_of_anything_folds_in_linear_time(piece: str) -> None:
    text = piece * ((1 << 20) // len(piece.encode()))
    started = time.thread_time()
    assert not unreadable(text)
    fold_all(text, [text], [text])
    assert time.thread_time() - started < 10, "by the square this would take minutes"
