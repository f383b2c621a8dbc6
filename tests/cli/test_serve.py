"""`onpurpose serve` refuses what it cannot mean, before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import run


@pytest.mark.parametrize("proxy", ["proxy.example", "*", "", "10.0.0.1/8", "127.0.0.1:8080", "10.0.0.0/33"])
def test_a_trusted_proxy_is_an_address_or_a_network(proxy: str, tmp_path: Path) -> None:
    database = tmp_path / "onpurpose.db"
    done = run("serve", "--database", database, "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", proxy)
    assert done.exit_code == 2
    assert f"`{proxy}` is no address" in done.stderr
    assert "10.0.0.0/8" in done.stderr
    assert not database.exists()
