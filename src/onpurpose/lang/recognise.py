"""What kind of document a text is, told by its first key that is known."""

from __future__ import annotations

import re

from onpurpose.core.revision import Kind
from onpurpose.lang.purposes import PURPOSE_KEYS, PURPOSE_POLICY_KEYS
from onpurpose.lang.read import POLICY_KEYS
from onpurpose.lang.settings import SETTINGS_KEYS

_TOP_KEY = re.compile(r"""^(?:---[ \t]+)?(?:\{[ \t]*)?["']?([A-Za-z_]+)["']?[ \t]*:""", re.MULTILINE)
_KINDS = (
    dict.fromkeys(POLICY_KEYS, Kind.POLICY)
    | dict.fromkeys(SETTINGS_KEYS, Kind.SETTINGS)
    | dict.fromkeys(PURPOSE_KEYS, Kind.PURPOSE)
    | dict.fromkeys(PURPOSE_POLICY_KEYS, Kind.PURPOSE_POLICY)
)


def kind_of(text: bytes | str) -> Kind:
    """What the text states, in its first document: a purpose, a purpose policy, settings, or else a capability policy.

    Told without reading it, so that a text with problems is told by the reader that it was written for.
    """
    decoded = text if isinstance(text, str) else text.decode("utf-8", "replace")
    for found in _TOP_KEY.finditer(decoded.removeprefix("\ufeff")):
        if found[1] in _KINDS:
            return _KINDS[found[1]]
    return Kind.POLICY
