"""What a use of the store raises -> the problem that it is for a client."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from onpurpose.app.documents import NotPermittedError
from onpurpose.app.outbox import UntoldError
from onpurpose.app.promotion import NotReadyError
from onpurpose.core.approval import ApprovalError, IllegalMoveError, NotEligibleError, State
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.span import PolicyError, Problem, printable
from onpurpose.server.api.approval_bodies import decider
from onpurpose.server.problems import Fault, ProblemError, forbidden, problem_of, unavailable

MOST_PROBLEMS = 100
"""How many problems of one text are told."""


class DetailedError(ProblemError):
    """A problem with members of its own beside those that every problem has."""

    def __init__(
        self, status: int, name: str, detail: str, *, members: Mapping[str, object], errors: tuple[Fault, ...] = ()
    ) -> None:
        self.members = dict(members)
        super().__init__(status, name, detail, errors=errors)

    def body(self) -> bytes:
        """The problem document, as JSON."""
        document: dict[str, object] = orjson.loads(super().body())
        return orjson.dumps(document | self.members)


def refusal(error: OnPurposeError) -> ProblemError:
    """The problem that the error is. Raises it again where it is an internal one."""
    if isinstance(error, PolicyError):
        return _unreadable(error.problems)
    if isinstance(error, NotPermittedError):
        return forbidden(str(error))
    if isinstance(error, NotReadyError):
        detail = "too little was seen in shadow, or too much would be denied; see `missing`. Nothing was changed"
        return DetailedError(409, "not_ready", detail, members={"missing": error.missing})
    if isinstance(error, UntoldError):
        return unavailable(
            "the change was made, and its record is not durable in the log yet; it will be once the log can be written",
            name="not_recorded",
        )
    if isinstance(error, ApprovalError):
        return _not_decided(error)
    problem = problem_of(error)
    if problem.status == 500:
        raise error
    return problem


def _not_decided(error: ApprovalError) -> ProblemError:
    if isinstance(error, NotEligibleError):
        return forbidden(str(error))
    if not isinstance(error, IllegalMoveError):
        return ProblemError(422, "not_possible", f"{error}; nothing was done")
    approval = error.approval
    act = decider(approval)
    member = {
        "id": approval.id,
        "state": str(approval.state),
        "by": "" if act is None else act.by,
        "at": None if act is None else act.at,
    }
    name = "conflict" if approval.state is State.PENDING else "already_decided"
    return DetailedError(409, name, str(error), members={"approval": member})


def _unreadable(problems: tuple[Problem, ...]) -> ProblemError:
    count = f"{len(problems)} problems" if len(problems) != 1 else "a problem"
    return DetailedError(
        422,
        "unreadable_document",
        f"the text has {count}, see `problems`; nothing was written",
        members={"problems": [_told(problem) for problem in problems[:MOST_PROBLEMS]]},
    )


def _told(problem: Problem) -> dict[str, object]:
    return {
        "source": printable(problem.span.source[:1000]),
        "line": problem.span.line,
        "column": problem.span.column,
        "length": problem.span.length,
        "code": problem.code,
        "message": printable(problem.message),
        "help": printable(problem.help),
        "excerpt": printable(problem.excerpt[:1000]),
    }
