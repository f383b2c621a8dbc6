"""A real browser for the tests: Debian's Chromium, driven by Playwright.

The one that is installed, or Debian's package where the tests run as root. Without one, tests that need it
are left out, which the end of the run says; with `CI` set they fail.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.debian import install

LEFT_OUT = "no Chromium here: install one (Debian's package is `chromium`)"

AXE = Path(__file__).parent / "vendored" / "axe.min.js"

_FLAGS = ["--disable-dev-shm-usage", "--font-render-hinting=none", "--hide-scrollbars"]
"""As root there is no sandbox either: Chromium would not start with one."""

MOST_BYTES = 300_000
"""How large a page may be with all that it loads, in bytes."""

DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
"""Sizes of windows, as Playwright takes them."""

_WATCH = """
window.__seen = { shift: 0, shifted: [], refused: [] };
document.addEventListener("securitypolicyviolation", (event) => {
  const place = `${event.sourceFile ?? ""}:${event.lineNumber}`;
  window.__seen.refused.push(`${event.violatedDirective}: ${event.blockedURI} ${place}`);
});
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    window.__seen.shift += entry.value;
    window.__seen.shifted.push(...entry.sources.map((one) => one.node?.outerHTML?.slice(0, 120) ?? String(one.node)));
  }
}).observe({ type: "layout-shift", buffered: true });
"""

_WEIGHT = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, entry) => sum + entry.decodedBodySize, 0)
"""

_FIRST_PAINT = """
new Promise((done) => new PerformanceObserver((list) => {
  for (const entry of list.getEntriesByName("first-contentful-paint")) done(entry.startTime);
}).observe({ type: "paint", buffered: true }))
"""


@dataclass
class Window:
    """A page in a browser of its own, and what it complained of. `refused` are violations of its policy.

    A test that provokes an error in the console names a part of it in `expected`.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def shift(self) -> tuple[float, list[str]]:
        """How far the layout jumped by itself since the page was loaded (cumulative), and what did."""
        seen = self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(__seen), 50)))"
        )
        return seen["shift"], seen["shifted"]

    def weight(self) -> int:
        """How many bytes the page and all that it loads have, unpacked."""
        size: int = self.page.evaluate(_WEIGHT)
        return size

    def axe(self) -> list[str]:
        """What axe finds against WCAG 2.2 AA and good practice, one line for each element."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{rule['id']}: {node['html'][:200]} ({node['failureSummary']})"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def first_paint(self) -> float:
        """After how many milliseconds something was seen, since the page was asked for."""
        found: float = self.page.evaluate(_FIRST_PAINT)
        return found

    def faults(self) -> list[str]:
        """What no page may have: what axe finds, a jump, too many bytes, more than the window is wide."""
        shift, shifted = self.shift()
        wide, width = self.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        return [
            *self.axe(),
            *([f"the layout jumped by {shift}: {shifted}"] if shift else []),
            *([f"the page has {self.weight()} bytes"] if self.weight() > MOST_BYTES else []),
            *([f"the page is {wide} pixels wide in a window of {width}"] if wide > width else []),
        ]

    def check(self) -> None:
        """Fail for whatever the browser complained of: its policy, an exception, an error in the console."""
        refused = [] if self.page.is_closed() else self.page.evaluate("window.__seen?.refused ?? []")
        told = [one for one in self.complaints if not any(part in one for part in self.expected)]
        if told or refused:
            raise AssertionError("the browser complained:\n" + "\n".join([*told, *refused]))


class Browsing:
    """Opens pages, each in a browser context of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.windows: list[Window] = []

    def open(
        self,
        url: str = "",
        *,
        device: str = "desktop",
        scheme: str = "light",
        cookies: dict[str, str] | None = None,
        script: bool = True,
        **options: Any,
    ) -> Window:
        """A new window at that address. `cookies` are sent there; `options` are those of a browser context."""
        context = self._browser.new_context(
            **DEVICES[device], color_scheme=scheme, java_script_enabled=script, locale="en-GB", timezone_id="UTC",
            **options,
        )  # fmt: skip
        self._contexts.append(context)
        context.set_default_timeout(10_000)
        context.add_init_script(_WATCH)
        if cookies:
            context.add_cookies([{"name": name, "value": value, "url": url} for name, value in cookies.items()])
        window = Window(context.new_page())
        self.windows.append(window)
        self._watch(window)
        if url:
            window.page.goto(url)
        return window

    def _watch(self, window: Window) -> None:
        def console(message: Any) -> None:
            if message.type in ("error", "warning"):
                window.complaints.append(f"{message.type}: {message.text} at {message.location.get('url', '')}")

        window.page.on("console", console)
        window.page.on("pageerror", lambda error: window.complaints.append(f"exception: {error}"))

    def close(self) -> None:
        """Close every window."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()


class Chromium:
    """One browser for a whole run.

    Playwright keeps an event loop marked as running in this thread; between the tests that use it the mark is
    taken away, or no other test could run a loop of its own.
    """

    def __init__(self, program: Path) -> None:
        self._playwright = sync_playwright().start()
        self._loop = asyncio._get_running_loop()
        try:
            self._browser = self._playwright.chromium.launch(
                executable_path=program,
                args=[*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])],
            )
        finally:
            asyncio._set_running_loop(None)

    @contextmanager
    def browsing(self) -> Iterator[Browsing]:
        """Windows for one test; in the end they are closed."""
        with self._running():
            browsing = Browsing(self._browser)
            try:
                yield browsing
            finally:
                browsing.close()

    def close(self) -> None:
        """End the browser."""
        with self._running():
            self._browser.close()
            self._playwright.stop()

    @contextmanager
    def _running(self) -> Iterator[None]:
        asyncio._set_running_loop(self._loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)


def program_or_skip() -> Path:
    """The browser's program; without one the test is left out, or fails with `CI` set."""
    program = find_program()
    if program is None and os.environ.get("CI"):
        pytest.fail(LEFT_OUT, pytrace=False)
    if program is None:
        pytest.skip(LEFT_OUT)
    return program


def find_program() -> Path | None:
    """The browser's program, after installing it where that can be done."""
    return _installed() or _from_debian()


def _installed() -> Path | None:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return Path(found) if found else None


def _from_debian() -> Path | None:
    return _installed() if install("chromium", "fonts-dejavu-core", seconds=600) else None
