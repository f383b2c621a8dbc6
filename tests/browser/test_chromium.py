"""Without a browser nobody is deceived: where a run decides, tests fail; elsewhere they are left out aloud."""

from __future__ import annotations

import asyncio

import pytest

from tests.browser.chromium import LEFT_OUT, Browsing, Chromium, find_program, program_or_skip


@pytest.fixture
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.mark.usefixtures("_nothing_installed")
def test_tests_fail_without_a_browser_where_a_run_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=LEFT_OUT.split(":", maxsplit=1)[0]):
        program_or_skip()


@pytest.mark.usefixtures("_nothing_installed")
def test_tests_are_left_out_without_a_browser_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        program_or_skip()


@pytest.mark.usefixtures("chromium")
def test_the_browser_that_is_installed_is_found() -> None:
    program = find_program()
    assert program is not None
    assert program.exists()


def test_other_tests_may_run_loops_of_their_own_beside_the_browser(chromium: Chromium) -> None:
    async def answer() -> int:
        return 42

    assert asyncio.run(answer()) == 42
    with chromium.browsing() as browsing:
        assert browsing.open().page.evaluate("6 * 7") == 42
    assert asyncio.run(answer()) == 42


@pytest.mark.parametrize(
    ("script", "told"),
    [("console.error('aua')", "aua"), ("setTimeout(() => { throw new Error('ouch') })", "ouch")],
)
def test_what_the_browser_complains_of_fails_the_test(browsing: Browsing, script: str, told: str) -> None:
    window = browsing.open()
    with window.page.expect_event("console" if "console" in script else "pageerror"):
        window.page.evaluate(script + "; 0")
    with pytest.raises(AssertionError, match=told):
        window.check()
    window.expected.append(told)
    window.check()
