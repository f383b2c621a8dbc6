"""What a mail says, before it is text or HTML: the same facts in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from onpurpose.adapters.email.foreign import one_line, seen, words
from onpurpose.core.approval import Approval, Move, State, open_seats
from onpurpose.core.delivery import Event, View

LONGEST_FACT = 400
LONGEST_BLOCK = 64 * 1024
MOST_LISTED = 10
MOST_NAME = 80

_SECOND = 1_000_000
_MINUTE = 60

_ENDED: Mapping[State, tuple[Move, ...]] = {
    State.GRANTED: (Move.GRANT,),
    State.DENIED: (Move.DENY,),
    State.CANCELLED: (Move.CANCEL,),
    State.USED: (Move.GRANT,),
}
"""The act to tell of, in each state that an approval may end in; one that expired has none."""

_LEADS: Mapping[Event, str] = {
    Event.REQUESTED: "An agent asks for your approval.",
    Event.ESCALATED: "Nobody has decided this request yet; now it is your turn.",
    Event.REMINDED: "This request still waits for a decision.",
    Event.DELEGATED: "This request was passed on to another approver.",
}

Fact = tuple[str, str]
"""A label of ours, and a text that may be anybody's."""


class Sheet(Struct, frozen=True, kw_only=True):
    """One request, or what became of it: a title, a sentence, labelled lines, longer texts, where to go.

    `url` is where one decides, empty where there is nothing to decide or no page; `action` what stands on
    the button. `notes` are small print.
    """

    title: str
    lead: str
    facts: tuple[Fact, ...] = ()
    blocks: tuple[Fact, ...] = ()
    url: str = ""
    action: str = "Review and decide"
    notes: tuple[str, ...] = ()


def subject(approval: Approval) -> str:
    """What all mails about an approval are called: bounded, on one line, nothing hidden in it."""
    name, agent = one_line(approval.capability, MOST_NAME), one_line(approval.agent_id, MOST_NAME)
    return f"Approval needed: {name} by {agent}"


def asking(view: View, event: Event) -> Sheet:
    """A request with all that one must know to decide it."""
    return Sheet(
        title=subject(view.approval),
        lead=_LEADS.get(event, _LEADS[Event.REQUESTED]),
        facts=tuple(_bounded([*_urgent(view), *_who(view), *_why(view.context), *_acts(view.approval)])),
        blocks=tuple((label, seen(text, LONGEST_BLOCK)) for label, text in _blocks(view.context) if text),
        url=view.link or view.page,
        action="Review and decide" if view.link else "Sign in and decide",
        notes=_notes(view),
    )


def summary(view: View) -> Sheet:
    """A request in short, for a digest."""
    facts = [*_urgent(view), *(fact for fact in _who(view) if fact[0] in {"Agent", "User", "Purpose"})]
    facts += [fact for fact in _why(view.context) if fact[0] == "Rule"][:1]
    return Sheet(
        title=one_line(view.approval.capability, MOST_NAME),
        lead="",
        facts=tuple(_bounded(facts)),
        url=view.link or view.page,
        action="Review and decide" if view.link else "Sign in and decide",
    )


def settled(view: View) -> Sheet:
    """What became of a request: nothing is left to decide."""
    approval = view.approval
    act = approval.last(*_ENDED.get(approval.state, ()))
    by = f" by {one_line(act.by, MOST_NAME)}" if act is not None and act.by else ""
    facts = [("Agent", approval.agent_id), ("Capability", approval.capability)]
    if act is not None:
        facts += [("Reason", act.text), ("At", moment(act.at))]
    lead = "Nobody decided it in time." if approval.state is State.EXPIRED else f"The request was {approval.state}{by}."
    return Sheet(
        title=f"{str(approval.state).capitalize()}{by}",
        lead=f"{lead} There is nothing left for you to do.",
        facts=tuple(_bounded(facts)),
        url=view.page,
        action="See the request",
    )


def moment(microseconds: int) -> str:
    """A time to the minute, with its zone."""
    return datetime.fromtimestamp(microseconds // _SECOND, UTC).strftime("%Y-%m-%d %H:%M UTC")


def time_left(approval: Approval, now: int) -> str:
    """How long it waits still, and until when."""
    minutes = max(0, approval.until - now) // _SECOND // _MINUTE
    days, hours = divmod(minutes // 60, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes % 60} min"]
    return f"{' '.join(part for part in parts if part)} (until {moment(approval.until)})"


def _urgent(view: View) -> Iterator[Fact]:
    yield "Time left", time_left(view.approval, view.now)


def _who(view: View) -> Iterator[Fact]:
    context = view.context
    yield "Agent", view.approval.agent_id
    yield "Capability", view.approval.capability
    yield "User", _user(context.get("user"))
    yield "Asked with key", words(context.get("asked_by"))
    yield from _purpose(context.get("purpose"), view.approval.purpose_id)
    yield "Touches", words(context.get("elements"))
    yield "Data source", words(context.get("data_source_id"))
    yield "Task", words(context.get("task_context"))
    yield "Context", words(context.get("policy_context"))
    if view.approval.joined:
        yield "Asked again", f"{view.approval.joined} times"
    for _, stage in open_seats(view.approval):
        who = " or ".join(stage.approvers[:MOST_LISTED])
        yield "Waits for", f"{stage.quorum} of {who}" if stage.quorum > 1 else who


def _purpose(value: object, purpose_id: str | None) -> Iterator[Fact]:
    if not isinstance(value, Mapping):
        yield "Purpose", purpose_id or "none declared"
        return
    name = words(value.get("name"))
    yield "Purpose", words(value.get("id")) + (f" ({name})" if name else "")
    yield "Purpose means", words(value.get("description"))
    yield "Purpose may touch", words(value.get("elements"))


def _user(value: object) -> str:
    if not isinstance(value, Mapping) or not value.get("id"):
        return "anonymous"
    groups = words(value.get("groups"))
    return words(value["id"]) + (f" ({groups})" if groups else "")


def _why(context: Mapping[str, object]) -> Iterator[Fact]:
    yield from _each("Rule", context.get("rules"), ("at", "policy", "capability", "outcome", "message"))
    yield from _each("Unknown", context.get("unknown"), ("condition", "why", "settle"))
    yield from _each("Risk signal", context.get("signals"), _signal)
    yield "Classifier", _classifier(context.get("intent"))
    yield from _each("Similar request", context.get("similar"), ("state", "by", "when", "text", "id"))


def _signal(value: Mapping[str, object]) -> str:
    sure = "" if value.get("certain", True) else ", not certain"
    return f"{words(value.get('name'))} (weight {words(value.get('weight'))}{sure})"


def _classifier(value: object) -> str:
    if not isinstance(value, Mapping):
        return ""
    sure = value.get("confidence")
    share = f", {sure:.0%} sure" if isinstance(sure, int | float) else ""
    return f"{words(value.get('label'))} ({words(value.get('class'))}{share})"


def _acts(approval: Approval) -> Iterator[Fact]:
    told = {Move.GRANT: "Granted by", Move.DELEGATE: "Delegated by", Move.COMMENT: "Comment by"}
    for act in [act for act in approval.acts if act.move in told][-MOST_LISTED:]:
        to = f" to {act.to}" if act.to else ""
        yield told[act.move], f"{act.by}{to}{f': {act.text}' if act.text else ''}"


def _blocks(context: Mapping[str, object]) -> Iterator[Fact]:
    cut = context.get("payload_cut")
    note = f"\n… and {cut} bytes more" if isinstance(cut, int) and cut > 0 else ""
    yield "Payload", words(context.get("payload")) + note
    changed = context.get("changed")
    lines = changed.get("lines") if isinstance(changed, Mapping) else changed
    if isinstance(lines, list):
        yield "Changed since the last granted request", "\n".join(map(words, lines)) or "nothing"


def _notes(view: View) -> tuple[str, ...]:
    if view.link:
        return (
            "The link is for you alone: whoever has it can decide in your name. Do not pass this mail on.",
            "It is good for one decision. Opening it decides nothing.",
        )
    if view.approval.step_up:
        return ("This request is decided by people who have signed in, so this mail carries no link of your own.",)
    return ()


def _each(label: str, value: object, told: Sequence[str] | Callable[[Mapping[str, object]], str]) -> Iterator[Fact]:
    entries = value if isinstance(value, list) else []
    for entry in entries[:MOST_LISTED]:
        if not isinstance(entry, Mapping):
            yield label, words(entry)
        elif callable(told):
            yield label, told(entry)
        else:
            yield label, " - ".join(part for key in told if (part := words(entry.get(key))))
    if len(entries) > MOST_LISTED:
        yield label, f"and {len(entries) - MOST_LISTED} more"


def _bounded(facts: Sequence[Fact]) -> Iterator[Fact]:
    for label, text in facts:
        if text:
            yield label, one_line(text, LONGEST_FACT)
