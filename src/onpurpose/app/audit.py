"""The uses of a log: is it whole, what is in it, what comes next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

import orjson

from onpurpose.core.chain import Kind, LogCheck, Report, SignatureCheck
from onpurpose.core.checkpoint import Anchor, Signed, parse
from onpurpose.core.record import Away, LedgerError, LogChangedError, Stored
from onpurpose.ports import Archive

OpenArchive: TypeAlias = Callable[[], Archive]
"""Opens the log: a new view of it each time."""

PROGRESS_EVERY = 10_000
_TRIES = 3


def verify(
    open_archive: OpenArchive,
    *,
    public_key: bytes | None,
    verify_signature: SignatureCheck,
    expect: Anchor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check the whole log, in one pass and flat memory; whatever is wrong is a finding, never an exception.

    Days that were archived and let go, and whose files are not at hand, are named in the report: it is then
    not `whole`, though it may be `ok`.

    `public_key` (raw Ed25519, 32 bytes) is the key that must have signed the checkpoints; `expect`
    an anchor that was noted earlier, which the log must still hold; `progress` is told how many
    records were read, every `PROGRESS_EVERY`.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(LogChangedError):
            return _verify(open_archive, public_key, verify_signature, expect, progress)
    check = LogCheck(public_key=public_key, verify_signature=verify_signature, anchors={})
    check.stop("the log was opened for writing each time it was read; try again")
    return check.report()


def export(archive: Archive, after: int | None = None) -> Iterator[bytes]:
    """The records (all, or those behind a position) as JSON Lines, in the order of commits.

    A line is `{"position":..,"chain":..,"seq":..,"hash":..,"record":BODY}` and a line feed. BODY is
    the record's body byte for byte, so that the chain can be checked from the export alone. A body
    that is no JSON on one line (only in a log that was tampered with) is given as
    `"damaged":"HEX"` instead of `"record"`. Records whose day's archive is not at hand have no line.
    """
    for stored in _at_hand(archive.records(after)):
        head = orjson.dumps(place(stored))[:-1]
        if _is_json(stored.body):
            yield head + b',"record":' + stored.body + b"}\n"
        else:
            yield head + b',"damaged":"' + stored.body.hex().encode() + b'"}\n'


def place(stored: Stored) -> dict[str, object]:
    """Where a record stands, as an export tells it."""
    return {"position": stored.position, "chain": stored.chain, "seq": stored.seq, "hash": stored.hash.hex()}


def tail(archive: Archive, count: int) -> list[Stored]:
    """The newest `count` records, oldest of them first."""
    return list(_at_hand(archive.records(-count))) if count > 0 else []


def follow(open_archive: OpenArchive, after: int, pause: Callable[[], bool]) -> Iterator[Stored]:
    """The records behind a position, and those that come, until `pause` (called between looks) says false."""
    while True:
        with contextlib.closing(open_archive()) as archive:
            for stored in _at_hand(archive.records(after)):
                after = stored.position
                yield stored
        if not pause():
            return


def _verify(
    open_archive: OpenArchive,
    public_key: bytes | None,
    verify_signature: SignatureCheck,
    expect: Anchor | None,
    progress: Callable[[int], None] | None,
) -> Report:
    anchors = {} if expect is None else {"the expected anchor": expect}
    try:
        archive = open_archive()
    except LogChangedError:
        raise
    except LedgerError as error:
        check = LogCheck(public_key=public_key, verify_signature=verify_signature, anchors=anchors)
        check.stop(str(error))
        return check.report()
    with contextlib.closing(archive):
        kept = _anchor(archive, public_key, verify_signature)
        if isinstance(kept, Anchor):
            anchors["the anchor"] = kept
        check = LogCheck(public_key=public_key, verify_signature=verify_signature, anchors=anchors)
        try:
            checkpoints = _walk(archive, check, progress)
            if isinstance(kept, str):
                check.find(Kind.ANCHOR, kept)
            elif kept is None and checkpoints > 1:
                check.find(Kind.ANCHOR, "the anchor is gone: a log that was cut off would not show it")
            for line in archive.damage():
                check.find(Kind.STORAGE, line)
        except LogChangedError:
            raise
        except LedgerError as error:
            check.stop(str(error))
    return check.report()


def _anchor(archive: Archive, public_key: bytes | None, verify_signature: SignatureCheck) -> Anchor | str | None:
    """The anchor kept beside the log, or (text) what is wrong with it, or `None` where there is none."""
    try:
        signed = archive.anchor()
        if signed is None:
            return None
        if public_key is not None and not verify_signature(public_key, signed.message, signed.signature):
            return "the anchor was changed, or is not signed with the log's key"
        checkpoint = parse(signed.body)
    except (LedgerError, ValueError) as error:
        return str(error)
    return Anchor(log=checkpoint.log, n=checkpoint.n, hash=signed.hash)


def _walk(archive: Archive, check: LogCheck, progress: Callable[[int], None] | None) -> int:
    """Show the check every record, and each checkpoint behind the last record that it covers; how many of these."""
    records = _counted(archive.records(), progress)
    ahead = next(records, None)
    checkpoints = 0
    for signed in archive.checkpoints():
        count = _count(signed)
        while ahead is not None and ahead.position <= count:
            _show(check, ahead)
            ahead = next(records, None)
        check.checkpoint(signed)
        checkpoints += 1
    while ahead is not None:
        _show(check, ahead)
        ahead = next(records, None)
    return checkpoints


def _show(check: LogCheck, item: Stored | Away) -> None:
    if isinstance(item, Away):
        check.away(item)
    else:
        check.record(item)


def _at_hand(records: Iterator[Stored | Away]) -> Iterator[Stored]:
    return (item for item in records if isinstance(item, Stored))


def _counted(records: Iterator[Stored | Away], progress: Callable[[int], None] | None) -> Iterator[Stored | Away]:
    for read, stored in enumerate(records, 1):
        if progress is not None and read % PROGRESS_EVERY == 0:
            progress(read)
        yield stored


def _count(signed: Signed) -> int:
    try:
        return parse(signed.body).count
    except ValueError:
        return 0


def _is_json(body: bytes) -> bool:
    if b"\n" in body or b"\r" in body:
        return False
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True
