"""Debian's Chromium, driven by its debugging protocol over two pipes: no driver, no port."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""Seconds that the browser may take for an answer."""


class Browser:
    """One page of a browser."""

    def __init__(self, into: int, out: int) -> None:
        self._into = into
        self._out = out
        self._left = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Do it, and give what comes back."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._into, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            self.events.append(told)

    def await_event(self, method: str) -> dict[str, Any]:
        """The next event of that name since the last `forget`."""
        for told in self.events:
            if told.get("method") == method:
                return told
        while (told := self._read()).get("method") != method:
            self.events.append(told)
        self.events.append(told)
        return told

    def forget(self) -> None:
        self.events.clear()

    def open(self, url: str) -> None:
        """Go there, and return once it is loaded."""
        self.forget()
        self.call("Page.navigate", url=url)
        self.await_event("Page.loadEventFired")

    def ask(self, expression: str) -> Any:
        """The value of an expression on the page: the debugger's, which no policy of the page stops."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, selector: str) -> None:
        """Click, and return once the page that follows is loaded."""
        self.forget()
        self.ask(f"document.querySelector({json.dumps(selector)}).click()")
        self.await_event("Page.loadEventFired")

    def show(self, width: int, scheme: str) -> None:
        """Be as wide as a phone, or wider, in light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._out], [], [], PATIENCE)
            assert ready, "the browser does not answer"
            part = os.read(self._out, 1 << 16)
            assert part, "the browser has ended"
            self._left += part
        one, _, self._left = self._left.partition(b"\0")
        told: dict[str, Any] = json.loads(one)
        return told


@contextlib.contextmanager
def browsing(program: str, folder: Path) -> Iterator[Browser]:
    """A browser of its own, without anything kept from before."""
    to_read, into = os.pipe()
    out, to_write = os.pipe()
    command = [
        "/bin/bash", "-c", f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}', program, "--headless=new", "--no-sandbox",
        "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
        f"--user-data-dir={folder}",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(to_read)
    os.close(to_write)
    try:
        browser = Browser(into, out)
        yield browser
        browser._session = None
        browser.call("Browser.close")
    finally:
        os.close(into)
        os.close(out)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
