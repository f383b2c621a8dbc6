"""The project's own policies, their cases and the recorded sessions, read as a user's would be."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TypeAlias

from onpurpose.core.call import Call
from onpurpose.core.compile import CompiledPolicy, compile_policy
from onpurpose.lang.cases import CaseFile, parse_cases
from onpurpose.lang.index import parse_index
from onpurpose.lang.read import load

Line: TypeAlias = dict[str, object]

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "policies"
INDEX = parse_index((POLICIES / "index.yaml").read_bytes(), "index.yaml")
CASE_FILES = sorted(POLICIES.glob("*.test.yaml"))
SESSIONS = sorted((ROOT / "examples" / "sessions").glob("*.jsonl"))


@cache
def compiled(name: str) -> CompiledPolicy:
    return compile_policy(load(POLICIES / name))


@cache
def cases(path: Path) -> CaseFile:
    return parse_cases(path.read_bytes(), path.name)


@cache
def lines(path: Path) -> tuple[Line, ...]:
    return tuple(json.loads(text) for text in path.read_text(encoding="utf-8").splitlines())


def policies_for(agent_id: str) -> tuple[CompiledPolicy, ...]:
    """What the index says speaks for the agent: the first entry that names it, or nothing."""
    return next(((compiled(entry.file),) for entry in INDEX.entries if agent_id in entry.agents), ())


def call_of(line: Line) -> Call:
    fields = {name: value for name, value in line.items() if name not in {"session", "note"}}
    return Call(**fields)  # type: ignore[arg-type]  # a recorded line is what an application passes
