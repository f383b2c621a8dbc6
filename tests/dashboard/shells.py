"""The shell of pages as the service makes it, save that a run reads the files and compiles the templates once."""

from __future__ import annotations

from collections.abc import MutableMapping
from types import CodeType
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, Template

from onpurpose.ports import Clock
from onpurpose.server.dashboard.assets import Assets
from onpurpose.server.dashboard.session import csrf_token
from onpurpose.server.dashboard.shell import CsrfToken, Shell

OURS = Assets.ours()


class CompiledOnce(PackageLoader):
    """Loads the package's templates for any shell. All compile them alike, and to compile them takes a tenth second."""

    def __init__(self) -> None:
        super().__init__("onpurpose.server.dashboard", "templates")
        self._compiled: dict[str, CodeType] = {}

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002
    ) -> Template:
        code = self._compiled.get(name)
        if code is None:
            source, path, _ = self.get_source(environment, name)
            code = self._compiled[name] = environment.compile(source, name, path)
        return environment.template_class.from_code(environment, code, {} if globals is None else globals)


_COMPILED = CompiledOnce()


def a_shell(clock: Clock, *, csrf: CsrfToken = csrf_token, templates: BaseLoader | None = None) -> Shell:
    """A shell; `templates` are looked through before the package's own."""
    found = _COMPILED if templates is None else ChoiceLoader([templates, _COMPILED])
    return Shell(OURS, csrf=csrf, clock=clock, templates=found)
