"""A purpose as the fields of a form, and as YAML; and its status changed, all else as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from onpurpose.app.composing import parted
from onpurpose.core.purpose import TTL_SECONDS, IntentClass, Purpose, Status
from onpurpose.core.span import PolicyError, Problem
from onpurpose.lang.purposes import parse_purposes, write_purpose
from onpurpose.lang.write import name as plain
from onpurpose.lang.write import quoted

_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_KEY = re.compile(r"(\w+)\s*:")
_STATUS = re.compile(r"^status[ ]*:[ ]*(?:draft|active|archived)(?=[ ]*(?:#.*)?$)", re.MULTILINE)
_NONE = "none"


class PurposeFields(Struct, frozen=True, kw_only=True):
    """What stands in the form, as typed. `elements` are parted by commas or line ends; `none` touches no data."""

    id: str = ""
    name: str = ""
    description: str = ""
    intent_class: str = str(IntentClass.OTHER)
    elements: str = ""
    ttl_seconds: str = str(TTL_SECONDS)
    owner: str = ""
    status: str = str(Status.DRAFT)


def compose_purpose(fields: PurposeFields) -> str:
    """The YAML that the fields come to. It reads back as a purpose where every field is right."""
    return "".join(f"{line}\n" for line in _lines(fields))


def _lines(fields: PurposeFields) -> Iterator[str]:
    if fields.id:
        yield f"id: {plain(fields.id)}"
    for key in ("name", "description"):
        if getattr(fields, key):
            yield f"{key}: {quoted(getattr(fields, key))}"
    yield f"intent_class: {plain(fields.intent_class) if fields.intent_class else quoted('')}"
    if fields.elements.strip() == _NONE:
        yield "elements: []"
    elif parted(fields.elements):
        yield "elements:"
        yield from (f"  - {quoted(one)}" for one in parted(fields.elements))
    if fields.ttl_seconds:
        whole = _WHOLE.fullmatch(fields.ttl_seconds)
        yield f"ttl_seconds: {fields.ttl_seconds if whole else quoted(fields.ttl_seconds)}"
    if fields.owner:
        yield f"owner: {quoted(fields.owner)}"
    yield f"status: {plain(fields.status) if fields.status else quoted('')}"


def fields_of(purpose: Purpose) -> PurposeFields:
    """The fields that say what the purpose does."""
    elements = purpose.elements
    return PurposeFields(
        id=purpose.id,
        name=purpose.name,
        description=purpose.description,
        intent_class=str(purpose.intent_class),
        elements="" if elements is None else "\n".join(elements) or _NONE,
        ttl_seconds=str(purpose.ttl_seconds),
        owner=purpose.owner,
        status=str(purpose.status),
    )


def with_seen(fields: PurposeFields, picked: Iterable[str]) -> PurposeFields:
    """The fields with elements that were picked beside those that were typed, none twice."""
    typed = () if fields.elements.strip() == _NONE else parted(fields.elements)
    more = [one for one in dict.fromkeys(picked) if one not in typed]
    return msgspec.structs.replace(fields, elements="\n".join([*typed, *more])) if more else fields


def field_at(problem: Problem, text: str) -> str:
    """The field that a problem of the text stands at; empty where it is of none."""
    if problem.code == "missing-key":
        return "id"
    for line in reversed(text.split("\n")[: problem.span.line]):
        key = _KEY.match(line)
        if key is not None:
            return key[1] if key[1] in PurposeFields.__struct_fields__ else ""
    return ""


def with_status(text: str, status: Status) -> str:
    """The text of a purpose with that status; comments and order stay where they can. Raises `PolicyError`."""
    one = parse_purposes(text)[0]
    if not isinstance(one, Purpose):
        return text
    wanted = msgspec.structs.replace(one, status=status)
    line = f"status: {status}"
    for changed in (_STATUS.sub(line, text), f"{text.rstrip()}\n{line}\n"):
        if _says(changed, wanted):
            return changed
    return write_purpose(wanted)


def _says(text: str, wanted: Purpose) -> bool:
    try:
        found = parse_purposes(text)
    except PolicyError:
        return False
    return len(found) == 1 and isinstance(found[0], Purpose) and _bare(found[0]) == _bare(wanted)


def _bare(purpose: Purpose) -> dict[str, object]:
    return {name: getattr(purpose, name) for name in Purpose.__struct_fields__ if name != "span"}
