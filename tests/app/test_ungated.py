"""Where policies and traffic pass each other by."""

from __future__ import annotations

import pytest

from onpurpose.app.ungated import MOST_LOOKED_UP, MOST_SHOWN, Ungated, ungated
from onpurpose.core.revision import Kind
from tests.app.world import EVERYTHING, World, candidate

POLICY = """allow:
  - capability: files.read
  - capability: payments.*
  - capability: Shell.run
"""


def world(*texts: tuple[Kind, str, str]) -> World:
    """A world in which these are live."""
    made = World()
    for kind, name, text in texts:
        made.save(kind, name, text)
        made.watch(kind, name)
        made.control.promotions.promote("default", [candidate(kind, name)], reason="-", by="ann", overrides=EVERYTHING)
    return made


def found(made: World, *seen: str, called: tuple[str, ...] = ()) -> Ungated:
    return ungated(
        made.control.shelf.contents("default"), frozenset(seen), frozenset(seen), lambda name: name in called
    )


def test_a_capability_in_force_that_no_call_used_is_named_with_its_place() -> None:
    unused = found(world((Kind.POLICY, "base", POLICY)), "files.read").unused
    assert [(one.capability, one.policy, one.line) for one in unused] == [
        ("Shell.run", "base", 4),
        ("payments.*", "base", 3),
    ]


def test_what_was_not_seen_lately_and_was_called_once_is_used() -> None:
    unused = found(world((Kind.POLICY, "base", POLICY)), "payments.send", called=("files.read",)).unused
    assert [one.capability for one in unused] == ["Shell.run"]


def test_what_was_ever_called_is_used_and_only_what_was_called_lately_is_unnamed() -> None:
    contents = world((Kind.POLICY, "base", POLICY)).control.shelf.contents("default")
    ever = {"files.read", "payments.send", "old.tool", "new.tool"}
    told = ungated(contents, {"new.tool"}, ever, lambda name: False)
    assert [one.capability for one in told.unused] == ["Shell.run"]
    assert told.unnamed == ("new.tool",)


@pytest.mark.parametrize("name", ["files.read", "payments.transfer.eur", "shell.run", "files.read.all", "FILES.READ"])
def test_what_a_rule_speaks_of_even_in_doubt_is_not_unnamed(name: str) -> None:
    assert found(world((Kind.POLICY, "base", POLICY)), name).unnamed == ()


@pytest.mark.parametrize("name", ["files", "payments", "other.tool", "", "files..read"])
def test_what_no_rule_speaks_of_is_unnamed(name: str) -> None:
    assert found(world((Kind.POLICY, "base", POLICY)), name).unnamed == (name,)


def test_purpose_policies_name_capabilities_too() -> None:
    text = "policy_id: p\npurpose_id: x\nmatch:\n  capabilities: [crm.read]\ndecision: allow\n"
    told = found(world((Kind.PURPOSE_POLICY, "p", text)), "crm.search")
    assert [(one.capability, one.kind, one.line) for one in told.unused] == [("crm.read", Kind.PURPOSE_POLICY, None)]
    assert told.unnamed == ("crm.search",)


def test_what_is_in_shadow_alone_is_not_in_force() -> None:
    made = World()
    made.save(Kind.POLICY, "base", POLICY)
    assert found(made, "files.read") == Ungated(unused=(), unnamed=("files.read",), named=0)


def test_only_so_many_are_looked_up_and_shown() -> None:
    rules = "".join(f"  - capability: a{number:03}\n" for number in range(200))
    asked: list[str] = []

    def was_called(name: str) -> bool:
        asked.append(name)
        return True

    made = world((Kind.POLICY, "base", f"allow:\n{rules}"))
    lately = {f"b{number:03}" for number in range(200)}
    told = ungated(made.control.shelf.contents("default"), lately, lately, was_called)
    assert (len(asked), told.unused) == (MOST_LOOKED_UP, ())
    assert len(told.unnamed) == MOST_SHOWN
    assert len(found(made).unused) == MOST_SHOWN
