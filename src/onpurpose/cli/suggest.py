"""`onpurpose suggest`: a starter policy from recorded calls."""

from __future__ import annotations

from pathlib import Path

import click

from onpurpose.adapters.transcripts import Transcript
from onpurpose.app import history
from onpurpose.app import suggest as use
from onpurpose.cli.output import Exit, count, say, say_json, verb_options, write_new
from onpurpose.cli.recorded import reading, recorded_options, refuse_empty, tell_unread, unread_json


@click.command("suggest")
@recorded_options
@click.option("-o", "--output", metavar="FILE", help="Write the policy to this new file instead of stdout.")
@verb_options
def suggest(calls: Path, form: str | None, output: str | None, as_json: bool) -> Exit:
    """Write a starter policy from recorded calls.

    CALLS is a file, a folder of *.jsonl, or - for stdin. The policy holds the narrowest rules that
    cover what is usual in them; what is unusual is left for a person, in comments. Exits with 1 when
    something could not be read, 2 when there was no call at all.
    """
    with reading(calls, form, "reading") as transcript:
        suggestion = use.suggest(transcript)
    refuse_empty(transcript, suggestion.total, calls)
    if output is not None:
        write_new(output, iter([suggestion.text.encode()]))
    if as_json:
        say_json(_json(suggestion, transcript, output))
    else:
        if output is None:
            say(suggestion.text.removesuffix("\n"))
        _tell(suggestion, output)
        tell_unread(transcript)
    return Exit.FINDINGS if transcript.unread else Exit.FINE


def _tell(suggestion: use.Suggestion, output: str | None) -> None:
    """What the policy comes to, on stderr: stdout may be its file."""
    left = f"{count(len(suggestion.left), 'call')} left for a person to judge"
    say(f"the policy allows {suggestion.allowed:,} of {count(suggestion.total, 'call')}; {left}", err=True)
    where = output or "it"
    say(f"next: read {where}, then `onpurpose check` and `onpurpose replay` with it", err=True)


def _json(suggestion: use.Suggestion, transcript: Transcript, output: str | None) -> dict[str, object]:
    return {
        "policy": suggestion.text,
        "file": output,
        "calls": suggestion.total,
        "allowed": suggestion.allowed,
        "left": [
            {
                "at": f"{one.recorded.at.source}:{one.recorded.at.line}",
                "capability": one.recorded.call.capability,
                "payload": history.shown(one.recorded.call.payload),
                "outcome": str(one.outcome),
                "why": one.why,
            }
            for one in suggestion.left
        ],
        **unread_json(transcript),
    }
