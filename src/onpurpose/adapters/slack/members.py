"""Which user of a workspace a member of Slack is: linked by hand, or by an address that Slack has confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onpurpose.adapters.slack.api import RefusedError, SlackApi
from onpurpose.core.access import User


class StrangerError(Exception):
    """A member who is nobody here; the text, for themselves, says why."""


class Members:
    """Finds users by members. `people` gives the users of a workspace as they are now."""

    def __init__(self, api: SlackApi, people: Callable[[str], Sequence[User]]) -> None:
        self._api = api
        self._people = people

    def user(self, workspace: str, member: str) -> User:
        """The one user that the member is. Raises `StrangerError`, and as `SlackApi.call`."""
        people = [one for one in self._people(workspace) if one.disabled_at is None]
        linked = [one for one in people if one.slack == member]
        if not linked:
            address = self._address(member)
            # somebody linked to another account is not found by address: that one was chosen by hand
            linked = [one for one in people if one.slack is None and _same(one.email, address)]
        if len(linked) != 1:
            raise StrangerError(
                "your Slack account belongs to nobody who may decide here. Ask an administrator of onpurpose "
                "to link it, or to register you with the address that your Slack account has"
            )
        return linked[0]

    def _address(self, member: str) -> str:
        try:
            found = self._api.call("users.info", user=member).get("user")
        except RefusedError as error:
            raise StrangerError(f"Slack does not say who you are ({error.code})") from None
        user = found if isinstance(found, dict) else {}
        profile = user.get("profile")
        address = profile.get("email") if isinstance(profile, dict) else None
        if user.get("deleted") or user.get("is_bot") or user.get("is_stranger") or not isinstance(address, str):
            raise StrangerError("Slack does not say which address is yours")
        if user.get("is_email_confirmed") is not True:
            raise StrangerError(
                "the address of your Slack account is not confirmed: follow the mail that Slack sent you"
            )
        return address


def _same(one: str, other: str) -> bool:
    """Whether two addresses are one: letter case counts for nothing in ASCII, and for something elsewhere.

    Unicode's folding would take the Kelvin sign for a `k`, and so one person for another.
    """
    one, other = one.strip(), other.strip()
    if not one or not (one.isascii() and other.isascii()):
        return bool(one) and one == other
    return one.lower() == other.lower()
