"""The settings of a workspace: YAML text -> `Settings`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Settings
from onpurpose.core.routing import DEFAULT
from onpurpose.lang import shapes
from onpurpose.lang.decoding import MAX_BYTES
from onpurpose.lang.nodes import Mapping, Node, compose, nothing
from onpurpose.lang.read import drained
from onpurpose.lang.report import Place, Report
from onpurpose.lang.routing import ROUTE_KEYS, ROUTE_READERS, route_of
from onpurpose.lang.statements import sql_sources
from onpurpose.lang.telling import notify

SETTINGS_KEYS = ("purpose_required", "unmatched", "sql", *ROUTE_KEYS, "notify")
"""Every key of the settings."""

_FIRST_WORDS = "write `purpose_required: true` or `unmatched: allow`"
_FORM = shapes.Form("settings", _FIRST_WORDS, SETTINGS_KEYS)
_UNMATCHED = {str(outcome): outcome for outcome in (Outcome.ALLOW, Outcome.DENY)}


def parse_settings(text: bytes | str, source: str = "<settings>", *, limit: int = MAX_BYTES) -> Settings:
    """The settings that the text states. Raises `PolicyError` with every problem, in the text's order.

    What it does not state is as `Settings` has it: no purpose is required, and what nothing matches is denied.
    """
    report = Report(source)
    root = drained(compose(text, report, limit))
    found: dict[str, Any] = {}
    if root is None or nothing(root) or (isinstance(root, Mapping) and not root.children):
        if not report.problems:
            report.on(root or Place(1, 1), "empty", "the settings are empty", _FIRST_WORDS)
    else:
        fields = shapes.fields(root, report, _FORM)
        found = {name: _READ[name](node, report) for name, node in fields.items() if name in _READ}
        asked = {name: ROUTE_READERS[name](fields[name], report, name) for name in ROUTE_KEYS if name in fields}
        found["route"] = route_of(asked) or DEFAULT
    report.raise_if_any()
    return Settings(**found)


_READ: dict[str, Callable[[Node, Report], Any]] = {
    "purpose_required": lambda node, report: shapes.truth(node, report, "purpose_required"),
    "unmatched": lambda node, report: shapes.word_of(node, report, "unmatched", _UNMATCHED),
    "sql": sql_sources,
    "notify": notify,
}
