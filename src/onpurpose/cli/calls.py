"""One call from the command line, and the policy that it is put to: what `eval` and `explain` share."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from onpurpose.adapters.transcripts import native
from onpurpose.adapters.transcripts.documents import Line, documents_of, names_a_key_twice
from onpurpose.cli.output import Exit, fail
from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import Reason
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Policy
from onpurpose.core.span import PolicyError, Problem, Span
from onpurpose.lang.index import parse_index
from onpurpose.lang.read import load, read_bytes
from onpurpose.wiring import DEFAULT_AGENT, INDEX

F = TypeVar("F", bound=Callable[..., Any])

MAX_INPUT = 16 << 20
"""The most that is read of a call, in bytes: a payload of `core.call.MAX_TEXT`, however it is escaped."""

_STDIN = "<stdin>"
_FIELDS = (
    "agent_id", "capability", "payload", "policy_context", "task_context", "risk_category", "identity", "purpose_id",
)  # fmt: skip
_NOTES = ("session", "label", "note")  # what recorded calls have beside these


def call_options(function: F) -> F:
    """The options that give a policy and a call."""
    options = (
        click.option(
            "--policy", required=True, metavar="PATH", type=click.Path(exists=True, path_type=Path),
            help="The policy file, or a folder with an index.yaml.",
        ),
        click.option("--capability", metavar="NAME", help="What the call does, as in payments.transfer."),
        click.option("--agent", metavar="ID", help=f"Who acts. Default: {DEFAULT_AGENT}."),
        click.option(
            "--payload", metavar="JSON|@FILE|-", help="The tool's arguments: JSON, a file that holds it, or stdin."
        ),
        click.option(
            "--context", multiple=True, metavar="KEY=VALUE",
            help="A fact of the policy context, as text; caller_depth as a number. Repeatable.",
        ),
        click.option("--context-json", metavar="JSON", help="The policy context as a JSON object."),
        click.option("--task-context", metavar="TEXT", help="What the agent is doing."),
        click.option("--risk-category", metavar="NAME", help="The risk taxonomy, as in shell_execution."),
        click.option("--user", metavar="ID", help="The person on whose behalf the agent acts."),
        click.option("--group", multiple=True, metavar="NAME", help="A group of that person. Repeatable."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def read_call(given: dict[str, Any]) -> Call:
    """The call that the options give or, without any, that stands on stdin as JSON."""
    if given["capability"] is None:
        if any(given.values()):
            fail("--capability is missing", "name the call's capability, or give the whole call as JSON on stdin")
        return _from_stdin()
    if given["group"] and given["user"] is None:
        fail("--group is given without --user", "say who the groups are of")
    return Call(
        DEFAULT_AGENT if given["agent"] is None else given["agent"],
        given["capability"],
        None if given["payload"] is None else _payload(given["payload"]),
        _context(given["context"], given["context_json"]),
        task_context=given["task_context"],
        risk_category=given["risk_category"],
        identity=None if given["user"] is None else Identity(given["user"], given["group"]),
    )


def read_policy(path: Path) -> Policy | Path:
    """What a gate takes: the file's policy, or the folder once all it names was read.

    Raises `PolicyError` with every problem.
    """
    if not path.is_dir():
        return load(path)
    index = path / INDEX
    if not index.exists():
        fail(f"the folder `{path}` has no {INDEX}", "name one policy file, or write an index of them")
    problems: list[Problem] = []
    for entry in parse_index(read_bytes(index), str(index)).entries:
        try:
            load(path / entry.file)
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(tuple(problems))
    return path


def quiet_log() -> None:
    """Keep the gate's log from the terminal, unless `--debug` asks for it: what it tells is printed as a result."""
    handler = logging.StreamHandler() if click.get_current_context().obj else logging.NullHandler()
    logging.getLogger("onpurpose").addHandler(handler)


def exit_code(outcome: Outcome) -> Exit:
    """The exit code that stands for the outcome of a call."""
    return {Outcome.REQUIRE_APPROVAL: Exit.APPROVAL_REQUIRED, Outcome.DENY: Exit.DENIED}.get(outcome, Exit.FINE)


def reason_json(reason: Reason) -> dict[str, object]:
    """The JSON form of a reason; every field is there."""
    rule = reason.rule
    return {
        "code": str(reason.code),
        "outcome": str(reason.outcome),
        "message": reason.message,
        "rule": None if rule is None else {"at": str(rule), "capability": rule.capability},
        "unknown": [{"condition": one.condition, "why": one.why, "settle": one.settle} for one in reason.unknown],
        "signals": [{"name": one.name, "weight": one.weight, "certain": one.certain} for one in reason.signals],
    }


def _payload(given: str) -> object:
    if given == "-":
        return _json(_stdin(), _STDIN)
    if given.startswith("@"):
        try:
            with Path(given[1:]).open("rb") as file:
                return _json(_bounded(file.read(MAX_INPUT + 1), given[1:]), given[1:])
        except OSError as error:
            fail(f"the payload `{given[1:]}` cannot be read: {error.strerror}")
    return _json(given.encode("utf-8", "surrogateescape"), "--payload")


def _context(pairs: tuple[str, ...], text: str | None) -> dict[str, object] | None:
    if not pairs and text is None:
        return None
    context = {} if text is None else _json(text.encode("utf-8", "surrogateescape"), "--context-json")
    if not isinstance(context, dict):
        fail("--context-json is no JSON object", """write it as '{"environment": "production"}'""")
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            fail(f"--context `{pair}` is no KEY=VALUE", "write it as environment=production")
        if key in context:
            fail(f"the context names `{key}` twice", "give each fact once")
        context[key] = int(value) if key == "caller_depth" and value.isdecimal() and len(value) < 10 else value
    return context


def _from_stdin() -> Call:
    data = b"" if sys.stdin is None or sys.stdin.isatty() else _stdin()
    if not data.strip():
        fail("there is no call to decide", "give it by --capability and --payload, or as JSON on stdin")
    value = _json(data, _STDIN)
    if isinstance(value, dict):
        for key in value:
            if key not in _FIELDS + _NOTES:
                near = get_close_matches(key[:64], _FIELDS, n=1)
                cure = f"did you mean `{near[0]}`? " if near else ""
                fail(f"a call has no field `{key[:64]}`", f"{cure}known: {', '.join(_FIELDS)}")
        value.setdefault("agent_id", DEFAULT_AGENT)
    for part in native.calls(value, Span(_STDIN, 1, 1)):
        if isinstance(part, Problem):
            fail(f"{_STDIN} holds no call: {part.message}", f"write one JSON object of {', '.join(_FIELDS)}")
        return part.call
    raise AssertionError("a document is a call or a problem")


def _stdin() -> bytes:
    return _bounded(sys.stdin.buffer.read(MAX_INPUT + 1), _STDIN)


def _bounded(data: bytes, source: str) -> bytes:
    if len(data) > MAX_INPUT:
        fail(f"{source} holds more than {MAX_INPUT >> 20} MiB", "no gate permits a call of that size")
    return data


def _json(data: bytes, source: str) -> Any:
    """The one JSON document, read as recorded calls are; a key that stands twice is no such document."""
    one_line = data.replace(b"\r", b" ").replace(b"\n", b" ")  # in JSON, line breaks stand between tokens alone
    parts = list(documents_of([Line(1, one_line, len(one_line))], source))
    text = """a text is written in quotes: '"ls -la"'"""
    if not parts:
        fail(f"{source} is empty", "write JSON")
    if len(parts) > 1 or isinstance(parts[0], Problem):
        fail(f"{source} is no JSON", f"write one JSON value; {text}")
    if names_a_key_twice(parts[0]):
        fail(f"{source} names a key twice in one object", "two readers would see two calls; keep one of them")
    return parts[0].value
