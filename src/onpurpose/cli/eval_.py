"""`onpurpose eval`: decide one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onpurpose.cli.calls import call_options, exit_code, quiet_log, read_call, read_policy, reason_json
from onpurpose.cli.output import Exit, say, say_json, verb_options
from onpurpose.core.result import Result
from onpurpose.wiring import Gate


@click.command("eval")
@call_options
@click.option("--audit", metavar="PATH", help="Record the decision in this log. Default: nothing is recorded.")
@verb_options
def eval_(policy: Path, audit: str | None, as_json: bool, **given: Any) -> Exit:
    """Decide one call.

    The call is given by options or, without any, as one JSON object on stdin. The exit code tells
    the outcome: 0 allow or warn, 3 require_approval, 4 deny.
    """
    in_force = read_policy(policy)
    call = read_call(given)
    quiet_log()
    with Gate(in_force, audit) as gate:
        result = gate.begin(call).finish(gate.patience)
    if as_json:
        say_json(_json(result))
    else:
        say(result.explain())
        if audit is None:
            say("not recorded: --audit PATH names a log", err=True)
    return exit_code(result.outcome)


def _json(result: Result) -> dict[str, object]:
    receipt = result.receipt
    return {
        "outcome": str(result.outcome),
        "allowed": result.allowed,
        "agent_id": result.call.agent_id,
        "capability": result.call.capability,
        "reasons": [reason_json(reason) for reason in result.reasons],
        "decision_id": result.decision_id,
        "receipt": None
        if receipt is None
        else {"chain": receipt.chain, "seq": receipt.seq, "hash": receipt.hash.hex()},
    }
