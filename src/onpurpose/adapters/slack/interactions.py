"""What people press in Slack, done: whoever pressed is looked up, the desk decides, and they are told what happened.

It knows nothing of how the payload came: an HTTP endpoint that checks signatures, or Socket Mode.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from onpurpose.adapters.slack import forms
from onpurpose.adapters.slack.api import RefusedError, SlackApi
from onpurpose.adapters.slack.blocks import DENY, GRANT
from onpurpose.adapters.slack.members import Members, StrangerError
from onpurpose.adapters.slack.pressed import PERSON, Pressed, Submitted, read
from onpurpose.adapters.slack.text import escaped, line, plain
from onpurpose.core.access import User
from onpurpose.core.approval import (
    Approval,
    ApprovalError,
    IllegalMoveError,
    Move,
    NotEligibleError,
    State,
    Via,
)
from onpurpose.core.delivery import Channel, Delivery, RetryError
from onpurpose.core.eligibility import seats
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import MissingError
from onpurpose.core.routing import Person

log = logging.getLogger("onpurpose")

WORKERS = 4
MOST_WAITING = 1000
"""How many presses may wait for a worker; beyond, Slack tells whoever pressed that it did not work."""


class Desk(Protocol):
    """Where approvals are decided, once. Raises `ApprovalError`, `MissingError`, `StoreError`."""

    def get(self, workspace: str, approval_id: str) -> Approval:
        """The approval as of now."""
        ...

    def candidates(self, approval: Approval, user_id: str) -> list[User]:
        """The users to whom that one may delegate the approval."""
        ...

    def grant(self, workspace: str, approval_id: str, user_id: str, *, via: Via) -> Approval:
        """The approval with the user's grant."""
        ...

    def deny(self, workspace: str, approval_id: str, user_id: str, *, via: Via, text: str) -> Approval:
        """The approval, denied for that reason."""
        ...

    def delegate(  # noqa: PLR0913  what a delegation is made of
        self, workspace: str, approval_id: str, user_id: str, *, via: Via, to: str, text: str
    ) -> Approval:
        """The approval, passed on to the user `to`."""
        ...


class Refused(Protocol):
    """Records an attempt that was turned away before it reached the desk."""

    def __call__(self, why: str, *, workspace: str, approval_id: str, who: str, via: str) -> None:
        """`who` is what is known of whoever tried: `T.../U...`. The texts are bounded; may not raise."""
        ...


class BusyError(OnPurposeError):
    """Too much is waiting already; nothing was done."""


class _TurnedAwayError(Exception):
    """An attempt that never reaches the desk: the text is for whoever tried."""


class Interactions:
    """Takes what Slack tells of presses and forms, answers at once, and works in threads of its own.

    `sent` gives the deliveries of an approval (`Deliveries.of`), `people` the users of a workspace, `reasons`
    what is offered to whoever denies.
    """

    def __init__(  # noqa: PLR0913  its parts
        self,
        *,
        api: SlackApi,
        desk: Desk,
        people: Callable[[str], Sequence[User]],
        sent: Callable[[str, str], Sequence[Delivery]],
        refused: Refused,
        reasons: Sequence[str] = (),
    ) -> None:
        self._api = api
        self._desk = desk
        self._people = people
        self._members = Members(api, people)
        self._sent = sent
        self._refused = refused
        self._reasons = tuple(reasons)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="onpurpose-slack")
        self._room = threading.BoundedSemaphore(MOST_WAITING)

    def take(self, payload: object) -> dict[str, object] | None:
        """What to answer within Slack's 3 seconds (`None`: nothing). The rest is done afterwards.

        Raises `ValueError` for what cannot be read, `BusyError` where too much waits.
        """
        pressed = read(payload)
        if pressed is None:
            return None
        if (
            isinstance(pressed, Submitted)
            and pressed.action == DENY
            and not forms.reason(pressed.fields, self._reasons)
        ):
            return forms.NO_REASON
        if not self._room.acquire(blocking=False):
            raise BusyError("too many presses are waiting")
        try:
            self._workers.submit(self._work, pressed)
        except RuntimeError:
            self._room.release()
            raise BusyError("the service is going down") from None
        return None

    def close(self) -> None:
        """Finish what was taken, and take no more."""
        self._workers.shutdown()

    # -- in a worker

    def _work(self, pressed: Pressed) -> None:
        try:
            told = self._said(pressed)
            if told:
                self._tell(pressed, told)
        except Exception:
            log.exception("somebody who pressed a button in slack could not be told what came of it")
        finally:
            self._room.release()

    def _said(self, pressed: Pressed) -> str:
        """Do it, whatever happens; in words what came of it."""
        try:
            return self._done(pressed, self._admitted(pressed))
        except _TurnedAwayError as error:
            return str(error)
        except IllegalMoveError as error:
            return f"Nothing was changed: {error}."
        except NotEligibleError as error:
            return f"You cannot decide this request: {error}."
        except MissingError:
            return "Nothing was changed: this request is not known any more."
        except ApprovalError as error:
            return f"Nothing was changed: {error}."
        except (RetryError, RefusedError) as error:
            log.warning("a press in slack was not carried out: %s", error)
            return "Nothing was changed: Slack did not answer in time. Please try again."
        except OnPurposeError as error:
            log.warning("a press in slack could not be carried out: %s", type(error).__name__)
            return "This could not be confirmed now. Please look at the request again in a minute before you go on."
        except Exception:
            log.exception("a press in slack could not be carried out")
            return "This failed inside onpurpose. Please look at the request again before you go on."

    def _admitted(self, pressed: Pressed) -> User:
        """The user who pressed, in our Slack, in a message of ours."""
        if not pressed.team or pressed.team != self._api.team():
            raise self._turned_away(pressed, "pressed in another Slack workspace", "this Slack is not the one asked")
        if not self._is_ours(pressed):
            raise self._turned_away(pressed, "pressed in no message of that approval", "this message is not known")
        try:
            return self._members.user(pressed.place.workspace, pressed.member)
        except StrangerError as error:
            raise self._turned_away(pressed, "pressed by a member who is no user", str(error)) from None

    def _is_ours(self, pressed: Pressed) -> bool:
        place = pressed.place
        here = f"{place.channel}/{place.ts}"
        return any(
            one.channel is Channel.SLACK and (one.ref == here or one.id == place.delivery_id)
            for one in self._sent(place.workspace, place.approval_id)
        )

    def _turned_away(self, pressed: Pressed, why: str, text: str) -> _TurnedAwayError:
        place = pressed.place
        who = line(f"{pressed.team or '?'}/{pressed.member}", 100)
        workspace, approval_id = line(place.workspace, 100), line(place.approval_id, 100)
        self._refused(why, workspace=workspace, approval_id=approval_id, who=who, via=str(Via.SLACK))
        return _TurnedAwayError(f"Nothing was changed: {text}.")

    def _done(self, pressed: Pressed, user: User) -> str:
        if isinstance(pressed, Submitted):
            return self._deny(pressed, user) if pressed.action == DENY else self._delegate(pressed, user)
        return self._grant(pressed, user) if pressed.action == GRANT else self._open(pressed, user)

    def _grant(self, pressed: Pressed, user: User) -> str:
        place = pressed.place
        after = self._desk.grant(place.workspace, place.approval_id, user.id, via=Via.SLACK)
        if after.state is State.PENDING:
            return "Your grant counts. The request still waits for others."
        return "You granted this request."

    def _deny(self, pressed: Submitted, user: User) -> str:
        place = pressed.place
        text = forms.reason(pressed.fields, self._reasons)
        self._desk.deny(place.workspace, place.approval_id, user.id, via=Via.SLACK, text=text)
        return "You denied this request; the reason is recorded."

    def _delegate(self, pressed: Submitted, user: User) -> str:
        place = pressed.place
        to = pressed.fields.get(PERSON, "")
        text = forms.words(pressed.fields)
        self._desk.delegate(place.workspace, place.approval_id, user.id, via=Via.SLACK, to=to, text=text)
        return f"You passed this request on to {line(to, 100)}; you do not decide it any more."

    def _open(self, pressed: Pressed, user: User) -> str:
        """Open the form of the button, for somebody who could go through with it."""
        approval = self._desk.get(pressed.place.workspace, pressed.place.approval_id)
        move = Move.DENY if pressed.action == DENY else Move.DELEGATE
        if approval.state is not State.PENDING:
            raise IllegalMoveError(approval, move)
        if approval.step_up:
            raise NotEligibleError("whoever decides it signs in, on the page that its message links to")
        seats(approval, _person(user), move)
        if pressed.action == DENY:
            view = forms.deny_form(approval, pressed.place, self._reasons)
        else:
            others = forms.listed(self._desk.candidates(approval, user.id))
            if not others:
                raise NotEligibleError("there is nobody whom it could be passed on to")
            view = forms.delegate_form(approval, pressed.place, others)
        self._api.call("views.open", trigger_id=pressed.trigger, view=view)
        return ""

    def _tell(self, pressed: Pressed, text: str) -> None:
        """For their eyes alone. What cannot be told now is not told: the message itself says how things stand."""
        shown = line(text, 2900)
        try:
            self._api.call(
                "chat.postEphemeral",
                channel=pressed.place.channel,
                user=pressed.member,
                text=escaped(shown),
                blocks=[{"type": "section", "text": plain(shown)}],
                parse="none",
            )
        except (RetryError, RefusedError) as error:
            log.info("somebody who pressed a button in slack could not be told: %s", error)


def _person(user: User) -> Person:
    also = () if user.slack is None else (user.slack,)
    return Person(id=user.id, groups=frozenset(user.groups), email=user.email, also=also)
