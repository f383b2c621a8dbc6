"""Small disks in memory, to be filled: who mounts one must be root, or become it without a password.

Where that is not so, the tests that need one are left out, which the end of the run says; with `CI` set they fail.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

LEFT_OUT = "no disk to be filled: whoever mounts one in memory needs to be root"


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int, owner: tuple[int, int] | None = None) -> Iterator[Path]:
    """A disk of its own at `place`, a new folder; its root belongs to the owner, user and group, or to us."""
    user, group = owner or (os.geteuid(), os.getegid())
    place.mkdir()
    if not _root("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700,uid={user},gid={group}", "tmpfs", place):
        if os.environ.get("CI"):
            pytest.fail(LEFT_OUT, pytrace=False)
        pytest.skip(LEFT_OUT)
    try:
        yield place
    finally:
        assert _root("umount", place)


def fill(disk: Path) -> Path:
    """Take all the room that is left; the file that takes it."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def _root(*command: str | Path) -> bool:
    """Run it as root; whether it was done."""
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    try:
        return subprocess.run([*become, *command], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
