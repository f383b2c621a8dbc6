"""What data a call touches, told from the SQL in it, as the settings of its workspace state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import TypeAlias

from msgspec.structs import replace

from onpurpose.core.arguments import items, reach
from onpurpose.core.call import Call, Touched
from onpurpose.core.compile import covers
from onpurpose.core.purpose import SqlSource
from onpurpose.ports import ElementReader

MakeReader: TypeAlias = Callable[[str, Mapping[str, Sequence[str]] | None], ElementReader]
"""What makes the reader of a dialect of SQL, by a schema (`None`: not known)."""

MAX_TEXTS = 4
"""How many texts of SQL one call may carry: what bounds the time until its answer."""

_WHY = 200
_REMEMBERED, _SHORT = 1024, 4096  # texts that are not read again, of so many characters at most


class Touching:
    """Tells from the SQL in calls what they touch. Without a way to make readers, nothing can be told."""

    def __init__(self, sources: Sequence[SqlSource], make: MakeReader | None) -> None:
        self._statements = tuple(_Statements(source, make) for source in sources)
        self._of = lru_cache(maxsize=_REMEMBERED)(self._find)

    def tell(self, call: Call) -> tuple[Call, dict[str, object] | None]:
        """The call with all that it touches, and what its record says of that beside, if anything.

        Where a source speaks of the capability, or may, what its SQL touches is added to what the application
        gave; if that cannot be told, nothing the call touches can. The call's payload has passed `Facts`. A
        call that declares no purpose is left as it is: nobody asks what it touches.
        """
        statements = self._of(call.capability) if self._statements and call.purpose_id is not None else ()
        if not statements:
            return call, None
        given, found = call.elements, set[str]()
        for one in statements:
            touched = one.touched(call.payload)
            if touched.elements is None:
                return replace(call, elements=None), _noted(given, touched.why)
            found.update(touched.elements)
        told = (*(given or ()), *sorted(found.difference(given or ())))
        return replace(call, elements=told), _noted(given)

    def _find(self, capability: str) -> tuple[_Statements, ...]:
        return tuple(one for one in self._statements if covers(one.source.capability, capability) is not False)


class _Statements:
    """The SQL of one source, read by its dialect and schema."""

    def __init__(self, source: SqlSource, make: MakeReader | None) -> None:
        self.source = source
        self._read = None if make is None else make(source.dialect, source.schema).read
        self._again = lru_cache(maxsize=_REMEMBERED)(self._read) if self._read is not None else None

    def touched(self, payload: object) -> Touched:
        """What all the SQL touches that the payload carries there; untold where there is none, or too much."""
        place = ".".join(self.source.path)
        if self._read is None or self._again is None:
            return Touched(elements=None, why="nothing here reads SQL")
        texts = list(islice(items(reach(payload, self.source.path)), MAX_TEXTS + 1))
        if len(texts) > MAX_TEXTS:
            return Touched(elements=None, why=f"there are more than {MAX_TEXTS} texts at `{place}`")
        found: set[str] = set()
        for text in texts or [None]:
            if not isinstance(text, str):
                return Touched(elements=None, why=f"there is no SQL at `{place}`")
            touched = self._again(text) if len(text) <= _SHORT else self._read(text)
            if touched.elements is None:
                return touched
            found.update(touched.elements)
        return Touched(elements=tuple(sorted(found)))


def _noted(given: tuple[str, ...] | None, why: str = "") -> dict[str, object]:
    """What a record says beside the elements: those that the application gave, and why they cannot be told."""
    noted: dict[str, object] = {}
    if given is not None:
        noted["elements_given"] = given
    if why:
        noted["elements_untold"] = why[:_WHY]
    return noted
