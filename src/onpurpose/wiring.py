"""Settings -> parts -> gate: the only module that chooses technologies."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeAlias, TypeVar

from onpurpose.adapters.clock import Beat, Ids, SystemClock
from onpurpose.adapters.files import FileSource
from onpurpose.agents import client
from onpurpose.agents.guard import Wait, ask_async, guard, resume, resume_async
from onpurpose.agents.tool import SafeTool
from onpurpose.app import gate as road
from onpurpose.app.masking import Masking
from onpurpose.app.policies import Choice, Fixed, Held, Policies
from onpurpose.core.call import Call
from onpurpose.core.policy import Policy
from onpurpose.core.result import Result
from onpurpose.local import Asking, LocalDesk, approvals_beside
from onpurpose.ports import Ledger

if TYPE_CHECKING:
    from ssl import SSLContext

P = ParamSpec("P")
R = TypeVar("R")

OnePolicy: TypeAlias = "str | os.PathLike[str] | Policy"
AnyPolicy: TypeAlias = "OnePolicy | Mapping[str, OnePolicy]"

DEFAULT_AGENT = "agent"
"""Who acts, where a tool does not say."""

INDEX = "index.yaml"
RELOAD_SECONDS = 0.25


class Gate(road.Gate):
    """Decides calls in this process, and records each decision before its tool runs.

    `policy`: the path of a policy file, of a folder with an `index.yaml`, a `Policy`, or a mapping
    from `agent:ID`, `environment:NAME`, `tenant:NAME` (joined by `,`; two of one kind: either) or `*`
    to a file or `Policy`, tried in its order. Without one, each call names its `policy_path`; a call
    without any is denied.

    `audit`: the log's file (made at the first record), a `Ledger`, or `None` to record nothing.
    `audit_key`: the Ed25519 key that signs the log's checkpoints (made at first use); beside the log
    unless named. Keep it where whoever may touch the log may not read it.

    `approvals`: the file of the approvals that decisions ask for (made at the first one); beside the log
    unless named. `False` keeps none: what needs a person is then refused. Without a log there are none.

    A changed file is taken up within about half a second; one that cannot be read keeps the last
    good policy in force. Nothing here raises for a bad policy or log: every call is denied instead,
    `status()` says why. `TypeError` and `ValueError` are for arguments of a wrong form.
    """

    def __init__(  # noqa: PLR0913  these are its settings
        self,
        policy: AnyPolicy | None = None,
        audit: str | os.PathLike[str] | Ledger | None = "onpurpose.db",
        *,
        audit_key: str | os.PathLike[str] | None = None,
        approvals: str | os.PathLike[str] | bool = True,
        masking: Masking | None = None,
        reload_seconds: float = RELOAD_SECONDS,
        audit_timeout_seconds: float = road.PATIENCE_SECONDS,
    ) -> None:
        policies = Policies(FileSource)
        self._ledger_here = ledger_at(audit, audit_key) if isinstance(audit, str | os.PathLike) else audit
        masking = masking or Masking()
        self._people = _asking(approvals, audit, self._ledger_here, masking)
        super().__init__(
            policies,
            self._ledger_here,
            clock=SystemClock(),
            new_id=Ids().new,
            masking=masking,
            patience=audit_timeout_seconds,
            asking=self._people,
        )
        _choose(policies, policy)
        self._beat = Beat(self.refresh, reload_seconds)

    def tool(
        self,
        function: Callable[[Any], R],
        capability: str,
        *,
        agent_id: Any = DEFAULT_AGENT,
        policy_path: str | os.PathLike[str] | None = None,
        **fields: Any,
    ) -> SafeTool[R]:
        """The function behind the gate: `.run(action, policy_context={...})` asks, then runs it on the action.

        `fields` are the call's (`task_context`, `risk_category`, `policy_context`, `identity`, ...), each a
        value or a function without arguments that is asked at every call.
        """
        return SafeTool(self, function, capability, policy_path, agent_id=agent_id, **fields)

    def guard(
        self,
        capability: str,
        *,
        agent_id: Any = DEFAULT_AGENT,
        policy_path: str | os.PathLike[str] | None = None,
        wait: Wait = False,
        **fields: Any,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator for a plain or async function: its arguments by name are the payload. `fields` as in `tool`.

        With `wait` the caller waits for people who must agree, so many seconds or (`True`) until the approval expires.
        """
        return guard(self, capability, policy_path=policy_path, wait=wait, agent_id=agent_id, **fields)

    def resume(self, approval_id: str, call: Call, *, policy_path: object = None) -> Result:
        """Decide the call again, and use what people granted: it is allowed where exactly this call was, once.

        It is judged by the policies of this moment, and a denial that came in between stands. Where no
        grant can be used, the reasons say why; where the call is another one, people are asked anew.
        """
        return resume(self, approval_id, call, policy_path)

    async def resume_async(self, approval_id: str, call: Call, *, policy_path: object = None) -> Result:
        """`resume` for a coroutine."""
        return await resume_async(self, approval_id, call, policy_path)

    async def evaluate_async(self, agent_id: str, capability: str, payload: object = None, **fields: Any) -> Result:
        """`evaluate` for a coroutine: the event loop runs on while the record becomes durable."""
        policy_path = fields.pop("policy_path", None)
        return await ask_async(self, Call(agent_id, capability, payload, **fields), policy_path)

    def close(self) -> None:
        """Stop watching policies, write what is pending, anchor the log. Calls are denied from now on."""
        self._beat.stop()
        if self._people is not None:
            self._people.close()
        if self._ledger_here is not None:
            self._ledger_here.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Client(client.Client):
    """Has a decision service decide calls: `evaluate`, `tool` and `guard` as a `Gate`'s. Thread-safe.

    `url` is the service's, `key` one of its keys with the scope `evaluate`. An answer that is not there
    after `timeout_seconds` is a denial, as is everything else that does not decide the call: code
    `unreachable`. A question is asked again once where its connection broke, under an idempotency key;
    `retry=False` sends none. `tls` says whom to trust (the public authorities, unless given), `proxy`
    is the URL of one; nothing is read from the environment. `ValueError` is for a URL or key of a wrong form.
    """

    def __init__(  # noqa: PLR0913  these are its settings
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = client.PATIENCE_SECONDS,
        connect_seconds: float = client.CONNECT_SECONDS,
        connections: int = client.CONNECTIONS,
        retry: bool = True,
        tls: SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        from onpurpose.adapters.http_client import HttpLine  # noqa: PLC0415  of the extra `client`

        line = HttpLine(
            url,
            key,
            seconds=timeout_seconds,
            connect_seconds=connect_seconds,
            connections=connections,
            tls=tls,
            proxy=proxy,
        )
        super().__init__(line, patience=timeout_seconds, retry=retry, connections=connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(client.AsyncClient):
    """`Client` for coroutines: `await evaluate(...)`, `tool(...).run_async`, `guard` of async functions.

    For one event loop at a time. Settings as in `Client`.
    """

    def __init__(  # noqa: PLR0913  these are its settings
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = client.PATIENCE_SECONDS,
        connect_seconds: float = client.CONNECT_SECONDS,
        connections: int = client.CONNECTIONS,
        retry: bool = True,
        tls: SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        from onpurpose.adapters.http_client import AsyncHttpLine  # noqa: PLC0415  of the extra `client`

        line = AsyncHttpLine(
            url,
            key,
            seconds=timeout_seconds,
            connect_seconds=connect_seconds,
            connections=connections,
            tls=tls,
            proxy=proxy,
        )
        super().__init__(line, patience=timeout_seconds, retry=retry)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def ledger_at(path: str | os.PathLike[str], key: str | os.PathLike[str] | None = None) -> Ledger:
    """The SQLite log at that path, its checkpoints signed with the key at `key` (beside it, unless named).

    Neither is made before the first record.
    """
    from onpurpose.adapters.signing import KeyFile  # noqa: PLC0415  only a gate that records needs them
    from onpurpose.adapters.sql.writer import SqliteLedger  # noqa: PLC0415

    log = Path(path)
    return SqliteLedger(log, signer=KeyFile(key_beside(log) if key is None else key, log.with_name(f"{log.name}.pub")))


def _asking(
    approvals: str | os.PathLike[str] | bool,
    audit: str | os.PathLike[str] | Ledger | None,
    ledger: Ledger | None,
    masking: Masking,
) -> Asking | None:
    """What asks people for a gate: nothing without a log, or without a place for what they decide."""
    if ledger is None or approvals is False:
        return None
    if approvals is not True:
        path = Path(approvals)
    elif isinstance(audit, str | os.PathLike):
        path = approvals_beside(Path(audit))
    else:
        return None
    return Asking(lambda: LocalDesk(path, ledger, masking))


def key_beside(log: Path) -> Path:
    """Where the signing key of a log lies unless it is named."""
    return log.with_name(f"{log.name}.key")


def _choose(policies: Policies, policy: AnyPolicy | None) -> None:
    if policy is None:
        return
    if isinstance(policy, Mapping):
        policies.use(*(_choice(policies, key, one) for key, one in policy.items()))
    elif not isinstance(policy, Policy) and Path(policy).is_dir():
        policies.use_index(FileSource(Path(policy) / INDEX))
    else:
        policies.use(Choice(_held(policies, policy)))


def _held(policies: Policies, policy: OnePolicy) -> Held | Fixed:
    if isinstance(policy, Policy):
        return Fixed(policy)
    if not isinstance(policy, str | os.PathLike):
        raise TypeError(f"a policy is a path or a Policy, not {type(policy).__name__}")
    return policies.held(str(Path(policy)))


def _choice(policies: Policies, key: str, policy: OnePolicy) -> Choice:
    wanted: dict[str, tuple[str, ...]] = {}
    for part in key.split(",") if key != "*" else ():
        name, colon, value = part.strip().partition(":")
        value = value.strip()
        if name not in _SELECTORS or not colon or not value:
            raise ValueError(
                f"{key!r} chooses no policy: write `agent:ID`, `environment:NAME`, `tenant:NAME`, joined by `,`, or `*`"
            )
        wanted[_SELECTORS[name]] = (*wanted.get(_SELECTORS[name], ()), value)
    return Choice(_held(policies, policy), **wanted)


_SELECTORS = {"agent": "agents", "environment": "environments", "tenant": "tenants"}
