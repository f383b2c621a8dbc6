"""Every defect of a policy is refused, at its place and with its cure."""

from __future__ import annotations

import pytest

from tests.lang.reading import problems, rule, told

FORM = [
    # claim, text, place and code, what the cure mentions
    ("nothing", "", "1:1 empty", "`allow:`"),
    ("only comments", "# one\n# two\n", "1:1 empty", "`allow:`"),
    ("only a marker", "---\n", "1:1 empty", "`allow:`"),
    ("null", "null\n", "1:1 empty", "`allow:`"),
    ("not UTF-8", b"deny:\n  - capability: \xe9t\xe9\n", "2:17 not-utf-8", "UTF-8"),
    ("not UTF-8 on the last line", b"deny: \xff", "1:7 not-utf-8", "UTF-8"),
    ("UTF-16", "deny: []".encode("utf-16"), "1:1 not-utf-8", "UTF-8"),
    ("NUL", "deny: []\x00\n", "1:9 refused-character", "\\x00"),
    ("an escape sequence", "# \x1b[31m\ndeny: []\n", "1:3 refused-character", "\\x1b"),
    ("a line break of YAML 1.1 alone", "deny: [] # a\u2028allow: []\n", "1:13 refused-character", "\\u2028"),
    ("a mark that reorders text", "deny: [] # \u202e\n", "1:12 refused-character", "\\u202e"),
    ("a byte order mark inside", "deny: []\n\ufeff\n", "2:1 refused-character", "\\ufeff"),
    ("a lone surrogate", "# \ud800\ndeny: []\n", "1:3 refused-character", "remove"),
    ("too many combining marks", f'deny:\n  - capability: "a{chr(0x301) * 33}"\n', "2:17 unreadable-text", "fewer"),
    ("a tab as indentation", "deny:\n\t- capability: a\n", "2:1 tab", "spaces"),
    ("a tab after a dash", "deny:\n  -\tcapability: a\n", "2:4 tab", ""),
    ("an anchor", "deny: &all\n  - capability: a\n", "1:7 anchor", "write the value out"),
    ("an anchor on a scalar", "deny:\n  - capability: &x a\n", "2:17 anchor", "write the value out"),
    ("an alias", "deny: []\nallow: *all\n", "2:8 alias", '"*all"'),
    ("a lone star", "allow:\n  - capability: *\n", "2:17 alias", '`"*"`'),
    ("a star in a list", rule("environment: [*]"), "3:19 alias", '`"*"`'),
    ("a leading star", "allow:\n  - capability: *.read\n", "2:17 alias", '`"*.read"`'),
    ("a long token with a leading star", f"allow:\n  - capability: *.{'x' * 60}\n", "2:17 alias", "quote it"),
    ("a merge key", "deny:\n  - capability: a\n    <<: {contains: x}\n", "3:5 merge-key", "write the keys out"),
    ("a tag", "deny: !!seq []\n", "1:7 tag", "remove"),
    ("a tag on a scalar", "deny:\n  - capability: !!str a\n", "2:17 tag", "remove"),
    ("a tag without a name", "deny:\n  - capability: ! a\n", "2:17 tag", "remove"),
    ("a YAML directive", "%YAML 1.1\n---\ndeny: []\n", "1:1 directive", "remove"),
    ("a tag directive", "%TAG ! tag:x,2000:\n---\ndeny: []\n", "1:1 directive", "remove"),
    ("a second document", "deny: []\n---\nallow: []\n", "2:1 several-documents", "one document"),
    ("a duplicate key", "deny: []\nallow: []\ndeny: []\n", "3:1 duplicate-key", "keep one"),
    ("a duplicate key in a rule", rule("contains: x\n    contains: y"), "4:5 duplicate-key", "keep one"),
    ("a key that is a number", "1: []\n", "1:1 key-not-text", '`"1"`'),
    ("a key that is a list", "? [a]\n: b\n", "1:3 key-not-text", "key: value"),
    ("a key that is null", "~: []\n", "1:1 key-not-text", "quote"),
    ("an open bracket", "deny: [\n", "1:8 syntax", ""),
    ("an open list", "deny: [{capability: a}\nallow: []\n", "2:1 syntax", "`]`"),
    ("an open mapping", "risk_levels: {low: {action: deny}\nallow: []\n", "2:1 syntax", "`}`"),
    ("an open quote", rule("contains: 'x"), "3:15 syntax", "close the quote"),
    ("an unknown escape", rule('contains: "\\d"'), "3:16 syntax", "`\\\\`"),
    ("a colon in a text", rule("contains: a: b"), "3:16 syntax", "quote"),
    ("a wrong indentation", "deny:\n  - capability: a\n contains: x\n", "3:2 syntax", "indentation"),
    ("an at sign", rule("contains: @x"), "3:15 syntax", '`"@x"`'),
    ("a lone ampersand", rule("contains: & x"), "3:15 syntax", '`"&"`'),
    ("nesting over 64", "deny: " + "[" * 64 + "]" * 64, "1:70 too-deep", "flatten"),
    ("400,000 brackets", "deny: " + "[" * 400_000, "1:70 too-deep", "flatten"),
    ("200,000 braces", "{deny: [" + "{a: " * 200_000, "1:257 too-deep", "flatten"),
    ("a section under a sequence", "- deny: []\n", "1:1 wrong-type", "`allow:`"),
    ("a text alone", "deny\n", "1:1 wrong-type", "`allow:`"),
]

SCALARS = [
    ("no", rule("contains: no"), "3:15 ambiguous-scalar", '`"no"`'),
    ("YES", rule("contains: YES"), "3:15 ambiguous-scalar", "`true`"),
    ("oFf", rule("contains: oFf"), "3:15 ambiguous-scalar", "`false`"),
    ("on as a key", "on: []\n", "1:1 ambiguous-scalar", '`"on"`'),
    ("octal by a zero", rule("amount_gt: 010"), "3:16 ambiguous-scalar", '`"010"`'),
    ("octal by an o", rule("amount_gt: 0o10"), "3:16 ambiguous-scalar", "decimal"),
    ("binary", rule("amount_gt: 0b1"), "3:16 ambiguous-scalar", "decimal"),
    ("underscores", rule("amount_gt: 1_000"), "3:16 ambiguous-scalar", "decimal"),
    ("sexagesimal", rule("contains: 1:30"), "3:15 ambiguous-scalar", '`"1:30"`'),
    ("an exponent without a dot", rule("amount_gt: 1e3"), "3:16 ambiguous-scalar", "decimal"),
    ("an exponent without a sign", rule("amount_gt: 1.5e3"), "3:16 ambiguous-scalar", "decimal"),
    ("a hash that looks like a number", rule("contains: 123e4567"), "3:15 ambiguous-scalar", '`"123e4567"`'),
    ("a date", rule("contains: 2026-01-02"), "3:15 ambiguous-scalar", '`"2026-01-02"`'),
    ("a point in time", rule("contains: 2026-01-02 10:11:12Z"), "3:15 ambiguous-scalar", "10:11:12Z"),
    ("an equals sign", rule("contains: ="), "3:15 ambiguous-scalar", '`"="`'),
    ("infinity as a limit", rule("amount_gt: .inf"), "3:16 wrong-type", "amount_gt: 1000"),
    ("not-a-number as a limit", rule("amount_gt: .nan"), "3:16 wrong-type", "amount_gt: 1000"),
    ("a number of 401 digits", rule(f"amount_gt: {'1' * 401}"), "3:16 number-too-long", "quote"),
    ("a fraction of 401 digits", rule(f"amount_gt: 1.{'1' * 401}"), "3:16 number-too-long", "quote"),
    ("a hexadecimal of 401 digits", rule(f"amount_gt: 0x{'1' * 401}"), "3:16 number-too-long", "quote"),
    ("a long scalar of two readings", rule(f"contains: 0{'1' * 90}"), "3:15 ambiguous-scalar", "..."),
]

SHAPES = [
    ("an unknown section", "denny: []\n", "1:1 unknown-key", "`deny`"),
    ("an unknown key of a rule", rule("contain: x"), "3:5 unknown-key", "`contains`"),
    ("a key written with a dash", rule("path-prefix: /etc"), "3:5 unknown-key", "`path_prefix`"),
    ("a key like nothing known", rule("zzz: x"), "3:5 unknown-key", "known: `capability`"),
    ("a key of a thousand letters", rule(f"{'contains' * 125}: x"), "3:5 unknown-key", "known: `capability`"),
    ("a section that is a text", "deny: shell.execute\n", "1:7 wrong-type", "- capability"),
    ("a section that is a mapping", "deny:\n  capability: a\n", "2:3 wrong-type", "- capability"),
    ("both spellings of a section", "deny: []\nblock: []\n", "2:1 duplicate-key", "another word"),
    ("a rule that is a text", "deny:\n  - shell.execute\n", "2:5 wrong-type", "`- capability: shell.execute`"),
    ("a colon without a space", "deny:\n  - capability:shell.execute\n", "2:5 wrong-type", "space after the colon"),
    ("a rule that is a list", "deny:\n  - [a]\n", "2:5 wrong-type", "- capability"),
    ("a rule that is nothing", "deny:\n  -\n", "2:4 wrong-type", "- capability"),
    ("a rule without capability", "deny:\n  - contains: x\n", "2:5 missing-capability", "add `capability"),
    ("an empty rule", "deny:\n  - {}\n", "2:5 missing-capability", "add `capability"),
    ("a capability misspelt", "deny:\n  - capabilty: a\n", "2:5 unknown-key", "did you mean `capability`"),
]

CAPABILITIES = [
    ("a space", 'deny:\n  - capability: "a b"\n', "2:17 malformed-capability", "`a_b`"),
    ("a trailing newline", 'deny:\n  - capability: "a.b\\n"\n', "2:17 malformed-capability", "`a.b`"),
    ("an empty segment", "deny:\n  - capability: a..b\n", "2:17 malformed-capability", "empty segment"),
    ("a star inside a segment", "deny:\n  - capability: pay*\n", "2:17 malformed-capability", "whole segment"),
    ("a look-alike letter", "deny:\n  - capability: p\u0430y\n", "2:17 malformed-capability", "U+0430"),
    ("over 512 characters", f"deny:\n  - capability: {'a' * 513}\n", "2:17 malformed-capability", "shorten"),
    ("a number", "deny:\n  - capability: 5\n", "2:17 wrong-type", '`capability: "5"`'),
    ("nothing", "deny:\n  - capability:\n", "2:16 wrong-type", "capability"),
    ("an empty text", 'deny:\n  - capability: ""\n', "2:17 empty", "write a text"),
    ("a list", "deny:\n  - capability: [a]\n", "2:17 wrong-type", "capability"),
]

CONDITIONS = [
    ("an empty contains", rule('contains: ""'), "3:15 empty", "remove"),
    ("no contains", rule("contains:"), "3:14 wrong-type", "contains"),
    ("a contains that is a number", rule("contains: 5"), "3:15 wrong-type", '`contains: "5"`'),
    ("a contains that is a truth value", rule("contains: true"), "3:15 wrong-type", '"true"'),
    ("a contains that is a mapping", rule("contains: {a: b}"), "3:15 wrong-type", "contains"),
    ("an empty list", rule("contains: []"), "3:15 empty", "remove"),
    ("an empty text in a list", rule('contains: [a, ""]'), "3:19 empty", "write a text"),
    ("a text twice in a list", rule("contains: [a, b, a]"), "3:22 duplicate-value", "remove"),
    ("a limit that is a text", rule('amount_gt: "5"'), "3:16 wrong-type", "`amount_gt: 5`"),
    ("a limit that is a word", rule("amount_gt: much"), "3:16 wrong-type", "write a number"),
    ("a limit that is a truth value", rule("amount_lte: true"), "3:17 wrong-type", "write a number"),
    ("a limit that is a list", rule("amount_lt: [5]"), "3:16 wrong-type", "write a number"),
    ("a negative limit", rule("amount_gte: -5"), "3:17 out-of-range", "`amount_gte: 5`"),
    ("a fraction of a depth", rule("caller_depth_gt: 1.5"), "3:22 out-of-range", "caller_depth_gt: 1"),
    ("a negative depth", rule("caller_depth_lt: -1"), "3:22 out-of-range", "0 or more"),
    ("a depth that is a text", rule('caller_depth_lte: "3"'), "3:23 wrong-type", "`caller_depth_lte: 3`"),
    ("a relative prefix", rule("path_prefix: etc"), "3:18 malformed-path", "`/etc`"),
    ("a home directory", rule("path_prefix: ~/x"), "3:18 malformed-path", "directory out"),
    ("a variable", rule("path_prefix: $HOME"), "3:18 malformed-path", "directory out"),
    ("a URL", rule("path_prefix: file:///etc"), "3:18 malformed-path", "path alone"),
    ("a backslash", rule("path_prefix: C:\\Windows"), "3:18 malformed-path", "`/`"),
    ("a NUL in a path", rule('path_prefix: "/etc\\0"'), "3:18 malformed-path", "remove"),
    ("a pattern as a prefix", rule("path_prefix: /etc/*"), "3:18 malformed-path", "all that lies under"),
    ("a percent-escape", rule("path_prefix: /%65tc"), "3:18 malformed-path", "character itself"),
    ("a door of Linux", rule("path_prefix: /proc/self/root/etc"), "3:18 malformed-path", "directory itself"),
    ("a prefix twice", rule("path_prefix: [/a/../b, /b/]"), "3:28 duplicate-value", "remove"),
    ("no prefix", rule("path_prefix: []"), "3:18 empty", "remove"),
    ("white space around", rule('environment: " production"'), "3:18 white-space", "remove"),
    ("white space around in a list", rule('tenant: [a, "b\\t"]'), "3:13 white-space", "remove"),
    ("an empty role", rule("user_role: ''"), "3:16 empty", "write a text"),
]

ARGUMENTS = [
    ("no arguments", rule("args: {}"), "3:11 empty", "remove"),
    ("arguments that are a list", rule("args: [a]"), "3:11 wrong-type", "args: {"),
    ("no tests", rule("args: {a: {}}"), "3:15 empty", "remove"),
    ("tests that are a text", rule("args: {a: b}"), "3:15 wrong-type", "equals"),
    ("an empty segment", rule("args: {a..b: {equals: 1}}"), "3:12 malformed-path", "items.*.sku"),
    ("white space in a segment", rule('args: {"a. b": {equals: 1}}'), "3:12 white-space", "remove"),
    ("a star in a segment", rule("args: {a.b*: {equals: 1}}"), "3:12 malformed-path", "items.*.sku"),
    ("65 segments", rule(f"args: {{{'.'.join('a' * 65)}: {{equals: 1}}}}"), "3:12 malformed-path", "shorten"),
    ("an unknown test", rule("args: {a: {equal: 1}}"), "3:16 unknown-key", "`equals`"),
    ("an equals of nothing", rule("args: {a: {equals: }}"), "3:24 wrong-type", "equals"),
    ("an equals of infinity", rule("args: {a: {equals: .inf}}"), "3:24 wrong-type", "equals"),
    ("an equals of a list", rule("args: {a: {equals: [1]}}"), "3:24 wrong-type", "equals"),
    ("an in that is no list", rule("args: {a: {in: x}}"), "3:20 wrong-type", "[...]"),
    ("an in of nothing", rule("args: {a: {in: []}}"), "3:20 empty", "remove"),
    ("an in of a list", rule("args: {a: {in: [[1]]}}"), "3:21 wrong-type", "in"),
    ("an in with the same number twice", rule("args: {a: {in: [1, 1.0]}}"), "3:24 duplicate-value", "remove"),
    ("an empty prefix", rule("args: {a: {prefix: ''}}"), "3:24 empty", "write a text"),
    ("an empty expression", rule("args: {a: {matches: ''}}"), "3:25 empty", "write a text"),
    ("an open group", rule("args: {a: {matches: 'x('}}"), "3:25 malformed-expression", "RE2"),
    ("a look-ahead", rule("args: {a: {matches: '(?=x)'}}"), "3:25 malformed-expression", "look-around"),
    ("a huge expression", rule("args: {a: {matches: '((a{100}){100}){9}'}}"), "3:25 malformed-expression", "RE2"),
    ("a long expression", rule(f"args: {{a: {{matches: '{'x' * 1001}'}}}}"), "3:25 malformed-expression", "`in`"),
    ("a limit that is a text", rule("args: {a: {gte: '5'}}"), "3:21 wrong-type", "`gte: 5`"),
    ("a negative count", rule("args: {a: {max_items: -1}}"), "3:27 out-of-range", "max_items"),
    ("a count that is a fraction", rule("args: {a: {max_items: 1.0}}"), "3:27 out-of-range", "max_items"),
    ("an exists that is a text", rule("args: {a: {exists: 'true'}}"), "3:24 wrong-type", "exists: true"),
    ("an exists that is a number", rule("args: {a: {exists: 1}}"), "3:24 wrong-type", "exists: true"),
    ("a relative path", rule("args: {a: {under: etc}}"), "3:23 malformed-path", "`/etc`"),
    (
        "a domain that is a pattern",
        rule("args: {a: {domain_in: '*.example.com'}}"),
        "3:27 malformed-domain",
        "`example.com`",
    ),
    (
        "a domain with a leading dot",
        rule("args: {a: {domain_in: .Example.com}}"),
        "3:27 malformed-domain",
        "`example.com`",
    ),
    ("a domain with a scheme", rule("args: {a: {domain_in: 'https://a.com/x'}}"), "3:27 malformed-domain", "`a.com`"),
    ("an address", rule("args: {a: {domain_in: bob@a.com}}"), "3:27 malformed-domain", "`a.com`"),
    ("a port", rule("args: {a: {domain_in: 'a.com:80'}}"), "3:27 malformed-domain", "`a.com`"),
    ("a domain outside ASCII", rule("args: {a: {domain_in: b\u00fccher.de}}"), "3:27 malformed-domain", "xn--"),
    ("a bad label", rule("args: {a: {domain_in: -a.com}}"), "3:27 malformed-domain", "labels"),
    ("a label of 64 letters", rule(f"args: {{a: {{domain_in: {'a' * 64}.com}}}}"), "3:27 malformed-domain", "labels"),
    ("only an at sign", rule("args: {a: {domain_in: '@'}}"), "3:27 malformed-domain", "labels"),
    ("a domain twice", rule("args: {a: {domain_in: [a.com, A.com]}}"), "3:35 duplicate-value", "remove"),
    ("no domain", rule("args: {a: {domain_in: []}}"), "3:27 empty", "remove"),
    ("an empty not", rule("args: {a: {not: {}}}"), "3:21 empty", "remove"),
    ("a not of a text", rule("args: {a: {not: x}}"), "3:21 wrong-type", "equals"),
    (
        "a not nested nine deep",
        rule("args: {a: " + "{not: " * 9 + "{equals: 1}" + "}" * 9 + "}"),
        "3:64 too-deep",
        "cancel",
    ),
]

SETTINGS = [
    ("a level in capitals", "risk_levels: {High: {action: deny}}\n", "1:15 unknown-level", "`high`"),
    ("an action in capitals", "risk_levels: {high: {action: Deny}}\n", "1:30 unknown-word", "`deny`"),
    ("an action like none", "risk_levels: {high: {action: ask}}\n", "1:30 unknown-word", "require_approval"),
    ("an action that is nothing", "risk_levels: {high: {action: }}\n", "1:30 wrong-type", "action"),
    ("an unknown key of a level", "risk_levels: {high: {actoin: deny}}\n", "1:22 unknown-key", "`action`"),
    ("a level that is a word", "risk_levels: {high: deny}\n", "1:21 wrong-type", "{action: deny}"),
    ("a level that is empty", "risk_levels: {high: {}}\n", "1:21 empty", "remove"),
    ("levels that are a list", "risk_levels: [high]\n", "1:14 wrong-type", "action"),
    ("no levels", "risk_levels: {}\n", "1:14 empty", "remove"),
    ("keys that are a text", "amount_keys: amount\n", "1:14 wrong-type", "[...]"),
    ("keys that are nothing", "path_keys:\n", "1:11 wrong-type", "[...]"),
    ("no keys", "path_keys: []\n", "1:12 empty", "remove"),
    ("an empty key", "path_keys: ['']\n", "1:13 empty", "write a text"),
    ("a key with white space", "path_keys: ['a ']\n", "1:12 white-space", "remove"),
    ("a key twice but for case", "amount_keys: [A, a]\n", "1:18 duplicate-value", "remove"),
    ("a timeout of none", "approval_timeout_seconds: 0\n", "1:27 out-of-range", "from 1"),
    ("a timeout over 30 days", "approval_timeout_seconds: 2592001\n", "1:27 out-of-range", "from 1"),
    ("a timeout with a unit", "approval_timeout_seconds: 1h\n", "1:27 wrong-type", "write a number"),
]

DEFECTS = FORM + SCALARS + SHAPES + CAPABILITIES + CONDITIONS + ARGUMENTS + SETTINGS


@pytest.mark.parametrize(
    ("text", "place", "cure"),
    [pytest.param(*row, id=f"{index}-{claim}") for index, (claim, *row) in enumerate(DEFECTS)],
)
def test_a_defect_is_refused_at_its_place_with_its_cure(text, place, cure):
    (problem,) = problems(text)
    assert f"{problem.span.line}:{problem.span.column} {problem.code}" == place
    assert cure in problem.help or cure in problem.message


def test_every_defect_of_a_file_is_told_at_once_in_its_order():
    text = (
        "denny: []\n"
        "deny:\n"
        "  - shell.execute\n"
        '  - contains: ""\n'
        "    capability: &x a b\n"
        "    amount_gt: '5'\n"
        "  - capability: *\n"
        "    environment: no\n"
        "\t\n"
        "allow: 010\n"
        "risk_levels: {High: {action: ask}}\n"
    )
    assert told(text) == [
        "1:1 unknown-key",
        "3:5 wrong-type",
        "4:15 empty",
        "5:17 anchor",
        "5:17 malformed-capability",
        "6:16 wrong-type",
        "7:17 alias",
        "8:18 ambiguous-scalar",
        "9:1 tab",
        "10:8 ambiguous-scalar",
        "11:15 unknown-level",
        "11:30 unknown-word",
    ]


def test_what_stands_before_an_error_of_syntax_is_still_checked():
    text = 'deny:\n  - capability: a\n    amount_gt: "5"\nallow:\n  - contains: x\n  - {capability: [\n'
    assert told(text) == ["3:16 wrong-type", "5:5 missing-capability", "6:19 syntax"]


def test_a_rule_cut_off_by_an_error_of_syntax_is_not_called_incomplete():
    assert told("deny:\n  - contains: x\n    capability: 'a\n") == ["3:17 syntax"]


def test_a_section_cut_off_before_its_value_is_not_told():
    assert told("allow: []\nrisk_levels: {low: {action: deny}, high: ]\n") == ["2:42 syntax"]
    assert told("allow: 'x\n") == ["1:8 syntax"]


def test_duplicate_keys_name_the_line_of_the_first():
    (problem,) = problems("deny: []\nallow: []\ndeny: []\n")
    assert problem.message == "duplicate key `deny`, first on line 1"


def test_every_line_that_a_tab_indents_is_told_and_the_rest_is_still_checked():
    text = "deny:\n\t- capability: a\n\t  contains: ''\n # a comment\n\t# another\n"
    assert told(text) == ["2:1 tab", "3:1 tab", "3:14 empty", "5:1 tab"]


def test_a_tab_that_shifts_what_follows_does_not_bring_further_errors():
    assert told("deny:\n  - capability: a\n\tcontains: x\n") == ["3:1 tab"]


def test_every_star_without_quotes_is_told():
    text = "allow:\n" + "  - capability: *\n" * 3
    assert told(text) == ["2:17 alias", "3:17 alias", "4:17 alias"]


def test_after_twenty_mended_errors_the_reading_ends():
    text = "allow:\n" + "  - capability: *\n" * 30
    assert len(problems(text)) == 20


def test_a_thousand_problems_are_enough():
    found = problems("deny:\n" + "  - x\n" * 1500)
    assert len(found) == 1001
    assert found[-1].code == "too-many-problems"
    assert len(problems("deny:\n" + "  - no\n" * 1500)) == 1001


def test_a_text_over_the_limit_is_refused_unread(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)  # importing it would now fail
    (problem,) = problems(b"[" * 50_000_000)
    assert problem.code == "too-large"
    assert told("\u00e9" * 600_000) == ["1:1 too-large"]


def test_the_excerpt_of_an_endless_line_is_left_out():
    (problem,) = problems("deny: " + "[" * 400_000)
    assert problem.excerpt == ""
