"""Policy texts in files."""

from __future__ import annotations

from pathlib import Path


class FileSource:
    """A policy file."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    @property
    def name(self) -> str:
        """The path as given."""
        return str(self._path)

    def version(self) -> object:
        """What the file system says of the file; differs once the text may. Raises `OSError`."""
        seen = self._path.stat()
        return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino

    def read(self, limit: int) -> bytes:
        """The file's bytes, at most `limit + 1` of them. Raises `OSError`."""
        with self._path.open("rb") as file:
            return file.read(limit + 1)

    def sibling(self, name: str) -> FileSource:
        """The file of that name in the same folder, or in one below it."""
        return FileSource(self._path.parent / name)
