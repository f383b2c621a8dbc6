"""What the agents of the demo ask: calls drawn one after another, the same for the same seed.

Those of the agents for banking and chat are calls that were recorded, where there are any; all the
others, and these where there are none, are made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, TypeVar

from onpurpose.adapters.transcripts import read
from onpurpose.core.call import Call, Identity
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.history import RecordedCall
from onpurpose.demo import cast, made_up

T = TypeVar("T")

BANKING, CHAT = "banking-agent", "slack-agent"
"""The agents whose calls may be recorded ones."""

READING: Final = ("get_", "read_")
"""How the names of tools begin that only look: agents do so most of the time."""

_LOOK, _ACT, _ATTACK = 1.0, 0.2, 0.06  # how often calls of a kind come beside each other


class Weighed(NamedTuple):
    """A call that may be asked, and how often beside the others."""

    agent_id: str
    capability: str
    payload: object
    weight: float


Maker = Callable[[Random], Call]


def recorded(folder: Path) -> list[Weighed]:
    """The recorded calls of the folder's `*.jsonl` by agents that the demo has a policy for.

    Raises `OnPurposeError` where there is none.
    """
    found = [_weighed(one) for one in read(folder) if one.call.agent_id in {BANKING, CHAT}]
    if not found:
        raise OnPurposeError(f"`{folder}` holds no recorded calls of `{BANKING}` or `{CHAT}`")
    return found


def _weighed(one: RecordedCall) -> Weighed:
    call = one.call
    tool = call.capability.rpartition(".")[2]
    weight = _ATTACK if one.label == "injection" else _LOOK if tool.startswith(READING) else _ACT
    return Weighed(call.agent_id, call.capability, call.payload, weight)


class Repertoire:
    """Draws calls. `calls` are those of banking and chat; of an agent with none, made-up ones are taken."""

    def __init__(self, calls: Iterable[Weighed] = ()) -> None:
        by_agent: dict[str, list[Weighed]] = {BANKING: [], CHAT: []}
        for one in calls:
            by_agent[one.agent_id].append(one)
        self._banking = by_agent[BANKING] or [Weighed(BANKING, *one) for one in made_up.BANKING]
        self._chat = by_agent[CHAT] or [Weighed(CHAT, *one) for one in made_up.CHAT]
        self._makers: tuple[tuple[Maker, float], ...] = (
            (_look_up, 34),
            (_support, 15),
            (_export, 0.5),
            (self._bank, 20),
            (self._talk, 20),
            (_pay, 6),
            (_operate, 4),
            (_stray, 0.5),
        )

    def draw(self, random: Random) -> Call:
        """The next call."""
        return _pick(random, self._makers)(random)

    def _bank(self, random: Random) -> Call:
        one = _drawn(random, self._banking)
        return Call(
            one.agent_id, one.capability, one.payload,
            policy_context={"environment": "production", "user_role": "customer", "tenant": "acme-bank"},
            task_context="household", identity=random.choice(cast.CUSTOMERS), purpose_id="household_payments",
            data_source_id="core_banking",
        )  # fmt: skip

    def _talk(self, random: Random) -> Call:
        one = _drawn(random, self._chat)
        who = random.choice(cast.GUESTS) if random.random() < 0.15 else random.choice(cast.STAFF)
        return Call(
            one.agent_id, one.capability, one.payload,
            policy_context={"environment": "production", "user_role": "employee", "tenant": "acme-corp"},
            task_context="team_chat", identity=who, purpose_id="team_chat",
        )  # fmt: skip


def _look_up(random: Random) -> Call:
    """A question about one customer, nearly always by somebody whose work that is."""
    odd = random.random()
    who: Identity | None = random.choice(cast.TIER_1 if random.random() < 0.7 else cast.TIER_2)
    source = "salesforce_prod"
    if odd < 0.06:
        who = random.choice(cast.CONTRACTORS)
    elif odd < 0.08:
        who = None
    elif odd < 0.11:
        source = "salesforce_sandbox"
    capability, payload, elements = made_up.look_up(random)
    return Call(
        "support-night-agent" if random.random() < 0.2 else "support-agent", capability, payload,
        policy_context={"environment": "production", "user_role": "support", "tenant": "acme-corp", "caller_depth": 1},
        task_context="support", identity=who, purpose_id="customer_support_lookup", data_source_id=source,
        elements=elements,
    )  # fmt: skip


def _support(random: Random) -> Call:
    capability, payload = made_up.support(random)
    return Call(
        "support-agent", capability, payload,
        policy_context={"environment": "production", "user_role": "support", "tenant": "acme-corp", "caller_depth": 1},
        task_context="support", risk_category="customer_data", identity=random.choice(cast.TIER_1),
    )  # fmt: skip


def _export(random: Random) -> Call:
    return Call(
        "support-agent", "customers.export", made_up.export(random),
        policy_context={"environment": "production", "user_role": "support-lead", "tenant": "acme-corp"},
        task_context="support", identity=random.choice(cast.TIER_2), purpose_id="pii_export",
        data_source_id="salesforce_prod", elements=("customers.name", "customers.email", "orders.total"),
    )  # fmt: skip


def _pay(random: Random) -> Call:
    capability, payload = made_up.payment(random)
    return Call(
        "payments-agent", capability, payload,
        policy_context={"environment": "production", "user_role": "accountant", "tenant": "acme-corp"},
        task_context="accounts_payable", risk_category="financial_transaction",
        identity=random.choice(cast.ACCOUNTANTS),
    )  # fmt: skip


def _operate(random: Random) -> Call:
    capability, payload = made_up.operation(random)
    return Call(
        "ops-agent", capability, payload,
        policy_context={"environment": random.choice(("staging", "production")), "user_role": "operator"},
        task_context="maintenance", identity=random.choice(cast.OPERATORS),
    )  # fmt: skip


def _stray(random: Random) -> Call:
    """An agent that nobody wrote a policy for."""
    return Call("intern-script", "customers.search", {"query": "*", "limit": random.choice((500, 1000, 5000))})


def _drawn(random: Random, calls: Sequence[Weighed]) -> Weighed:
    return random.choices(calls, [one.weight for one in calls])[0]


def _pick(random: Random, weighed: Sequence[tuple[T, float]]) -> T:
    return random.choices([one for one, _ in weighed], [weight for _, weight in weighed])[0]
