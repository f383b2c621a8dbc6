"""A tool behind the gate: `.run(action)` asks, and only then runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from onpurpose.agents.guard import Judge, Wait, ask, enforce, make_call, permit, permit_async
from onpurpose.core.call import Call
from onpurpose.core.result import Result
from onpurpose.core.values import OPAQUE

R = TypeVar("R")


class SafeTool(Generic[R]):
    """A function of one action (a mapping or a string) that runs only if the gate permits it."""

    def __init__(
        self,
        judge: Judge,
        function: Callable[[Any], R],
        capability: str,
        policy_path: object = None,
        **fixed: Any,
    ) -> None:
        self._judge = judge
        self._function = function
        self._capability = capability
        self._policy_path = policy_path
        self._fixed = fixed

    def run(
        self, action: object, policy_context: Mapping[str, object] | None = None, *, wait: Wait = False, **fields: Any
    ) -> R:
        """What the tool returns for the action. Raises `ActionDenied` or `ApprovalRequired` without running it.

        What is judged is what runs: a copy of the action, which nobody else can change meanwhile.
        `policy_context` is laid over the tool's own; `fields` replace the tool's other fields. With `wait`
        people who must agree are waited for, so many seconds or (`True`) until the approval expires. A
        grant that is there already for exactly this action is used, without waiting.
        """
        action = _own(action)
        enforce(permit(self._judge, self._call(action, policy_context, fields), self._policy_path, wait))
        return self._function(action)

    async def run_async(
        self, action: object, policy_context: Mapping[str, object] | None = None, *, wait: Wait = False, **fields: Any
    ) -> Any:
        """The same for a coroutine function, without holding up the event loop."""
        action = _own(action)
        call = self._call(action, policy_context, fields)
        enforce(await permit_async(self._judge, call, self._policy_path, wait))
        outcome: Any = self._function(action)
        return await outcome

    def check(self, action: object, policy_context: Mapping[str, object] | None = None, **fields: Any) -> Result:
        """What the gate says of the action, recorded, without running anything."""
        return ask(self._judge, self._call(action, policy_context, fields), self._policy_path)

    def _call(self, action: object, policy_context: Mapping[str, object] | None, fields: dict[str, Any]) -> Call:
        return make_call(self._capability, action, self._fields(policy_context, fields))

    def _fields(self, policy_context: Mapping[str, object] | None, fields: dict[str, Any]) -> dict[str, Any]:
        merged = {**self._fixed, **fields}
        own = merged.get("policy_context")
        if policy_context is not None:
            own = own() if callable(own) else own
            merged["policy_context"] = {**(own or {}), **policy_context}
        return merged


def _own(action: object) -> object:
    """A copy that nobody else can change; of what cannot be copied, something that no gate permits."""
    try:
        return copy.deepcopy(action)
    except Exception:
        return OPAQUE
