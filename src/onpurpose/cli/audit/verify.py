"""`onpurpose audit verify`: is the log whole?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from onpurpose.adapters.signing import read_public_key, verify_signature
from onpurpose.app import audit as use
from onpurpose.cli.audit.log import log_option, open_log, refuse_missing
from onpurpose.cli.output import Exit, count, fail, progress, say, say_json, verb_options
from onpurpose.core.chain import Finding, Report
from onpurpose.core.checkpoint import Anchor

_TRACES = (".anchor", ".pub", ".key")
"""What is left beside a log that was there once: that it is gone is then a finding."""


@click.command("verify")
@log_option
@click.option(
    "--public-key", metavar="FILE", type=click.Path(exists=True, path_type=Path),
    help="The key that must have signed the log. Default: PATH.pub, beside the log.",
)  # fmt: skip
@click.option("--expect", metavar="ANCHOR", help="An anchor noted earlier, which the log must still hold.")
@verb_options
def verify(log: Path, public_key: Path | None, expect: str | None, as_json: bool) -> Exit:
    """Check the whole log: that nothing was changed, removed, moved, added or cut off.

    Prints the newest anchor: note it where whoever can write the log cannot, and give it to the next
    check by --expect. Any finding exits with 1.
    """
    wanted = None if expect is None else _anchor(expect)
    beside = log.with_name(f"{log.name}.pub")
    if not log.exists() and wanted is None and not any(log.with_name(log.name + end).exists() for end in _TRACES):
        refuse_missing(log)
    key_file = public_key or (beside if beside.exists() else None)
    with progress("checking", log.stat().st_size if log.exists() else 0, None) as bar:
        report = use.verify(
            lambda: open_log(log),
            public_key=None if key_file is None else read_public_key(key_file),
            verify_signature=verify_signature,
            expect=wanted,
            progress=lambda _: bar(use.PROGRESS_EVERY),
        )
    if as_json:
        say_json(_report_json(report))
    else:
        say("\n".join(_report_lines(log, report, public_key is None)))
    return Exit.FINE if report.ok else Exit.FINDINGS


def _anchor(text: str) -> Anchor:
    try:
        return Anchor.parse(text)
    except ValueError:
        fail(f"--expect `{text[:100]}` is no anchor", "give one as `onpurpose audit verify` prints it")


def _report_lines(log: Path, report: Report, key_beside: bool) -> Iterator[str]:
    for finding in report.findings:
        yield f"{finding.kind}: {finding.message}{_place(finding)}"
    if report.total > len(report.findings):
        yield f"... and {report.total - len(report.findings):,} more findings"
    records, chains = count(report.records, "record"), count(report.chains, "chain")
    told = "nothing wrong" if report.ok else count(report.total, "finding")
    yield f"{log}: {records}, {chains}, {count(report.checkpoints, 'checkpoint')}: {told}"
    if report.key is not None and report.checkpoints:
        yield f"  signed with the key {report.key}"
        if key_beside:
            yield "  the key was read beside the log, where whoever writes the log may replace it:"
            yield "  keep a copy elsewhere, and give that by --public-key"
    if report.uncovered:
        newest = count(report.uncovered, "newest record")
        yield f"  not covered yet: the {newest} could be cut off without a trace until the next checkpoint"
    if report.ok and report.anchor is not None:
        yield "  note this anchor elsewhere, and give it to the next check by --expect:"
        yield f"  {report.anchor}"


def _place(finding: Finding) -> str:
    if finding.chain is None:
        return ""
    return f" (chain {finding.chain[:8]}" + ("" if finding.seq is None else f", record {finding.seq}") + ")"


def _report_json(report: Report) -> dict[str, object]:
    return {
        "ok": report.ok,
        "findings": [
            {"kind": str(one.kind), "message": one.message, "chain": one.chain, "seq": one.seq}
            for one in report.findings
        ],
        "total": report.total,
        "records": report.records,
        "chains": report.chains,
        "checkpoints": report.checkpoints,
        "uncovered": report.uncovered,
        "anchor": None if report.anchor is None else str(report.anchor),
        "key": report.key,
    }
