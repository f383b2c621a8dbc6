"""A page as a browser without style reads it: its elements, its texts, its forms."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx2

from onpurpose.core.approval import Approval
from tests.server.api.house import House, Tenant

OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
"""What a browser says of a form that a page of ours sends, which tells nobody where it was."""

_EMPTY = {"meta", "input", "br"}


@dataclass
class Form:
    fields: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str | None] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)


class Page(HTMLParser):
    """The elements of a page that is well formed."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.forms: list[Form] = []
        self.ids: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.placed: list[tuple[str, str]] = []
        """Each text with the elements around it, outermost first, as in `main div ol li`."""
        self._open: list[str] = []
        self._chosen = ""
        assert response.headers["content-type"] == "text/html; charset=utf-8", response.text
        self.status = response.status_code
        self.feed(response.text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [given["id"] or ""] if "id" in given else []
        self.texts.setdefault(tag, []).append("")
        if tag not in _EMPTY:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(attributes=given))
        elif tag in ("input", "textarea", "select") and self.forms:
            self._chosen = given["name"] or ""
            self.forms[-1].fields[self._chosen] = given.get("value") or ""
        elif tag == "option":
            value = given.get("value")
            self.forms[-1].options.setdefault(self._chosen, []).append(value or "")
            if "selected" in given:
                self.forms[-1].fields[self._chosen] = value or ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.placed.append((" ".join(self._open), data))
        for tag in set(self._open):
            self.texts[tag][-1] += data
        if self._open and self._open[-1] == "textarea":
            self.forms[-1].fields[self._chosen] += data

    @property
    def title(self) -> str:
        return self.texts["h1"][0]

    @property
    def text(self) -> str:
        """All that is read, without the style."""
        return " ".join(" ".join(data for place, data in self.placed if " main" in place).split())

    def form(self, action: str) -> Form:
        return next(one for one in self.forms if one.fields.get("action") == action)

    def actions(self) -> list[str]:
        return [one.fields["action"] for one in self.forms]


class Visit:
    """Somebody before a link or a sign-in page."""

    def __init__(self, house: House, path: str) -> None:
        self.house = house
        self.path = path

    def look(self, method: str = "GET") -> Page:
        response = self.house.http.request(method, self.path)
        return Page(response)

    def send(self, headers: dict[str, str] | None = None, **fields: str) -> Page:
        return Page(self.house.http.post(self.path, data=fields, headers=OURS if headers is None else headers))


def link(office: Tenant, approval: Approval, user: str = "ada", link_id: str = "link-1") -> Visit:
    """The link that the user was sent."""
    url = office.house.links.url(approval, user, link_id)
    return Visit(office.house, url.removeprefix("https://gate.example"))


def sign_in(office: Tenant, approval_id: str) -> Visit:
    return Visit(office.house, f"/approvals/{approval_id}")
