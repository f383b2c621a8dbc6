"""Where webhooks may go: to the world, and into networks of one's own only where the operator says so.

A URL is written by people who may write settings, not by those who run the network. Without this check
they could have the service ask what only it can reach: its own ports, its neighbours, the cloud's metadata.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from onpurpose.core.delivery import UndeliverableError

MAX_URL = 2048

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_OWN = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""Networks of one's own: what the setting for private addresses opens. Link-local ones it does not."""

_WORLD = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given to the world so far."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which addresses webhooks may go to beside those of the world.

    `private`: networks of one's own. `loopback`: this machine, where the URL itself names it.
    """

    private: bool = False
    loopback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A webhook's URL, taken apart. `name` is its host as TLS and the Host header know it."""

    name: str
    port: int
    encrypted: bool
    path: str

    @classmethod
    def of(cls, url: str, reach: Reach) -> Self:
        """Raises `UndeliverableError`, which repeats no more of the URL than its host."""
        try:
            parts = urlsplit(url)
            name = (parts.hostname or "").encode("idna").decode()
            port = parts.port
        except ValueError:
            raise UndeliverableError("the URL of the webhook cannot be read") from None
        if parts.scheme not in ("http", "https") or not name or "@" in parts.netloc or not url.isprintable():
            raise UndeliverableError("the URL of the webhook is none such as `https://hooks.example/path`")
        rest = parts.path + (f"?{parts.query}" if parts.query else "")
        if not rest.isascii() or " " in rest or len(url) > MAX_URL:
            raise UndeliverableError(f"the URL of the webhook at `{name}` is too long, or not all of it is ASCII")
        if parts.scheme == "http" and not (reach.loopback and names_loopback(name)):
            raise UndeliverableError(f"the webhook at `{name}` is sent by https alone")
        encrypted = parts.scheme == "https"
        return cls(
            name=name,
            port=port or (443 if encrypted else 80),
            encrypted=encrypted,
            path=rest if rest.startswith("/") else f"/{rest}",
        )

    @property
    def host(self) -> str:
        """The Host header."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port == (443 if self.encrypted else 80) else f"{name}:{self.port}"


def names_loopback(name: str) -> bool:
    """Whether a URL's host is this machine by its own words."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def may_reach(text: str, target: Target, reach: Reach) -> bool:
    """Whether a webhook may go to the address that its host resolved to."""
    try:
        address = _meant(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return False
    if address.is_loopback:
        return reach.loopback and names_loopback(target.name)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if any(address.version == network.version and address in network for network in _OWN):
        return reach.private
    return address.is_global and (address.version == 4 or address in _WORLD)


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
