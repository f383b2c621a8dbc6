"""What the reference page says of the command is what the command is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from onpurpose.adapters.transcripts import FORMATS
from onpurpose.cli.main import VERBS, main
from onpurpose.cli.output import Exit
from onpurpose.core.chain import Kind
from tests.cli.command import ROOT, run, run_json

PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(main)
    for verb in VERBS:
        command = main.get_command(context, verb)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{verb} {name}", one) for name, one in command.commands.items())
        else:
            yield verb, command


COMMANDS = dict(commands())


def section(verb: str) -> str:
    found = re.search(rf"^## `onpurpose {verb}`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no section on {verb}"
    return found[1]


def shape(verb: str) -> dict[str, object]:
    example = re.search(r"```json\n(.*?)```", section(verb), re.DOTALL)
    assert example
    value: dict[str, object] = json.loads(example[1])
    return value


def test_every_verb_has_its_section_and_no_other_has() -> None:
    assert re.findall(r"^## `onpurpose (.*)`$", PAGE, re.MULTILINE) == list(COMMANDS)
    assert all(f"[`{verb}`](#onpurpose-{verb.replace(' ', '-')})" in PAGE for verb in COMMANDS)


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_stands_in_the_table_and_no_other_does(verb: str) -> None:
    rows = [line.split("|")[1] for line in section(verb).splitlines() if line.startswith("| `-")]
    told = {name for row in rows for name in re.findall(r"`(--?[a-z-]+)`", row)}
    options = [one for one in COMMANDS[verb].params if isinstance(one, click.Option)]
    assert told == {name for one in options for name in one.opts}
    arguments = [one.metavar for one in COMMANDS[verb].params if isinstance(one, click.Argument)]
    assert None not in arguments
    assert not arguments or " ".join(["onpurpose", verb, *map(str, arguments)]) in section(verb)


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_has_help_that_lists_its_options(verb: str) -> None:
    result = run(*verb.split(), "--help")
    assert result.exit_code == 0
    for option in COMMANDS[verb].params:
        if isinstance(option, click.Option):
            assert option.help
            assert all(name in result.stdout for name in option.opts)


def test_exit_codes_are_told_on_the_page_and_in_the_help() -> None:
    shown = main.get_help(click.Context(main))
    for code in Exit:
        assert f"\n| {code.value} | " in PAGE
        assert re.search(rf"\b{code.value}\b", shown.partition("Exit codes:")[2])


def test_formats_and_kinds_of_findings_are_told() -> None:
    assert all(f"`{name}`" in section("replay") for name in FORMATS)
    assert all(f"`{kind}`" in section("audit verify") for kind in Kind)


OPEN = {"by_capability", "by_label", "by_rule", "by_reason", "doubts", "call", "record"}
"""Fields whose keys are names of the user's, or depend on the call."""


def same_keys(told: object, actual: object) -> bool:
    """Whether both have the same fields, as deep as both hold some."""
    if isinstance(told, dict) and isinstance(actual, dict):
        fixed = told.keys() - OPEN
        return told.keys() == actual.keys() and all(same_keys(told[key], actual[key]) for key in fixed)
    if isinstance(told, list) and isinstance(actual, list) and told and actual:
        return same_keys(told[0], actual[0])
    return True


def test_same_keys_sees_a_field_that_is_not_told() -> None:
    assert not same_keys({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]})


@pytest.mark.parametrize(
    "args",
    [
        ("init", "new"),
        ("check", "bad.yaml"),
        ("eval", "--policy", "risky.yaml", "--capability", "shell.execute", "--audit", "audit.db"),
        ("explain", "--policy", "shell.yaml", "--capability", "shell.execute", "--payload", '"ls"'),
        ("test", "shell.test.yaml"),
        ("replay", "calls.jsonl", "--policy", "shell.yaml"),
        ("suggest", "calls.jsonl"),
        ("audit", "verify", "--log", "audit.db"),
        ("audit", "tail", "-n", "1", "--log", "audit.db"),
        ("audit", "export", "--outcome", "warn", "--log", "audit.db"),
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_json_has_the_shape_that_the_page_shows(folder: Path, args: tuple[str, ...]) -> None:
    Path("bad.yaml").write_text("deny: 3\n")
    Path("risky.yaml").write_text(
        "deny:\n  - capability: shell.execute\n    contains: rm\nrisk_levels:\n  high: {action: deny}\n"
    )
    run("eval", "--policy", "shell.yaml", "--capability", "mail.send", "--audit", "audit.db")
    verb = " ".join(args[:2]) if args[0] == "audit" else args[0]
    told, actual = shape(verb), run_json(*args)
    assert same_keys(told, actual)
