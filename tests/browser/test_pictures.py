"""Pictures of pages: the same page gives the same small file, which shows what the page shows."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from starlette.applications import Starlette

from tests.browser.chromium import DEVICES, Browsing
from tests.browser.pictures import MOST_BYTES, Picture, picture
from tests.browser.screenshots import Shot, chosen, sign_in, take, write
from tests.browser.serving import served
from tests.dashboard.entrance import PASSWORD, Entrance
from tests.dashboard.shells import OURS


def test_a_picture_is_small_and_the_same_each_time(browsing: Browsing, gallery_url: str, tmp_path: Path) -> None:
    shots = [Shot(name="one", path="/_gallery", device="phone", scheme="dark"), Shot(name="two", path="/_gallery")]
    write(take(browsing, gallery_url, {}, shots), tmp_path)
    first = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    write(take(browsing, gallery_url, {}, shots[1:]), tmp_path)
    assert sorted(first) == ["one.png", "two.png"]
    assert all(1_000 < len(content) < MOST_BYTES for content in first.values())


def test_a_picture_reads_back_as_the_page(browsing: Browsing) -> None:
    window, bench = browsing.open(), browsing.open()
    window.page.set_content('<body style="margin:0;background:#102030"><p style="width:40px;height:30px;margin:0;'
                            'background:#fedcba">')  # fmt: skip
    seen = picture(window.page, bench.page)
    assert (seen.width, seen.height, sorted(seen.palette)) == (1280, 800, [[16, 32, 48], [254, 220, 186]])
    shown = bench.page.evaluate(
        """async (png) => {
          const blob = await (await fetch("data:image/png;base64," + png)).blob();
          const image = await createImageBitmap(blob), canvas = new OffscreenCanvas(1280, 800).getContext("2d");
          canvas.drawImage(image, 0, 0);
          const seen = canvas.getImageData(39, 29, 2, 2).data;
          return [0, 4, 8, 12].map((at) => [...seen.slice(at, at + 4)]);
        }""",
        base64.b64encode(seen.png()).decode(),
    )
    assert shown == [[254, 220, 186, 255], *[[16, 32, 48, 255]] * 3]


def test_names_choose_among_the_pictures() -> None:
    shots = [Shot(name="a", path="/"), Shot(name="b", path="/b")]
    assert chosen(shots, []) == shots
    assert chosen(shots, ["b"]) == shots[1:]


def test_a_file_is_the_same_for_the_same_picture() -> None:
    one = Picture(width=2, height=1, palette=[[0, 0, 0], [255, 255, 255]], rows=b"\0\1")
    assert one.png() == one.png()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", list(DEVICES))
def test_the_sign_in_page_has_no_fault(browsing: Browsing, device: str, scheme: str) -> None:
    with served(with_files(Entrance())) as url:
        assert browsing.open(url + "/sign-in", device=device, scheme=scheme).faults() == []


def test_who_takes_pictures_signs_in_as_people_do(browsing: Browsing) -> None:
    entrance = Entrance()
    entrance.person("ann")
    with served(with_files(entrance)) as url:
        first, second = browsing.open(), browsing.open()
        first.expected.append("404")  # there is nothing here but to come in
        assert "__Host-onpurpose" in sign_in(first.page, url, "ann", PASSWORD)
        second.expected.append("40")
        with pytest.raises(RuntimeError, match="could not sign in"):
            sign_in(second.page, url, "ann", "another password")


def with_files(entrance: Entrance) -> Starlette:
    """The pages where people come in, with their style."""
    return Starlette(routes=[*entrance.app.routes, *OURS.routes()])
