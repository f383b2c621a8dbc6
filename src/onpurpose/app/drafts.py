"""The text of a document before it is written: read exactly, under its own name, or refused with every problem."""

from __future__ import annotations

from onpurpose.app.shelf import MAX_NAME, is_name, word
from onpurpose.core.purpose import Purpose, PurposePolicy
from onpurpose.core.revision import Contents, Kind
from onpurpose.core.span import PolicyError, Problem, Span
from onpurpose.lang.index import parse_index
from onpurpose.lang.purposes import parse_purposes, write_purpose, write_purpose_policy
from onpurpose.lang.read import parse
from onpurpose.lang.settings import parse_settings

SINGLE = {Kind.INDEX: "index", Kind.SETTINGS: "settings"}
"""Of these there is one a workspace, of this name."""


def asks_to_be_live(kind: Kind, name: str, text: str) -> bool:
    """Whether the text of a document of that name asks to decide at once. Raises `PolicyError` with every problem.

    A capability policy cannot ask, a purpose policy does by `shadow_mode: false`; what has no shadow always does.
    """
    if not is_name(name) or name != SINGLE.get(kind, name):
        cure = "letters, digits, `_`, `-` and `.`, at most 128; `index` and `settings` have the one name"
        raise _problem(Span(name[:MAX_NAME], 1, 1), "malformed-name", "no document may be called that", cure)
    if kind is Kind.POLICY:
        parse(text, name)
        return False
    if kind is Kind.INDEX:
        parse_index(text, name)
        return True
    if kind is Kind.SETTINGS:
        parse_settings(text, name)
        return True
    return _purpose_asks(kind, name, text)


def _purpose_asks(kind: Kind, name: str, text: str) -> bool:
    one, *others = parse_purposes(text, name)
    if others:
        message = f"the text holds {len(others) + 1} documents, and a revision is one"
        raise _problem(others[0].span, "several-documents", message, "write each under its own name")
    wanted: type[Purpose | PurposePolicy] = Purpose if kind is Kind.PURPOSE else PurposePolicy
    if not isinstance(one, wanted):
        raise _problem(one.span, "wrong-kind", f"this is no {word(kind)}", "write it where its kind belongs")
    field, own = ("id", one.id) if isinstance(one, Purpose) else ("policy_id", one.policy_id)
    if own != name:
        message = f"the text's `{field}` is `{own}`, and it is written under the name `{name}`"
        raise _problem(one.span, "other-name", message, f"write `{field}: {name}`, or write it under `{own}`")
    return isinstance(one, Purpose) or not one.shadow_mode


def from_fields(kind: Kind, name: str, fields: str) -> str:
    """The text of a document whose fields are given as JSON: for purposes and their policies as one would write it.

    JSON is YAML, so that of other kinds it is the text itself. Raises `PolicyError` with every problem.
    """
    if kind not in (Kind.PURPOSE, Kind.PURPOSE_POLICY):
        return fields
    one = parse_purposes(fields, name)[0]  # JSON is one document
    return write_purpose(one) if isinstance(one, Purpose) else write_purpose_policy(one)


def check_index(contents: Contents, text: str) -> None:
    """Raise `PolicyError` unless every policy that the index names is live: calls it chooses would all be denied."""
    live = {one.name for one in contents.standings if one.kind is Kind.POLICY and one.live is not None}
    problems = [
        Problem(
            span=entry.span,
            code="not-live",
            message=f"there is no live policy `{policy_name(entry.file)}`",
            help="save and promote it first",
        )
        for entry in parse_index(text, "index").entries
        if policy_name(entry.file) not in live
    ]
    if problems:
        raise PolicyError(tuple(problems))


def names_policy(index: str, name: str) -> bool:
    """Whether the text of an index names the policy."""
    return any(policy_name(entry.file) == name for entry in parse_index(index, "index").entries)


def policy_name(file: str) -> str:
    """The name of the policy that an index's entry means."""
    return file.removesuffix(".yaml").removesuffix(".yml")


def _problem(span: Span, code: str, message: str, cure: str) -> PolicyError:
    return PolicyError((Problem(span=span, code=code, message=message, help=cure),))
