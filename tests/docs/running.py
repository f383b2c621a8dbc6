"""Runs a page: files are written, Python and commands run, in the order in which they are read.

- ```yaml is a policy (an index or a test file, by its title; purposes or settings, by its content)
  and must be read without a problem; one titled `broken*.yaml` must be refused. With a title it is
  written to that file; where the project has a file of that name, the block must be that file, word
  for word.
- ```json and ```jsonl must be JSON; with a title they are written too.
- ```python runs, all blocks of a page in one namespace. What it prints must be shown right below, in
  a ```text titled `output`.
- ```console shows commands behind `$` and what they print; `$ echo $?` shows the exit code.
- A table with the columns `payload` and `outcome` is decided, row by row, by the policy above it.

Hashes, ids and times differ from run to run: any is taken for any other.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import zip_longest
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from onpurpose import Gate, PolicyError
from onpurpose.cli.main import main
from onpurpose.core.call import Call
from onpurpose.core.compile import CompiledPolicy, compile_policy
from onpurpose.core.decide import decide, trace
from onpurpose.core.policy import Policy
from onpurpose.core.revision import Kind
from onpurpose.lang.cases import parse_cases
from onpurpose.lang.index import parse_index
from onpurpose.lang.purposes import parse_purposes
from onpurpose.lang.read import parse
from onpurpose.lang.recognise import kind_of
from onpurpose.lang.settings import parse_settings
from tests.docs.pages import ROOT, Block, Page, Table

ANSWERS = {True: "true", False: "false", None: "unknown"}
OUTPUT = "output"

_VARYING = (
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\.[0-9]{3}"), "<time>"),
    (re.compile(r"(?:chain|record|key) [0-9a-f]{8,16}\b"), "<hex>"),
    (re.compile(r"\b(?=[0-9]*[a-f]|[0-9]{20})[0-9a-f]{8,}\b"), "<hex>"),
    (re.compile(r"<hex>:[0-9]+:<hex>"), "<anchor>"),
    (re.compile(r"[0-9]+ checkpoints?\b"), "<checkpoints>"),
    (re.compile(r'"at":[0-9]{16}'), '"at":<time>'),
)


class Runner:
    """Runs the parts of one page, in the working directory."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.namespace: dict[str, Any] = {"__name__": page.name}
        self.policy: CompiledPolicy | None = None
        self.exit_code = 0
        self.ran = 0

    def run(self) -> None:
        try:
            for part, after in zip_longest(self.page.parts, self.page.parts[1:]):
                if isinstance(part, Table) and {"payload", "outcome"} <= {*part.header}:
                    self._table(part)
                elif isinstance(part, Block):
                    self._block(part, after)
        finally:
            for value in self.namespace.values():
                if isinstance(value, Gate):
                    value.close()

    def _block(self, block: Block, after: object) -> None:
        if block.language == "yaml":
            self._yaml(block)
        elif block.language in ("json", "jsonl"):
            self._json(block)
        elif block.language == "python":
            self._python(block, after if isinstance(after, Block) and after.title == OUTPUT else None)
        elif block.language == "console":
            self._console(block)
        self.ran += block.language in ("yaml", "json", "jsonl", "python", "console")

    def at(self, line: int) -> str:
        return f"{self.page.name}:{line}"

    # -- files

    def _yaml(self, block: Block) -> None:
        name = Path(block.title).name
        self._write(block)
        if name.startswith("broken"):
            try:
                _read(block)
            except PolicyError:
                return
            raise AssertionError(f"{self.at(block.line)}: the policy is read, and should be refused")
        try:
            if name.endswith(".test.yaml"):
                parse_cases(block.text, block.title)
            elif name == "index.yaml":
                parse_index(block.text, block.title)
            elif (policy := _read(block)) is not None:
                self.policy = compile_policy(policy)
        except PolicyError as error:
            raise AssertionError(f"{self.at(block.line)}: {error}") from error

    def _json(self, block: Block) -> None:
        for text in block.text.splitlines() if block.language == "jsonl" else [block.text]:
            json.loads(text)
        self._write(block)

    def _write(self, block: Block) -> None:
        if not block.title:
            return
        ours = ROOT / block.title
        if ours.is_file():
            assert block.text == ours.read_text("utf-8"), f"{self.at(block.line)}: not as `{block.title}` is"
        path = Path(block.title)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")

    # -- programs

    def _python(self, block: Block, output: Block | None) -> None:
        printed = io.StringIO()
        code = compile("\n" * block.line + block.text, self.at(block.line), "exec")
        with redirect_stdout(printed):
            exec(code, self.namespace)
        if output is not None:
            self.compare(output.line + 1, output.text, printed.getvalue())
        else:
            assert not printed.getvalue(), f"{self.at(block.line)}: what is printed is not shown"

    def _console(self, block: Block) -> None:
        for command, line, shown in _commands(block):
            self.compare(line, shown, self._command(command, line))

    def _command(self, command: str, line: int) -> str:
        if command == "echo $?":
            return f"{self.exit_code}\n"
        words = shlex.split(command)
        assert words[0] == "onpurpose", f"{self.at(line)}: `{command}` is no command of ours"
        stdin = Path(words.pop()).read_bytes() if "<" in words else b""
        done = CliRunner().invoke(main, [word for word in words[1:] if word != "<"], "onpurpose", stdin)
        self.exit_code = done.exit_code
        return done.output

    def compare(self, line: int, shown: str, printed: str) -> None:
        """Hold what the page shows from that line on against what was printed."""
        assert same(printed) == same(shown), f"{self.at(line)}: printed is\n{printed}"

    # -- tables

    def _table(self, table: Table) -> None:
        assert self.policy is not None, f"{self.page.name}: a table of decisions without a policy above it"
        first = self.policy.policy.rules[0]
        for line, row in table.rows:
            call = Call(
                "agent",
                row["capability"].strip("`") if "capability" in row else first.capability,
                _value(row["payload"]),
                _value(row.get("policy_context", "")),  # type: ignore[arg-type]
                risk_category=row.get("risk_category", "").strip("`") or None,
            )
            outcome = str(decide((self.policy,), call).outcome)
            assert outcome == row["outcome"].strip("`"), f"{self.at(line)}: the outcome is {outcome}"
            if "first rule" in row:
                asked = {id(rule): answer for rule, answer in trace(self.policy, call)}
                answer = ANSWERS[asked.get(id(first), False)]
                assert answer == row["first rule"], f"{self.at(line)}: the first rule is {answer}"
        self.ran += 1


def _read(block: Block) -> Policy | None:
    """The policy that the block is; `None` where it holds purposes or settings. Raises `PolicyError`."""
    kind = kind_of(block.text)
    if kind is Kind.POLICY:
        return parse(block.text, block.title or "policy.yaml")
    if kind is Kind.SETTINGS:
        parse_settings(block.text, block.title)
    else:
        parse_purposes(block.text, block.title)
    return None


def same(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, stands_for in _VARYING:
        text = pattern.sub(stands_for, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _commands(block: Block) -> Iterator[tuple[str, int, str]]:
    """Each command, the line after it, and what is shown there."""
    lines = block.text.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start][2:], block.line + start + 2, "\n".join(lines[start + 1 : end])


def _value(cell: str) -> object:
    return json.loads(cell.strip("`")) if cell not in ("", "(none)") else None
