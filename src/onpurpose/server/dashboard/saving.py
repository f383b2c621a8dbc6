"""A document is saved from a form: what came of it, so that nothing that was typed is ever lost."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from onpurpose.app.documents import NotPermittedError
from onpurpose.app.outbox import UntoldError
from onpurpose.app.shelf import differences, is_name
from onpurpose.core.access import Scope
from onpurpose.core.revision import ConflictError, Kind, MissingError, Standing
from onpurpose.core.session import Principal
from onpurpose.core.span import PolicyError
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.shell import Parts

MOST_REASON = 2000
"""How long the reason of a change may be, in characters."""

UNTOLD = "The change was made. Its record is not durable in the log yet; it will be once the log can be written."

JUDGED = {str(Kind.PURPOSE_POLICY): Kind.PURPOSE_POLICY, str(Kind.POLICY): Kind.POLICY}
"""What stands in the paths of policies, and the kind that it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Somebody saved meanwhile: `version` is where the document is now, `lines` the diff from theirs to yours."""

    author: str
    at: int
    version: int
    lines: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What came of it: a revision's `number`, or what kept it from being one."""

    number: int | None = None
    problems: tuple[str, ...] = ()
    clash: Clash | None = None
    status: int = 200


def save(  # noqa: PLR0913  what a revision is made of
    parts: Parts, principal: Principal, kind: Kind, name: str, *, text: str, form: Form
) -> Saved:
    """Save the text under the name, against the version that the form was made of (`expected`)."""
    reason = form.get("reason").strip()
    if len(reason) > MOST_REASON:
        return Saved(problems=(f"The reason has at most {MOST_REASON} characters.",), status=422)
    try:
        revision = parts.control.library.save(
            principal.workspace, kind, name, text, author=principal.user, reason=reason,
            expected_version=number_of(form, "expected"), may_promote=principal.may(Scope.POLICY_PROMOTE),
        )  # fmt: skip
    except PolicyError as error:
        return Saved(problems=tuple(one.message for one in error.problems[:20]), status=422)
    except NotPermittedError:
        text = "It would decide at once, which your roles do not include: save it with shadow_mode: true."
        return Saved(problems=(text,), status=403)
    except ConflictError as error:
        clash = _clash(parts, principal, kind, name, text)
        return Saved(problems=() if clash else (str(error),), clash=clash, status=409)
    except UntoldError:
        return Saved(problems=(UNTOLD,), status=503)
    return Saved(number=revision.number)


def _clash(parts: Parts, principal: Principal, kind: Kind, name: str, text: str) -> Clash | None:
    try:
        standing, newest = parts.control.shelf.newest(principal.workspace, kind, name)
    except MissingError:
        return None
    told = differences(newest.text, text, a_name=f"revision {newest.number}", b_name="yours")
    return Clash(author=newest.author, at=newest.at, version=standing.version, lines=told.splitlines()[2:])


def number_of(form: Form, name: str) -> int | None:
    """The whole number in a field; `None` where there is none."""
    text = form.get(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


def kind_and_name(request: Request) -> tuple[Kind, str]:
    """Which policy a path names. Raises `MissingError` for one that can name none."""
    kind, name = JUDGED.get(request.path_params["kind"]), request.path_params["name"]
    if kind is None or not is_name(name):
        raise MissingError("there is no such policy")
    return kind, name


def path_of(kind: Kind, name: str) -> str:
    """Where a policy's page is."""
    return f"/policies/{kind}/{name}"


def states(standing: Standing) -> list[str]:
    """Where a policy stands, in the words of `macros.state`."""
    found = [word for word, number in (("live", standing.live), ("shadow", standing.shadow)) if number is not None]
    return found or ["removed"]
