"""A dashboard with its authors' pages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from onpurpose.core.call import Call, Identity
from onpurpose.core.result import Result
from onpurpose.core.revision import Kind
from onpurpose.server.dashboard import compose, editor, policies, policy, purposes, trials
from tests.dashboard.house import HOSTILE, House, Visitor, form_in, seen
from tests.documented import EXAMPLE

__all__ = ["EXAMPLE", "HOSTILE", "NAME", "PAGE", "SUPPORT", "Authors", "Visitor", "authors", "form_in", "seen"]

SUPPORT = "id: customer_support_lookup\nname: Support lookup\nstatus: active\nelements: [crm.contacts.*]\n"
NAME = "support_lookup_business_hours"
PAGE = f"/policies/purpose_policy/{NAME}"


class Authors(House):
    """The house of those who write."""

    def call(self, agent_id: str = "bot", *groups: str, **fields: Any) -> Result:
        """A call that declares the purpose of the example, on behalf of somebody in these groups."""
        given: dict[str, Any] = {
            "capability": "crm.read", "payload": {"id": 7}, "purpose_id": "customer_support_lookup",
            "data_source_id": "salesforce_prod", "elements": ("crm.contacts.email",),
            "identity": Identity("kim", groups or ("support-tier-1",)),
        }  # fmt: skip
        return self.past.decide(Call(agent_id, **(given | fields)))


@contextlib.contextmanager
def authors(folder: Path, rest: Callable[[], None] = lambda: None) -> Iterator[Authors]:
    """A house that runs, with a live capability policy that allows everything and an active purpose.

    Backtests call `rest` between blocks of calls.
    """
    with Authors.opened(folder, (policies, compose, editor, trials, policy, purposes), rest=rest) as house:
        house.save(Kind.PURPOSE, "customer_support_lookup", SUPPORT)
        house.live(Kind.POLICY, "base", "allow:\n  - capability: '*'\n")
        yield house
