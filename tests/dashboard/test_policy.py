"""A policy's page: its numbers and examples, what is missing, promote, undo within seconds, revert, and history."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from onpurpose.core.access import Role
from onpurpose.core.call import Identity
from onpurpose.core.revision import Kind
from onpurpose.server.dashboard.feed import Filters
from tests.app.world import DAY
from tests.dashboard.authors import EXAMPLE, HOSTILE, NAME, PAGE, Authors, Visitor, authors, form_in, seen

OF_PURPOSE = Kind.PURPOSE_POLICY
SECOND = 1_000_000


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Authors]:
    with authors(tmp_path) as made:
        made.save(OF_PURPOSE, NAME, EXAMPLE)
        yield made


@pytest.fixture
def promoter(house: Authors) -> Iterator[Visitor]:
    with house.visitor(Role.PROMOTER) as visitor:
        yield visitor


@pytest.fixture
def author(house: Authors) -> Iterator[Visitor]:
    with house.visitor(Role.AUTHOR) as visitor:
        yield visitor


ASIDE = {"aside_min_matched": "on", "limit_min_matched": "0", "aside_min_days": "on", "limit_min_days": "0",
         "aside_would_deny": "on", "limit_would_deny": "100"}  # fmt: skip


def promote(promoter: Visitor, **fields: str) -> None:
    form = promoter.form(PAGE, f"{PAGE}/promote")
    promoter.post(f"{PAGE}/promote", **form | ASIDE | {"reason": "seen enough"} | fields)


def test_it_tells_the_numbers_with_counts_and_intervals(house: Authors, author: Visitor) -> None:
    for _ in range(3):
        house.call()
    blocked = house.call("helper", "sales")
    page = author.get(PAGE)
    told = seen(page).replace("\u00a0", " ")
    assert "75.0 % 95 % interval 30.1 % to 95.4 % (3 of 4)" in told
    assert "Would-deny rate 0.0 %" in told
    assert "Confidence drift" in told
    assert f'href="/decisions/{blocked.decision_id}"' in page
    assert "helper : crm.read" in told
    assert "The three numbers, day by day" in told
    assert "Missing: at least 50 calls matched (so far 3)" in told
    assert "Missing: watched for 3 days" in told


def test_slices_are_one_click_away(house: Authors, author: Visitor) -> None:
    house.call("helper")
    house.call("helper", "sales")
    house.call("other")
    page = author.get(PAGE)
    assert "slice=agent%3Ahelper" in page or "slice=agent:helper" in page
    told = seen(author.get(f"{PAGE}?slice=agent:helper")).replace("\u00a0", " ")
    assert "agent:helper alone" in told
    assert "50.0 %" in told
    assert "(1 of 2)" in told
    assert "alone" not in seen(author.get(f"{PAGE}?slice=agent:nobody"))


def test_what_is_worth_a_look_is_one_click_away(house: Authors, author: Visitor) -> None:
    house.call("helper", "sales")
    page = author.get(PAGE)
    for part in ("blocked=yes", "shadow=deny", "shadow=ask"):
        link = html.unescape(next(one for one in re.findall(r'href="(/decisions[^"]*)"', page) if part in one))
        filters = Filters.of(dict(parse_qsl(link.partition("?")[2])))
        assert filters.policy == NAME
        assert part.partition("=")[2] in (filters.blocked, filters.shadow)


def test_each_of_the_three_numbers_leads_to_calls_that_it_counts(house: Authors, author: Visitor) -> None:
    decided = house.call("helper").decision_id
    page = author.get(PAGE)
    for title in ("The classifier was uncertain", "Matched"):
        part = page.partition(f"<h3>{title}</h3>")[2].partition("<h3>")[0]
        assert f'href="/decisions/{decided}"' in part


def test_before_any_call_it_says_that_nothing_was_seen(author: Visitor) -> None:
    told = seen(author.get(PAGE))
    assert "no call that concerns it was seen yet" in told
    assert "(nothing matched yet)" in told


def test_it_is_not_promoted_while_something_is_missing(house: Authors, promoter: Visitor) -> None:
    house.call()
    form = promoter.form(PAGE, f"{PAGE}/promote")
    page = promoter.post(f"{PAGE}/promote", 409, **form | {"reason": "now"}).text
    assert "at least 50 must have" in seen(page)
    assert '<dialog id="promote" aria-labelledby="promote-title" open>' in page
    assert form_in(page, f"{PAGE}/promote")["reason"] == "now"
    assert house.world.standing(OF_PURPOSE, NAME).live is None


def test_a_promotion_needs_a_reason_and_limits_that_are_numbers(promoter: Visitor) -> None:
    form = promoter.form(PAGE, f"{PAGE}/promote")
    assert "Say why" in promoter.post(f"{PAGE}/promote", 409, **form | ASIDE | {"reason": " "}).text
    bad = form | ASIDE | {"reason": "x", "limit_min_days": "nan"}
    assert "a number from 0 on" in promoter.post(f"{PAGE}/promote", 409, **bad).text


def test_promoted_then_undone_within_seconds(house: Authors, promoter: Visitor) -> None:
    promote(promoter)
    assert house.world.standing(OF_PURPOSE, NAME).live == 1
    assert house.call("bot", "sales").outcome.permits is False
    page = promoter.get(f"{PAGE}?done=promoted")
    assert "data-until" in page
    assert "It is live and decides" in page
    promoter.post(f"{PAGE}/undo", **form_in(page, f"{PAGE}/undo"))
    assert house.world.standing(OF_PURPOSE, NAME).live is None
    assert house.call("bot", "sales").outcome.permits


def test_after_thirty_seconds_the_server_undoes_nothing_and_reverting_is_left(
    house: Authors, promoter: Visitor
) -> None:
    promote(promoter)
    form = promoter.form(PAGE, f"{PAGE}/undo")
    house.world.clock.at += 30 * SECOND
    page = promoter.post(f"{PAGE}/undo", 409, **form).text
    assert "The time to undo is over" in seen(page)
    assert f'action="{PAGE}/undo"' not in page
    assert house.world.standing(OF_PURPOSE, NAME).live == 1
    revert = form_in(page, f"{PAGE}/revert")
    assert "Say why" in promoter.post(f"{PAGE}/revert", 409, **revert).text
    promoter.post(f"{PAGE}/revert", **revert | {"reason": "it blocked sales"})
    assert house.world.standing(OF_PURPOSE, NAME).live is None


def test_nobody_undoes_a_promotion_that_they_did_not_see(house: Authors, promoter: Visitor) -> None:
    promote(promoter)
    form = promoter.form(PAGE, f"{PAGE}/undo")
    house.world.clock.at += SECOND
    house.save(OF_PURPOSE, NAME, EXAMPLE.replace("minutes: 5", "minutes: 6"))
    house.promote(OF_PURPOSE, NAME)
    for act in ("undo", "revert"):
        page = promoter.post(f"{PAGE}/{act}", 409, **form | {"reason": "-"}).text
        assert "not the last one any more" in seen(page)
    assert house.world.standing(OF_PURPOSE, NAME).live == 2


def test_a_revision_that_was_not_looked_at_is_not_promoted(house: Authors, promoter: Visitor) -> None:
    form = promoter.form(PAGE, f"{PAGE}/promote")
    house.save(OF_PURPOSE, NAME, EXAMPLE.replace("minutes: 5", "minutes: 6"))
    page = promoter.post(f"{PAGE}/promote", 409, **form | ASIDE | {"reason": "x"}).text
    assert "somebody wrote a newer one" in seen(page)


def test_one_that_was_watched_long_enough_is_ready(house: Authors, promoter: Visitor) -> None:
    for _ in range(4):
        house.world.clock.at += DAY
        for number in range(21):
            house.call(f"bot{number}")
    with house.visitor(Role.PROMOTER) as later:  # the session of before has ended
        page = later.get(PAGE)
        assert "Ready to be promoted" in seen(page)
        assert "Missing" not in seen(page)
        assert "aside_" not in page
        form = form_in(page, f"{PAGE}/promote")
        later.post(f"{PAGE}/promote", **form | {"reason": "ready"})
    note = house.world.control.shelf.standing("default", OF_PURPOSE, NAME)
    assert note.live == 1


def test_a_drift_is_told_beside_the_number_before_a_promotion_and_in_words(house: Authors) -> None:
    for day in range(8):
        house.world.clock.at += DAY
        for _ in range(21):
            house.call("surely-bot" if day < 4 else "bot")  # the classifier of these tests is surer of longer names
    with house.visitor(Role.PROMOTER) as later:
        page = later.get(PAGE)
    told = "moved by 1.00, more than chance explains; at first 0.0 %"
    assert told in seen(page).partition("Readiness")[0]
    assert seen(page).count(told) == 2  # and in the dialogue
    assert "Look at calls of the last days first: how sure the intent classifier is of them has moved" in seen(page)


def test_history_tells_what_differs_and_restores(house: Authors, author: Visitor) -> None:
    house.save(OF_PURPOSE, NAME, EXAMPLE.replace("minutes: 5", "minutes: 6"))
    page = author.get(f"{PAGE}/history")
    assert "token_ttl_minutes: 5" in page.partition("<del")[2]
    assert "token_ttl_minutes: 6" in page.partition("<ins")[2]
    author.post(f"{PAGE}/restore", **form_in(page, f"{PAGE}/restore"))
    assert house.world.control.shelf.newest("default", OF_PURPOSE, NAME)[1].text == EXAMPLE
    stale = form_in(page, f"{PAGE}/restore")
    assert "Nothing was changed" in author.post(f"{PAGE}/restore", 409, **stale).text


def test_an_older_revision_keeps_its_own_numbers(house: Authors, author: Visitor) -> None:
    house.call()
    house.save(OF_PURPOSE, NAME, EXAMPLE.replace("minutes: 5", "minutes: 6"))
    assert "no call that concerns it was seen yet" in seen(author.get(PAGE))
    assert "(1 of 1)" in seen(author.get(f"{PAGE}?revision=1"))
    author.get(f"{PAGE}?revision=77", 404)


@pytest.mark.parametrize("part", ["revision=1", "slice=agent:bot"])
def test_a_part_of_what_was_seen_is_no_evidence_for_a_promotion(house: Authors, promoter: Visitor, part: str) -> None:
    house.save(OF_PURPOSE, NAME, EXAMPLE.replace("minutes: 5", "minutes: 6"))
    house.call()
    page = promoter.get(f"{PAGE}?{part}")
    assert f'action="{PAGE}/promote"' not in page
    assert "What counts for a promotion" in seen(page)


@pytest.mark.parametrize("act", ["promote", "undo", "revert"])
def test_authors_and_viewers_do_not_promote(house: Authors, author: Visitor, act: str) -> None:
    author.post(f"{PAGE}/{act}", 403, reason="x", revision="1")
    assert f'action="{PAGE}/promote"' not in author.get(PAGE)
    assert house.world.standing(OF_PURPOSE, NAME).live is None


def test_promoters_do_not_write(promoter: Visitor) -> None:
    promoter.get(f"{PAGE}/edit", 403)
    promoter.post(f"{PAGE}/restore", 403, revision="1")


@pytest.mark.parametrize(
    "path", ["/policies/other/x", "/policies/policy/a b", "/policies/purpose/base", "/policies/policy/none"]
)
def test_what_names_no_policy_is_not_there(author: Visitor, path: str) -> None:
    author.get(path, 404)


def test_what_agents_write_stays_text(house: Authors, author: Visitor) -> None:
    identity = Identity("kim", (HOSTILE,))
    house.call(HOSTILE, identity=identity)
    house.call("x" * 500, identity=Identity("kim", ("y" * 5000,)))
    page = author.get(PAGE)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "alert(1)" in seen(page)
    author.get(f"{PAGE}?slice=group:{HOSTILE[:20]}&saved=<b>&revision=1")
