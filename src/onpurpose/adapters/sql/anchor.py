"""The anchor file: the newest checkpoint, kept beside the log so that a log cut short shows."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from onpurpose.core.checkpoint import Signed
from onpurpose.core.record import LedgerError

_LIMIT = 1 << 26


def read_anchor(path: Path) -> Signed | None:
    """The checkpoint that the file holds, `None` when there is no file; `LedgerError` for anything else."""
    try:
        with path.open("rb") as file:
            text = file.read(_LIMIT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"the anchor `{path}` cannot be read: {error.strerror}") from error
    try:
        value = orjson.loads(text)
        number, body, signature = value["n"], value["body"].encode(), bytes.fromhex(value["signature"])
        if type(number) is not int:
            raise ValueError("`n` is no number")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerError(f"the anchor `{path}` cannot be read: it is damaged") from error
    return Signed(n=number, body=body, signature=signature)


def write_anchor(path: Path, newest: Signed) -> None:
    """Replace the file in one step, durably. Raises `OSError`; then the old file stands.

    Whoever calls holds the log's write lock, so that one name for the new file is enough.
    """
    text = orjson.dumps({"n": newest.n, "body": newest.body.decode(), "signature": newest.signature.hex()})
    scratch = path.with_name(path.name + ".new")
    try:
        with scratch.open("wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make the new name durable, where directories can be opened (not on Windows)."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
