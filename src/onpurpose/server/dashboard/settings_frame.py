"""What the pages of the settings share: where one can go, and what is wrong with a form, by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import wraps
from typing import TypeVar

from msgspec import Struct
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from onpurpose.app.keys import OPERATOR
from onpurpose.core.access import Scope
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.session import Handler, Plain
from onpurpose.server.dashboard.shell import Parts

PATH = "/settings"

Model = TypeVar("Model", bound=BaseModel)
Faults = Mapping[str, Sequence[str]]
"""What is wrong with a form: sentences, by the name of the field; under `form`, what is of none."""

_CURES = {
    "id": "Letters, digits, `_`, `-` and `.`, at most 128.",
    "email": "An address such as ada@corp.example.",
    "groups": "At most 100 names, each of letters, digits, `_`, `-` and `.`, one a line.",
    "slack": "A member id, which begins with U or W: in Slack, under the profile's three dots.",
    "name": "A name in one line, at most 200 characters.",
    "scopes": "Choose what it may do.",
    "per_minute": "A whole number from 1 to 10,000,000.",
    "user": "Choose a user of the workspace.",
    "reason": "At most 2,000 characters.",
}


class Section(Struct, frozen=True, kw_only=True):
    """A page of the settings. `operator`: for those alone who run the service."""

    path: str
    label: str
    about: str
    scope: Scope
    operator: bool = False


SECTIONS = (
    Section(path=f"{PATH}/users", label="Users", scope=Scope.READ,
            about="Who signs in and who approves: roles, groups, passwords."),
    Section(path=f"{PATH}/keys", label="API keys", scope=Scope.ADMIN,
            about="What agents and programs come with: scopes, expiry, last use."),
    Section(path=f"{PATH}/channels", label="Channels", scope=Scope.ADMIN,
            about="Slack, mail and webhooks: do they work, and what was lost."),
    Section(path=f"{PATH}/workspace", label="Workspace", scope=Scope.READ,
            about="What holds for every call: purposes required, who is asked, who is told."),
    Section(path=f"{PATH}/retention", label="Retention", scope=Scope.ADMIN, operator=True,
            about="Since when records are kept, and letting go of archived days."),
    Section(path=f"{PATH}/tokens", label="Token keys", scope=Scope.ADMIN, operator=True,
            about="The keys that sign intent tokens."),
    Section(path=f"{PATH}/workspaces", label="Workspaces", scope=Scope.ADMIN, operator=True,
            about="The tenants of this service."),
)  # fmt: skip


def sections_for(principal: Principal) -> list[Section]:
    """The pages that the person may open."""
    return [one for one in SECTIONS if principal.may(one.scope) and (not one.operator or is_operator(principal))]


def tabs_for(principal: Principal) -> list[tuple[str, str]]:
    """The same as tabs."""
    return [(one.path, one.label) for one in sections_for(principal)]


def is_operator(principal: Principal) -> bool:
    """Whether the person is of the workspace of those who run the service."""
    return principal.workspace == OPERATOR


def for_operators(parts: Parts, handler: Plain) -> Handler:
    """The page for who runs the service; the others are told that it is not theirs."""

    @wraps(handler)
    def answer(request: Request, principal: Principal) -> Response:
        if is_operator(principal):
            return handler(request, principal)
        return parts.shell.render(
            request, "error.html", principal, status=403, title="Not allowed", way=(PATH, "To the settings"),
            text=f"This is for admins of the workspace `{OPERATOR}`, who run the service.",
        )  # fmt: skip

    return answer


def checked(model: type[Model], values: Mapping[str, object]) -> tuple[Model | None, Faults]:
    """The values in the form of the API, or what is wrong with them."""
    try:
        return model.model_validate(values), {}
    except ValidationError as error:
        faults: dict[str, list[str]] = {}
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            field = str(one["loc"][0]) if one["loc"] else "form"
            faults[field] = [_CURES.get(field, f"{one['msg']}.")]
        return None, faults


def words(text: str) -> list[str]:
    """The names in a text, apart by commas and line ends, each once."""
    found = (part.strip() for part in text.replace(",", "\n").split("\n"))
    return list(dict.fromkeys(part for part in found if part))


def sentence(error: Exception) -> str:
    """What an error says, as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
