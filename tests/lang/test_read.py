"""What a policy that can be read says."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from decimal import Decimal

import pytest

from onpurpose.core import policy as p
from onpurpose.core.outcome import Outcome
from onpurpose.core.span import PolicyError, Span
from onpurpose.lang.arguments import TESTS, Expression
from onpurpose.lang.conditions import CONDITIONS
from onpurpose.lang.read import POLICY_KEYS, RULE_KEYS, load, parse, parse_steps
from tests.documented import PAYMENTS, SHELL
from tests.lang.reading import problems, rule, told


def conditions(text: str) -> tuple[p.Condition, ...]:
    return parse(rule(text)).rules[0].conditions


def told_tests(text: str) -> tuple[p.Test, ...]:
    (argument,) = conditions(f"args: {{a: {text}}}")
    assert isinstance(argument, p.Argument)
    return argument.tests


def test_the_shell_policy_is_read_as_written():
    policy = parse(SHELL, "shell_agent.yaml")
    assert [(rule.outcome, rule.capability, rule.conditions, rule.span.line) for rule in policy.rules] == [
        (Outcome.DENY, "shell.execute", (p.Contains(("rm -rf",)),), 4),
        (Outcome.DENY, "shell.execute", (p.Contains(("DROP TABLE",)),), 6),
        (Outcome.DENY, "shell.root_access", (), 8),
        (Outcome.REQUIRE_APPROVAL, "shell.execute", (p.Contains(("systemctl",)),), 11),
        (Outcome.REQUIRE_APPROVAL, "filesystem.write", (p.PathPrefix(("/etc",)),), 13),
        (Outcome.ALLOW, "shell.execute", (), 17),
        (Outcome.ALLOW, "filesystem.read", (), 18),
        (Outcome.ALLOW, "filesystem.write", (), 19),
    ]


def test_the_payments_policy_is_read_as_written():
    policy = parse(PAYMENTS)
    assert [(str(rule.outcome), rule.capability, rule.conditions) for rule in policy.rules] == [
        ("deny", "payments.transfer", (p.Amount(p.Operator.GT, 50000),)),
        ("require_approval", "payments.transfer", (p.Amount(p.Operator.GT, 1000),)),
        ("require_approval", "payments.refund", (p.Amount(p.Operator.GT, 500),)),
        ("allow", "payments.read", ()),
        ("allow", "payments.transfer", (p.Amount(p.Operator.LTE, 1000),)),
    ]


def test_what_a_policy_leaves_out_has_its_default():
    policy = parse("deny:\n", "a.yaml")
    assert policy == p.Policy(
        rules=(),
        source="a.yaml",
        digest=hashlib.sha256(b"deny:\n").hexdigest(),
        sections=((Outcome.DENY, Span("a.yaml", 1, 1, 4)),),
    )


def test_the_settings_are_read():
    policy = parse(
        "risk_levels: {low: {action: allow}, medium: {action: warn}, critical: {action: block}}\n"
        "amount_keys: [Betrag, total]\n"
        "path_keys: [ORT]\n"
        "approval_timeout_seconds: 2592000\n"
    )
    assert policy.risk_levels == {"low": Outcome.ALLOW, "medium": Outcome.WARN, "critical": Outcome.DENY}
    assert policy.amount_keys == ("betrag", "total")
    assert policy.path_keys == ("ort",)
    assert policy.approval_timeout_seconds == 30 * 24 * 3600
    with pytest.raises(TypeError):
        policy.risk_levels["low"] = Outcome.DENY  # type: ignore[index]


def test_sections_are_in_the_order_of_evaluation_whatever_their_order_in_the_text():
    policy = parse(
        "allow: [{capability: d}]\nwarn: [{capability: c}]\nblock: [{capability: a}]\n"
        "require_approval: [{capability: b}, {capability: bb}]\n"
    )
    assert [rule.capability for rule in policy.rules] == ["a", "b", "bb", "c", "d"]
    assert [(str(outcome), span.line) for outcome, span in policy.sections] == [
        ("deny", 3), ("require_approval", 4), ("warn", 2), ("allow", 1),
    ]  # fmt: skip


def test_a_rule_is_where_its_mapping_begins():
    policy = parse("deny:\n  - contains: >-\n      x\n    capability: a.b\n  - {capability: c}\n", "a.yaml")
    assert [rule.span for rule in policy.rules] == [Span("a.yaml", 2, 5, 12), Span("a.yaml", 5, 5, 14)]


@pytest.mark.parametrize("name", ["a", "a.b", "*", "*.b", "a.*", "a.*.c", "A-1_b.2", "1.2.3", "a" * 512])
def test_a_capability_may_be(name):
    assert parse(f'deny:\n  - capability: "{name}"\n').rules[0].capability == name


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("contains: [b, a]", p.Contains(("b", "a"))),
        ("amount_gt: 0.10", p.Amount(p.Operator.GT, Decimal("0.10"))),
        ("amount_gte: 1.5e+3", p.Amount(p.Operator.GTE, Decimal("1.5E+3"))),
        ("amount_lt: 123456789012345678901234567890", p.Amount(p.Operator.LT, 123456789012345678901234567890)),
        ("amount_lte: .5", p.Amount(p.Operator.LTE, Decimal("0.5"))),
        ("path_prefix: //a/./b/../c/", p.PathPrefix(("/a/c",))),
        ("path_prefix: [/, /etc]", p.PathPrefix(("/", "/etc"))),
        ("environment: production", p.ContextIs(p.ContextKey.ENVIRONMENT, ("production",))),
        ("user_role: [a, b]", p.ContextIs(p.ContextKey.USER_ROLE, ("a", "b"))),
        ('tenant: "no"', p.ContextIs(p.ContextKey.TENANT, ("no",))),
        ("caller_depth_gt: 0", p.CallerDepth(p.Operator.GT, 0)),
        ("caller_depth_gte: 1", p.CallerDepth(p.Operator.GTE, 1)),
        ("caller_depth_lt: 2", p.CallerDepth(p.Operator.LT, 2)),
        ("caller_depth_lte: 3", p.CallerDepth(p.Operator.LTE, 3)),
        ("args: {items.*.sku: {exists: true}}", p.Argument(("items", "*", "sku"), (p.Exists(True),))),
    ],
)
def test_a_condition_is_read(text, condition):
    (found,) = conditions(text)
    assert found == condition
    assert repr(found) == repr(condition)


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("{equals: x}", p.Equals("x")),
        ("{equals: ''}", p.Equals("")),
        ("{equals: -5}", p.Equals(-5)),
        ("{equals: true}", p.Equals(True)),
        ("{in: [a, 1, true, 1.5]}", p.In(("a", 1, True, Decimal("1.5")))),
        ("{prefix: /a}", p.Prefix(("/a",))),
        ("{suffix: [.a, .b]}", p.Suffix((".a", ".b"))),
        ("{contains: x}", p.ContainsText(("x",))),
        ("{matches: '[a-z]+'}", p.Matches(Expression("[a-z]+"))),
        ("{gt: -1}", p.Compare(p.Operator.GT, -1)),
        ("{gte: 1.0}", p.Compare(p.Operator.GTE, Decimal("1.0"))),
        ("{lt: 1}", p.Compare(p.Operator.LT, 1)),
        ("{lte: 0}", p.Compare(p.Operator.LTE, 0)),
        ("{domain_in: [Example.COM, localhost]}", p.DomainIn(("example.com", "localhost"))),
        ("{under: /srv/}", p.Under(("/srv",))),
        ("{max_items: 0}", p.MaxItems(0)),
        ("{exists: false}", p.Exists(False)),
        ("{not: {equals: x, gt: 1}}", p.Not((p.Equals("x"), p.Compare(p.Operator.GT, 1)))),
    ],
)
def test_a_test_of_an_argument_is_read(text, test):
    (found,) = told_tests(text)
    assert found == test
    assert repr(found) == repr(test)


def test_several_paths_make_several_conditions():
    found = conditions("args:\n      a: {exists: true}\n      b.c: {gt: 1, lt: 2}")
    assert [condition.path for condition in found if isinstance(condition, p.Argument)] == [("a",), ("b", "c")]


def test_not_nests_eight_deep():
    (found,) = told_tests("{not: " * 8 + "{equals: 1}" + "}" * 8)
    for _ in range(8):
        assert isinstance(found, p.Not)
        (found,) = found.tests
    assert found == p.Equals(1)


def test_an_expression_matches_whole_texts_in_linear_time():
    (found,) = told_tests("{matches: '(a+)+b'}")
    assert isinstance(found, p.Matches)
    assert found.pattern.fullmatch("aab") is not None
    assert found.pattern.fullmatch("aabc") is None
    assert found.pattern.fullmatch("a" * 100_000) is None


def test_expressions_are_equal_if_written_equally():
    assert Expression("a") == Expression("a")
    assert Expression("a") != Expression("b")
    assert Expression("a") != "a"
    assert len({Expression("a"), Expression("a")}) == 1
    assert copy.deepcopy(Expression("a")) == pickle.loads(pickle.dumps(Expression("a")))


def test_an_expression_that_is_wrong_prints_nothing(capfd):
    assert told(rule("args: {a: {matches: 'x('}}")) == ["3:25 malformed-expression"]
    assert capfd.readouterr() == ("", "")


def test_a_byte_order_mark_at_the_beginning_is_passed_over():
    text = b"\xef\xbb\xbfdeny: []\n"
    assert parse(text).digest == hashlib.sha256(text).hexdigest()
    assert told("\ufeffdenny: []\n") == ["1:1 unknown-key"]


def test_text_and_bytes_are_the_same_policy():
    assert parse(SHELL) == parse(SHELL.encode())


def test_the_limit_may_be_raised():
    text = "deny: []\n#" + "x" * 1_000_000
    assert told(text) == ["1:1 too-large"]
    assert parse(text, limit=2_000_000).rules == ()


def test_a_list_or_mapping_may_be_nested_64_deep():
    assert [q.code for q in problems("deny: " + "[" * 63 + "]" * 63)] == ["wrong-type"]


def test_a_file_is_loaded_under_its_name(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(SHELL, encoding="utf-8")
    assert load(path) == parse(SHELL, str(path))
    assert load(str(path)) == load(path)


def test_a_file_of_50_megabytes_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(PolicyError) as caught:
        load(path)
    assert [q.code for q in caught.value.problems] == ["too-large"]


@pytest.mark.parametrize(
    ("name", "words"), [("absent.yaml", "no such file or directory"), ("", "is a directory"), ("a\0b", "null byte")]
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path, name, words):
    with pytest.raises(PolicyError) as caught:
        load(f"{tmp_path}/{name}")
    (problem,) = caught.value.problems
    assert problem.code == "unreadable-file"
    assert words in problem.message


def test_reading_hands_over_between_short_steps():
    text = "deny:\n" + "  - capability: a.b\n    contains: x\n" * 2000
    steps = parse_steps(text)
    handed_over = sum(1 for _ in steps)
    assert handed_over > 200


def test_many_problems_of_odd_characters_take_linear_time():
    assert len(problems("# \x01\n" * 200_000)) == 1001


def test_the_pure_parser_reads_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml._yaml", None)  # as where PyYAML was built without libyaml
    assert parse(SHELL) == parse(SHELL.encode())
    assert told("deny: [\u00e9]\nallow: *x\nwarn: &a []\n") == ["1:8 wrong-type", "2:8 alias", "3:7 anchor"]
    assert told("deny: '\\ud800'\n") == ["1:7 wrong-type"]
    assert told('deny: "\\ud800"\n') == ["1:7 unreadable-text"]
    assert told("deny:\n\t- capability: a\nallow: *\n") == ["2:1 tab", "3:8 alias"]


def test_the_keys_are_those_of_the_contract():
    assert set(POLICY_KEYS) == {
        "deny", "block", "require_approval", "warn", "allow",
        "risk_levels", "amount_keys", "path_keys", "approval_timeout_seconds", "approvers", "step_up",
    }  # fmt: skip
    assert set(RULE_KEYS) == {"capability", "args", "approvers", "step_up", *CONDITIONS}
    assert len(CONDITIONS) == 13
    assert set(TESTS) == {
        "equals", "in", "prefix", "suffix", "matches", "contains", "gt", "gte", "lt", "lte",
        "domain_in", "under", "max_items", "exists",
    }  # fmt: skip


def test_importing_the_reader_does_not_import_what_few_policies_need():
    program = "import sys, onpurpose.lang.read; print({'re2', 'difflib', 'yaml'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"
    )
