"""Purposes and purpose policies that are legal but unwise. Only what is certain is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import TOKEN_TTL_MINUTES, Match, Purpose, PurposePolicy, Status
from onpurpose.core.span import Problem
from onpurpose.lang.lint import warning, with_excerpts


def lint_purposes(documents: Iterable[Purpose | PurposePolicy], text: str | None = None) -> list[Problem]:
    """What is legal but unwise in the documents of one text, as warnings in the text's order.

    With the `text`, each shows the line it is about.
    """
    documents = tuple(documents)
    purposes = {one.id: one for one in documents if isinstance(one, Purpose)}
    policies = [one for one in documents if isinstance(one, PurposePolicy)]
    found = [*_inactive(purposes, policies)]
    for policy in policies:
        found += _policy(policy)
        found += _token(policy, purposes.get(policy.purpose_id))
    found.sort(key=lambda problem: (problem.span.line, problem.span.column))
    return found if text is None else with_excerpts(found, text)


def _inactive(purposes: dict[str, Purpose], policies: Iterable[PurposePolicy]) -> Iterator[Problem]:
    with_policies = {policy.purpose_id for policy in policies}
    for purpose in purposes.values():
        if purpose.status is not Status.ACTIVE and purpose.id in with_policies:
            message = f"the purpose `{purpose.id}` is {purpose.status}, so its policies decide nothing"
            cure = "a call that declares it is denied; write `status: active` to let it be declared"
            yield warning(purpose.span, "inactive-purpose", message, cure)


def _policy(policy: PurposePolicy) -> Iterator[Problem]:
    if policy.outcome is Outcome.ALLOW and policy.match == Match(identity_required=False):
        message = f"the policy `{policy.policy_id}` allows every call that declares its purpose, anonymous ones too"
        yield warning(policy.span, "allows-everyone", message, "say under `match` who may, from where and when")
    if policy.match.user_groups is not None and not policy.match.identity_required:
        message = "`user_groups` beside `identity_required: false`: an anonymous caller is in no group"
        yield warning(policy.span, "groups-without-identity", message, "remove one of the two")
    if policy.approval_required and policy.decision is Outcome.DENY:
        message = "`approval_required` on a deny changes nothing: no approval lifts a denial"
        yield warning(policy.span, "approval-on-deny", message, "remove it, or write `decision: require_approval`")


def _token(policy: PurposePolicy, purpose: Purpose | None) -> Iterator[Problem]:
    minutes = policy.token_ttl_minutes
    if purpose is not None and minutes != TOKEN_TTL_MINUTES and minutes * 60 > purpose.ttl_seconds:
        message = (
            f"a token of {minutes} minutes outlives its purpose, which allows {purpose.ttl_seconds} seconds:"
            " it will live no longer than that"
        )
        cure = f"shorten `token_ttl_minutes`, or lengthen the `ttl_seconds` of the purpose on line {purpose.span.line}"
        yield warning(policy.span, "token-outlives-purpose", message, cure)
