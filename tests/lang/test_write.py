"""Rules written as YAML and read back are the same rules, whatever their texts hold."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core import policy as p
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Rule
from onpurpose.core.span import Span
from onpurpose.lang.arguments import Expression
from onpurpose.lang.read import parse
from onpurpose.lang.write import comment, quoted, rule_lines, write_section

NOWHERE = Span("", 1, 1)
READABLE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
TEXTS = READABLE | st.sampled_from(["no", "1e3", "~", "a: b", "# x", '"', "\\", "\n", "\x00", "\u2028", "\U0001f600"])
LISTS = st.lists(TEXTS, min_size=1, max_size=4, unique=True).map(tuple)
NUMBERS = st.integers(-(10**20), 10**20) | st.decimals(-1000, 1000, places=3)
SIZES = st.integers(0, 10**20) | st.decimals(0, 1000, places=3)
SCALARS = TEXTS | NUMBERS | st.booleans()
ALTERNATIVES = st.lists(SCALARS, min_size=1, max_size=4, unique_by=lambda v: (isinstance(v, bool), v)).map(tuple)
OPERATORS = st.sampled_from(p.Operator)
PREFIXES = st.lists(st.sampled_from(["/etc", "/srv/a b", "/é/#x"]), min_size=1, unique=True).map(tuple)
DOMAINS = st.lists(st.sampled_from(["a.example", "b.example"]), min_size=1, unique=True).map(tuple)

SINGLE = st.one_of(
    SCALARS.map(p.Equals),
    ALTERNATIVES.map(p.In),
    LISTS.map(p.Prefix),
    LISTS.map(p.Suffix),
    st.sampled_from(["a+", "[0-9]{2}", "x y"]).map(lambda text: p.Matches(Expression(text))),
    LISTS.map(p.ContainsText),
    st.builds(p.Compare, OPERATORS, NUMBERS),
    DOMAINS.map(p.DomainIn),
    PREFIXES.map(p.Under),
    st.integers(0, 99).map(p.MaxItems),
    st.booleans().map(p.Exists),
)
TESTS = st.recursive(SINGLE, lambda inner: inner.map(lambda test: p.Not((test,))), max_leaves=3)
PATHS = st.lists(st.sampled_from(["to", "*", "n", "no", "a b", "é", '"', "#", "1"]), min_size=1, max_size=3).map(tuple)
ARGUMENTS = st.builds(p.Argument, PATHS, TESTS.map(lambda test: (test,)))
CONDITIONS = st.one_of(
    LISTS.map(p.Contains),
    st.builds(p.Amount, OPERATORS, SIZES),
    PREFIXES.map(p.PathPrefix),
    st.builds(p.ContextIs, st.sampled_from(p.ContextKey), st.just(("production", "no"))),
    st.builds(p.CallerDepth, OPERATORS, st.integers(0, 9)),
    ARGUMENTS,
)


def kind(condition: p.Condition) -> object:
    """What may stand in a rule only once."""
    told = [getattr(condition, name, None) for name in ("path", "operator", "key")]
    return type(condition), *told


NAMES = st.sampled_from(["pay", "pay.*", "*", "a-b.c_d", "no", "1", "*.x", "mcp__a__b"])
ALL = st.lists(CONDITIONS, max_size=4, unique_by=kind)
RULES = st.builds(
    Rule, outcome=st.just(Outcome.ALLOW), capability=NAMES, conditions=ALL.map(tuple), span=st.just(NOWHERE)
)


def parts(rule: Rule) -> tuple[str, set[str]]:
    return rule.capability, {repr(condition) for condition in rule.conditions}


@given(st.lists(st.tuples(RULES, st.lists(st.text(max_size=9), max_size=2).map(tuple)), min_size=1, max_size=3))
def test_rules_come_back_as_they_were(commented: list[tuple[Rule, tuple[str, ...]]]) -> None:
    policy = parse(write_section(Outcome.ALLOW, commented))
    assert [parts(rule) for rule in policy.rules] == [parts(rule) for rule, _ in commented]
    assert {rule.outcome for rule in policy.rules} == {Outcome.ALLOW}


@pytest.mark.parametrize(
    "test",
    [
        p.Equals("no"),
        p.In((1, "1", True)),
        p.Prefix(("a",)),
        p.Suffix(("a", "b")),
        p.Matches(Expression("a+")),
        p.ContainsText(("a",)),
        p.Compare(p.Operator.LT, Decimal("1E+5")),
        p.DomainIn(("a.example",)),
        p.Under(("/etc",)),
        p.MaxItems(0),
        p.Exists(False),
        p.Not((p.Exists(True), p.MaxItems(3))),
    ],
)
def test_every_test_comes_back(test: p.Test) -> None:
    rule = Rule(outcome=Outcome.WARN, capability="a", conditions=(p.Argument(("x", "*"), (test,)),), span=NOWHERE)
    assert parse(write_section(Outcome.WARN, [(rule, ())])).rules[0].conditions == rule.conditions


def test_a_section_without_rules_is_no_section() -> None:
    assert write_section(Outcome.DENY, []) == ""


def test_several_tests_stand_on_the_line_of_their_argument() -> None:
    argument = p.Argument(("n",), (p.Compare(p.Operator.GTE, 1), p.Compare(p.Operator.LTE, Decimal("2.50"))))
    rule = Rule(outcome=Outcome.ALLOW, capability="a", conditions=(argument,), span=NOWHERE)
    assert rule_lines(rule) == ["- capability: a", "  args:", '    "n": {gte: 1, lte: 2.50}']


def test_a_long_list_of_texts_stands_one_a_line() -> None:
    texts = tuple(f"text number {n}" for n in range(12))
    rule = Rule(outcome=Outcome.DENY, capability="a", conditions=(p.Contains(texts),), span=NOWHERE)
    assert rule_lines(rule)[1:3] == ["  contains:", '    - "text number 0"']
    assert parse(write_section(Outcome.DENY, [(rule, ())])).rules[0].conditions == (p.Contains(texts),)


@given(st.text(max_size=20))
def test_a_comment_is_one_line_whatever_it_holds(text: str) -> None:
    assert comment(text).startswith("#")
    assert comment(text).isprintable()


def test_half_a_character_cannot_be_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        quoted("\ud800")
