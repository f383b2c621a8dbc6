"""One gate serves many policies, and takes up their changes whole or not at all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onpurpose import Gate, Outcome, Result, load_policy, parse_policy
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.app.policies import Held
from onpurpose.core.decision import Code
from onpurpose.wiring import AnyPolicy
from tests.app.logs import decisions

ALLOW = "allow:\n  - capability: '*'\n"
WARN = "warn:\n  - capability: '*'\n"
ASK = "require_approval:\n  - capability: '*'\n"
DENY = "deny:\n  - capability: '*'\n"
BROKEN = "deny:\n  - capabilty: '*'\n"

POLICIES = {
    name: parse_policy(text, f"{name}.yaml") for name, text in zip("awqd", (ALLOW, WARN, ASK, DENY), strict=True)
}


def gate_on(policy: AnyPolicy | None, ledger: MemoryLedger | None = None) -> Gate:
    return Gate(policy, ledger, reload_seconds=3600)


def ask(gate: Gate, agent: str = "a", **context: object) -> Result:
    return gate.evaluate(agent, "shell.execute", {"command": "ls"}, policy_context=context)


def outcome(gate: Gate, agent: str = "a", **context: object) -> str:
    return str(ask(gate, agent, **context).outcome)


def code(gate: Gate) -> Code:
    return ask(gate).reasons[0].code


def look_twice(gate: Gate) -> None:
    """A changed text counts once it rested between two looks."""
    gate.refresh()
    gate.refresh()


def problems(gate: Gate) -> list[str | None]:
    status: Any = gate.status()["policies"]
    return [one["problem"] for one in status]


# -- the choice


@pytest.mark.parametrize(
    ("keys", "agent", "context", "expected"),
    [
        ("agent:ops=w *=d", "ops", {}, "warn"),
        ("agent:ops=w *=d", "dev", {}, "deny"),
        ("agent:ops=w", "dev", {}, "deny"),
        ("environment:prod=q environment:dev=a", "x", {"environment": "prod"}, "require_approval"),
        ("environment:prod=q environment:dev=a", "x", {"environment": "dev"}, "allow"),
        ("environment:prod=q environment:dev=a", "x", {"environment": "qa"}, "deny"),
        ("environment:prod=q environment:dev=a *=w", "x", {"environment": "qa"}, "warn"),
        # what the context does not tell: the strictest of all that may count
        ("environment:prod=q environment:dev=a *=w", "x", {}, "require_approval"),
        ("environment:prod=a environment:dev=a *=w", "x", {}, "warn"),
        ("environment:prod=a *=a", "x", {}, "allow"),
        ("environment:prod=a", "x", {}, "deny"),
        ("environment:prod=d *=a", "x", {"environment": None}, "deny"),
        ("environment:prod=d *=a", "x", {"environment": 7}, "deny"),
        ("environment:prod=d *=a", "x", {"environment": ["prod"]}, "deny"),
        ("environment:prod=d *=a", "x", {"environment": "PROD"}, "deny"),
        ("environment:prod=d *=a", "x", {"environment": " prod\n"}, "deny"),
        ("environment:prod=d *=a", "x", {"environment": "production"}, "allow"),
        ("environment:prod=a environment:dev=d *=w", "x", {"environment": "Prod"}, "warn"),
        # a sure one ends the search
        ("environment:prod=w agent:x=a *=d", "x", {}, "warn"),
        ("agent:x=a environment:prod=d *=d", "x", {}, "allow"),
        ("tenant:acme=a *=d", "x", {"tenant": "acme"}, "allow"),
        ("agent:x,tenant:acme=a *=w", "x", {"tenant": "acme"}, "allow"),
        ("agent:x,tenant:acme=a *=w", "x", {"tenant": "other"}, "warn"),
        ("agent:x,tenant:acme=a *=w", "y", {"tenant": "acme"}, "warn"),
        ("agent:x,tenant:acme=d *=w", "y", {}, "warn"),
        ("agent:x,agent:y=a *=d", "x", {}, "allow"),
        ("agent:x,agent:y=a *=d", "y", {}, "allow"),
    ],
)
def test_the_first_policy_that_suits_is_chosen(
    keys: str, agent: str, context: dict[str, object], expected: str
) -> None:
    policies = {key: POLICIES[letter] for key, letter in (pair.rsplit("=") for pair in keys.split())}
    assert outcome(gate_on(policies), agent, **context) == expected


def test_selectors_may_be_written_with_spaces() -> None:
    gate = gate_on({"agent: ops, environment: prod": POLICIES["a"], "*": POLICIES["d"]})
    assert outcome(gate, "ops", environment="prod") == "allow"


def test_a_call_of_no_policy_says_so() -> None:
    result = ask(gate_on({"agent:ops": POLICIES["a"]}), "dev")
    assert [reason.code for reason in result.reasons] == [Code.NO_POLICY]


def test_every_policy_that_may_count_stands_in_the_record() -> None:
    ledger = MemoryLedger()
    ask(gate_on({"environment:prod": POLICIES["q"], "*": POLICIES["a"]}, ledger))
    assert [policy["source"] for policy in decisions(ledger)[0]["policies"]] == ["q.yaml", "a.yaml"]


def test_no_context_at_all_is_one_that_tells_nothing() -> None:
    gate = gate_on({"environment:prod": POLICIES["d"], "*": POLICIES["a"]})
    assert gate.evaluate("a", "shell.execute", {}).outcome is Outcome.DENY


@pytest.mark.parametrize("key", ["", "ops", "agent:", "agent", ":ops", "agents:ops", "agent:ops,", "region:eu", "**"])
def test_a_key_that_chooses_nothing_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="chooses no policy"):
        gate_on({key: POLICIES["a"]})


def test_an_empty_mapping_denies() -> None:
    assert code(gate_on({})) is Code.NO_POLICY


# -- a folder with an index

INDEX = """\
policies:
  - file: ops.yaml
    agent: ops
  - file: teams/prod.yaml
    environment: [prod, staging]
  - file: rest.yaml
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "teams").mkdir()
    texts = {"index.yaml": INDEX, "ops.yaml": WARN, "teams/prod.yaml": ASK, "rest.yaml": ALLOW}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("agent", "context", "expected"),
    [
        ("ops", {}, "warn"),
        ("a", {"environment": "prod"}, "require_approval"),
        ("a", {"environment": "staging"}, "require_approval"),
        ("a", {"environment": "dev"}, "allow"),
        ("a", {}, "require_approval"),
    ],
)
def test_a_folder_chooses_by_its_index(folder: Path, agent: str, context: dict[str, object], expected: str) -> None:
    assert outcome(gate_on(folder), agent, **context) == expected


def test_a_changed_index_is_taken_up(folder: Path) -> None:
    gate = gate_on(folder)
    write(folder / "index.yaml", "policies:\n  - file: ops.yaml\n")
    look_twice(gate)
    assert outcome(gate) == "warn"


def test_a_policy_of_an_index_is_taken_up_when_it_changes(folder: Path) -> None:
    gate = gate_on(folder)
    write(folder / "ops.yaml", DENY)
    look_twice(gate)
    assert outcome(gate, "ops") == "deny"


@pytest.mark.parametrize("text", [None, "policies: 7\n", "policies:\n  - file: ../ops.yaml\n"])
def test_a_broken_index_keeps_the_last_good_one(
    folder: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    gate = gate_on(folder)
    if text is None:
        (folder / "index.yaml").unlink()
    else:
        write(folder / "index.yaml", text)
    for _ in range(6):
        gate.refresh()
    assert outcome(gate, "ops") == "warn"
    assert "index.yaml" in str(problems(gate)[0])
    assert len(caplog.messages) == 1
    write(folder / "index.yaml", INDEX.replace("ops.yaml", "rest.yaml"))
    look_twice(gate)
    assert outcome(gate, "ops") == "allow"
    assert problems(gate)[0] is None


def test_an_index_that_comes_back_as_it_was_mends_the_status(folder: Path) -> None:
    gate = gate_on(folder)
    (folder / "index.yaml").rename(folder / "aside")
    gate.refresh()
    assert problems(gate)[0] is not None
    (folder / "aside").rename(folder / "index.yaml")
    look_twice(gate)
    assert problems(gate)[0] is None


@pytest.mark.parametrize("text", [None, "", "policies: 7\n", "\0"])
def test_an_index_that_never_could_be_read_denies_everything(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write(tmp_path / "index.yaml", text)
    gate = gate_on(tmp_path)
    assert code(gate) is Code.POLICY_UNREADABLE
    assert "index.yaml" in str(problems(gate)[0])
    write(tmp_path / "index.yaml", "policies:\n  - file: a.yaml\n")
    write(tmp_path / "a.yaml", ALLOW)
    look_twice(gate)
    assert outcome(gate) == "allow"


def test_a_broken_file_of_an_index_denies_its_own_calls_alone(folder: Path) -> None:
    (folder / "ops.yaml").write_text(BROKEN, encoding="utf-8")
    gate = gate_on(folder)
    assert outcome(gate, "ops") == "deny"
    assert outcome(gate, environment="dev") == "allow"


# -- files that are bad, change, or go


def write(path: Path, text: str) -> None:
    """Replace the file as a careful editor does."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(ALLOW, encoding="utf-8")
    return path


def missing(path: Path) -> None:
    """Nothing there."""


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "index.yaml").mkdir()


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def holding(text: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(text)

    return make


BAD: dict[str, Callable[[Path], None]] = {
    "missing": missing,
    "a folder without an index": a_folder,
    "a dangling link": a_dangling_link,
    "an unknown key": holding(BROKEN.encode()),
    "empty": holding(b""),
    "not UTF-8": holding(b"\xff\xfe\xfd"),
    "NUL": holding(b"\0" * 100),
    "too long": holding(b"#" * (1 << 20) + b"\n" + ALLOW.encode()),
    "no YAML": holding(b"deny: [\n"),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_policy_that_cannot_be_read_denies_everything(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    make(path)
    ledger = MemoryLedger()
    gate = gate_on(path, ledger)
    result = ask(gate)
    assert (result.outcome, result.reasons[0].code) == (Outcome.DENY, Code.POLICY_UNREADABLE)
    assert decisions(ledger)[0]["outcome"] == "deny"
    assert "policy.yaml" in str(problems(gate)[0])


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_policy_path_that_cannot_be_read_denies_its_calls(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    make(path)
    gate = gate_on(POLICIES["a"])
    result = gate.evaluate("a", "shell.execute", {}, policy_path=path)
    assert result.reasons[0].code is Code.POLICY_UNREADABLE
    assert gate.evaluate("a", "shell.execute", {}).allowed
    assert str(path) in str(problems(gate)[-1])


@pytest.mark.parametrize("make", [missing, holding(BROKEN.encode())])
def test_a_policy_that_was_never_good_is_taken_up_once_it_is(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    make(path)
    gate = gate_on(path)
    assert not ask(gate).allowed
    write(path, ALLOW)
    look_twice(gate)
    assert outcome(gate) == "allow"
    assert problems(gate) == [None]


def test_a_changed_file_is_taken_up(file: Path) -> None:
    gate = gate_on(file)
    for text, expected in ((DENY, "deny"), (WARN, "warn"), (ALLOW, "allow")):
        write(file, text)
        look_twice(gate)
        assert outcome(gate) == expected


def test_a_file_of_a_call_is_taken_up_when_it_changes(file: Path) -> None:
    gate = gate_on(None)
    assert gate.evaluate("a", "b", {}, policy_path=file).allowed
    write(file, DENY)
    look_twice(gate)
    assert not gate.evaluate("a", "b", {}, policy_path=file).allowed


def test_a_change_right_after_the_first_load_is_taken_up_though_no_time_stamp_shows_it() -> None:
    source = Flickering(ALLOW)
    held = Held(source)
    held.load()
    source.text = DENY
    held.refresh(lambda: None)
    held.refresh(lambda: None)
    assert held.state.digest == parse_policy(DENY).digest


def test_a_broken_edit_keeps_the_last_good_policy_and_shows(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = MemoryLedger()
    gate = gate_on(file, ledger)
    good = load_policy(file).digest
    write(file, BROKEN)
    for _ in range(6):
        gate.refresh()
    assert outcome(gate) == "allow"
    assert "capabilty" in str(problems(gate)[0])
    assert f"{file}:2:5" in str(problems(gate)[0])
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "the last good policy stays in force" in caplog.text
    (policy,) = decisions(ledger)[-1]["policies"]
    assert policy["digest"] == good
    assert len(policy["reload_failed"]) == 64


def test_a_mended_file_is_taken_up_and_nothing_is_reported_any_more(file: Path) -> None:
    ledger = MemoryLedger()
    gate = gate_on(file, ledger)
    for text, expected in ((BROKEN, "allow"), (DENY, "deny"), (BROKEN, "deny"), (DENY, "deny"), (ALLOW, "allow")):
        write(file, text)
        look_twice(gate)
        assert outcome(gate) == expected
        assert problems(gate) == [None] if text is not BROKEN else problems(gate) != [None]
        assert ("reload_failed" in decisions(ledger)[-1]["policies"][0]) is (text is BROKEN)


def test_each_broken_edit_is_reported_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = gate_on(file)
    for text in (BROKEN, BROKEN + "# more\n", BROKEN + "# and more\n"):
        write(file, text)
        for _ in range(4):
            gate.refresh()
    assert len(caplog.records) == 3


def test_a_broken_file_that_is_saved_again_as_it_was_is_not_reported_again(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = gate_on(file)
    for _ in range(3):
        write(file, BROKEN)
        look_twice(gate)
    assert (outcome(gate), len(caplog.records)) == ("allow", 1)
    assert "capabilty" in str(problems(gate)[0])


def test_a_deleted_file_keeps_the_last_good_policy_and_shows(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = MemoryLedger()
    gate = gate_on(file, ledger)
    file.unlink()
    for _ in range(4):
        gate.refresh()
    assert outcome(gate) == "allow"
    assert "No such file" in str(problems(gate)[0])
    assert decisions(ledger)[-1]["policies"][0]["reload_failed"] == "unreadable"
    assert len(caplog.records) == 1


def test_a_file_that_comes_back_as_it_was_mends_the_status(file: Path) -> None:
    held = Held(Flickering(ALLOW))
    held.load()
    for there in (False, True, True):
        held.source.there = there  # type: ignore[attr-defined]
        held.refresh(lambda: None)
    assert (held.problem, b"reload_failed" in held.state.written) == (None, False)


class Flickering:
    """A text that is away at times, and looks unchanged when it is back."""

    name = "flickering.yaml"

    def __init__(self, text: str) -> None:
        self.text = text
        self.there = True
        self.while_read: Callable[[], None] = lambda: None
        self.number = 1

    def version(self) -> object:
        if not self.there:
            raise FileNotFoundError(2, "No such file or directory")
        return self.number

    def read(self, limit: int) -> bytes:
        text = self.text.encode()[: limit + 1]
        self.while_read()
        return text

    def sibling(self, name: str) -> Flickering:
        return self


def test_a_text_that_changes_while_it_is_read_is_not_taken() -> None:
    source = Flickering(DENY)
    held = Held(source)
    held.load()

    def write_on() -> None:
        source.number += 1

    source.text, source.number, source.while_read = ALLOW, 2, write_on
    for _ in range(5):
        held.refresh(lambda: None)
    assert held.state.digest == parse_policy(DENY).digest
    source.while_read = lambda: None
    held.refresh(lambda: None)
    held.refresh(lambda: None)
    assert held.state.digest == parse_policy(ALLOW).digest


def test_a_file_that_is_still_being_written_is_not_taken_until_it_rests(file: Path) -> None:
    whole = DENY + ALLOW
    write(file, whole.replace("'*'", "shell.execute", 1))
    gate = gate_on(file)
    assert outcome(gate) == "deny"
    with file.open("w", encoding="utf-8") as half:  # what it says so far would allow everything
        for part in ("", "allow:\n", "  - capability: '*'\n", "deny:\n", "  - capability: shell.execute\n"):
            half.write(part)
            half.flush()
            gate.refresh()
            assert outcome(gate) == "deny"
    look_twice(gate)
    assert (outcome(gate), problems(gate)) == ("deny", [None])


def test_a_permission_taken_and_given_back_is_followed() -> None:
    source = Unreadable(ALLOW)
    held = Held(source)
    held.load()
    source.number, source.shut = 2, True
    for _ in range(3):
        held.refresh(lambda: None)
    assert held.problem == "flickering.yaml: Permission denied"
    source.shut = False
    for _ in range(3):
        held.refresh(lambda: None)
    assert held.problem is None


class Unreadable(Flickering):
    shut = False

    def read(self, limit: int) -> bytes:
        if self.shut:
            raise PermissionError(13, "Permission denied")
        return super().read(limit)


def test_a_refresh_that_goes_wrong_inside_leaves_everything_in_force(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = gate_on(file)

    def fail() -> None:
        raise MemoryError

    write(file, DENY + "".join(f"  - capability: a{number}\n" for number in range(1000)))
    gate.refresh(fail)
    gate.refresh(fail)
    assert outcome(gate) == "allow"
    assert gate.status()["internal_errors"] == 1
    assert "MemoryError" in caplog.text


def test_a_swap_is_whole_under_load(file: Path) -> None:
    gate = gate_on(file)
    seen: set[tuple[str, tuple[Code, ...]]] = set()
    stop = threading.Event()
    started = threading.Barrier(5)

    def hammer() -> None:
        started.wait(10)
        while not stop.is_set():
            result = ask(gate)
            seen.add((str(result.outcome), tuple(reason.code for reason in result.reasons)))

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(10)
    for turn in range(16):
        write(file, f"{(DENY, ALLOW)[turn % 2]}# {turn}\n")
        look_twice(gate)
        assert outcome(gate) == ("deny", "allow")[turn % 2]
    stop.set()
    for thread in threads:
        thread.join()
    assert seen
    assert seen <= {("allow", (Code.RULE_MATCHED,)), ("deny", (Code.RULE_MATCHED,))}


def test_the_watch_takes_up_a_change_by_itself(file: Path) -> None:
    deadline = time.monotonic() + 20
    with Gate(file, None, reload_seconds=0.005) as gate:
        write(file, DENY)
        while outcome(gate) != "deny":
            assert time.monotonic() < deadline, "the change was not taken up"
    assert problems(gate) == [None]


def test_a_gate_may_be_told_never_to_look(file: Path) -> None:
    with Gate(file, None, reload_seconds=float("inf")) as gate:
        write(file, DENY)
        assert outcome(gate) == "allow"
