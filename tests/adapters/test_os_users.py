"""The accounts of the machine are the approvers of an embedded gate."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys

import pytest

from onpurpose.adapters import os_users as module
from onpurpose.adapters.os_users import current_user, os_users


def test_every_account_is_a_user_under_its_own_name_and_once() -> None:
    users = os_users("local")
    assert {user.id for user in users} == {entry.pw_name for entry in pwd.getpwall()} | {current_user()}
    assert len({user.id for user in users}) == len(users)
    assert {(user.workspace, user.email, user.disabled_at) for user in users} == {("local", "", None)}


def test_a_user_is_in_its_own_group_and_in_those_that_list_it() -> None:
    groups = {user.id: set(user.groups) for user in os_users("local")}
    for group in grp.getgrall():
        for member in set(group.gr_mem) & set(groups):
            assert group.gr_name in groups[member]
    for entry in pwd.getpwall():
        own = [group.gr_name for group in grp.getgrall() if group.gr_gid == entry.pw_gid]
        assert set(own[:1]) <= groups[entry.pw_name]


def test_who_runs_this_is_known_by_the_real_user_id_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody-else")
    assert current_user() == pwd.getpwuid(os.getuid()).pw_name
    assert os_users("local")[0].id == current_user()


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
def test_an_account_without_a_name_is_a_user_too() -> None:
    code = """
import os
from onpurpose.adapters.os_users import current_user, os_users
os.setgroups([0]); os.setgid(0); os.setuid(54321)
first = os_users("local")[0]
print(current_user(), first.id, *first.groups)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["uid-54321", "uid-54321", grp.getgrgid(0).gr_name]


def test_an_account_that_its_directory_does_not_list_is_a_user_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_USERS", 0)
    (only,) = os_users("local")
    entry = pwd.getpwuid(os.getuid())
    assert only.id == entry.pw_name
    assert grp.getgrgid(entry.pw_gid).gr_name in only.groups
