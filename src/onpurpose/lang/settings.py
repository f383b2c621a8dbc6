"""The settings of a workspace: YAML text -> `Settings`."""

from __future__ import annotations

from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Settings, SqlSource
from onpurpose.lang import shapes
from onpurpose.lang.decoding import MAX_BYTES
from onpurpose.lang.nodes import Mapping, compose, nothing
from onpurpose.lang.read import drained
from onpurpose.lang.report import Place, Report
from onpurpose.lang.statements import sql_sources

SETTINGS_KEYS = ("purpose_required", "unmatched", "sql")
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
    required, unmatched = None, None
    sql: tuple[SqlSource, ...] = ()
    if root is None or nothing(root) or (isinstance(root, Mapping) and not root.children):
        if not report.problems:
            report.on(root or Place(1, 1), "empty", "the settings are empty", _FIRST_WORDS)
    else:
        fields = shapes.fields(root, report, _FORM)
        if "purpose_required" in fields:
            required = shapes.truth(fields["purpose_required"], report, "purpose_required")
        if "unmatched" in fields:
            unmatched = shapes.word_of(fields["unmatched"], report, "unmatched", _UNMATCHED)
        if "sql" in fields:
            sql = sql_sources(fields["sql"], report)
    report.raise_if_any()
    return Settings(
        purpose_required=bool(required), unmatched=Outcome.DENY if unmatched is None else unmatched, sql=sql
    )
