"""A purpose policy is composed: form and YAML keep in step, errors stand at their fields, nothing typed is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onpurpose.core.access import Role
from onpurpose.core.revision import Kind
from tests.dashboard.authors import EXAMPLE, HOSTILE, NAME, PAGE, Authors, Visitor, authors, form_in, seen

NEW = "/policies/new"
EDIT = f"{PAGE}/edit"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Authors]:
    with authors(tmp_path) as made:
        yield made


@pytest.fixture
def author(house: Authors) -> Iterator[Visitor]:
    with house.visitor(Role.AUTHOR) as visitor:
        yield visitor


def filled(author: Visitor, **fields: str) -> dict[str, str]:
    """The form of a new policy, filled as in the document's example."""
    given = author.form(NEW, NEW) | {
        "policy_id": NAME, "purpose_id": "customer_support_lookup", "user_groups": "support-tier-1, support-tier-2",
        "data_source_id": "salesforce_prod",
    }  # fmt: skip
    return given | fields


def test_the_example_is_composed_by_the_form_alone(house: Authors, author: Visitor) -> None:
    done = author.post(NEW, do="save", **filled(author, reason="as the guide says"))
    assert done.headers["location"] == f"{PAGE}?saved=1"
    _, revision = house.world.control.shelf.newest("default", Kind.PURPOSE_POLICY, NAME)
    assert (revision.author, revision.reason) == ("author", "as the guide says")
    standing = house.world.standing(Kind.PURPOSE_POLICY, NAME)
    assert (standing.live, standing.shadow) == (None, 1)


def test_the_form_makes_the_yaml_without_script(author: Visitor) -> None:
    form = form_in(author.post(NEW, 200, do="form", **filled(author)).text, NEW)
    assert 'user_groups: ["support-tier-1", "support-tier-2"]' in form["text"]
    assert form["yaml_mark"] != filled(author)["yaml_mark"]


def test_the_yaml_makes_the_form_without_script(author: Visitor) -> None:
    form = form_in(author.post(NEW, 200, do="yaml", **filled(author, text=EXAMPLE, policy_id="other")).text, NEW)
    assert form["text"] == EXAMPLE
    assert (form["policy_id"], form["user_groups"]) == (NAME, "support-tier-1, support-tier-2")


def test_what_is_wrong_stands_at_its_field_and_beside_its_line(author: Visitor) -> None:
    page = author.post(NEW, 422, do="save", **filled(author, token_ttl_minutes="soon", hours="always")).text
    slot = page.partition('id="e-token_ttl_minutes"')[2].partition("</div>")[0]
    assert "must be a number" in seen(slot)
    assert "no window of hours" in seen(page.partition('id="e-hours"')[2].partition("</div>")[0])
    told = page.partition('class="drawn"')[2]
    assert "must be a number" in told.partition("token_ttl_minutes")[2].partition("approval_required")[0]
    assert form_in(page, NEW)["hours"] == "always"


def test_a_yaml_that_cannot_be_read_is_kept_as_it_was_written(house: Authors, author: Visitor) -> None:
    broken = EXAMPLE + "shadow: maybe\n"
    page = author.post(NEW, 422, do="save", **author.form(NEW, NEW) | {"text": broken}).text
    assert form_in(page, NEW)["text"] == broken
    assert "has no key `shadow`" in seen(page)
    assert house.world.control.shelf.standings("default", Kind.PURPOSE_POLICY) == []


def test_where_both_sides_were_changed_somebody_says_which_counts(author: Visitor) -> None:
    changed = filled(author, text=EXAMPLE.replace("minutes: 5", "minutes: 9"), token_ttl_minutes="7")
    page = author.post(NEW, 422, do="save", **changed).text
    assert "Which of them counts?" in page
    form = form_in(page, NEW)
    assert (form["text"], form["token_ttl_minutes"]) == (changed["text"], "7")
    taken = form_in(author.post(NEW, 200, do="form", **form).text, NEW)
    assert "token_ttl_minutes: 7" in taken["text"]


def test_what_the_form_cannot_show_is_edited_as_yaml_alone(house: Authors, author: Visitor) -> None:
    text = EXAMPLE.replace('"support-tier-2"', '"two\\nlines"')
    page = author.post(NEW, 200, do="yaml", **author.form(NEW, NEW) | {"text": text}).text
    assert "the form cannot show" in page
    assert author.post(NEW, do="save", **form_in(page, NEW)).headers["location"] == f"{PAGE}?saved=1"
    assert house.world.control.shelf.newest("default", Kind.PURPOSE_POLICY, NAME)[1].text == text


def test_the_other_side_comes_in_pieces_for_those_with_script(author: Visitor) -> None:
    pieces = author.post(f"{NEW}/sync?side=form", 200, **filled(author)).text
    assert 'id="yaml-text"' in pieces
    assert 'id="form-side"' not in pieces
    assert "support-tier-1" in pieces
    pieces = author.post(f"{NEW}/sync?side=yaml", 200, **filled(author, text=EXAMPLE)).text
    assert 'id="form-side"' in pieces
    assert 'id="yaml-text"' not in pieces


def test_before_it_is_saved_it_is_tried_on_recorded_calls(house: Authors, author: Visitor) -> None:
    for _ in range(3):
        house.call()
    blocked = house.call("bot", "sales")
    page = seen(author.post(NEW, 200, do="try", **filled(author)).text)
    assert "Tried on 4 recorded calls" in page
    assert "ran, and would not have run" in page
    assert blocked.decision_id in page
    assert house.world.control.shelf.standings("default", Kind.PURPOSE_POLICY) == []
    part = author.post(f"{NEW}/backtest", 200, **filled(author)).text
    assert "75.0" in part
    assert "<html" not in part


def test_without_recorded_calls_it_says_so(author: Visitor) -> None:
    assert "No call was recorded" in author.post(NEW, 200, do="try", **filled(author)).text


def test_nothing_is_tried_while_something_is_wrong(author: Visitor) -> None:
    assert "Mend what is wrong" in author.post(f"{NEW}/backtest", 200, **filled(author, token_ttl_minutes="x")).text


def test_somebody_who_saved_meanwhile_is_told_of_and_nothing_is_lost(house: Authors, author: Visitor) -> None:
    house.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE)
    mine = author.form(EDIT, EDIT) | {"token_ttl_minutes": "9", "reason": "longer"}
    house.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE.replace("minutes: 5", "minutes: 3"))
    page = author.post(EDIT, 409, do="save", **mine).text
    assert "Somebody else saved meanwhile" in page
    assert "token_ttl_minutes: 3" in page.partition("diff")[2]
    form = form_in(page, EDIT)
    assert (form["token_ttl_minutes"], form["reason"]) == ("9", "longer")
    assert author.post(EDIT, do="save", **form).headers["location"] == f"{PAGE}?saved=3"
    assert "token_ttl_minutes: 9" in house.world.control.shelf.newest("default", Kind.PURPOSE_POLICY, NAME)[1].text


def test_a_policy_of_the_same_name_is_not_written_over(house: Authors, author: Visitor) -> None:
    house.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE)
    assert "Somebody else saved" in author.post(NEW, 409, do="save", **filled(author)).text


def test_what_would_decide_at_once_needs_a_promoter(house: Authors, author: Visitor) -> None:
    given = filled(author)
    del given["shadow_mode"]
    assert "your roles do not include" in author.post(NEW, 403, do="save", **given).text
    with house.visitor(Role.ADMIN) as admin:
        given = filled(admin)
        del given["shadow_mode"]
        admin.post(NEW, do="save", **given)
    assert house.world.standing(Kind.PURPOSE_POLICY, NAME).live == 1


def test_comments_at_the_top_stay(author: Visitor) -> None:
    page = author.post(NEW, 200, do="yaml", **author.form(NEW, NEW) | {"text": "# why\n" + EXAMPLE}).text
    form = form_in(page, NEW) | {"token_ttl_minutes": "8"}
    text = form_in(author.post(NEW, 200, do="form", **form).text, NEW)["text"]
    assert text.startswith("# why\n")
    assert "token_ttl_minutes: 8" in text


def test_a_change_in_the_form_leaves_every_other_line_of_the_yaml_as_it_is(house: Authors, author: Visitor) -> None:
    text = EXAMPLE.replace("decision", "\n# what it comes to\ndecision").replace("minutes: 5", "minutes:  5  # enough")
    house.save(Kind.PURPOSE_POLICY, NAME, text)
    unsure = form_in(
        author.post(EDIT, 422, do="save", **author.form(EDIT, EDIT) | {"token_ttl_minutes": "x"}).text, EDIT
    )
    assert unsure["text"] == text.replace("  5  #", "  x  #")
    author.post(EDIT, do="save", **unsure | {"token_ttl_minutes": "9"})
    saved = house.world.control.shelf.newest("default", Kind.PURPOSE_POLICY, NAME)[1]
    assert saved.text == text.replace("  5  #", "  9  #")


def test_nothing_is_blamed_before_anything_is_filled(author: Visitor) -> None:
    page = author.get(NEW)
    assert "errors" not in page.partition('id="compose"')[2]
    assert "problem" not in seen(page)
    assert "purpose_id is still to be chosen" in seen(page)
    pieces = author.post(f"{NEW}/sync?side=form", 200, **author.form(NEW, NEW) | {"token_ttl_minutes": "x"}).text
    assert "must be a number" in seen(pieces)
    assert "has no `purpose_id`" not in seen(pieces)
    asked = author.post(NEW, 422, do="save", **author.form(NEW, NEW)).text
    assert "`purpose_id`" in seen(asked.partition('id="e-purpose_id"')[2].partition("</div>")[0])
    pieces = author.post(f"{NEW}/sync?side=form", 200, **form_in(asked, NEW) | {"policy_id": "p"}).text
    assert "`purpose_id`" in seen(pieces)


@pytest.mark.parametrize("field", ["policy_id", "purpose_id", "user_groups", "hours", "approvers", "text", "reason"])
def test_hostile_texts_stay_texts(author: Visitor, field: str) -> None:
    wrong = {} if field == "text" else {"token_ttl_minutes": "x"}
    page = author.post(NEW, 422, do="save", **filled(author, **wrong) | {field: HOSTILE}).text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert form_in(page, NEW)[field].strip() == HOSTILE


def test_a_huge_text_is_told_of_and_not_a_crash(author: Visitor) -> None:
    text = "# x\n" * 300_000
    assert "problem" in author.post(NEW, 422, do="save", **filled(author, text=text, policy_id="")).text


def test_names_that_were_seen_are_suggested(house: Authors, author: Visitor) -> None:
    house.call("helper", "support-tier-9")
    page = author.get(NEW + "?purpose=customer_support_lookup")
    assert "Seen: support-tier-9" in page
    assert form_in(page, NEW)["purpose_id"] == "customer_support_lookup"


def test_viewers_compose_nothing(house: Authors) -> None:
    with house.visitor(Role.VIEWER) as viewer:
        viewer.get(NEW, 403)
        viewer.post(NEW, 403, do="save")
