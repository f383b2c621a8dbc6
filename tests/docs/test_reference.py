"""The reference names what the code has, no more and no less."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest

import onpurpose
from onpurpose.adapters.transcripts import FORMATS
from onpurpose.app.history import decider
from onpurpose.app.learning import OFTEN
from onpurpose.app.masking import SECRET_KEYS, Masking
from onpurpose.core.call import Call
from onpurpose.core.chain import Kind
from onpurpose.core.compile import compile_policy
from onpurpose.core.decision import Code
from onpurpose.core.history import Doubt
from onpurpose.core.policy import AMOUNT_KEYS, APPROVAL_TIMEOUT_SECONDS, PATH_KEYS, SECTIONS, Policy, RiskLevel
from onpurpose.core.result import Result
from onpurpose.core.risk import LEVELS, THRESHOLDS
from onpurpose.core.span import PolicyError, Span
from onpurpose.lang import arguments, cases, index, read
from onpurpose.lang.scalars import Trap, resolve
from onpurpose.wiring import RELOAD_SECONDS, Gate
from tests.docs import taxonomies
from tests.docs.pages import ROOT, Heading, codes, column, page, section

POLICIES = page("docs/policies.md")
ERRORS = page("docs/errors.md")
LANG = sorted((ROOT / "src/onpurpose/lang").glob("*.py"))

LIMITED = ("core.call", "core.text", "core.numbers", "core.paths", "core.domains", "core.record", "lang.decoding",
           "lang.nodes", "lang.scalars", "lang.read", "lang.routing", "lang.arguments", "lang.conditions",
           "lang.shapes")  # fmt: skip
"""The modules whose every limit a user can meet; of `lang.report`, the number of problems alone."""

WORDS = (
    "call", "capability", "rule", "condition", "policy", "section", "outcome", "decision", "reason", "record",
    "receipt", "chain", "checkpoint", "anchor", "effect", "approval", "token", "purpose", "shadow", "fact", "unknown",
    "gate", "guard", "masking", "digest",
)  # fmt: skip
"""The words that code and documents share."""


def headed(title: str) -> list[str]:
    """What the headings one level below a heading name."""
    return [name for part in section(POLICIES, title) if isinstance(part, Heading) for name in codes(part.text)]


def under(of: str, title: str) -> str:
    """The text under a heading, without its blocks, down to the next heading of any level."""
    text = re.sub(r"^```.*?^```$", "", page(of).text, flags=re.MULTILINE | re.DOTALL)
    return re.split(r"^#", text.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


# -- policies


def test_every_key_of_a_policy_is_named() -> None:
    assert sorted(codes(" ".join(column(POLICIES, "The file", "key")))) == sorted(read.POLICY_KEYS)


def test_the_sections_are_named_in_their_order() -> None:
    told = next(
        line for line in POLICIES.text.splitlines() if line.startswith("The sections are evaluated in the order")
    )
    assert codes(told) == [str(outcome) for outcome in SECTIONS]


def test_every_condition_of_a_rule_has_its_part() -> None:
    assert headed("Rules") == [*read.RULE_KEYS]


def test_every_test_of_an_argument_has_its_part() -> None:
    assert headed("Tests of `args`") == [*arguments.TESTS, "not"]


def test_the_keys_of_amounts_and_paths_are_named() -> None:
    for title, keys in (("Amounts", AMOUNT_KEYS), ("Paths", PATH_KEYS)):
        lists = [line for line in under(POLICIES.name, title).splitlines() if line.startswith("`") and ", `" in line]
        assert codes(lists[0]) == list(keys)


def test_the_levels_of_risk_are_named() -> None:
    told = next(line for line in POLICIES.text.splitlines() if line.startswith("Keys of the levels are"))
    assert codes(told) == [str(level) for level in RiskLevel]


def test_the_defaults_of_the_settings_are_named() -> None:
    rows = dict(zip(column(POLICIES, "The file", "key"), column(POLICIES, "The file", "default"), strict=True))
    assert rows["`approval_timeout_seconds`"] == str(APPROVAL_TIMEOUT_SECONDS)
    assert rows["`risk_levels`"] == "not assessed"
    assert not Policy(rules=(), source="", digest="").risk_levels


def test_every_limit_is_named_with_its_value() -> None:
    told = dict(zip(column(POLICIES, "Limits", "in the code"), column(POLICIES, "Limits", "value"), strict=True))
    limits = {f"`{module}.{name}`": f"{value:,}" for module in LIMITED for name, value in limits_of(module)}
    limits["`lang.report.MAX_PROBLEMS`"] = f"{import_module('onpurpose.lang.report').MAX_PROBLEMS:,}"
    assert told == limits


def limits_of(module: str) -> Iterator[tuple[str, int]]:
    found = import_module(f"onpurpose.{module}")
    tree = ast.parse(Path(str(found.__file__)).read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name.lstrip("_").startswith("MAX_"):
                yield name, getattr(found, name)


def test_every_key_of_an_index_is_named() -> None:
    assert codes(" ".join(column(POLICIES, "Several policies", "key"))) == list(index._ENTRY.known)


def test_every_key_of_a_case_is_named() -> None:
    assert {*cases._CASE.known, *cases._DEFAULTS.known} <= {*codes(under(POLICIES.name, "Test files"))}


def test_what_is_refused_as_ambiguous_is_refused() -> None:
    lines = under(POLICIES.name, "YAML that is refused").splitlines()
    refused = next(line for line in lines if line.startswith("Refused, since YAML 1.1 and 1.2"))
    assert [text for text in [*codes(refused), "2026-01-31"] if not isinstance(resolve(text), Trap)] == []
    read_plainly = codes(next(line for line in lines if line.startswith("A plain `y`")))
    values = [resolve(text) for text in read_plainly]
    assert values[:2] == ["y", "n"]
    assert values[2:] == [31, Decimal("1.5"), Decimal(1500)]


# -- errors


def test_every_reason_of_a_decision_is_named() -> None:
    assert codes(" ".join(column(ERRORS, "Reasons of a decision", "code"))) == [str(code) for code in Code]


def test_every_problem_of_a_text_is_named() -> None:
    told = codes(" ".join(column(ERRORS, "Problems of a text", "code")))
    assert len(told) == len({*told})
    assert {*told} == {code for file in LANG for code in codes_in(file)}


def test_warnings_are_named_as_warnings() -> None:
    told = codes(" ".join(column(ERRORS, "Problems of a text", "code")))
    warnings = {code for file in LANG if file.name.endswith("lint.py") for code in codes_in(file)}
    assert {*told[-len(warnings) :]} == warnings


def codes_in(file: Path) -> Iterator[str]:
    """The codes of problems that a module tells, read from its source."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("on", "warning") and len(node.args) > 1:
                yield from _texts(node.args[1])
            if name == "Trap":
                yield from _texts(node.args[0])
            yield from (text for word in node.keywords if word.arg == "code" for text in _texts(word.value))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            target = node.targets[0]
            if isinstance(target, ast.Tuple) and getattr(target.elts[0], "id", "") == "code":
                yield from _texts(node.value.elts[0])


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value


def test_every_exception_is_named_and_can_be_imported() -> None:
    told = codes(" ".join(column(ERRORS, "Exceptions", "exception")))
    assert {*told} == {name for name in onpurpose.__all__ if is_exception(getattr(onpurpose, name))}


def is_exception(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Exception)


# -- the other pages


def test_every_field_of_a_call_is_named() -> None:
    told = codes(" ".join(column(page("docs/semantics.md"), "The call", "field")))
    assert sorted(told) == sorted(Call.__struct_fields__)


def test_every_finding_of_a_log_is_named() -> None:
    audit = page("docs/audit.md")
    assert codes(" ".join(column(audit, "What verify finds", "kind"))) == [str(kind) for kind in Kind]


def test_every_format_and_doubt_is_named() -> None:
    replay = page("docs/replay.md")
    assert {*codes(" ".join(column(replay, "Formats", "format")))} == FORMATS.keys()
    assert codes(" ".join(column(replay, "Replay", "doubt"))) == [str(doubt) for doubt in Doubt]
    assert f"at least {OFTEN} times" in replay.text


def test_the_taxonomies_are_those_of_the_code() -> None:
    assert taxonomies.shown() == taxonomies.rendered(), "run `python -m tests.docs.taxonomies`"


def test_the_scores_of_the_levels_are_those_of_the_code() -> None:
    rows = zip(column(page("docs/risk.md"), "How it is assessed", "score"),
               column(page("docs/risk.md"), "How it is assessed", "level"), strict=True)  # fmt: skip
    told = [(int(score.split()[0]), level.strip("`")) for score, level in rows]
    assert told == [(least, str(level)) for least, level in reversed(THRESHOLDS)]
    assert [level for _, level in told] == [str(level) for level in LEVELS]


def test_what_is_masked_is_named() -> None:
    embedding = page("docs/embedding.md")
    keys = next(line for line in embedding.text.splitlines() if line.startswith("`password`, "))
    assert codes(keys) == list(SECRET_KEYS)
    kinds = [kind for kind, _ in Masking()._kinds]
    assert codes(" ".join(column(embedding, "Masking", "kind"))) == [*kinds, "card number"]


def test_what_a_result_and_a_status_hold_is_named() -> None:
    embedding = page("docs/embedding.md")
    public = [name for name in dir(Result) if not name.startswith("_") and name not in ("call", "decision")]
    told = codes(" ".join(column(embedding, "Asking", "of a result")))
    assert sorted(name.removesuffix("()") for name in told) == sorted(public)
    with Gate(audit=None) as gate:
        assert codes(" ".join(column(embedding, "When things go wrong", "of `gate.status()`"))) == list(gate.status())
        assert f"`audit_timeout_seconds` ({gate.patience:.0f})" in embedding.text
    assert f"every {RELOAD_SECONDS} seconds (`reload_seconds`)" in embedding.text


@pytest.mark.parametrize("word", WORDS)
def test_the_glossary_has_the_word(word: str) -> None:
    assert f"**{word}**" in column(page("docs/glossary.md"), "Glossary", "word")


def test_the_glossary_is_in_order() -> None:
    words = column(page("docs/glossary.md"), "Glossary", "word")
    assert words == sorted(words, key=lambda word: word.strip("*"))


def test_a_call_beyond_a_limit_is_malformed_and_one_at_it_is_not() -> None:
    decide_one = decider(compile_policy(read.parse("allow:\n  - capability: a\n")))
    codes_of = [decide_one(Call("agent", "a", payload)).reasons[0].code for payload in ([], {"x": [1] * 99_998},
                {"x": [1] * 100_000}, {"x": "y" * (1 << 20)}, {"x": "y" * ((1 << 20) - 1)})]  # fmt: skip
    malformed, matched = Code.MALFORMED_CALL, Code.RULE_MATCHED
    assert codes_of == [malformed, matched, malformed, malformed, matched]


def test_a_problem_names_its_place_as_the_page_says() -> None:
    with pytest.raises(PolicyError) as refused:
        read.parse("allow:\n  - capabilty: a\n", "p.yaml")
    assert refused.value.problems[0].span == Span("p.yaml", 2, 5, 9)
