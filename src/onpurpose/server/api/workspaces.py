"""`/v1/workspaces`: the tenants of an install; the operator's admins make them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from onpurpose.app.keys import OPERATOR, Keyring
from onpurpose.core.access import Workspace
from onpurpose.ports import Clock
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.keys import told as told_key
from onpurpose.server.api.serving import Answer, Asked, Use
from onpurpose.server.problems import forbidden


def uses(keyring: Keyring, clock: Clock) -> Mapping[str, Use]:
    """What does the operations on workspaces, by their names."""
    return {"list_workspaces": partial(list_all, keyring), "create_workspace": partial(create, keyring, clock)}


def list_all(keyring: Keyring, asked: Asked) -> Answer:
    """Those that the caller may see."""
    return wire.WorkspaceList(items=[told(one) for one in keyring.workspaces(asked.workspace)])


def create(keyring: Keyring, clock: Clock, asked: Asked) -> Answer:
    """A new workspace and its first admin key."""
    if asked.workspace != OPERATOR:
        raise forbidden(f"workspaces are made by admins of the workspace `{OPERATOR}`")
    body = asked.told(wire.NewWorkspace)
    workspace, made = keyring.create_workspace(body.id, body.name, by=asked.by)
    return wire.WorkspaceMade(workspace=told(workspace), key=told_key(made.key, clock.now()), secret=made.secret)


def told(workspace: Workspace) -> wire.WorkspaceBody:
    """A workspace in the wire form."""
    return wire.WorkspaceBody(id=workspace.id, name=workspace.name, created_at=workspace.created_at)
