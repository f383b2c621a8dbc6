"""What browser tests of approvals, audit and settings share: a service that runs, windows of who is signed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onpurpose.server.dashboard import audit, record, settings
from tests.browser.chromium import Browsing, Window
from tests.dashboard.desks import Desks, Place, opened, running

MOST_BYTES = 300_000

SMALL = """[...document.querySelectorAll("main button, main input:not([type=hidden]), main select, main textarea,"
  + " .top a:not(.brand), .top summary")].filter((one) => one.checkVisibility())
  .map((one) => one.closest("label") ?? one).filter((one) => one.getBoundingClientRect().height < 43.9)
  .map((one) => one.outerHTML)"""
"""What is pressed on a phone and is lower than 44 pixels."""


@dataclass
class Running:
    """The service, and where it is."""

    desks: Desks
    url: str

    def open(self, browsing: Browsing, place: Place, who: str, path: str, **options: Any) -> Window:
        """A window of that user's on that page."""
        return browsing.open(self.url + path, cookies={"onpurpose": place.token(who)}, **options)


@contextmanager
def deskwork(folder: Path, **given: Any) -> Iterator[Running]:
    """The service with the pages of approvals, audit and settings."""
    with opened(folder, [audit.routes, record.routes, settings.routes], **given) as desks, running(desks) as url:
        yield Running(desks, url)


def faults(window: Window, *, phone: bool) -> list[str]:
    """What axe finds, what jumps, that it is too large; on a phone, what is too wide or too low."""
    found = window.axe()
    jump, jumped = window.shift()
    if jump:
        found.append(f"jumps by {jump}: {jumped}")
    if window.weight() > MOST_BYTES:
        found.append(f"has {window.weight()} bytes")
    if phone:
        width = window.page.evaluate("document.documentElement.scrollWidth")
        found += [f"is {width} wide"] if width != 390 else []
        found += [f"too low: {one}" for one in window.page.evaluate(SMALL)]
    return found
