"""The page on the API lists what there is, and nothing else."""

from __future__ import annotations

from pathlib import Path

from onpurpose.core.access import Scope
from onpurpose.server.api.table import TABLE, Operation

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")


def _scopes(operation: Operation) -> str:
    scopes = [f"`{one}`" for one in (operation.scope, *operation.also) if one]
    return " or ".join(scopes) or "none"


def test_every_operation_stands_on_the_page_as_it_is() -> None:
    written = PAGE.partition("## All of it")[2].splitlines()
    rows = [line for line in written if line.startswith("| `")]
    assert rows == [f"| `{one.method} {one.path}` | {_scopes(one)} | {one.summary} |" for one in TABLE]


def test_every_scope_is_explained() -> None:
    assert [scope for scope in Scope if f"| `{scope}` |" not in PAGE] == []


def test_every_status_that_an_operation_answers_with_is_explained() -> None:
    answered = {str(status) for one in TABLE for status in one.errors} - {"408"}
    assert {status for status in answered if status not in PAGE.partition("## Problems")[2]} == set()
