"""The users of this machine's operating system, as the approvers of an embedded gate."""

from __future__ import annotations

import getpass
import os

from onpurpose.core.access import User

try:
    import grp
    import pwd
except ImportError:  # pragma: no cover  Windows knows only who runs this
    pwd = None  # type: ignore[assignment]
    grp = None  # type: ignore[assignment]

MOST_USERS = 10_000
"""How many accounts are looked at."""


def os_users(workspace: str) -> list[User]:
    """Every account of the machine with the groups that it is in now, under the name that one signs in with."""
    if pwd is None:  # pragma: no cover
        return [_user(workspace, current_user(), ())]
    groups: dict[str, list[str]] = {}
    names = {group.gr_gid: group.gr_name for group in grp.getgrall()}
    for group in grp.getgrall():
        for member in group.gr_mem:
            groups.setdefault(member, []).append(group.gr_name)
    found = []
    for entry in pwd.getpwall()[:MOST_USERS]:
        own = [names[entry.pw_gid]] if entry.pw_gid in names else []
        found.append(_user(workspace, entry.pw_name, tuple(dict.fromkeys([*own, *groups.get(entry.pw_name, ())]))))
    return found


def current_user() -> str:
    """Who runs this process: the account of its real user id, whatever the environment says."""
    if pwd is None:  # pragma: no cover
        return getpass.getuser()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def _user(workspace: str, name: str, groups: tuple[str, ...]) -> User:
    return User(id=name, workspace=workspace, name=name, email="", groups=groups, created_at=0)
