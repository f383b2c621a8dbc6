from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import HOSTILE, is_tame, run, run_json

SHELL = ("--policy", "shell.yaml", "--capability", "shell.execute")


def test_eval_reads_as_a_person_would_say_it(folder: Path) -> None:
    result = run("eval", *SHELL, "--payload", '{"command": "rm  -rf /"}')
    assert result.stdout == (
        "deny: shell.execute by agent\n"
        '  deny: shell.yaml:2: whether the deny rule `shell.execute` where contains "rm -rf" matches cannot be told\n'
        "    unknown: contains: the text occurs only in a key, or once spaces, quotes, case and comments are folded\n"
        "    to settle it: write the argument plainly, or narrow the rule\n"
    )
    assert result.stderr == "not recorded: --audit PATH names a log\n"
    assert result.exit_code == 4


def test_explain_tells_the_whole_road(folder: Path) -> None:
    result = run("explain", *SHELL, "--payload", '{"command": ["systemctl", "stop"]}', "--context", "tenant=acme")
    digests = run_json("explain", *SHELL, "--payload", '{"command": ["systemctl", "stop"]}', "--context", "tenant=acme")
    assert result.stdout == (
        "require_approval: shell.execute by agent\n"
        "  require_approval: shell.yaml:5: "
        'the require_approval rule `shell.execute` where contains "systemctl" matches\n'
        "\n"
        "the call\n"
        "  agent          agent\n"
        "  capability     shell.execute\n"
        '  payload        {"command": ["systemctl", "stop"]}\n'
        '  policy_context {"tenant": "acme"}\n'
        f"  digest         {digests['digest']}\n"
        "\n"
        "the policy shell.yaml\n"
        f"  digest         {digests['policies'][0]['digest']}\n"
        "  3 of its 6 rules may concern the capability, asked in this order:\n"
        '    line 2     deny             false                  `shell.execute` where contains "rm -rf"\n'
        '    line 5     require_approval true    <- decides     `shell.execute` where contains "systemctl"\n'
        "    line 12    allow            true       not reached `shell.execute`\n"
        "  the risk is not assessed: the policy sets no risk_levels\n"
    )
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("command", "effects"),
    [
        ("ls", ["", "", "decides"]),
        ("rm -rf /", ["decides", "not reached", "not reached"]),
        ("r''m -rf /", ["decides", "not reached", "not reached"]),
        ("SYSTEMCTL stop x", ["", "floor", "decides"]),
    ],
)
def test_explain_says_what_each_answer_did(folder: Path, command: str, effects: list[str]) -> None:
    told = run_json("explain", *SHELL, "--payload", json.dumps({"command": command}))
    assert [step["effect"] for step in told["policies"][0]["road"]] == effects


@pytest.mark.parametrize("verb", ["eval", "explain"])
@pytest.mark.parametrize(
    ("capability", "payload", "outcome", "code"),
    [
        ("shell.execute", {"command": "ls"}, "allow", 0),
        ("mail.send", {}, "warn", 0),
        ("shell.execute", "systemctl stop x", "require_approval", 3),
        ("shell.execute", {"command": "rm -rf /"}, "deny", 4),
        ("nobody.knows", {}, "deny", 4),
        ("no capability", {}, "deny", 4),
        ("shell.execute", ["a", "list"], "deny", 4),
    ],
)
def test_the_exit_code_is_the_outcome(
    folder: Path, verb: str, capability: str, payload: object, outcome: str, code: int
) -> None:
    given = ("--policy", "shell.yaml", "--capability", capability, "--payload", json.dumps(payload))
    assert run(verb, *given).exit_code == code
    told = run_json(verb, *given)
    assert (told["outcome"], told["allowed"]) == (outcome, code == 0)


def test_options_and_json_on_stdin_make_the_same_call(folder: Path) -> None:
    call = {
        "agent_id": "ops", "capability": "payments.transfer", "payload": {"amount": 7},
        "policy_context": {"environment": "staging", "caller_depth": 2, "cwd": "/srv"},
        "task_context": "refunds", "risk_category": "financial_transaction",
        "identity": {"user_id": "ann", "groups": ["staff", "admin"]},
    }  # fmt: skip
    Path("payload.json").write_text('{"amount": 7}')
    options = (
        "--agent", "ops", "--capability", "payments.transfer", "--payload", "@payload.json",
        "--context", "environment=staging", "--context", "caller_depth=2", "--context-json", '{"cwd": "/srv"}',
        "--task-context", "refunds", "--risk-category", "financial_transaction",
        "--user", "ann", "--group", "staff", "--group", "admin",
    )  # fmt: skip
    by_options = run_json("explain", "--policy", "shell.yaml", *options)
    by_stdin = run_json("explain", "--policy", "shell.yaml", input=json.dumps(call, indent=1))
    assert by_options["outcome"] == "allow"
    assert by_options["digest"] == by_stdin["digest"]
    assert by_options["call"].pop("policy_context") != ""
    assert by_options["call"].items() <= by_stdin["call"].items()


def test_a_payload_may_come_from_stdin(folder: Path) -> None:
    told = run_json("eval", *SHELL, "--payload", "-", input='{"command":\n "rm -rf /"}\n')
    assert told["outcome"] == "deny"


def test_without_a_payload_nothing_is_known_of_it(folder: Path) -> None:
    told = run_json("eval", *SHELL)
    assert told["outcome"] == "deny"
    assert told["reasons"][0]["unknown"][0]["why"] == "the call carries no payload"


@pytest.mark.parametrize(
    ("options", "stdin", "message"),
    [
        ((), "", "there is no call to decide"),
        ((), "nonsense", "<stdin> is no JSON"),
        ((), "[" * 100_000, "<stdin> is no JSON"),
        ((), "[1]", "holds no call: a call is a JSON object"),
        ((), '{"payload": {}}', "`capability` is missing"),
        ((), '{"capability": "a", "capabilty": "b"}', "did you mean `capability`?"),
        ((), '{"capability": "a", "capability": "b"}', "names a key twice"),
        ((), '{"capability": "a"} {"capability": "b"}', "<stdin> is no JSON"),
        ((), '{"capability": "a", "payload": "' + "x" * (17 << 20) + '"}', "holds more than 16 MiB"),
        (("--agent", "ops"), "", "--capability is missing"),
        (("--capability", "a", "--payload", "ls -la"), "", "a text is written in quotes"),
        (("--capability", "a", "--payload", ""), "", "--payload is empty"),
        (("--capability", "a", "--payload", '{"a": 1, "a": 2}'), "", "names a key twice"),
        (("--capability", "a", "--payload", "@nowhere.json"), "", "cannot be read"),
        (("--capability", "a", "--context", "production"), "", "is no KEY=VALUE"),
        (("--capability", "a", "--context", "a=1", "--context", "a=2"), "", "names `a` twice"),
        (("--capability", "a", "--context-json", "[]"), "", "is no JSON object"),
        (("--capability", "a", "--group", "staff"), "", "without --user"),
    ],
)
def test_a_call_that_cannot_be_read_is_wrong_use(
    folder: Path, options: tuple[str, ...], stdin: str, message: str
) -> None:
    result = run("eval", "--policy", "shell.yaml", *options, input=stdin)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_folder_of_policies_is_asked_through_its_index(folder: Path) -> None:
    given = ("--policy", ".", "--capability", "shell.execute", "--payload", "{}")
    known, stranger = run_json("explain", *given, "--agent", "ops"), run_json("explain", *given, "--agent", "eve")
    assert (known["outcome"], known["policies"][0]["source"]) == ("allow", "shell.yaml")
    assert (stranger["outcome"], stranger["policies"]) == ("deny", [])
    assert "no policy is in force" in run("explain", *given, "--agent", "eve").stdout


@pytest.mark.parametrize("policy", ["shell.yaml", "."])
@pytest.mark.parametrize("verb", [("eval",), ("explain",), ("replay", "calls.jsonl")])
def test_a_broken_policy_is_told_of_and_decides_nothing(folder: Path, verb: tuple[str, ...], policy: str) -> None:
    Path("shell.yaml").write_text("deny: 3\n")
    result = run(*verb, "--policy", policy)
    assert result.exit_code == 2
    assert "shell.yaml:1:7: error: " in result.stderr
    assert result.stdout == ""


def test_a_folder_without_an_index_is_wrong_use(folder: Path) -> None:
    Path("index.yaml").unlink()
    assert "has no index.yaml" in run("eval", "--policy", ".", "--capability", "a").stderr


def test_audit_records_the_decision(folder: Path) -> None:
    result = run("eval", *SHELL, "--payload", "{}", "--audit", "audit.db")
    assert "record " in result.stdout
    assert result.stderr == ""
    told = run_json("eval", *SHELL, "--payload", "{}", "--audit", "audit.db")
    shown = run("audit", "export", "--log", "audit.db").stdout
    assert told["decision_id"] in shown
    assert told["receipt"]["hash"] in shown


def test_what_cannot_be_recorded_is_denied_without_a_trace_of_python(folder: Path) -> None:
    result = run("eval", *SHELL, "--payload", "{}", "--audit", "no/such/folder/audit.db")
    assert result.exit_code == 4
    assert "could not be written" in result.stdout
    assert "Traceback" not in result.output


@pytest.mark.parametrize("verb", ["eval", "explain"])
def test_nothing_that_a_model_wrote_reaches_the_terminal_as_a_command(folder: Path, verb: str) -> None:
    call = {"agent_id": HOSTILE, "capability": HOSTILE, "payload": {HOSTILE: HOSTILE}, "task_context": HOSTILE}
    for capability in (HOSTILE, "shell.execute"):
        text = json.dumps(call | {"capability": capability})
        for more in ((), ("--json",)):
            result = run(verb, "--policy", "shell.yaml", *more, input=text)
            assert result.exit_code in (0, 4)
            assert is_tame(result.stdout)
    wrong = run(verb, "--policy", "shell.yaml", input=json.dumps({HOSTILE: 1}))
    assert wrong.exit_code == 2
    assert is_tame(wrong.stderr)
