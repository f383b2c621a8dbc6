"""Secrets at rest."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.vault import AesVault, VaultError, find_secret

SECRET = "s" * 32
VAULT = AesVault(SECRET)


@given(st.binary(max_size=100), st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
def test_what_is_sealed_opens_under_its_label_alone(secret: bytes, label: str) -> None:
    sealed = VAULT.seal(secret, label)
    assert AesVault(SECRET).open(sealed, label) == secret
    with pytest.raises(VaultError, match="was changed"):
        VAULT.open(sealed, label + "x")


SEALED = VAULT.seal(b"the private key", "k1")


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_what_was_changed_does_not_open(place: int, by: int) -> None:
    changed = bytearray(SEALED)
    changed[place] ^= by
    with pytest.raises(VaultError):
        VAULT.open(bytes(changed), "k1")


@given(st.integers(0, len(SEALED) - 1))
def test_what_was_cut_off_does_not_open(length: int) -> None:
    with pytest.raises(VaultError):
        VAULT.open(SEALED[:length], "k1")


def test_nothing_is_sealed_twice_in_the_same_way() -> None:
    assert VAULT.seal(b"the private key", "k1") != SEALED


def test_another_secret_is_told_and_reveals_nothing() -> None:
    with pytest.raises(VaultError, match="sealed under another secret\nhelp: set ONPURPOSE_SECRET"):
        AesVault("t" * 32).open(SEALED, "k1")


def test_a_vault_shows_no_secret_and_takes_no_short_one() -> None:
    assert SECRET not in repr(VAULT)
    with pytest.raises(VaultError, match="shorter than 32 characters\nhelp: make one") as caught:
        AesVault("hunter2")
    assert "hunter2" not in str(caught.value)


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    assert find_secret({"ONPURPOSE_SECRET": f" {SECRET}\n"}, tmp_path / "secret") == SECRET
    assert not (tmp_path / "secret").exists()


def test_a_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    made = find_secret({}, path)
    assert len(made) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_secret({}, path) == made
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_an_empty_variable_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(VaultError):
        AesVault(find_secret({"ONPURPOSE_SECRET": ""}, tmp_path / "secret"))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_file_that_others_could_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    find_secret({}, path)
    path.chmod(0o640)
    with pytest.raises(VaultError, match=r"mode 0640.*\nhelp: chmod 600"):
        find_secret({}, path)


def test_a_file_that_cannot_be_made_or_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="cannot be used"):
        find_secret({}, tmp_path / "missing" / "secret")
    (tmp_path / "binary").write_bytes(b"\xff" * 64)
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(VaultError, match="no text"):
        find_secret({}, tmp_path / "binary")
