"""Which host an e-mail address or URL belongs to, read strictly: two readings of one are none."""

from __future__ import annotations

import re

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = rf"(?P<host>{_LABEL}(?:\.{_LABEL}){{MORE}})\.?"
_SHORT = _HOST.replace("MORE", "0,126")
_LONG = _HOST.replace("MORE", "1,126")
_TAIL = r"(?::[0-9]{1,5})?(?:[/?#][!-\[\]-~]*)?"
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@" + _SHORT)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}://" + _SHORT + _TAIL)
_BARE = re.compile(_LONG + _TAIL)
_FORMS = (_EMAIL, _URL, _BARE)
_MAX_LENGTH = 8192


def host_of(text: str) -> str | None:
    """The host (lower case, no trailing dot) of an address or URL; `None` where it cannot be told.

    Read are `local@host`, `scheme://host[:port][/...]` and a bare `host.tld[/...]`. Not read, since
    programs disagree on them: user names in URLs, backslashes, white space, several `@`, escapes in
    the host, names outside ASCII, and addresses that begin like a host (`a.example/@b.example`).
    """
    if len(text) > _MAX_LENGTH:
        return None
    hosts = [match["host"].lower() for form in _FORMS if (match := form.fullmatch(text))]
    if len(hosts) != 1 or ("@" in text and _BARE.fullmatch(text)):
        return None
    return hosts[0]


def in_domain(host: str, domain: str) -> bool:
    """Whether the host is the domain or a subdomain of it."""
    return host == domain or host.endswith("." + domain)
