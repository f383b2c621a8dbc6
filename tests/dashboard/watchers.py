"""A dashboard with the pages that watch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onpurpose.core.call import Call, Identity
from onpurpose.core.result import Result
from onpurpose.core.revision import Kind
from onpurpose.server.dashboard import decision, feed, overview
from tests.dashboard.house import HOSTILE, House, is_harmless, seen

__all__ = ["HOSTILE", "POLICY", "Watchers", "is_harmless", "seen", "watchers"]

POLICY = """deny:
  - capability: shell.run
    contains: rm -rf
require_approval:
  - capability: payments.transfer
    amount_gt: 1000
allow:
  - capability: crm.read
  - capability: crm.search
  - capability: payments.transfer
  - capability: never.used
"""

SHADOWED = "policy_id: shadowed\npurpose_id: support\ndecision: deny\n"


class Watchers(House):
    """The house of those who watch."""

    def guarded(self) -> None:
        """A live policy, an active purpose, and a policy of it in shadow."""
        self.live(Kind.POLICY, "base", POLICY)
        self.live(Kind.PURPOSE, "support", "id: support\nstatus: active\nelements: [crm.contacts.*]\n")
        self.save(Kind.PURPOSE_POLICY, "shadowed", SHADOWED)

    def call(self, capability: str = "crm.read", agent_id: str = "bot", **fields: Any) -> Result:
        """A call that is decided, a second after the one before."""
        given: dict[str, Any] = {"payload": {"id": 7}, "identity": Identity("kim", ("tier-1",))} | fields
        return self.past.decide(Call(agent_id, capability, **given))


@contextlib.contextmanager
def watchers(folder: Path) -> Iterator[Watchers]:
    """A house that runs, with nothing in it."""
    with Watchers.opened(folder, (overview, feed, decision)) as house:
        yield house
