"""The canonical form of a call, and its digest: equal values written differently are equal.

The form is a JSON array of agent, capability, payload, identity (user and sorted groups), purpose,
data source, environment, role and tenant, in UTF-8, keys sorted by code point, no white space,
numbers by value: a whole number as an integer (`1`, `1.0` and `Decimal("1.00")` are one), others in
their shortest decimal form. What JSON lacks (bytes, infinities, huge numbers, objects) is written
as `!kind:...`, which is no JSON, so that no payload of plain JSON can pass for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite

import orjson

from onpurpose.core.call import Call
from onpurpose.core.facts import Facts, Malformed
from onpurpose.core.numbers import as_number
from onpurpose.core.values import plain

_INT64 = 1 << 63
_DIRECT = frozenset({str, type(None)})
_NOTHING: Mapping[str, object] = {}


def digest(call: Call, facts: Facts) -> str:
    """The SHA-256 (hex) of the call's canonical form, domain-separated: what an approval is bound to."""
    return hashlib.sha256(b"onpurpose.call.1\0" + canonical(call, facts)).hexdigest()


def canonical(call: Call, facts: Facts) -> bytes:
    """The canonical form of a call whose facts could be read."""
    identity, context = call.identity, call.policy_context or _NOTHING
    environment, role, tenant = context.get("environment"), context.get("user_role"), context.get("tenant")
    fields = [
        call.agent_id,
        call.capability,
        call.payload,
        None if identity is None else [identity.user_id, sorted(identity.groups)],
        call.purpose_id,
        call.data_source_id,
        environment,
        role,
        tenant,
    ]
    if facts.direct and type(environment) in _DIRECT and type(role) in _DIRECT and type(tenant) in _DIRECT:
        try:
            return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:  # a lone surrogate in what the application vouches for
            pass
    return encode(fields)


def exact_digest(call: Call) -> str:
    """The digest of a call that stands for no other call. Raises `Malformed` where the call cannot be read.

    It is `Malformed` too where the call holds an object: two different ones have the same canonical form.
    """
    facts = Facts(call)
    context = call.policy_context or _NOTHING
    if facts.opaque or any(b"!opaque" in encode(context.get(key)) for key in ("environment", "user_role", "tenant")):
        raise Malformed("the call holds an object, whose value cannot be told")
    return digest(call, facts)


def encode(value: object) -> bytes:
    """The canonical form of one value."""
    value = plain(value)
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, list | tuple):
        return b"[" + b",".join(encode(item) for item in value) + b"]"
    if isinstance(value, str):
        return _text(str.__str__(value))  # what it holds, whatever a subclass shows
    if value is None or isinstance(value, bool):
        return orjson.dumps(value)
    if isinstance(value, bytes):
        return b"!bytes:" + value.hex().encode()
    if isinstance(value, int | float | Decimal):
        return _number(value)
    return b"!opaque"


def _mapping(value: Mapping[object, object]) -> bytes:
    named = {text: item for key, item in value.items() if isinstance(text := plain(key), str)}
    if len(named) == len(value) and not any(_is_broken(name) for name in named):
        return b"{" + b",".join(_text(name) + b":" + encode(named[name]) for name in sorted(named)) + b"}"
    pairs = sorted((encode(key), encode(item)) for key, item in value.items())
    return b"!map{" + b",".join(key + b":" + item for key, item in pairs) + b"}"


def _is_broken(text: str) -> bool:
    return _text(text).startswith(b"!")


def _text(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return b"!text:" + text.encode("utf-8", "surrogatepass").hex().encode()


def _number(value: int | float | Decimal) -> bytes:
    if (isinstance(value, float) and not isfinite(value)) or (isinstance(value, Decimal) and not value.is_finite()):
        return b"!" + str(value).lower().replace("infinity", "inf").encode()
    number = as_number(value)
    if number is None:  # an integer of thousands of digits: hexadecimal is exact, and linear
        return b"!int:" + f"{value:x}".encode()
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    if -_INT64 <= exact < _INT64 and exact == exact.to_integral_value():
        return str(int(exact)).encode()
    nearest = float(exact)
    if isfinite(nearest) and Decimal(repr(nearest)) == exact:
        return orjson.dumps(nearest)
    sign, digits, exponent = exact.as_tuple()
    shown = "".join(map(str, digits)).rstrip("0")
    power = int(exponent) + len(digits) - len(shown)
    return f"!number:{'-' * sign}{shown}e{power}".encode()
