"""The pages carry one style of their own, no script, and contrasts that everybody can read."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.server.api.house import Tenant
from tests.server.pages.reading import Page, link, sign_in

PAIRS = [
    ("ink", "paper", 7.0), ("quiet", "paper", 4.5), ("ink", "box", 7.0), ("quiet", "box", 4.5), ("link", "paper", 4.5),
    ("alarm", "paper", 4.5), ("on-grant", "grant", 4.5), ("on-deny", "deny", 4.5), ("added", "box", 4.5),
    ("removed", "box", 4.5), ("line", "paper", 3.0), ("line", "box", 3.0), ("focus", "paper", 3.0),
    ("grant", "paper", 3.0), ("deny", "paper", 3.0),
]  # fmt: skip
"""Colours that stand on each other, and what WCAG 2.2 AA asks of them: 4.5 for text, 3 for edges."""


def pages(office: Tenant) -> list[Page]:
    approval = office.opened()
    visit, key = sign_in(office, approval.id), office.keys["ada"].secret
    return [
        link(office, approval).look(),
        visit.look(),
        visit.send(action="show", key="op_wrong"),
        visit.send(action="show", key=key),
        visit.send(action="deny", key=key),
        visit.send(action="grant", key=key),
    ]


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture
def style(office: Tenant) -> str:
    return link(office, office.opened()).look().texts["style"][0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_colours_can_be_told_apart(style: str, scheme: str, front: str, back: str, least: float) -> None:
    light, _, rest = style.partition("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light if scheme == "light" else rest))
    assert contrast(found[front], found[back]) >= least


def test_a_browser_may_use_the_style_and_nothing_else(office: Tenant) -> None:
    response = office.house.http.get(link(office, office.opened()).path)
    style = Page(response).texts["style"][0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert response.headers.get_list("content-security-policy") == [
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ]
    assert "url(" not in style
    assert "@import" not in style


def test_no_page_has_a_script_or_fetches_anything(office: Tenant) -> None:
    for page in pages(office):
        assert not {"script", "img", "iframe", "link", "object", "base"} & page.tags.keys()
        assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in ("style", "src")]
        targets = [value for _, name, value in page.attributes if name == "href"]
        assert all(value.startswith("#") and value[1:] in page.ids for value in targets)


def test_every_page_says_what_it_is_and_every_field_what_it_is_for(office: Tenant) -> None:
    for page in pages(office):
        assert (page.tags["h1"], page.tags["main"], page.tags["title"]) == (1, 1, 1)
        assert ("html", "lang", "en") in page.attributes
        assert ("meta", "content", "width=device-width, initial-scale=1") in page.attributes
        assert len(page.ids) == len(set(page.ids))
        labels = {value for tag, name, value in page.attributes if (tag, name) == ("label", "for")}
        fields = [value for tag, name, value in page.attributes if name == "id" and tag in ("textarea", "select")]
        assert set(fields) <= labels <= set(page.ids)
        referred = [
            one
            for _, name, value in page.attributes
            if name in ("aria-describedby", "aria-labelledby")
            for one in value.split()
        ]
        assert set(referred) <= set(page.ids)


def test_what_scrolls_can_be_reached_by_keyboard(office: Tenant) -> None:
    page = link(office, office.opened()).look()
    assert ("div", "tabindex", "0") in page.attributes
    assert ("div", "role", "region") in page.attributes
