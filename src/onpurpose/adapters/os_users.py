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
    """Every account of the machine with the groups that it is in now, under the name that one signs in with.

    Who runs this process is among them, first, even where a directory does not list its accounts, or the
    account has no name.
    """
    if pwd is None:  # pragma: no cover
        return [_user(workspace, current_user(), ())]
    names: dict[int, str] = {}
    groups: dict[str, list[str]] = {}
    for group in grp.getgrall():
        names.setdefault(group.gr_gid, group.gr_name)
        for member in group.gr_mem:
            groups.setdefault(member, []).append(group.gr_name)
    found = {current_user(): _current_groups()}
    for entry in pwd.getpwall()[:MOST_USERS]:
        own = [names[entry.pw_gid]] if entry.pw_gid in names else []
        found.setdefault(entry.pw_name, (*own, *groups.get(entry.pw_name, ())))
    return [_user(workspace, name, tuple(dict.fromkeys(of))) for name, of in found.items()]


def current_user() -> str:
    """Who runs this process: the account of its real user id, whatever the environment says."""
    if pwd is None:  # pragma: no cover
        return getpass.getuser()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def _current_groups() -> tuple[str, ...]:
    """The groups that the directory knows the account in now; of one without a name, those of the process."""
    try:
        entry = pwd.getpwuid(os.getuid())
        numbers = os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:
        numbers = [os.getgid(), *os.getgroups()]
    return tuple(name for number in numbers if (name := _group_name(number)))


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def _user(workspace: str, name: str, groups: tuple[str, ...]) -> User:
    return User(id=name, workspace=workspace, name=name, email="", groups=groups, created_at=0)
