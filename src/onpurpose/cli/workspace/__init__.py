"""`onpurpose pull`, `push`, `diff`: the workspace of a running service as a folder under git."""

from __future__ import annotations

from onpurpose.cli.workspace.diff import diff
from onpurpose.cli.workspace.pull import pull
from onpurpose.cli.workspace.push import push

__all__ = ["diff", "pull", "push"]
