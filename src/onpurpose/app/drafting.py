"""A purpose policy while it is composed: a form and its YAML side by side, kept in step, neither ever lost.

Each side carries a mark of what it was when both said the same. So it can be told which of them was changed
since then, also where no script ran.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec
from msgspec import Struct

from onpurpose.app.composing import Fields, compose, edited, field_at, fields_of
from onpurpose.app.proofreading import Proof, proofread, stated_now
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.revision import Kind
from onpurpose.core.span import Problem

_UNCHOSEN = "-"
"""The purpose of a policy that says none yet."""


class Side(StrEnum):
    """Which of the two is meant."""

    FORM = "form"
    YAML = "yaml"


class Draft(Struct, frozen=True, kw_only=True):
    """Both sides as they stand. `form_mark` and `yaml_mark` are of what they were when they were last in step.

    `name` is that of the policy that is edited, empty for a new one. `shown` is false where the YAML says what
    the form cannot show: then the YAML alone counts. `proof` is of the YAML. `base` is the YAML that was last
    written by hand and could be read: what is changed in the form is changed there, and all else in it stays.
    Until somebody `asked` to save or to try it, a new policy is not blamed for fields that are yet to be filled.
    """

    fields: Fields
    text: str
    form_mark: str = ""
    yaml_mark: str = ""
    base: str = ""
    name: str = ""
    asked: bool = False
    shown: bool = True
    torn: bool = False
    proof: Proof = Proof()

    @property
    def told(self) -> tuple[Problem, ...]:
        """The problems that are told: of a new policy not what is yet to be filled in, until somebody asked."""
        if self.asked or self.name:
            return self.proof.problems
        return tuple(one for one in self.proof.problems if one.code != "missing-key")

    @property
    def awaited(self) -> list[str]:
        """The fields that are yet to be filled, of which no problem is told."""
        told = self.told
        return [field_at(one, self.text) for one in self.proof.problems if one not in told]

    @property
    def errors(self) -> dict[str, list[str]]:
        """What is told at each field, in sentences; under the empty name what is wrong with the whole."""
        found: dict[str, list[str]] = {}
        for one in self.told:
            found.setdefault(field_at(one, self.text), []).append(sentence(one))
        return found


def sentence(problem: Problem) -> str:
    """A problem with its cure."""
    return f"{problem.message}: {problem.help}" if problem.help else problem.message


def begun(fields: Fields) -> Draft:
    """A new policy, of what the form holds at first."""
    return settle(Draft(fields=fields, text=""), Side.FORM)


def opened(text: str, name: str) -> Draft:
    """A policy that is edited."""
    return settle(Draft(fields=Fields(), text=text, name=name), Side.YAML)


def settle(draft: Draft, by: Side | None = None) -> Draft:
    """The draft with both sides in step, by the side that is named, or else by the one that was changed.

    Where both were changed and none is named, it is `torn`: nothing is done, until somebody says which counts.
    Where the YAML cannot be read, the form stays as it is, and the problems are told.
    """
    if not draft.shown:  # the form holds less than the policy says
        return _by_yaml(draft)
    of_form, of_yaml = draft.form_mark != mark(draft.fields), draft.yaml_mark != mark(draft.text)
    if by is None and of_form and of_yaml and draft.yaml_mark:
        return _proofread(msgspec.structs.replace(draft, torn=True))
    if by is Side.FORM or (by is None and of_form and not of_yaml):
        return _in_step(msgspec.structs.replace(draft, text=_by_form(draft), torn=False))
    return _by_yaml(msgspec.structs.replace(draft, torn=False))


def _by_yaml(draft: Draft) -> Draft:
    draft = _proofread(draft)
    one = _policy_in(draft.text)
    if one is None:
        return draft
    fields = _fields_in(one)
    if fields is None:
        return msgspec.structs.replace(draft, shown=False)
    base = draft.base if draft.yaml_mark == mark(draft.text) else draft.text
    return _in_step(msgspec.structs.replace(draft, fields=fields, shown=True, base=base))


def _by_form(draft: Draft) -> str:
    one = _policy_in(draft.base)
    before = None if one is None else _fields_in(one)
    if before is None:
        return _with_remarks(draft.text, compose(draft.fields))
    return edited(draft.base, before, draft.fields)


def _policy_in(text: str) -> PurposePolicy | None:
    """The one policy that the text states, its purpose maybe yet to be chosen."""
    for whole in (text, f"{text.rstrip()}\npurpose_id: '{_UNCHOSEN}'\n"):
        one = stated_now(whole)
        if isinstance(one, PurposePolicy):
            return one
    return None


def _fields_in(policy: PurposePolicy) -> Fields | None:
    fields = fields_of(policy)
    if fields is None or policy.purpose_id != _UNCHOSEN:
        return fields
    policy_id = "" if policy.policy_id == _UNCHOSEN else policy.policy_id
    return msgspec.structs.replace(fields, policy_id=policy_id, purpose_id="")


def _in_step(draft: Draft) -> Draft:
    marked = msgspec.structs.replace(draft, form_mark=mark(draft.fields), yaml_mark=mark(draft.text))
    return _proofread(marked)


def _proofread(draft: Draft) -> Draft:
    return msgspec.structs.replace(draft, proof=proofread(Kind.PURPOSE_POLICY, draft.name, draft.text))


def mark(side: Fields | str) -> str:
    """What tells whether a side was changed."""
    body = side.rstrip().encode("utf-8", "replace") if isinstance(side, str) else msgspec.json.encode(side)
    return hashlib.sha256(body).hexdigest()[:16]


def _with_remarks(before: str, text: str) -> str:
    """The text below the comments that the former one began with."""
    remarks = []
    for line in before.split("\n"):
        if not line.startswith("#"):
            break
        remarks.append(f"{line}\n")
    return "".join(remarks) + text
