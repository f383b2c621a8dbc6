"""The tree is the architecture: what may import what, and how long things may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "onpurpose"
MODULES = sorted(SOURCE.rglob("*.py"))

PURE = {
    "__future__", "array",
    "collections", "dataclasses", "datetime", "decimal", "enum", "functools", "hashlib", "ipaddress",
    "itertools", "math", "operator", "re", "types", "typing", "unicodedata", "urllib", "uuid",
}  # fmt: skip
"""What the core may use of the standard library: nothing that knows the time, the machine or the network."""

VALUES = {"msgspec", "orjson"}
"""What else it may use: libraries of values and their JSON, which do nothing."""

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 40
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "impl", "info"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            yield node.module or ""


def test_imports_keep_to_the_floors() -> None:
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize("path", sorted((SOURCE / "core").glob("*.py")), ids=lambda path: path.name)
def test_the_core_uses_what_is_pure_alone(path: Path) -> None:
    used = set(imported(parsed(path)))
    strange = {
        name for name in used if name.split(".")[0] not in PURE | VALUES and not name.startswith("onpurpose.core.")
    }
    assert strange == set()
    assert not {name for name in used if name.startswith("urllib") and name != "urllib.parse"}


def test_modules_and_functions_stay_short() -> None:
    long = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") >= MOST_LINES:
            long.append(str(path))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and node.end_lineno - body[0].lineno >= MOST_LINES_OF_A_FUNCTION:
                    long.append(f"{path}:{node.name}")
    assert long == []


def test_every_module_says_what_it_is() -> None:
    assert [path.name for path in MODULES if not ast.get_docstring(parsed(path))] == []


def test_names_say_what_a_thing_is() -> None:
    names = {node.name for path in MODULES for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)}
    vague = {path.stem for path in MODULES if path.stem.lower() in VAGUE}
    vague |= {name for name in names if any(name.lower().endswith(word) for word in VAGUE)}
    assert vague == set()


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_every_suppression_names_its_code(folder: str) -> None:
    bare = [
        f"{path}:{number}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.rstrip().endswith(("# noqa", "# type: ignore"))
    ]
    assert bare == []
