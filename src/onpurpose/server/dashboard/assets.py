"""Static files: read once, compressed once, served under a path that names their content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TYPES: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""What is served, by the end of its name; licences and lists beside the files are not."""

MOST_BYTES = 1 << 20
"""How large all files may be together, in bytes: they are kept in memory."""

JOINED: Mapping[str, Sequence[str]] = {"dashboard.js": ("htmx.min.js", "hx-sse.min.js", "app.js")}
"""Files that are served as one: htmx begins at the next turn after its own script, which must be after them all."""

_HASH_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A static file. `path` is where it is served, and differs once `content` does; `packed` is gzip."""

    path: str
    media: str
    content: bytes
    packed: bytes


class Assets:
    """The files of a dashboard, by name. Raises `ValueError` where they are larger than `MOST_BYTES`."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        if sum(map(len, contents.values())) > MOST_BYTES:
            raise ValueError(f"static files are {MOST_BYTES} bytes at most, all together")
        self._assets = {name: _asset(name, content) for name, content in contents.items()}
        self._paths = {asset.path: asset for asset in self._assets.values()}

    @classmethod
    def ours(cls) -> Assets:
        """Those of the package."""
        found = files("onpurpose.server.dashboard").joinpath("static").iterdir()
        contents = {one.name: one.read_bytes() for one in found if _ending(one.name) in TYPES}
        for name, parts in JOINED.items():
            contents[name] = b";\n".join([contents.pop(part) for part in parts])
        return cls(contents)

    def __iter__(self) -> Iterator[str]:
        """The names of the files."""
        return iter(self._assets)

    def __getitem__(self, name: str) -> Asset:
        """The file of that name. Raises `KeyError`."""
        return self._assets[name]

    def url(self, name: str) -> str:
        """Where the file of that name is served. Raises `KeyError`."""
        return self._assets[name].path

    def routes(self) -> list[Route]:
        """The route of all files."""
        return [Route("/static/{hash}/{file}", self._serve, methods=["GET"])]

    async def _serve(self, request: Request) -> Response:
        asset = self._paths.get(request.url.path)
        if asset is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        if not _takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(asset.content, headers=headers, media_type=asset.media)
        return Response(asset.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media)


def _ending(name: str) -> str:
    return name.rpartition(".")[2]


def _asset(name: str, content: bytes) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:_HASH_LENGTH]
    packed = gzip.compress(content, 9, mtime=0)
    return Asset(path=f"/static/{digest}/{name}", media=TYPES[_ending(name)], content=content, packed=packed)


def _takes_gzip(accepted: str) -> bool:
    """Whether a client names gzip among what it takes, and does not refuse it by `q=0`."""
    for part in accepted.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() == "gzip":
            return weight.replace(" ", "").lower().rstrip("0") not in ("q=", "q=0.")
    return False
