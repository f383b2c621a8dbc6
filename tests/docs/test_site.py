"""The site builds without a warning, fetches nothing, and no page leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT, page

NAV = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
DECISIONS = sorted(DOCS.glob("decisions/*.md"))
SHORT_PAGE = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Its theme is not needed for anything else, and may be absent."""
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    # Not with `--quiet`: that drops warnings before `--strict` can count them.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_navigation_is_built(site: Path) -> None:
    listed = list(_files(NAV))
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert all((site / name).with_suffix(".html").is_file() for name in listed)


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    loading = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*(?:src|href)=\"(https?:)?//[^>]*>")
    found = [match[0] for built in site.rglob("*.html") for match in loading.finditer(built.read_text("utf-8"))]
    assert [tag for tag in found if 'rel="canonical"' not in tag] == []


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("*.md")))
def test_a_link_from_the_root_leads_to_a_file_and_a_heading(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page(name).text):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            assert (ROOT / path).is_file(), target
            assert not anchor or anchor in map(_anchor, _headings(ROOT / path)), target


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_page_on_a_decision_says_what_and_why_and_what_it_costs(path: Path) -> None:
    number = int(path.name[:4])
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith(f"# {number}. ")
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Decision", "## Cost"]
    assert len(lines) < SHORT_PAGE


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_readme_leaves_room_for_the_benchmarks() -> None:
    text = page("README.md").text
    begin, end = "<!-- benchmarks -->", "<!-- /benchmarks -->"
    assert text.count(begin) == text.count(end) == 1
    assert text.index(begin) < text.index(end)


def _files(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [name for entry in entries for name in _files(entry)]  # type: ignore[attr-defined]  # a list by now


def _headings(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")
