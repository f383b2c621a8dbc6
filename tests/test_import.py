"""What `import onpurpose` costs and gives."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import onpurpose

HEAVY = {"yaml", "re2", "sqlite3", "cryptography", "click", "rich", "orjson", "asyncio", "sqlalchemy", "pydantic"}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after the code."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in printed.stdout.split()}


def test_importing_brings_in_nothing_heavy() -> None:
    assert modules_after("import onpurpose") & HEAVY == set()


def test_a_value_of_the_core_brings_in_no_technology() -> None:
    seen = modules_after("from onpurpose import Call, Decision, Identity, Outcome, Policy, PolicyError, Reason, Result")
    assert seen & (HEAVY - {"orjson"}) == set()


def test_a_gate_brings_in_a_database_only_when_it_is_to_record() -> None:
    assert modules_after("from onpurpose import Gate; Gate(audit=None).close()") & {"sqlite3", "cryptography"} == set()


NO_NETWORK = """\
import socket
def refuse(*args, **kwargs):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
import onpurpose
for name in onpurpose.__all__:
    getattr(onpurpose, name)
"""


def test_nothing_asks_the_network_at_import() -> None:
    assert "onpurpose" in modules_after(NO_NETWORK)


@pytest.mark.parametrize("name", onpurpose.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(onpurpose, name)
    assert value.__name__.lower().replace("_", "") in {name.lower().replace("_", ""), "load", "parse"}
    assert value.__doc__


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sieve'"):
        _ = onpurpose.Sieve


def test_the_names_for_type_checkers_are_those_that_are_given() -> None:
    tree = ast.parse(Path(onpurpose.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onpurpose.")
        for alias in node.names
    }
    assert seen == set(onpurpose.__all__) == set(onpurpose._HOMES)
