"""What the tests ask services with that they run themselves: by plain HTTP, at an address of this machine."""

from __future__ import annotations

import ssl
from typing import Any

import httpx2

_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no authority, and none is asked for: to read those of the system takes 30 ms for each client."""


def asking(url: str, key: str = "", *, timeout: float = 30, **options: Any) -> httpx2.Client:
    """A client of the service at that address, that asks with the key where one is given. Close it."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=_NOBODY, **options)
