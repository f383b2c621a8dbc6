"""`onpurpose replay`: decide recorded calls again, and count the outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click

from onpurpose.adapters.transcripts import Transcript
from onpurpose.agents.guard import ask
from onpurpose.app import history
from onpurpose.app.history import Notable, Summary, Tally, summarise
from onpurpose.cli.calls import quiet_log, read_policy
from onpurpose.cli.output import Exit, count, say, say_json, say_table, verb_options, visible
from onpurpose.cli.recorded import reading, recorded_options, refuse_empty, tell_unread, unread_json
from onpurpose.core.call import MAX_NAME, Call
from onpurpose.core.history import Doubt
from onpurpose.core.outcome import Outcome
from onpurpose.wiring import Gate

_SHOW = {
    "denied": (Outcome.DENY,),
    "asked": (Outcome.REQUIRE_APPROVAL,),
    "all": (Outcome.DENY, Outcome.REQUIRE_APPROVAL, Outcome.WARN),
    "none": (),
}
_HEADINGS = {Outcome.DENY: "denied", Outcome.REQUIRE_APPROVAL: "asked", Outcome.WARN: "allowed with a warning"}
_COLUMNS = ("allow", "warn", "ask", "deny", "calls")
_DOUBTS = {
    Doubt.MASKED: "with secrets that were masked before they were written down",
    Doubt.DUPLICATE_KEYS: "that name a key twice",
    Doubt.NO_ARGUMENTS: "without arguments",
}
_NEVER_SECONDS = 1e6  # a replay is of one state of the policies


@click.command("replay")
@recorded_options
@click.option(
    "--policy", required=True, metavar="PATH", type=click.Path(exists=True, path_type=Path),
    help="The policy file, or a folder with an index.yaml.",
)  # fmt: skip
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Stop after the first N calls.")
@click.option(
    "--show", type=click.Choice(list(_SHOW)), default="all", show_default=True, help="Which calls to list, with why."
)
@click.option(
    "--audit", metavar="PATH",
    help="Record each decision in this log, its task context marked `replay`. Default: nothing is recorded.",
)  # fmt: skip
@verb_options
def replay(  # noqa: PLR0913, PLR0917  the verb's options
    calls: Path, form: str | None, policy: Path, limit: int | None, show: str, audit: str | None, as_json: bool
) -> Exit:
    """Decide recorded calls again, and count the outcomes.

    CALLS is a file, a folder of *.jsonl, or - for stdin. Nothing is run, and nothing is recorded
    unless --audit names a log. Exits with 1 when something could not be read, 2 when there was no
    call at all.
    """
    in_force = read_policy(policy)
    quiet_log()
    gate = Gate(in_force, audit, approvals=False, reload_seconds=_NEVER_SECONDS)  # nobody is asked about the past
    with gate, reading(calls, form, "replaying") as transcript:
        wanted = islice(transcript, limit)
        summary = summarise(history.replay(wanted, lambda call: ask(gate, _marked(call)).decision))
    refuse_empty(transcript, summary.total, calls)
    notable = [one for outcome in _SHOW[show] for one in summary.notable if one.outcome is outcome]
    if as_json:
        say_json(_json(summary, notable, transcript))
    else:
        _tell(summary, notable, show)
        tell_unread(transcript)
    return Exit.FINDINGS if transcript.unread else Exit.FINE


def _marked(call: Call) -> Call:
    """The call, told apart in a log from one that an agent made: the task is to replay."""
    task = f"replay: {call.task_context}"[:MAX_NAME] if call.task_context else "replay"
    return Call(
        call.agent_id, call.capability, call.payload, call.policy_context, task, call.risk_category, call.identity,
        call.purpose_id, call.data_source_id, call.elements,
    )  # fmt: skip


def _tell(summary: Summary, notable: list[Notable], show: str) -> None:
    rows = [*sorted(summary.by_capability.items()), ("all", summary.by_outcome)]
    say_table(("capability", *_COLUMNS), [_row(name, tally) for name, tally in rows])
    if summary.by_label:
        say()
        say_table(("label", *_COLUMNS), [_row(name, tally) for name, tally in sorted(summary.by_label.items())])
    for outcome in _SHOW[show]:
        if summary.by_outcome[outcome]:
            listed = [one for one in notable if one.outcome is outcome]
            say("\n".join(_listed(outcome, listed, summary.by_outcome[outcome])))
    say()
    for doubt, number in summary.doubts.items():
        say(f"{count(number, 'call')} {_DOUBTS[doubt]}: another outcome is possible")
    if summary.unknown:
        say(f"of {count(summary.unknown, 'call')} a fact was unknown: the stricter way was taken")
    if summary.changed:
        say(f"{count(summary.changed, 'call')} had another outcome when recorded")
    say(_total(summary))


def _total(summary: Summary) -> str:
    tally = summary.by_outcome
    allowed = tally[Outcome.ALLOW] + tally[Outcome.WARN]
    asked, denied = tally[Outcome.REQUIRE_APPROVAL], tally[Outcome.DENY]
    return f"{count(summary.total, 'call')}: {allowed:,} allowed, {asked:,} asked, {denied:,} denied"


def _row(name: str, tally: Tally) -> list[str]:
    numbers = [tally[outcome] for outcome in Outcome]
    return [visible(name), *(f"{number:,}" if number else "-" for number in numbers), f"{tally.total():,}"]


def _listed(outcome: Outcome, listed: list[Notable], total: int) -> Iterator[str]:
    yield ""
    yield f"{_HEADINGS[outcome]}: {total:,}"
    for one in listed:
        yield f"  {one.at.source}:{one.at.line}: {visible(one.capability)} {one.shown}"
        yield f"      {one.rule + ': ' if one.rule else ''}{one.reason}"
        if one.decided not in (None, one.outcome):
            yield f"      recorded as {one.decided}"
        if one.note:
            yield f"      note: {one.note}"
    if total > len(listed):
        yield f"  ... and {total - len(listed):,} more"


def _json(summary: Summary, notable: list[Notable], transcript: Transcript) -> dict[str, object]:
    return {
        "calls": summary.total,
        "outcomes": _counts(summary.by_outcome),
        "by_capability": {name: _counts(tally) for name, tally in sorted(summary.by_capability.items())},
        "by_label": {name: _counts(tally) for name, tally in sorted(summary.by_label.items())},
        "by_rule": {name: _counts(tally) for name, tally in sorted(summary.by_rule.items())},
        "by_reason": {str(code): number for code, number in sorted(summary.by_code.items())},
        "with_unknown": summary.unknown,
        "changed": summary.changed,
        "listed": [_notable_json(one) for one in notable],
        **unread_json(transcript),
    }


def _counts(tally: Tally) -> dict[str, int]:
    return {str(outcome): tally[outcome] for outcome in Outcome}


def _notable_json(one: Notable) -> dict[str, object]:
    return {
        "at": f"{one.at.source}:{one.at.line}",
        "session": one.session,
        "label": one.label,
        "note": one.note,
        "capability": one.capability,
        "payload": one.shown,
        "outcome": str(one.outcome),
        "recorded": None if one.decided is None else str(one.decided),
        "reason": one.reason,
        "rule": one.rule or None,
    }
