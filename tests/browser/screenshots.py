"""Takes the pictures of the documentation: `python -m tests.browser.screenshots [NAME ...]`.

They show `onpurpose demo`, which is started for them, or with `--at URL USER PASSWORD` another service as that
user sees it. Every page is taken on a desktop in light, some in dark and on a phone too. With names, those
pictures alone are taken anew.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.chromium import LEFT_OUT, Browsing, Chromium, find_program
from tests.browser.pictures import small_png
from tests.demo.process import Shown

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A picture: of the page at `path`, or of the first one that a link with `follow` in its address leads to."""

    name: str
    path: str
    follow: str = ""
    device: str = "desktop"
    scheme: str = "light"


SHOTS: Sequence[Shot] = (
    Shot(name="overview", path="/"),
    Shot(name="overview-dark", path="/", scheme="dark"),
    Shot(name="decisions", path="/decisions"),
    Shot(name="decision", path="/decisions?blocked=yes", follow="/decisions/"),
    Shot(name="policies", path="/policies"),
    Shot(name="policy", path="/policies/purpose_policy/support_lookup_business_hours"),
    Shot(name="policy-dark", path="/policies/purpose_policy/support_lookup_business_hours", scheme="dark"),
    Shot(name="policy-history", path="/policies/purpose_policy/support_lookup_business_hours/history"),
    Shot(name="remove", path="/purposes/customer_support_lookup/remove"),
    Shot(name="new-policy", path="/policies/new"),
    Shot(name="new-capability-policy", path="/policies/new/capability"),
    Shot(name="purposes", path="/purposes"),
    Shot(name="purpose", path="/purposes/customer_support_lookup"),
    Shot(name="approvals", path="/approvals"),
    Shot(name="approval", path="/approvals", follow="/approvals/"),
    Shot(name="approval-phone", path="/approvals", follow="/approvals/", device="phone"),
    Shot(name="approvals-phone-dark", path="/approvals", device="phone", scheme="dark"),
    Shot(name="audit", path="/audit"),
    Shot(name="settings", path="/settings"),
    Shot(name="users", path="/settings/users"),
    Shot(name="channels", path="/settings/channels"),
    Shot(name="retention", path="/settings/retention"),
    Shot(name="keys", path="/settings/keys"),
    Shot(name="account", path="/account"),
)
"""The pictures of pages that are for whoever is signed in."""

OUTSIDE: Sequence[Shot] = (Shot(name="sign-in", path="/sign-in"),)
"""Those of pages that are for everybody."""


def sign_in(page: Page, url: str, user: str, password: str) -> dict[str, str]:
    """Sign in by the form; the cookies of the session. Raises `RuntimeError` where that does not work."""
    page.goto(url + "/sign-in")
    page.locator("input[name=user]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("main form button").first.click()
    page.wait_for_load_state()
    if "/sign-in" in page.url:
        raise RuntimeError(f"{user} could not sign in at {url}")
    return {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}


def take(browsing: Browsing, url: str, cookies: dict[str, str], shots: Sequence[Shot]) -> Iterator[tuple[Shot, bytes]]:
    """Each picture as a file, under 60 KB. Raises `RuntimeError` for a page that cannot be shown."""
    bench = browsing.open().page
    for shot in shots:
        page = browsing.open(url + shot.path, device=shot.device, scheme=shot.scheme, cookies=cookies).page
        if shot.follow:
            link = page.locator(f'main a[href^="{shot.follow}"]:visible').first
            page.goto(url + (link.get_attribute("href") or ""))
        answer = page.evaluate("performance.getEntriesByType('navigation')[0].responseStatus")
        if answer != 200:
            raise RuntimeError(f"the page of `{shot.name}` answers {answer}")
        page.wait_for_function("[...document.querySelectorAll('[data-chart]')].every((one) => one.firstChild)")
        yield shot, small_png(page, bench)
        page.close()


def main(arguments: Sequence[str]) -> int:
    """The command; 0 where every picture was taken, 1 where there is no browser."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--at", nargs=3, metavar=("URL", "USER", "PASSWORD"), help="a service that runs")
    parser.add_argument("names", nargs="*", choices=[[], *(shot.name for shot in (*OUTSIDE, *SHOTS))])
    given = parser.parse_args(arguments)
    program = find_program()
    if program is None:
        sys.stderr.write(LEFT_OUT + "\n")
        return 1
    with contextlib.ExitStack() as stack:
        url, user, password = given.at or stack.enter_context(shown())
        browsing = stack.enter_context(stack.enter_context(contextlib.closing(Chromium(program))).browsing())
        cookies = sign_in(browsing.open().page, url, user, password)
        for shots, known in ((OUTSIDE, {}), (SHOTS, cookies)):
            write(take(browsing, url, known, chosen(shots, given.names)))
    return 0


@contextlib.contextmanager
def shown() -> Iterator[tuple[str, str, str]]:
    """The address of a demo, while it runs, and the user and the password that it printed."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Shown(folder=Path(folder))
        try:
            user, password = (_printed(demo.output, label) for label in ("sign in as", "the password is"))
            yield demo.url, user, password
        finally:
            demo.interrupt()


def _printed(output: str, label: str) -> str:
    return next(line for line in output.splitlines() if line.strip().startswith(label)).split()[-1]


def chosen(shots: Sequence[Shot], names: Collection[str]) -> list[Shot]:
    """The pictures of those names; without any, all."""
    return [shot for shot in shots if not names or shot.name in names]


def write(taken: Iterator[tuple[Shot, bytes]], folder: Path = FOLDER) -> None:
    """Put each picture into the folder, and say so."""
    folder.mkdir(parents=True, exist_ok=True)
    for shot, content in taken:
        (folder / f"{shot.name}.png").write_bytes(content)
        sys.stdout.write(f"{shot.name}.png {len(content):,} bytes\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
