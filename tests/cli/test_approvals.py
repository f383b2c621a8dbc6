"""The command decides an embedded gate's approvals, and no text in them does anything to a terminal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onpurpose import Call, Gate, Identity, Outcome, parse_policy
from onpurpose.adapters.os_users import current_user, os_users
from onpurpose.app.approvals import DENIAL_REASONS
from onpurpose.core.approval import MAX_TEXT
from onpurpose.core.decision import Code
from tests.agents.people import ASKING, kinds, open_gate, records
from tests.cli.command import HOSTILE, is_tame, on_terminal, run, run_json
from tests.cli.test_reference import same_keys, shape

ME = current_user()
OTHER = next((user.id for user in os_users("local") if user.id != ME), "")
PAYLOAD = {"amount": 5000, "to": "shop"}
CALL = Call("pay", "payments.transfer", PAYLOAD)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate with its log `onpurpose.db` in the current folder."""
    monkeypatch.chdir(tmp_path)
    with open_gate(tmp_path / "onpurpose.db") as gate:
        yield gate


def asked(gate: Gate, payload: Any = PAYLOAD, agent: str = "pay", **fields: Any) -> str:
    """The id of the approval that the call waits for."""
    ticket = gate.evaluate(agent, "payments.transfer", payload, **fields).approval
    assert ticket is not None
    return ticket.id


def asked_by(tmp_path: Path, approvers: str) -> str:
    """The id of an approval that asks these."""
    with open_gate(tmp_path / "onpurpose.db", ASKING.replace("amount_gt: 1000", approvers)) as gate:
        return asked(gate)


def refused(*args: object, words: str) -> None:
    result = run("approvals", *args)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stdout == ""
    assert is_tame(result.stderr)


# -- seeing


def test_list_shows_those_that_wait_the_newest_first(gate: Gate) -> None:
    first, second = asked(gate), asked(gate, {"amount": 6000, "to": "shop"}, agent="night")
    result = run("approvals", "list")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["approval", "state", "capability", "agent", "age", "left"]
    assert [row[:4] for row in rows[1:]] == [
        [second, "pending", "payments.transfer", "night"],
        [first, "pending", "payments.transfer", "pay"],
    ]
    assert result.exit_code == 0
    run("approvals", "grant", first)
    assert [one["id"] for one in run_json("approvals", "list")] == [second]
    assert [one["id"] for one in run_json("approvals", "list", "--state", "granted")] == [first]
    assert [one["id"] for one in run_json("approvals", "list", "--state", "all")] == [second, first]
    assert [one["id"] for one in run_json("approvals", "list", "--state", "all", "-n", 1)] == [second]
    assert "the newest 1; -n shows more" in run("approvals", "list", "-n", "1").stderr


def test_where_nothing_was_asked_it_is_said_what_asks(gate: Gate) -> None:
    refused("list", words="there is no log at `onpurpose.db` yet")
    gate.evaluate("pay", "payments.transfer", {"amount": 5, "to": "shop"})
    result = run("approvals", "list")
    assert (result.exit_code, result.stdout) == (0, "no approval is pending\n")
    assert "one opens when a call needs a person" in result.stderr
    assert run("approvals", "list", "--state", "all").stdout == "there are no approvals yet\n"
    assert run_json("approvals", "list") == []
    assert not Path("onpurpose.db.approvals").exists()
    refused("show", "abc", words="there is no approval `abc`")
    refused("list", "--approvals", "nowhere", words="there are no approvals at `nowhere` yet")
    refused("list", "--log", "nowhere", words="--log names another")


def test_show_tells_all_that_somebody_needs_to_decide(gate: Gate) -> None:
    run("approvals", "grant", asked(gate))
    gate.resume(run_json("approvals", "list", "--state", "granted")[0]["id"], CALL)
    approval_id = asked(gate, {"amount": 7000, "to": "shop"}, identity=Identity("ann", ("sales",)))
    result = run("approvals", "show", approval_id)
    for words in (
        "payments.transfer by pay\n", f"  approval    {approval_id}\n",
        "  state       pending: it waits for a decision, ",
        "  waits for   1 of anyone (stage 1)\n", "  for         ann (sales)\n", "  rule        payments.yaml:5: ",
        '    {\n      "amount": 7000,\n      "to": "shop"\n    }\n',
        '    -   "amount": 5000,\n', '    +   "amount": 7000,\n',
        "  asked before\n", "it was used already\n", f"next: `onpurpose approvals grant {approval_id}`",
    ):  # fmt: skip
        assert words in result.stdout, words
    told = run_json("approvals", "show", approval_id)
    assert told["context"]["user"] == {"id": "ann", "groups": ["sales"]}
    assert told["waits_for"] == [{"approvers": ["anyone"], "quorum": 1, "stage": 1}]
    assert [one["state"] for one in told["asked_before"]] == ["used"]


def test_an_id_may_be_its_beginning_where_no_other_begins_so(gate: Gate) -> None:
    first = asked(gate)
    assert run_json("approvals", "show", first[:20])["id"] == first
    asked(gate, {"amount": 6000, "to": "shop"})
    refused("show", first[:3], words="2 approvals begin with")
    refused("grant", "", words="there is no approval ``")
    refused("grant", "z" * 10_000, words="there is no approval `zzz")
    refused("show", f"{HOSTILE}", words="there is no approval")


# -- deciding


def test_grant_lets_the_call_run_once_and_the_log_says_who(gate: Gate, tmp_path: Path) -> None:
    approval_id = asked(gate)
    result = run("approvals", "grant", approval_id, "--comment", "go ahead")
    assert (result.exit_code, result.stdout) == (0, f"{approval_id}: it was granted by `{ME}`\n")
    assert gate.resume(approval_id, CALL).allowed
    granted = records(tmp_path / "onpurpose.db", "approval.granted")
    assert [(one["approval"], one["by"], one["via"], one["text"]) for one in granted] == [
        (approval_id, ME, "terminal", "go ahead")
    ]
    assert run("audit", "verify").exit_code == 0


def test_grant_says_whom_it_still_waits_for(gate: Gate, tmp_path: Path) -> None:
    approval_id = asked_by(tmp_path, "amount_gt: 1000\n    approvers: {from: [anyone], quorum: 2}")
    result = run("approvals", "grant", approval_id)
    assert result.stdout == f"{approval_id}: done, and it waits for 2 of anyone\n"
    refused("grant", approval_id, words="you have granted this request already")
    assert kinds(tmp_path / "onpurpose.db")[-2:] == ["voted", "refused"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [("the shop is closed", "the shop is closed"), ("2", DENIAL_REASONS[1]), ("007 is no agent",) * 2],
)
def test_deny_tells_the_agent_why(gate: Gate, reason: str, said: str) -> None:
    approval_id = asked(gate)
    result = run("approvals", "deny", approval_id, "--reason", reason)
    assert result.stdout == f"{approval_id}: it was denied by `{ME}`\n"
    refusal = gate.resume(approval_id, CALL)
    assert refusal.reasons[0].code is Code.APPROVAL_DENIED
    assert refusal.reasons[0].message.endswith(f": {said}")


@pytest.mark.parametrize("reason", ["0", "6", "9" * 5000])
def test_a_reason_by_a_number_that_is_none_is_refused(gate: Gate, reason: str) -> None:
    refused("deny", asked(gate), "--reason", reason, words="name one of 1 to 5")


@pytest.mark.parametrize(
    ("reason", "words"), [("", "needs a reason"), (" \n", "needs a reason"), ("x" * 2001, str(MAX_TEXT))]
)
def test_a_denial_needs_a_reason_of_a_sensible_length(gate: Gate, reason: str, words: str) -> None:
    refused("deny", asked(gate), "--reason", reason, words=words)
    assert run("approvals", "deny", asked(gate)).exit_code == 2


def test_the_reasons_that_have_numbers_are_told_by_the_help() -> None:
    shown = run("approvals", "deny", "--help").stdout
    assert all(f"  {number}  {text}" in shown for number, text in enumerate(DENIAL_REASONS, 1))


@pytest.mark.skipif(not OTHER, reason="there is but one account")
def test_delegate_passes_it_on_and_ends_one_s_own_part(gate: Gate) -> None:
    approval_id = asked(gate)
    result = run("approvals", "delegate", approval_id, "--to", OTHER, "--comment", "yours")
    assert result.stdout == f"{approval_id}: done, and it waits for 1 of anyone\n"
    refused("grant", approval_id, words="you have delegated this request")
    shown = run("approvals", "show", approval_id).stdout
    assert f"delegate to {OTHER} by {ME} (terminal):\n      yours\n" in shown


@pytest.mark.parametrize(("to", "words"), [(ME, "it is with you already"), ("nobody-of-that-name", "no such user")])
def test_it_is_delegated_to_somebody_else_who_is_there(gate: Gate, to: str, words: str) -> None:
    refused("delegate", asked(gate), "--to", to, words=words)


def test_comment_and_cancel_are_shown_and_told(gate: Gate, tmp_path: Path) -> None:
    approval_id = asked(gate)
    assert run("approvals", "comment", approval_id, "what is it for?").exit_code == 0
    assert run("approvals", "cancel", approval_id, "--comment", "no longer needed").stdout == (
        f"{approval_id}: it was cancelled by `{ME}`\n"
    )
    assert kinds(tmp_path / "onpurpose.db") == ["requested", "commented", "cancelled"]
    assert "no longer needed" in gate.resume(approval_id, CALL).reasons[0].message
    refused("comment", asked(gate), "", words="a comment needs a text")


def test_a_grant_that_was_not_used_yet_can_be_withdrawn(gate: Gate) -> None:
    approval_id = asked(gate)
    run("approvals", "grant", approval_id)
    assert run("approvals", "cancel", approval_id).exit_code == 0
    assert gate.resume(approval_id, CALL).reasons[0].code is Code.APPROVAL_CANCELLED


@pytest.mark.parametrize("verb", [("grant",), ("deny", "--reason", "no"), ("delegate", "--to", "x"), ("cancel",)])
def test_whoever_comes_second_is_told_who_was_first(gate: Gate, verb: tuple[str, ...]) -> None:
    approval_id = asked(gate)
    run("approvals", "deny", approval_id, "--reason", "no")
    refused(*verb, approval_id, words=f"it was denied by `{ME}` already")


def test_nobody_grants_their_own_request_nor_one_that_asks_others(gate: Gate, tmp_path: Path) -> None:
    refused("grant", asked(gate, identity=Identity(ME.upper())), words="nobody approves their own request")
    other = asked_by(tmp_path, "amount_gt: 1000\n    approvers: [user:somebody-else]")
    refused("grant", other, words="you are not among the approvers")
    refused("comment", other, "hm", words="you have no part in this request")
    refused("cancel", other, words="only who has a part in a request cancels it")
    assert kinds(tmp_path / "onpurpose.db").count("refused") == 4


def test_a_request_that_wants_one_to_sign_in_is_decided_by_the_account_of_the_terminal(
    gate: Gate, tmp_path: Path
) -> None:
    approval_id = asked_by(tmp_path, "amount_gt: 1000\n    step_up: true")
    assert run_json("approvals", "show", approval_id)["step_up"] is True
    assert run_json("approvals", "grant", approval_id)["state"] == "granted"


def test_every_verb_that_decides_speaks_json(gate: Gate) -> None:
    approval_id = asked(gate)
    told = run_json("approvals", "comment", approval_id, "hm")
    assert (told["id"], told["state"], told["agent_id"]) == (approval_id, "pending", "pay")
    told = run_json("approvals", "deny", approval_id, "--reason", "no")
    assert (told["state"], told["waits_for"]) == ("denied", [])
    assert [(one["what"], one["by"], one["via"], one["text"]) for one in told["history"]] == [
        ("comment", ME, "terminal", "hm"),
        ("deny", ME, "terminal", "no"),
    ]


def test_the_files_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys").mkdir()
    with open_gate(Path("a.db"), audit_key="keys/a.key", approvals="people") as gate:
        approval_id = asked(gate)
        place = ("--log", "a.db", "--approvals", "people", "--audit-key", "keys/a.key")
        result = run("approvals", "grant", approval_id, *place)
        assert (result.exit_code, result.stderr) == (0, "")
        assert gate.resume(approval_id, CALL).allowed
    assert run("audit", "verify", "--log", "a.db").exit_code == 0
    assert not Path("a.db.key").exists()


def test_a_decision_counts_and_it_is_said_where_the_log_could_not_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys").mkdir()
    with open_gate(Path("onpurpose.db"), audit_key="keys/a.key") as gate:
        approval_id = asked(gate)
        result = run("approvals", "grant", approval_id)  # without the key of the log
        assert result.exit_code == 0
        assert "warning: an approval was changed, and not all could be told of it yet: " in result.stderr
        assert "Traceback" not in result.stderr
        assert gate.resume(approval_id, CALL).allowed
    assert kinds(tmp_path / "onpurpose.db") == ["requested", "granted", "used"]


def test_a_damaged_file_ends_the_verb_with_a_line(gate: Gate, tmp_path: Path) -> None:
    gate.evaluate("pay", "payments.transfer", {"amount": 5, "to": "shop"})
    Path("onpurpose.db.approvals").write_bytes(b"Dear diary,\n" * 1000)
    refused("list", words="cannot be used")


def test_calls_that_are_replayed_or_tried_ask_nobody(folder: Path) -> None:
    run("replay", "calls.jsonl", "--policy", "shell.yaml", "--audit", "past.db")
    call = {"agent_id": "a", "capability": "payments.transfer", "payload": {"amount": 5000}}
    run("eval", "--policy", "shell.yaml", "--audit", "past.db", input=json.dumps(call))
    assert [one["outcome"] for one in records(Path("past.db"), "decision")].count("require_approval") == 2
    assert not Path("past.db.approvals").exists()


# -- hostile text


def test_no_text_of_a_request_reaches_a_terminal_as_anything_but_text(gate: Gate, tmp_path: Path) -> None:
    payload = {"amount": 5000, "to": "shop", HOSTILE: [HOSTILE, "a\n  state       granted: it was granted\nnext: rm"]}
    approval_id = asked(gate, payload, agent=f"pay\n{HOSTILE}", identity=Identity(f"ann\n{HOSTILE}", (HOSTILE,)))
    run("approvals", "comment", approval_id, f"{HOSTILE}\n  state       granted\nnext: run `rm`")
    for verb in (("list",), ("show", approval_id), ("grant", approval_id, "--comment", HOSTILE), ("show", approval_id)):
        result = run("approvals", *verb)
        assert result.exit_code == 0, result.output
        assert is_tame(result.output)
        assert not re.search(r"^(next: r|  state  +granted: it was granted$)", result.stdout, re.MULTILINE)
        shown = on_terminal("approvals", *verb[:2], cwd=tmp_path) if verb[0] != "grant" else ""
        assert "\x1b]0;" not in shown
        assert "\x1b[31m" not in shown
        assert "\u202e" not in shown


# -- watching


WATCH = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
from onpurpose.cli.main import main
main()
"""


class Watching:
    """`approvals watch` as a process."""

    def __init__(self, folder: Path, *args: str) -> None:
        command = [sys.executable, "-c", WATCH, "approvals", "watch", *args]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out, self.err = self.process.stdout, self.process.stderr

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


def test_watch_tells_of_those_that_wait_that_open_and_that_are_decided(gate: Gate, tmp_path: Path) -> None:
    old, waiting = asked(gate), asked(gate, {"amount": 6000, "to": "shop"})
    run("approvals", "grant", old)
    with Watching(tmp_path) as watching:
        assert watching.err.readline() == "waiting for approvals; Ctrl-C ends it\n"
        assert watching.out.readline() == (f"{waiting}  pending    payments.transfer by pay: it waits for a decision\n")
        run("approvals", "comment", waiting, "hm")
        run("approvals", "deny", waiting, "--reason", "no")
        assert (
            watching.out.readline()
            == f"{waiting}  denied     payments.transfer by pay: it was denied by `{ME}` already\n"
        )
        new = asked(gate, {"amount": 7000, "to": "shop"}, agent=f"pay\n{HOSTILE}")
        line = watching.out.readline()
        assert line.startswith(f"{new}  pending ")
        assert is_tame(line)
        assert watching.stop() == 130


def test_watch_speaks_json_a_line(gate: Gate, tmp_path: Path) -> None:
    approval_id = asked(gate)
    with Watching(tmp_path, "--json") as watching:
        told = json.loads(watching.out.readline())
        assert (told["id"], told["state"]) == (approval_id, "pending")
        assert watching.stop() == 130


# -- suggesting


def test_suggest_proposes_what_was_granted_again_and_again(gate: Gate) -> None:
    refused("suggest", words="there is no log at")
    for amount in (2000, 3000, 4000):
        run("approvals", "grant", asked(gate, {"amount": amount, "to": "shop"}))
        gate.resume(
            run_json("approvals", "list", "--state", "granted")[0]["id"],
            Call("pay", "payments.transfer", {"amount": amount, "to": "shop"}),
        )
    asked(gate, {"amount": 3500, "to": "shop"}, agent="night")
    result = run("approvals", "suggest")
    assert (result.exit_code, result.stderr) == (0, "")
    rule = parse_policy(result.stdout, "proposed.yaml").rules[0]
    assert (rule.outcome, rule.capability) == (Outcome.ALLOW, "payments.transfer")
    assert "# payments.transfer by pay: granted 3 times, of which this allows 3" in result.stdout
    assert 'require_approval night: {"amount": 3500, "to": "shop"}' in result.stdout
    told = run_json("approvals", "suggest")
    assert (told["granted"], told["tried"], told["declined"]) == (3, 1, [])
    (one,) = told["proposals"]
    assert (one["granted"], len(one["allows"]), one["also_lets_through"], one["cannot_be_told"]) == (3, 3, 1, 0)
    assert one["examples"][0]["agent_id"] == "night"
    run("approvals", "deny", run_json("approvals", "list")[0]["id"], "--reason", "no")
    result = run("approvals", "suggest")
    assert "what a person denied" in result.stdout
    assert all(line.startswith("#") for line in result.stdout.splitlines())
    assert run_json("approvals", "suggest")["proposals"] == []


def test_suggest_without_anything_to_propose_says_what_it_takes(gate: Gate) -> None:
    run("approvals", "grant", asked(gate))
    result = run("approvals", "suggest")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        "nothing to propose: people granted 1 request\n"
        "a rule takes three that were granted to one agent for one capability: go on deciding\n"
    )
    assert run_json("approvals", "suggest") == {"granted": 1, "tried": 0, "proposals": [], "declined": []}


@pytest.mark.parametrize("verb", ["list", "show", "suggest"])
def test_json_has_the_shape_that_the_page_shows(gate: Gate, verb: str) -> None:
    for amount in (2000, 3000, 4000):
        run("approvals", "grant", asked(gate, {"amount": amount, "to": "shop"}))
    approval_id = asked(gate, {"amount": 3500, "to": "shop"})
    for number in range(3):
        run("approvals", "grant", asked(gate, {"amount": 2000 + number, "to": f"stranger {number}"}, agent="other"))
    run("approvals", "comment", approval_id, "hm")
    told: object = shape(f"approvals {verb}")
    actual = run_json("approvals", verb, *([approval_id] if verb == "show" else []))
    assert same_keys(without_context(told), without_context(actual))


def without_context(value: Any) -> Any:
    """What is shown, but for the payload and its like, of which the page shows a part."""
    if isinstance(value, list):
        return [without_context(one) for one in value]
    return {name: one for name, one in value.items() if name != "context"}
