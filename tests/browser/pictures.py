"""Pictures of pages, kept small: a PNG with a palette of the colours that are most often there."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

from playwright.sync_api import Page

COLOURS = 64
"""How many colours a picture has at most. Pages are flat: the rest are the edges of letters."""

MOST_BYTES = 60_000

_QUANTISE = """
async ([picture, most]) => {
  const bytes = Uint8Array.from(atob(picture), (char) => char.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const pixels = new Uint32Array(canvas.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const parts = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  const far = (one, other) => one.reduce((sum, part, i) => sum + (part - other[i]) ** 2, 0);
  // The most frequent first; of the others, whichever is worst served by what is chosen so far, by how often.
  const left = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 4096);
  const near = left.map(([pixel, count]) => ({ rgb: parts(pixel), count, off: Infinity }));
  const palette = [];
  while (palette.length < Math.min(most, near.length)) {
    const next = palette.length ? near.reduce((a, b) => (b.off * b.count > a.off * a.count ? b : a)) : near[0];
    palette.push(next.rgb);
    for (const one of near) one.off = Math.min(one.off, far(one.rgb, next.rgb));
  }
  const index = new Map();
  const nearest = (pixel) => {
    const rgb = parts(pixel);
    let best = 0;
    palette.forEach((one, i) => { if (far(rgb, one) < far(rgb, palette[best])) best = i; });
    return best;
  };
  let text = "";
  for (const pixel of pixels) {
    if (!index.has(pixel)) index.set(pixel, nearest(pixel));
    text += String.fromCharCode(index.get(pixel));
  }
  return { width: image.width, height: image.height, palette, rows: btoa(text) };
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture by its palette: `rows` has a byte for each pixel."""

    width: int
    height: int
    palette: list[list[int]]
    rows: bytes

    def png(self) -> bytes:
        """The picture as a file, the same for the same picture."""
        lines = [self.rows[at : at + self.width] for at in range(0, len(self.rows), self.width)]
        return b"".join(
            [
                b"\x89PNG\r\n\x1a\n",
                _chunk(b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)),
                _chunk(b"PLTE", bytes(part for colour in self.palette for part in colour)),
                _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines), 9)),
                _chunk(b"IEND", b""),
            ]
        )


def picture(page: Page, bench: Page, *, colours: int = COLOURS) -> Picture:
    """What the page shows. `bench` is an empty page, in which the colours are chosen."""
    shot = page.screenshot(animations="disabled", caret="hide", scale="css")
    found = bench.evaluate(_QUANTISE, [base64.b64encode(shot).decode(), colours])
    return Picture(
        width=found["width"],
        height=found["height"],
        palette=found["palette"],
        rows=base64.b64decode(found["rows"]),
    )


def small_png(page: Page, bench: Page) -> bytes:
    """The picture as a file, with fewer colours where it would be larger than `MOST_BYTES`."""
    for colours in (COLOURS, 32, 16):
        content = picture(page, bench, colours=colours).png()
        if len(content) <= MOST_BYTES:
            break
    return content


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
