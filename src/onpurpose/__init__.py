"""Decides whether an AI agent's tool call may run, and can prove why."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onpurpose.adapters.tokens import verify_token
    from onpurpose.adapters.webhook.signing import WebhookError, verify_webhook
    from onpurpose.agents.guard import ActionDenied, ApprovalRequired, Refused
    from onpurpose.agents.tool import SafeTool
    from onpurpose.app.masking import Masking
    from onpurpose.core.call import Call, Identity
    from onpurpose.core.decision import Decision, Reason
    from onpurpose.core.errors import OnPurposeError
    from onpurpose.core.outcome import Outcome
    from onpurpose.core.policy import Policy
    from onpurpose.core.result import Result
    from onpurpose.core.span import PolicyError, Problem
    from onpurpose.core.ticket import Ticket
    from onpurpose.core.token import Claims, TokenError
    from onpurpose.lang.read import load as load_policy
    from onpurpose.lang.read import parse as parse_policy
    from onpurpose.wiring import AsyncClient, Client, Gate

__all__ = [
    "ActionDenied",
    "ApprovalRequired",
    "AsyncClient",
    "Call",
    "Claims",
    "Client",
    "Decision",
    "Gate",
    "Identity",
    "Masking",
    "OnPurposeError",
    "Outcome",
    "Policy",
    "PolicyError",
    "Problem",
    "Reason",
    "Refused",
    "Result",
    "SafeTool",
    "Ticket",
    "TokenError",
    "WebhookError",
    "load_policy",
    "parse_policy",
    "verify_token",
    "verify_webhook",
]

# Where each name lives; imported at its first use, so that `import onpurpose` costs next to nothing.
_HOMES = {
    "ActionDenied": ("agents.guard", "ActionDenied"),
    "ApprovalRequired": ("agents.guard", "ApprovalRequired"),
    "AsyncClient": ("wiring", "AsyncClient"),
    "Call": ("core.call", "Call"),
    "Claims": ("core.token", "Claims"),
    "Client": ("wiring", "Client"),
    "Decision": ("core.decision", "Decision"),
    "Gate": ("wiring", "Gate"),
    "Identity": ("core.call", "Identity"),
    "Masking": ("app.masking", "Masking"),
    "OnPurposeError": ("core.errors", "OnPurposeError"),
    "Outcome": ("core.outcome", "Outcome"),
    "Policy": ("core.policy", "Policy"),
    "PolicyError": ("core.span", "PolicyError"),
    "Problem": ("core.span", "Problem"),
    "Reason": ("core.decision", "Reason"),
    "Refused": ("agents.guard", "Refused"),
    "Result": ("core.result", "Result"),
    "SafeTool": ("agents.tool", "SafeTool"),
    "Ticket": ("core.ticket", "Ticket"),
    "TokenError": ("core.token", "TokenError"),
    "WebhookError": ("adapters.webhook.signing", "WebhookError"),
    "load_policy": ("lang.read", "load"),
    "parse_policy": ("lang.read", "parse"),
    "verify_token": ("adapters.tokens", "verify_token"),
    "verify_webhook": ("adapters.webhook.signing", "verify_webhook"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'onpurpose' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f"onpurpose.{module}"), attribute)
    globals()[name] = value
    return value
