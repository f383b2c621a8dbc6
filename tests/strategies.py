"""Policies and calls that meet often: small alphabets, limits and values around them, tricky spellings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import re2
from hypothesis import strategies as st

from onpurpose.core import policy as p
from onpurpose.core.call import Call
from onpurpose.core.outcome import Outcome
from onpurpose.core.span import Span


class Colour(Enum):
    """An enum whose value is a string, as applications pass them."""

    COMMAND = "rm -rf"
    PRODUCTION = "production"
    NUMBER = 7


class Sealed:
    """An object that says nothing about itself."""

    def __repr__(self) -> str:
        return "Sealed()"


NEEDLES = ["rm -rf", "rm", "drop table", "é", "a", "/*", "''", " ", "x", "SELECT", "$IFS", "1", "ß"]

TEXTS = [
    "rm -rf", "rm  -rf /", "RM -RF", "r''m -rf", "r\\m -rf", "rm\t-rf", "rm", "-rf", "rm$IFS-rf",
    "rm${IFS}-rf", "rm/* c */-rf", "rm/*", "*/-rf", "r\u200bm -rf", "r\u00adm\u00a0-rf", "\uff52\uff4d -rf",
    "r\x00m -rf", "r\u0301m", "e\u0301", "\u00c9", "STRASSE", "stra\u00dfe", "drop/**/table",
    "drop /*/ table", "DROP\u2028TABLE", "", " ", "x", "select 1", "\u201crm\u201d -rf", "r\ufe0fm -rf",
    "r\u3164m -rf", "\ud800rm -rf", "a" + "\u0301" * 33, "'rm' '-rf'", "ba\u017fe", "\u041e\u0430", "rm -r",
    "f", "rm\x1c-rf", "rm\x85-rf", "''", "\\", "/* rm -rf */", "dr\u202eop table",
]  # fmt: skip

AMOUNTS = [
    0, 1, 5, 10, 11, -10, -11, 10.0, 10.5, 0.1, -0.0, 10**30, 10**400, True, False, None, float("nan"),
    float("inf"), float("-inf"), Decimal("10"), Decimal("10.01"), Decimal("NaN"), Decimal("Infinity"), "10",
    "10.00", "10.000000001", "1,000", "10,00", "1,0000", "$10", "-$11", "$-11", "-$-11", " 11 ", "\t5\n",
    "1e1", "1E+2", "-1e1",    "1e999",
    "inf", "-Infinity", "nan", "", " ", "ten", "ten 10", "1_0", "\uff11\uff10", "\u0661\u0660", "\u00bd",
    "+10", "--10", "0x10", "10 USD", "\u20ac5", "10.", ".5", "$ 10", b"10", "10,000,000.50", "$inf",
    "Infinity", "\u22121", "1e", "e1", "10.0000000000000000000000000000000001", [1, 2], [1, 100], [],
    [[5], "x"], {"amount": 5}, {"x": 5}, {"x": [{"Total": "$11"}]}, ["5", True], date(2026, 1, 2),
    UUID(int=10), Colour.NUMBER, [{"cost": 1}, {"x": 2}],
]  # fmt: skip

PATHS = [
    "/etc", "/etc/passwd", "/etcetera", "/etc/", "//etc//passwd", "/srv/../etc/x", "/../etc", "/etc/..",
    "/etc/../srv/a", "/./etc/./a", "/ETC/passwd", "/%65tc/passwd", "/%2565tc", "/srv/a", "/srv",
    "/srv/%2e%2e/etc", "/srv/..%2fetc", "/etc/%2e%2e/srv/a", "/srv/x%2Fy/../../etc", "\uff0fetc", "/\uff45tc",
    "/srv/\uff0e\uff0e/etc", "/srv/\u2025/etc", "etc/passwd", "a", "../etc", ".", "..", "", "~/x", "~root",
    "/srv/~", "$HOME/x", "/srv/$X", "/srv/`id`", "/srv\\etc", "/etc\0", "file:///etc/passwd", "file:/etc",
    "FILE:///srv/a", "file://localhost/etc", "file://host/etc", "file:etc", "file:///%65tc",
    "file:///%2565tc", "file:///srv/%2e%2e/etc", "file:///etc?x", "file:///etc#x", "file:///srv/%24x",
    "file:///srv/%ff", "file://", "file:", "file:////etc", "/proc/self/root/etc", "/proc/1/cwd/../x",
    "/proc/self/exe", "/proc/self/task/1/root/etc", "/proc/self/fd/3", "/dev/fd/3", "/dev/fdx", "/dev/null",
    "/proc/x/../../etc", "/", "/PROC/self/root", "/dev/%66d/1", "/srv/Stra\u00dfe", "/srv/strasse", "/etc\n",
    " /etc", "/srv/\ud800", "/srv/" + "a" + "\u0301" * 33, "/%00etc", "/srv/%", "/srv/%zz",
    "/srv/%25252e%25252e/etc", "http://x/etc", ["/etc/a", "/srv/a"], ["/etc/a"], [], [["/etc"]],
    {"path": "/etc/a"}, {"x": "/etc/a"}, {"x": [{"File": "/srv/a"}]}, None, 3, True, b"/etc",
    PurePosixPath("/etc/a"), PurePosixPath("a"), [PurePosixPath("/srv"), 3],
]  # fmt: skip

ADDRESSES = [
    "a@corp.example", "a@eu.corp.example", "a@notcorp.example", "A@CORP.EXAMPLE", "a@corp.example.",
    "a@corp.example..", "a@b@corp.example", "@corp.example", "a@", "Bob <a@corp.example>", " a@corp.example",
    "a@corp.example\n", "a.b+c@evil.example", "https://corp.example", "https://corp.example/x?y#z",
    "https://evil.example/corp.example", "https://corp.example:443/", "https://corp.example:x/",
    "https://u@corp.example/", "https://u:p@corp.example/", "https://corp.example@evil.example/",
    "https://evil.example\\@corp.example", "https://evil.example#@corp.example",
    "https://evil.example?@corp.example", "https://localhost", "HTTPS://corp.example", "https:corp.example",
    "https:/corp.example", "//corp.example", "corp.example", "corp.example:80", "corp.example/x",
    "corp.example?x", "corp", "corp.example/a@evil.example", "evil.example/x@corp.example",
    "corp.example%2eevil", "c\u043erp.example", "\uff43orp.example", "xn--crp-5cd.example", "corp..example",
    ".corp.example", "mailto:a@corp.example", "", "10.0.0.1", "[::1]", "http://[::1]/", "a`b@corp.example",
    "a_b@my_host.corp.example", "evil.example:80/x@corp.example", "ftp+x.y-z://corp.example",
    "1x://corp.example", "https://", "https:///x", "https://corp.example.evil.example", "corp.example.",
    "https://corp.example/@u", "https://corp.example/%40", "a@corp.example\x7f", "\u200ba@corp.example",
    "a@example",
]  # fmt: skip

OTHERS = [
    None, True, False, 0, 7, 7.0, 7.5, Decimal("7"), "7", -7, float("nan"), [], {}, ["x"], [7, "7"],
    ["a", ["b"]], b"x", date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC), UUID(int=7), Colour.COMMAND,
    Colour.NUMBER, {"a": 1}, "A", "a", "ab",
]  # fmt: skip

OPAQUES = [Sealed(), {1, 2}, {1: "rm -rf"}, {"x": frozenset()}, {None: 5, "amount": 3}]

AMOUNT_NAMES = ["amount", "Amount", "total", "value", "VALUE", "quantity"]
PATH_NAMES = ["path", "File", "paths", "destination"]
PLAIN_NAMES = ["x", "to", "items", "cmd", "rm -rf", "RM", "note", "\ud800", "r'm"]

CAPABILITIES = ["a.b", "a.b.c", "a.B", "A.b", "a", "x.b", "a.b.c.d", "a_b.c", "a.b.C", "a..b", "a.b\n", "", "a b"]
PATTERNS = ["a.b", "a.*", "*", "*.b", "a.*.c", "A.b", "a", "a.b.c", "*.*", "a.b.*", "x.b"]

PLACE = Span("policy.yaml", 1, 1)


def tuples_of(items: list[str], most: int = 2) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(items), min_size=1, max_size=most, unique=True).map(tuple)


operators = st.sampled_from(list(p.Operator))
limits = st.sampled_from([0, 1, 10, Decimal("10.5"), 1000, Decimal("0.1"), 10**30])
prefixes = tuples_of(["/etc", "/", "/srv", "/srv/strasse", "/ETC", "/etc/passwd", "/proc", "/dev/fd"])
scalars = st.sampled_from(["x", "7", "", "rm -rf", 7, Decimal("7.5"), 0, True, False, "a", "production", "2026-01-02"])

value_tests: st.SearchStrategy[p.Test] = st.one_of(
    scalars.map(p.Equals),
    st.lists(scalars, min_size=1, max_size=3).map(lambda values: p.In(tuple(values))),
    tuples_of(["a", "r", "rm", "/etc", "20"]).map(p.Prefix),
    tuples_of(["b", "f", "-rf", "example"]).map(p.Suffix),
    st.sampled_from(["[a-z]*", "rm.*", "a|b", "(?i)RM -rf", r"\d+"]).map(lambda text: p.Matches(re2.compile(text))),
    tuples_of(NEEDLES).map(p.ContainsText),
    st.builds(p.Compare, operators, st.sampled_from([0, 7, -7, Decimal("7.5")])),
    tuples_of(["corp.example", "example", "evil.example"]).map(p.DomainIn),
    prefixes.map(p.Under),
)
place_tests: st.SearchStrategy[p.Test] = st.one_of(st.integers(0, 3).map(p.MaxItems), st.booleans().map(p.Exists))
simple_tests = st.one_of(value_tests, value_tests, place_tests)
negations = st.lists(simple_tests, min_size=1, max_size=2).map(lambda tests: p.Not(tuple(tests)))
argument_tests = st.one_of(simple_tests, simple_tests, negations)
argument_paths = st.sampled_from(
    ["x", "to", "items", "items.*", "items.*.x", "*", "*.x", "x.to", "cmd", "amount", "path"]
).map(lambda text: tuple(text.split(".")))

arguments = st.builds(p.Argument, argument_paths, st.lists(argument_tests, min_size=1, max_size=2).map(tuple))
contains = tuples_of(NEEDLES).map(p.Contains)
amounts = st.builds(p.Amount, operators, limits)
path_prefixes = prefixes.map(p.PathPrefix)
contexts = st.builds(
    p.ContextIs, st.sampled_from(list(p.ContextKey)), tuples_of(["production", "staging", "Production"])
)
depths = st.builds(p.CallerDepth, operators, st.integers(0, 4))
conditions: st.SearchStrategy[p.Condition] = st.one_of(contains, amounts, path_prefixes, arguments, contexts, depths)


def rule(outcome: Outcome, capability: str, *asked: p.Condition) -> p.Rule:
    return p.Rule(outcome=outcome, capability=capability, conditions=asked, span=PLACE)


def policy(
    written: Iterable[p.Rule],
    amount_keys: tuple[str, ...] = p.AMOUNT_KEYS,
    path_keys: tuple[str, ...] = p.PATH_KEYS,
) -> p.Policy:
    """The rules in the order of evaluation, as a reader would hand them over."""
    rules = list(written)
    placed = tuple(rule for section in p.SECTIONS for rule in rules if rule.outcome == section)
    return p.Policy(rules=placed, source="policy.yaml", digest="0" * 64, amount_keys=amount_keys, path_keys=path_keys)


rules = st.builds(
    lambda outcome, capability, asked: rule(outcome, capability, *asked),
    st.sampled_from(list(Outcome)),
    st.one_of(st.sampled_from(["a.b", "a.*", "*"]), st.sampled_from(PATTERNS)),
    st.lists(conditions, max_size=2),
)
amount_keys = st.sampled_from([p.AMOUNT_KEYS, p.AMOUNT_KEYS, ("x", "total")])
path_keys = st.sampled_from([p.PATH_KEYS, p.PATH_KEYS, ("x", "path")])
policies = st.builds(policy, st.lists(rules, max_size=5), amount_keys, path_keys)


def entries(names: list[str], values: list[Any]) -> st.SearchStrategy[tuple[str, object]]:
    return st.tuples(st.sampled_from(names), st.sampled_from(values))


ANYTHING: list[object] = [*TEXTS, *AMOUNTS, *PATHS, *ADDRESSES, *OTHERS]
PIECES = {
    "text": [
        "rm", "-rf", " ", "  ", "\t", "'", "\\", "/*", "*/", "*", "/", "$IFS", "${IFS}", "$", "RM", "\u200b", "drop",
        "table", "\u0301", "e", "\u00df", "SS", "x", "\ufe0f",
    ],
    "amount": ["1", "0", "10", ",", ",000", ".", "$", "-", "+", "e", "E", "inf", "\u20ac", " ", "_", "5"],
    "path": [
        "/", "/", "/", "..", ".", "etc", "srv", "%2e", "%2f", "%25", "ETC", "~", "$X", "proc", "self", "root", "fd",
        "dev", "file:", "//", "\uff0e", "a", "localhost", "?", "#", " ",
    ],
    "address": [
        "a", "@", ".", "corp.example", "evil.example", "https://", "/", "?", "#", ":", ":80", "eu.", "%2e", "\\", " ",
        "-", "_", "example", "//", "+", "[",
    ],
}  # fmt: skip
"""What texts of each kind are put together from."""


def spelled(names: list[str], kind: str) -> st.SearchStrategy[tuple[str, object]]:
    texts = st.lists(st.sampled_from(PIECES[kind]), min_size=1, max_size=7).map("".join)
    return st.tuples(st.sampled_from(names), texts)


json_entries = st.one_of(
    spelled(["x", "cmd", "rm"], "text"),
    spelled(AMOUNT_NAMES, "amount"),
    spelled([*PATH_NAMES, "x"], "path"),
    spelled(["x", "to"], "address"),
    entries(["x", "cmd", "note", *PLAIN_NAMES], TEXTS),
    entries(AMOUNT_NAMES, AMOUNTS),
    entries(PATH_NAMES, PATHS),
    entries(["to", "x", "items"], ADDRESSES),
    entries(["to", "x", "items"], OTHERS),
)
flat_entries = st.one_of(
    json_entries,
    entries([*AMOUNT_NAMES, *PATH_NAMES, *PLAIN_NAMES], ANYTHING),
    entries(["x", "note", "items"], OPAQUES),
)
flat_mappings = st.lists(flat_entries, max_size=3).map(dict)
lists = st.lists(st.one_of(st.sampled_from(ANYTHING), flat_mappings), max_size=3)
nested = st.one_of(flat_mappings, lists, lists.map(tuple))
nested_mappings = st.builds(
    lambda outer, name, inner: {**outer, name: inner},
    flat_mappings,
    st.sampled_from(["x", "items", "to", "note", "amount", "path"]),
    nested,
)
mappings = st.one_of(flat_mappings, flat_mappings, nested_mappings)
payloads = st.one_of(mappings, mappings, mappings, mappings, st.sampled_from([None, *TEXTS]))

LABELS: list[object] = [
    "production", "Production", " production ", "staging", "", None, 3, Colour.PRODUCTION, ["production"],
]  # fmt: skip
DEPTHS: list[object] = [0, 3, 4, 3.5, Decimal(3), True, "3", None, float("nan"), float("inf"), -1]
DIRECTORIES: list[object] = ["/srv/app", "/etc", "srv", "~", "/$X", None, "/proc/self/cwd", 3]
CONTEXT: dict[str, list[object]] = {
    "environment": LABELS, "user_role": LABELS, "tenant": LABELS, "caller_depth": DEPTHS, "cwd": DIRECTORIES,
}  # fmt: skip
policy_contexts = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in CONTEXT.items()}),
)

capabilities = st.one_of(st.sampled_from(["a.b", "a.b", "a.b.c"]), st.sampled_from(CAPABILITIES))
calls = st.builds(Call, st.just("agent"), capabilities, payloads, policy_contexts)


def is_json(value: object) -> bool:
    """Whether JSON can carry the value and give back an equal one."""
    if isinstance(value, dict):
        return all(type(key) is str for key in value) and all(is_json(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_json(item) for item in value)
    return value is None or type(value) in (str, bool, int, float)


json_payloads = mappings.filter(is_json)


def hidings(value: object) -> Iterator[object]:
    """The value with any one part of it replaced by something that says nothing."""
    yield Sealed()
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: hidden} for hidden in hidings(inner))
    if isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from ([*value[:index], hidden, *value[index + 1 :]] for hidden in hidings(inner))


def less_known(call: Call) -> list[Call]:
    """The call with one fact replaced by unknown, in every way there is."""
    payload, context = call.payload, call.policy_context
    payloads = [None]
    if isinstance(payload, dict):
        payloads += [hidden for hidden in hidings(payload) if not isinstance(hidden, Sealed)]
    contexts = [None, *({k: v for k, v in (context or {}).items() if k != key} for key in context or ())]
    return [Call(call.agent_id, call.capability, hidden, context) for hidden in payloads] + [
        Call(call.agent_id, call.capability, payload, hidden) for hidden in contexts
    ]
