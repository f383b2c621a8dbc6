"""Keys, users and workspaces."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from onpurpose.app.keys import PERSONAL
from onpurpose.core.access import Role, Scope
from onpurpose.server.api.schemas.bounds import Line, Name, Wire


class NewKey(Wire):
    """A key to be made. With `user` it is that user's personal key, of the scopes `approve` and `read` at most."""

    name: Annotated[Line, Field(min_length=1)]
    scopes: Annotated[set[Scope], Field(min_length=1)]
    expires_in_seconds: Annotated[int, Field(ge=60, le=10 * 366 * 86_400)] | None = None
    per_minute: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    user: Name | None = None

    @model_validator(mode="after")
    def _is_within_bounds(self) -> NewKey:
        """A person's key decides and looks, and asks nothing as an agent."""
        if self.user is not None and not self.scopes <= PERSONAL:
            raise ValueError("a personal key has the scopes `approve` and `read` at most")
        return self


class KeyBody(Wire):
    """A key, without its secret. `state` is `active`, `expired` or `revoked`; `user` is whose personal key it is."""

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_by: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    per_minute: int | None
    user: str | None
    state: Literal["active", "expired", "revoked"]


class KeyMade(Wire):
    """A new key and its whole text, which is shown this once."""

    key: KeyBody
    secret: str


class KeyList(Wire):
    """Every key of the workspace, revoked ones too, newest first."""

    items: list[KeyBody]


class UserFields(Wire):
    """What a user is, to be written. `slack` is the member id of their account there.

    `roles` say what they may do on the dashboard; where they are left out, they stay as they are. Who loses one
    is signed out everywhere.
    """

    name: Annotated[Line, Field(min_length=1)]
    email: Annotated[
        str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}$")
    ]
    groups: Annotated[list[Name], Field(max_length=100, default_factory=list)]
    slack: Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]{1,31}$")] | None = None
    roles: set[Role] | None = None


class NewUser(UserFields):
    """A user to be made; the id is made up where none is given."""

    id: Name | None = None


class UserBody(Wire):
    """A user. A disabled one approves nothing, and keeps its name under what it did."""

    id: str
    name: str
    email: str
    groups: list[str]
    slack: str | None
    roles: list[Role]
    created_at: int
    disabled_at: int | None


class UserPage(Wire):
    """Users in the order of their ids; `next` is the `after` of the next page."""

    items: list[UserBody]
    next: str | None


class NewWorkspace(Wire):
    """A workspace to be made."""

    id: Name
    name: Line = ""


class WorkspaceBody(Wire):
    """A workspace."""

    id: str
    name: str
    created_at: int


class WorkspaceMade(Wire):
    """A new workspace and the text of its first admin key, which is shown this once."""

    workspace: WorkspaceBody
    key: KeyBody
    secret: str


class WorkspaceList(Wire):
    """The workspaces that the caller may see, in the order of their ids."""

    items: list[WorkspaceBody]
