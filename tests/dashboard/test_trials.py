"""A backtest that is begun on a page tells how far it is, with and without script, and can be ended there."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from onpurpose.app.sessions import form_token
from onpurpose.core.access import Role
from tests.dashboard.authors import Authors, Visitor, authors, seen

EDIT = "/policies/policy/base/edit"
TRY = "/policies/new/capability/backtest"
TEXT = "allow:\n  - capability: files.*\n"


class Gate:
    """Holds every backtest between two blocks of calls, until it is let go."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self) -> None:
        assert self.opened.wait(30)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Authors, Gate]]:
    gate = Gate()
    with authors(tmp_path_factory.mktemp("authors"), gate) as found:
        for _ in range(150):
            found.call()
        yield found, gate
        gate.opened.set()


@pytest.fixture
def gate(full: tuple[Authors, Gate]) -> Iterator[Gate]:
    full[1].opened.clear()
    yield full[1]
    full[1].opened.set()
    trials = full[0].parts.trials
    for one in list(trials._known.values()):  # the next test's are refused while one of these runs
        assert not trials.wait(one, 30).running


@pytest.fixture
def author(full: tuple[Authors, Gate]) -> Iterator[Visitor]:
    with full[0].visitor(Role.AUTHOR) as found:
        yield found


def begun(author: Visitor) -> tuple[str, str]:
    """The part of the page that a backtest begins, and where the backtest is."""
    text = author.post(TRY, 200, text=TEXT, name="base", days="3").text
    start = text.index('hx-get="') + len('hx-get="')
    return text, text[start : text.index('"', start)]


def part(author: Visitor, path: str) -> str:
    return author.client.get(path, headers={"HX-Request": "true"}).text


def test_it_tells_how_far_it_is_until_it_is_done(author: Visitor, gate: Gate) -> None:
    _, path = begun(author)
    assert path.endswith("?days=3")
    polled = ""
    while "64 of 150 calls" not in seen(polled):  # a busy machine may take long to come so far
        polled = part(author, path)
    assert 'hx-trigger="every 1s"' in polled
    assert "<html" not in polled
    gate.opened.set()
    done = ""
    while "Match rate" not in done:  # it is judged on a thread, as fast as that is
        done = part(author, path)
    assert "Tried on 150 recorded calls of the last 3 days" in seen(done)
    assert "hx-get" not in done


def test_without_script_a_page_of_its_own_follows_it(author: Visitor, gate: Gate) -> None:
    whole = author.post(EDIT, 200, do="try", text=TEXT, days="3", expected="1").text
    start = whole.index('<noscript><a href="') + len('<noscript><a href="')
    path = whole[start : whole.index('"', start)]
    page = ""
    while "64 of 150 calls" not in seen(page):
        page = author.get(path)
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page
    assert TEXT.splitlines()[1] in whole  # what was written is still there
    ended = author.post(path.replace("?", "/cancel?"), 303)
    gate.opened.set()
    assert ended.headers["location"] == path
    done = page
    while "refresh" in done:
        done = author.get(path)
    assert "It was cancelled: the newest ones were, back to" in seen(done)


def test_with_script_it_is_cancelled_in_its_place(author: Visitor, gate: Gate) -> None:
    _, path = begun(author)
    headers = {"Origin": str(author.client.base_url).rstrip("/"), "HX-Request": "true"}
    answer = author.client.post(
        path.replace("?", "/cancel?"), data={"_csrf": form_token(author.token)}, headers=headers
    )
    assert (answer.status_code, "<html" in answer.text) == (200, False)
    assert 'hx-trigger="every 1s"' in answer.text  # held in a block, which it ends first
    gate.opened.set()
    done = ""
    while "It was cancelled" not in done:
        done = part(author, path)


def test_a_second_one_waits_for_the_first(author: Visitor, gate: Gate) -> None:
    begun(author)
    refused = author.post(TRY, 200, text=TEXT, name="base", days="3").text
    assert "It was not tried: a backtest is running already" in seen(refused)


def test_one_that_is_not_known_is_said_to_be_so(author: Visitor) -> None:
    assert "That backtest is not known here" in seen(author.get("/trials/nowhere"))
    author.post("/trials/now%2Fhere/cancel", 404)
    assert author.post("/trials/nowhere/cancel", 303).headers["location"] == "/trials/nowhere?days=7"


def test_who_does_not_write_follows_none(full: tuple[Authors, Gate]) -> None:
    with full[0].visitor(Role.VIEWER) as viewer:
        viewer.get("/trials/nowhere", 403)
