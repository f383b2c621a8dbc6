"""What bodies have in common: bounds, names, and that nothing unknown is passed over."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_TEXT = 1_000_000
"""Characters of a document's text."""

MAX_SET = 100
"""Policies that are promoted at once."""

MAX_PAGE = 500
"""Items of one page."""

MAX_NUMBER = 2**31 - 2
"""The highest number that a revision may be asked for by."""

NAME = r"^\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
"""What a document, a key's id, a user and a workspace may be called."""

Name = Annotated[str, StringConstraints(pattern=NAME, max_length=128)]
Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Words = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
Why = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
Number = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
Version = Annotated[int, Field(ge=0, le=2**53)]
Time = Annotated[int, Field(ge=0, le=2**53)]


class Wire(BaseModel):
    """A body, exactly as stated."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ListQuery(Wire):
    """Which part of a list: the `limit` items behind the name `after`."""

    after: Name | None = None
    limit: Limit = 100
