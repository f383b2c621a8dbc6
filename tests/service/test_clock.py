"""A clock that steps back and far ahead: names, log and tokens stay good, on either database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.service.process import Process, ask, put_in_force, running

LEFT_OUT = "no libfaketime here: install Debian's `faketime`"
PLACES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")
YAML = {"Content-Type": "application/yaml"}
PURPOSE = "id: lookup\nstatus: active\n"
PURPOSE_POLICY = (
    "policy_id: hours\npurpose_id: lookup\ndecision: allow\ntoken_ttl_minutes: 5\nshadow_mode: false\n"
    "match:\n  identity_required: false\n"
)
STEPS = ("-2h", "-3d", "+1d", "+5d", "-1d", "+0")
"""Where the clock is set, one after another, beside the true time."""


@pytest.fixture(scope="session")
def library() -> Path:
    """What stands between a process and the machine's clock; from Debian's package where the tests run as root."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "faketime"]
        subprocess.run(command, check=False, capture_output=True, timeout=120)
        found = _found()
    if found is None:
        pytest.skip(LEFT_OUT)
    return found


def _found() -> Path | None:
    return next((path for pattern in PLACES for path in Path("/").glob(pattern.removeprefix("/"))), None)


class Shifted:
    """A service whose clock can be set."""

    def __init__(self, process: Process, setting: Path) -> None:
        self.process = process
        self._setting = setting

    def set(self, shift: str) -> None:
        """Set the clock, as `-2h` or `+5d` beside the true time."""
        scratch = self._setting.with_suffix(".new")
        scratch.write_text(f"{shift}\n")
        scratch.replace(self._setting)


@pytest.fixture(params=["sqlite", "postgres"])
def service(request: pytest.FixtureRequest, library: Path, tmp_path: Path) -> Iterator[Shifted]:
    database = str(tmp_path / "t.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    setting = tmp_path / "clock"
    setting.write_text("+0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(setting))
        patch.setenv("FAKETIME_NO_CACHE", "1")
        patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        patch.setenv("DONT_FAKE_MONOTONIC", "1")
        process = Process(database, tmp_path)
    try:
        with process.client() as client:
            put_in_force(client)
        yield Shifted(process, setting)
    finally:
        process.stop()
        for left in Path("/dev/shm").glob(f"*faketime_s*_{process.pid}"):  # the library removes them in vain
            left.unlink()


def until(found: Callable[[], bool]) -> None:
    """Ask again until it is so."""
    for _ in range(10_000):
        if found():
            return
    raise AssertionError("it did not come to be so")


def times(client: httpx2.Client) -> dict[str, str]:
    """When decisions were made, by their ids, newest recorded first."""
    items = client.get("/v1/decisions", params={"limit": 100}).json()["items"]
    return {item["id"]: item["at"] for item in items}


def test_decisions_are_recorded_in_order_under_names_of_their_own_wherever_the_clock_goes(service: Shifted) -> None:
    made = []
    with service.process.client() as client:
        for step in STEPS:
            service.set(step)
            for _ in range(3):
                answer = ask(client)
                assert answer["outcome"] == "allow", answer
                made.append(answer["decision_id"])
        assert len(set(made)) == len(made)
        until(lambda: len(times(client)) == len(made))
        found = times(client)
        assert set(found) == set(made)
        # A clock that steps back by more than a day ends a chain on PostgreSQL; two chains have no order between them.
        if not service.process.database.startswith("postgresql"):
            assert list(found) == made[::-1], "the feed is in the order of the log, not of the clock"
        told = [found[one] for one in made]
        assert told != sorted(told), "the clock was set"
        report = client.post("/v1/audit/verify").json()
        assert report["ok"], report
        assert client.get("/readyz").status_code == 200


def test_a_log_begun_ahead_of_time_is_gone_on_with_by_a_process_that_starts_later(
    service: Shifted, tmp_path: Path
) -> None:
    with service.process.client() as client:
        service.set("+5d")
        before = ask(client)["decision_id"]
    command = service.process
    with running(command.database, tmp_path, key=command.key) as second, second.client() as client:
        after = ask(client)
        assert after["outcome"] == "allow"
        until(lambda: {before, after["decision_id"]} <= set(times(client)))
        report = client.post("/v1/audit/verify").json()
        assert report["ok"], report


def token_of(client: httpx2.Client) -> str:
    """A token, as an allowed call under a purpose is given one."""
    assert client.put("/v1/purposes/lookup?reason=test", content=PURPOSE, headers=YAML).is_success
    saved = client.put("/v1/purpose-policies/hours?reason=test", content=PURPOSE_POLICY, headers=YAML)
    assert saved.is_success, saved.text
    token: str = ask(client, purpose_id="lookup")["token"]
    return token


def check(client: httpx2.Client, token: str) -> dict[str, Any]:
    """What the service says of the token."""
    told = client.post("/v1/tokens/verify", json={"token": token, "audience": "shell.execute"})
    assert told.status_code == 200, told.text
    answer: dict[str, Any] = told.json()
    return answer


def test_a_token_lives_no_longer_because_the_clock_steps_back(service: Shifted) -> None:
    with service.process.client() as client:
        token = token_of(client)
        assert check(client, token)["valid"]
        service.set("+10m")
        assert check(client, token)["reason"] == "the token has expired"
        service.set("-2h")
        assert check(client, token)["reason"] == "the token was issued in the future"
        earlier = ask(client, purpose_id="lookup")["token"]
        assert check(client, earlier)["valid"]
        service.set("+0")
        assert check(client, earlier)["reason"] == "the token has expired"
        assert check(client, token)["valid"]


def test_a_token_that_is_revoked_by_a_clock_that_stepped_back_stays_revoked(service: Shifted) -> None:
    with service.process.client() as client:
        token = token_of(client)
        name = check(client, token)["claims"]["jti"]
        service.set("-2h")
        revoked = client.post("/v1/tokens/revoke", json={"kind": "jti", "value": name, "reason": "lost"})
        assert revoked.is_success, revoked.text
        service.set("+0")
        assert not check(client, token)["valid"]
