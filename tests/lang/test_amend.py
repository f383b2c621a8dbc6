"""A text is changed where its values change: it says what was wanted, and every other line is as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.lang.amend import amended, tree_of
from onpurpose.lang.write import tree_lines

TEXT = """# why it is here
policy_id: p  # ours

purpose_id: 'q'
match:   # when
  user_groups:
    - one   # the first

    # the second
    - "two"
  # end of match
  hours: {zone: UTC, windows: "daily 08:00-18:00"} # h
nested:
- zone: UTC
  windows: [a, b]
folded: >-
  some
  thing

# end
"""


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        ({"policy_id": "r"}, "policy_id: p  # ours", "policy_id: r  # ours"),
        ({"purpose_id": "r"}, "purpose_id: 'q'", 'purpose_id: "r"'),
        ({"policy_id": 5}, "policy_id: p  # ours", "policy_id: 5  # ours"),
        ({"policy_id": True}, "policy_id: p  # ours", "policy_id: true  # ours"),
        ({"policy_id": "5"}, "policy_id: p  # ours", 'policy_id: "5"  # ours'),
        ({"policy_id": ["a", "b"]}, "policy_id: p  # ours", 'policy_id: ["a", "b"]  # ours'),
        ({"policy_id": {"a": "b"}}, "policy_id: p  # ours", "policy_id: {a: b}  # ours"),
        ({"policy_id": None}, "policy_id: p  # ours\n", ""),
        ({"folded": "any"}, "folded: >-\n  some\n  thing\n", "folded: any\n"),
        ({"folded": None}, "folded: >-\n  some\n  thing\n", ""),
        ({"last": "x"}, "  some\n  thing\n", "  some\n  thing\nlast: x\n"),
        ({"nested": "x"}, "- zone: UTC\n  windows: [a, b]\n", "  x\n"),
        ({"nested": {"a": {"b": "c"}}}, "- zone: UTC\n  windows: [a, b]\n", "  a:\n    b: c\n"),
        ({"nested": [{"zone": "UTC", "windows": ["b"]}]}, "[a, b]", "[b]"),
        ({"nested": [{"zone": "UTC", "windows": ["a"]}]}, "[a, b]", "[a]"),
        ({"nested": [{"zone": "UTC", "windows": ["x", "a", "b"]}]}, "[a, b]", "[x, a, b]"),
        ({"nested": [{"zone": "UTC", "windows": ["a", "b", "c d"]}]}, "[a, b]", '[a, b, "c d"]'),
        ({"nested": [{"zone": "UTC", "windows": "a"}]}, "[a, b]", "a"),
        (
            {"nested": [{"zone": "UTC", "windows": ["a", "b"]}, {"zone": "X", "windows": ["c"]}]},
            "[a, b]\n",
            '[a, b]\n- {zone: X, windows: ["c"]}\n',
        ),
        ({"nested": [{"zone": "X"}, {"zone": "UTC", "windows": ["a", "b"]}]}, "nested:\n", "nested:\n- {zone: X}\n"),
    ],
)
def test_a_value_is_changed_in_its_place(change: dict[str, Any], old: str, new: str) -> None:
    wanted = {key: value for key, value in {**tree_of(TEXT), **change}.items() if value is not None}
    assert amended(TEXT, wanted) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("inside", "old", "new"),
    [
        ({"user_groups": ["one", "three", "two"]}, "first\n", 'first\n    - "three"\n'),
        ({"user_groups": ["two"]}, "    - one   # the first\n", ""),
        ({"user_groups": ["one", "other"]}, '"two"', '"other"'),
        ({"user_groups": "one"}, '    - one   # the first\n\n    # the second\n    - "two"', "    one"),
        ({"new": ["a"]}, '    - "two"\n', '    - "two"\n  new: ["a"]\n'),
        ({"hours": {"zone": "UTC"}}, '{zone: UTC, windows: "daily 08:00-18:00"}', "{zone: UTC}"),
        ({"hours": {"windows": "daily 08:00-18:00"}}, "zone: UTC, ", ""),
        ({"hours": {"zone": "UTC", "windows": "daily 08:00-18:00", "x": 1}}, '18:00"}', '18:00", x: 1}'),
        ({"hours": {"x": 1, "zone": "UTC", "windows": "daily 08:00-18:00"}}, "{zone", "{x: 1, zone"),
    ],
)
def test_what_stands_inside_is_changed_in_its_place(inside: dict[str, Any], old: str, new: str) -> None:
    tree = tree_of(TEXT)
    match = {**tree["match"], **inside}
    if "new" in inside:
        match = {"user_groups": ["one", "two"], **inside, "hours": match["hours"]}
    assert amended(TEXT, {**tree, "match": match}) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "wanted", "changed"),
    [
        ("a: 1", {"a": 1, "b": 2}, "a: 1\nb: 2"),
        ("a: 1", {"b": 2, "a": 1}, "b: 2\na: 1"),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "c": 3, "b": 2}, "a: 1\r\nc: 3\r\nb: 2\r\n"),
        (
            "a:\n  b: 1\n  # of a\n# of c\nc: 2\n",
            {"a": {"b": 1}, "d": 3, "c": 2},
            "a:\n  b: 1\n  # of a\nd: 3\n# of c\nc: 2\n",
        ),
        ("a: 1\rb: 2\r", {"b": 2}, "b: 2\r"),
        ("a: 1\nb: 2", {"a": 1}, "a: 1\n"),
        ("--- # doc\na: 1\n...\n", {"a": 1, "b": 2}, "--- # doc\na: 1\nb: 2\n...\n"),
        ('{"a": 1, "b": [1, 2]}', {"a": 1, "b": [2]}, '{"a": 1, "b": [2]}'),
        ("{a: 1, # one\n b: 2 # two\n}\n", {"a": 1}, "{a: 1, # one\n  # two\n}\n"),
        ("a: [x, y, z]\n", {"a": ["x"]}, "a: [x, ]\n"),
        ("a: [1, # one\n  2]\n", {"a": [1]}, "a: [1, # one\n  ]\n"),
        ("a: []\nb: {}\n", {"a": ["x"], "b": {"c": 1}}, 'a: ["x"]\nb: {c: 1}\n'),
        ("a: [x]\n", {"a": []}, "a: []\n"),
        ("a: [p, q, r, s]\n", {"a": ["x", "q", "r", "z"]}, "a: [x, q, r, z]\n"),
        ("a: 1\n", {"a": 1, "b": ["x" * 60, "y" * 60]}, f'a: 1\nb:\n  - "{"x" * 60}"\n  - "{"y" * 60}"\n'),
        ("a:\nb: 1\n", {"a": "x", "b": 1}, "a: x\nb: 1\n"),
    ],
)
def test_documents_of_every_layout(text: str, wanted: Any, changed: str) -> None:
    assert amended(text, wanted) == changed
    assert tree_of(changed) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("? a\n: 1\n? b\n: 2\n", {"a": 1}),
        ("- - a\n  - b\n", [["b"]]),
        ("? a\n: 1\n", {"x": 0, "a": 1}),
        ("- a: 1\n  b: 2\n", [{"b": 2}]),
        ("- b: 2\n", [{"a": 1, "b": 2}]),
        ("? a\n: - x\n", {"a": {"b": "c"}}),
        ("a: # why\n", {"a": {"b": 1}}),
    ],
)
def test_what_is_laid_out_too_strangely_is_written_anew(text: str, wanted: Any) -> None:
    assert tree_of(amended(text, wanted)) == wanted


def test_a_long_list_is_compared_in_linear_time() -> None:
    names = [f"n{number}" for number in range(5_000)]
    text = "a:\n" + "".join(f"- {name} # {name}\n" for name in names)
    assert amended(text, {"a": [*names[:3_000], "x", *names[3_001:]]}) == text.replace("- n3000 #", "- x #")
    assert tree_of(amended(text, {"a": names[::-1]})) == {"a": names[::-1]}


leaves = (
    st.booleans()
    | st.integers(0, 99)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=8)
)
names = st.from_regex(r"[a-z]{1,5}", fullmatch=True)
trees = st.dictionaries(
    names,
    st.recursive(
        leaves | st.lists(leaves, max_size=4),
        lambda inner: st.dictionaries(names, inner, min_size=1, max_size=4),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
)


def laid_out(tree: dict[str, Any], remarks: list[str]) -> str:
    """The tree as YAML, with these lines between the lines of its keys."""
    lines = []
    for number, line in enumerate(tree_lines(tree)):
        lines += [remarks[number % len(remarks)], line] if remarks else [line]
    return "".join(f"{line}\n" for line in lines)


@given(trees, trees, st.lists(st.sampled_from(["", "# why", "   # deep", "  "]), max_size=4))
def test_whatever_is_wanted_is_said(tree: dict[str, Any], wanted: dict[str, Any], remarks: list[str]) -> None:
    text = laid_out(tree, remarks)
    assert tree_of(text) == tree
    assert amended(text, tree) == text
    assert tree_of(amended(text, wanted)) == wanted
