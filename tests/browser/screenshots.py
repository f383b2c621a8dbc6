"""Takes the pictures of the documentation: `python -m tests.browser.screenshots URL USER PASSWORD [NAME ...]`.

The service at that address is looked at as that user sees it (`onpurpose demo` is a good one). Every page is
taken on a desktop in light, some in dark and on a phone too. With names, those pictures alone are taken anew.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.chromium import Browsing, Chromium, find_program
from tests.browser.pictures import small_png

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
    Shot(name="decision", path="/decisions", follow="/decisions/"),
    Shot(name="policies", path="/policies"),
    Shot(name="policy", path="/policies", follow="/policies/purpose_policy/"),
    Shot(name="new-policy", path="/policies/new"),
    Shot(name="purposes", path="/purposes"),
    Shot(name="purpose", path="/purposes", follow="/purposes/"),
    Shot(name="approvals", path="/approvals"),
    Shot(name="approval", path="/approvals", follow="/approvals/"),
    Shot(name="approval-phone", path="/approvals", follow="/approvals/", device="phone"),
    Shot(name="approvals-phone-dark", path="/approvals", device="phone", scheme="dark"),
    Shot(name="audit", path="/audit"),
    Shot(name="settings", path="/settings"),
    Shot(name="account", path="/account"),
)
"""The pictures of pages that are for whoever is signed in."""

OUTSIDE: Sequence[Shot] = (Shot(name="sign-in", path="/sign-in"),)
"""Those of pages that are for everybody."""


def sign_in(page: Page, url: str, user: str, password: str, workspace: str = "") -> dict[str, str]:
    """Sign in by the form; the cookies of the session. Raises `RuntimeError` where that does not work."""
    page.goto(url + "/sign-in")
    page.locator("input[name=user]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("input[name=workspace]").fill(workspace)
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
    for name in ("url", "user", "password"):
        parser.add_argument(name)
    parser.add_argument("names", nargs="*", choices=[[], *(shot.name for shot in (*OUTSIDE, *SHOTS))])
    parser.add_argument("--workspace", default="", help="the user's, unless it is that of who runs the service")
    given = parser.parse_args(arguments)
    program = find_program()
    if program is None:
        sys.stderr.write("no Chromium here: install one (Debian's package is `chromium`)\n")
        return 1
    with contextlib.closing(Chromium(program)) as chromium, chromium.browsing() as browsing:
        cookies = sign_in(browsing.open().page, given.url, given.user, given.password, given.workspace)
        for shots, known in ((OUTSIDE, {}), (SHOTS, cookies)):
            write(take(browsing, given.url, known, chosen(shots, given.names)))
    return 0


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
