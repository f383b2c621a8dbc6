"""Bytes -> text that a YAML parser may see: bounded, UTF-8, without characters that mislead."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Generator

from onpurpose.lang.report import Place, Report

MAX_BYTES = 1_000_000
"""How large a text may be, unless its reader is told otherwise."""

PLACEHOLDER = "\ufffd"
"""Stands for a character that was refused, so that the rest of the text can still be read."""

_CHUNK = 1 << 13
# Controls; line breaks of YAML 1.1 that are none in 1.2; marks that reorder text on the screen;
# lone surrogates; what is no character.
_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")


def decode(text: bytes | str, report: Report, limit: int) -> Generator[None, None, str | None]:
    """The text for the parser, refused characters replaced one for one; `None` if it cannot be read.

    Yields between portions of work. Places in the text and in `report.text` are the same.
    """
    if len(text) > limit or (isinstance(text, str) and len(text.encode("utf-8", "replace")) > limit):
        cure = "split it, or raise the limit"
        report.on(Place(1, 1), "too-large", f"the text is larger than {limit:,} bytes", cure)
        return None
    decoded = _decoded(text, report)
    if decoded is None:
        return None
    report.text = decoded = decoded.removeprefix("\ufeff")
    yield
    clean = True
    for start in range(0, len(decoded), _CHUNK):
        for found in _REFUSED.finditer(decoded, start, min(start + _CHUNK, len(decoded))):
            clean = False
            if report.full:
                break
            _refuse(found, report)
        yield
    return decoded if clean else _REFUSED.sub(PLACEHOLDER, decoded)


def _decoded(text: bytes | str, report: Report) -> str | None:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8")
        line_end = re.compile(rb"[\r\n]").search(text, error.start)
        shown = text[error.start : line_end.start() if line_end else len(text)]
        report.text = before + shown.decode("utf-8", "replace")
        message = f"byte 0x{text[error.start]:02x} is not UTF-8"
        report.on(report.place_of(len(before)), "not-utf-8", message, "save the file as UTF-8")
        return None


def _refuse(found: re.Match[str], report: Report) -> None:
    code = ord(found[0])
    name = unicodedata.name(found[0], "a control character").lower()
    escape = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    cure = f"remove it, or write it as `{escape}` in a text in double quotes"
    if 0xD800 <= code <= 0xDFFF:
        name, cure = "a lone surrogate", "remove it"
    message = f"U+{code:04X} ({name}) is not allowed"
    report.on(report.place_of(found.start()), "refused-character", message, cure)
