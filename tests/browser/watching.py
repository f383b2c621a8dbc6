"""The watchers' pages for browsers: a house with something of everything, and windows of people who are signed in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from onpurpose.core.access import Role
from tests.browser.chromium import DEVICES, Browsing, Window
from tests.dashboard.watchers import HOSTILE, Watchers, watchers

LOOKS = [(device, scheme) for device in DEVICES for scheme in ("light", "dark")]
"""Every size of window in every scheme of colours."""


@contextlib.contextmanager
def busy_house(folder: Path) -> Iterator[Watchers]:
    """A house in which something of everything was decided, by hostile agents too."""
    with watchers(folder) as house:
        house.guarded()
        for number in range(30):
            house.call(purpose_id="support", elements=("crm.contacts.email",), payload={"id": number})
        house.call("payments.transfer", payload={"amount": 5000})
        house.call("payments.transfer", payload={"amount": "much"})
        house.call("tool.unknown", HOSTILE, task_context=HOSTILE, payload={HOSTILE: HOSTILE})
        house.record("hostile", capability=HOSTILE, agent_id=HOSTILE * 8, purpose_id="w" * 250, elements=[HOSTILE] * 99)
        yield house


def look(browsing: Browsing, house: Watchers, path: str, role: Role = Role.ADMIN, **options: str) -> Window:
    """A window of somebody of that role, at a page."""
    window = browsing.open(device=options.get("device", "desktop"), scheme=options.get("scheme", "light"))
    window.page.context.add_cookies([{"name": "onpurpose", "value": house.token(role), "url": house.url}])
    window.page.goto(house.url + path)
    return window


def wider_than_window(window: Window) -> bool:
    """Whether a page must be moved sideways to be read."""
    found: bool = window.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return found


def too_small(window: Window) -> list[str]:
    """What is pressed on a page and is less than 44 pixels high, but for links within text and tables."""
    found: list[str] = window.page.evaluate(
        """[...document.querySelectorAll("main button, main a.button, main input:not([type=hidden]), main select,"
        + " main summary, .choices a")]
        .filter((one) => one.checkVisibility()).map((one) => one.closest("label") ?? one)
        .filter((one) => one.getBoundingClientRect().height < 43.9).map((one) => one.outerHTML)"""
    )
    return found
