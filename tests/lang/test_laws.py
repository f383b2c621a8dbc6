"""Laws of the reader: it refuses or reads, never anything else, and reads back what is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from decimal import Decimal

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from onpurpose.core import policy as p
from onpurpose.core.outcome import Outcome
from onpurpose.core.span import PolicyError, Problem
from onpurpose.lang.arguments import Expression
from onpurpose.lang.lint import lint
from onpurpose.lang.read import parse
from tests.lang.test_read import PAYMENTS, SHELL

# -- refused or read

FULL = """\
deny:
  - {capability: a.*, contains: [x, 'y z'], amount_gt: 1.5, path_prefix: /etc, environment: "production"}
  - capability: "*"
    user_role: |
      admin
    args:
      to.*: {domain_in: [a.com], not: {matches: '[a-z]+', in: [1, true, "x"]}, max_items: 3}
      n: {gt: -1, exists: true, under: /srv, prefix: a, suffix: b, contains: c, equals: 5}
risk_levels: {low: {action: allow}, critical: {action: block}}
amount_keys: [betrag]
path_keys: [ort]
approval_timeout_seconds: 60
allow: []
"""
PIECES = [
    "*", "&a", "*a", "!!str", "<<", ": ", "- ", "\t", "\n", "\r", "[", "]", "{", "}", "'", '"', "|\n", ">\n", "#",
    "%YAML 1.1\n", "---\n", "...\n", "?", "no", "010", "~", ".inf", "-", ",", "\\", "\0", "\u2028", "\ud800", "\ufeff",
    "\u0301" * 40, "deny:", "capability:", " ", "  ", "@", "`", "1:30", "=", "\x1b", "\U0001f600",
]  # fmt: skip


def lines_of(text: str) -> list[str]:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_and_look(text: bytes | str) -> object:
    """Read the text, and look it over if that succeeds."""
    return lint(parse(text))


def problems_of(text: bytes | str, read: Callable[[bytes | str], object]) -> tuple[Problem, ...]:
    """The problems for which the text is refused; none if it is read."""
    try:
        read(text)
    except PolicyError as error:
        assert error.problems  # noqa: PT017  whether it is refused is not what is claimed here
        return error.problems
    return ()


def refused_or_read(text: bytes | str, read: Callable[[bytes | str], object] = read_and_look) -> None:
    """The text is read, or refused with places that lie in it."""
    problems = problems_of(text, read)
    lines = lines_of(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    assert [*problems] == sorted(problems, key=lambda q: (q.span.line, q.span.column))
    for problem in problems:
        line = lines[problem.span.line - 1]
        assert 1 <= problem.span.column <= len(line) + 1
        assert problem.span.column - 1 + problem.span.length <= max(len(line), problem.span.column)
        assert problem.code
        assert all(shown.isprintable() for shown in problem.render().split("\n"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(text):
    refused_or_read(text)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_refused_or_read(text):
    refused_or_read(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@example("*\t\u2028'")
@example("- !\n- *")
def test_any_heap_of_yaml_is_refused_or_read(text):
    refused_or_read(text)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from([FULL, SHELL, PAYMENTS]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + draw(st.sampled_from([*PIECES, ""])) + text[end:]
    return text


@settings(deadline=None, max_examples=300)
@given(mutated())
def test_a_policy_that_someone_broke_is_refused_or_read(text):
    refused_or_read(text)


@settings(deadline=None, max_examples=150)
@given(mutated())
def test_the_two_parsers_never_read_two_policies(text):
    with pytest.MonkeyPatch.context() as patch:
        fast = read_or_none(text)
        patch.setitem(sys.modules, "yaml._yaml", None)  # as where PyYAML was built without libyaml
        slow = read_or_none(text)
    assert slow == fast or slow is None or fast is None  # the one in Python refuses a tab after a colon


def read_or_none(text: str) -> p.Policy | None:
    try:
        return parse(text)
    except PolicyError:
        return None


# -- written and read back

words = st.text(st.characters(codec="utf-8", max_codepoint=0x2FF), min_size=1, max_size=8)
labels = words.map(str.strip).filter(bool)
some_words = st.lists(words, min_size=1, max_size=3, unique=True).map(tuple)
some_labels = st.lists(labels, min_size=1, max_size=3, unique=True).map(tuple)
segments = st.one_of(st.just("*"), st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True))
capabilities = st.lists(segments, min_size=1, max_size=4).map(".".join)
paths = st.lists(st.from_regex(r"[a-z]{1,3}", fullmatch=True), max_size=3).map(lambda parts: "/" + "/".join(parts))
naturals = st.integers(min_value=0)
some_paths = st.lists(paths, min_size=1, max_size=3, unique=True).map(tuple)
thousandths = st.integers(0, 999)
sizes = st.one_of(naturals, st.builds(lambda whole, part: Decimal(f"{whole}.{part:03}"), naturals, thousandths))
numbers = st.one_of(sizes, sizes.map(lambda size: size if isinstance(size, int) else size.copy_negate()), st.integers())
operators = st.sampled_from(list(p.Operator))
scalars = st.one_of(words, st.booleans(), numbers)
domains = st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,3}[a-z0-9])?", fullmatch=True), min_size=1, max_size=3)
some_domains = st.lists(domains.map(".".join), min_size=1, max_size=3, unique=True).map(tuple)

simple_tests = st.one_of(
    st.builds(p.Equals, scalars),
    st.builds(p.In, st.lists(scalars, min_size=1, max_size=3, unique_by=lambda v: (type(v) is bool, v)).map(tuple)),
    st.builds(p.Prefix, some_words),
    st.builds(p.Suffix, some_words),
    st.builds(p.Matches, st.builds(Expression, st.from_regex(r"[a-z]{1,5}[+*?]?", fullmatch=True))),
    st.builds(p.ContainsText, some_words),
    st.builds(p.Compare, operators, numbers),
    st.builds(p.DomainIn, some_domains),
    st.builds(p.Under, some_paths),
    st.builds(p.MaxItems, st.integers(min_value=0)),
    st.builds(p.Exists, st.booleans()),
)


def key_of(value: p.Test | p.Condition) -> str:
    """The key under which the value is written; no mapping holds one twice."""
    match value:
        case p.ContainsText() | p.Contains():
            return "contains"
        case p.DomainIn():
            return "domain_in"
        case p.MaxItems():
            return "max_items"
        case p.Compare():
            return str(value.operator)
        case p.Amount():
            return f"amount_{value.operator}"
        case p.CallerDepth():
            return f"caller_depth_{value.operator}"
        case p.ContextIs():
            return str(value.key)
        case p.PathPrefix():
            return "path_prefix"
        case p.Argument():
            return "args:" + ".".join(value.path)
        case _:
            return type(value).__name__.lower()


def several(one: st.SearchStrategy[p.Test]) -> st.SearchStrategy[tuple[p.Test, ...]]:
    return st.lists(one, min_size=1, max_size=3, unique_by=key_of).map(tuple)


some_tests = several(st.recursive(simple_tests, lambda inner: st.builds(p.Not, several(inner)), max_leaves=4))
argument_paths = st.lists(st.one_of(st.just("*"), st.from_regex(r"[a-z ]*[a-z]", fullmatch=True).map(str.strip)),
                          min_size=1, max_size=3).map(tuple)  # fmt: skip
conditions = st.one_of(
    st.builds(p.Contains, some_words),
    st.builds(p.Amount, operators, sizes),
    st.builds(p.PathPrefix, some_paths),
    st.builds(p.ContextIs, st.sampled_from(list(p.ContextKey)), some_labels),
    st.builds(p.CallerDepth, operators, st.integers(min_value=0)),
    st.builds(p.Argument, argument_paths, some_tests),
)
some_conditions = st.lists(conditions, max_size=4, unique_by=key_of).map(
    # `args` is one key: its conditions stand together in the text, and so in the rule.
    lambda found: tuple(sorted(found, key=lambda one: isinstance(one, p.Argument)))
)
rules = st.tuples(capabilities, some_conditions)
sections = st.dictionaries(st.sampled_from(p.SECTIONS), st.lists(rules, max_size=3), min_size=1)


def quoted(text: str) -> str:
    """The text in double quotes, every character but plain ASCII escaped."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else f"\\U{ord(char):08x}" for char in text)
    return f'"{plain}"'


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


def listed(values: Iterable[object]) -> str:
    return f"[{', '.join(map(written, values))}]"


def value_of(value: p.Test | p.Condition) -> str:
    match value:
        case p.Equals(scalar) | p.Exists(scalar) | p.MaxItems(scalar):
            return written(scalar)
        case p.Compare(limit=limit) | p.Amount(limit=limit) | p.CallerDepth(limit=limit):
            return written(limit)
        case p.Matches(pattern):
            return written(pattern.pattern)
        case p.Not(tests):
            return mapping(tests)
        case p.In(values) | p.ContextIs(values=values):
            return listed(values)
        case p.Prefix(texts) | p.Suffix(texts) | p.ContainsText(texts) | p.Contains(texts) | p.DomainIn(texts):
            return listed(texts)
        case p.Under(prefixes) | p.PathPrefix(prefixes):
            return listed(prefixes)
        case p.Argument():
            raise AssertionError(value)


def mapping(values: Iterable[p.Test | p.Condition]) -> str:
    return "{" + ", ".join(f"{key_of(value)}: {value_of(value)}" for value in values) + "}"


def rule_text(capability: str, found: tuple[p.Condition, ...]) -> str:
    lines = [f"  - capability: {quoted(capability)}"]
    lines += [f"    {key_of(one)}: {value_of(one)}" for one in found if not isinstance(one, p.Argument)]
    arguments = [one for one in found if isinstance(one, p.Argument)]
    if arguments:
        lines.append("    args:")
    lines += [f"      {quoted('.'.join(one.path))}: {mapping(one.tests)}" for one in arguments]
    return "\n".join(lines)


@settings(deadline=None, max_examples=150)
@given(sections)
def test_a_policy_that_is_written_is_read_back(policy):
    text = ""
    for outcome, found in policy.items():
        text += f"{outcome}:\n" + "".join(rule_text(*one) + "\n" for one in found)
    read = parse(text)
    expected = [(outcome, *one) for outcome in p.SECTIONS for one in policy.get(outcome, ())]
    assert [(rule.outcome, rule.capability, rule.conditions) for rule in read.rules] == expected
    assert repr([rule.conditions for rule in read.rules]) == repr([one[2] for one in expected])
    lines = text.split("\n")
    assert all(lines[rule.span.line - 1].startswith("  - capability") for rule in read.rules)
    assert parse(text) == read


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(p.RiskLevel)), st.sampled_from(list(Outcome)), min_size=1))
def test_risk_levels_that_are_written_are_read_back(levels):
    text = orjson.dumps({"risk_levels": {str(k): {"action": str(v)} for k, v in levels.items()}})
    assert parse(text).risk_levels == levels
