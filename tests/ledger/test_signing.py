"""The key: made once, readable by its owner alone, its public half for everybody."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.signing import KeyFile, read_public_key, verify_signature
from onpurpose.core.record import LedgerError, Record
from tests.ledger.log import Log, body


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "key", tmp_path / "pub"


def test_the_key_is_made_on_first_use_for_its_owner_alone(paths: tuple[Path, Path]) -> None:
    signer = KeyFile(*paths)
    assert not paths[0].exists()
    signer.sign(b"x")
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o600
    assert paths[0].read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["key", "pub"]


def test_the_key_is_the_same_the_next_time(paths: tuple[Path, Path]) -> None:
    first, second = KeyFile(*paths), KeyFile(*paths)
    assert first.public_key == second.public_key == read_public_key(paths[1])
    assert len(first.public_key) == 32
    assert first.sign(b"x") == second.sign(b"x")


def test_threads_that_make_it_together_share_one_key(paths: tuple[Path, Path]) -> None:
    keys: list[bytes] = []
    start = threading.Barrier(16)

    def use() -> None:
        signer = KeyFile(*paths)
        start.wait()
        keys.append(signer.public_key)

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16
    assert len(set(keys)) == 1
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["key", "pub"]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    folder = tmp_path_factory.mktemp("signer")
    return KeyFile(folder / "key", folder / "pub")


@given(message=st.binary(max_size=200), at=st.integers(0, 63))
def test_a_signature_holds_for_its_message_and_no_other(signer: KeyFile, message: bytes, at: int) -> None:
    key, signature = signer.public_key, signer.sign(message)
    assert verify_signature(key, message, signature)
    assert not verify_signature(key, message + b"x", signature)
    assert not verify_signature(key, message, signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :])


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"\xff" * 32])
def test_what_is_no_key_verifies_nothing(signer: KeyFile, key: bytes) -> None:
    assert not verify_signature(key, b"x", signer.sign(b"x"))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700 | 0o010])
def test_a_key_that_others_could_read_is_refused_and_the_log_not_written(log: Log, mode: int) -> None:
    log.write(1)
    log.key.chmod(mode)
    with log.ledger() as ledger, pytest.raises(LedgerError, match="chmod 600"):
        ledger.append(Record("decision", body(2))).result(30)
    log.key.chmod(0o600)
    log.write(1)
    assert log.verify().ok


def test_a_key_that_is_gone_while_its_public_half_is_not_is_not_made_anew(paths: tuple[Path, Path]) -> None:
    KeyFile(*paths).sign(b"x")
    paths[0].unlink()
    with pytest.raises(LedgerError, match="is gone"):
        KeyFile(*paths).sign(b"x")
    assert not paths[0].exists()


def test_a_public_half_of_another_key_is_refused(paths: tuple[Path, Path]) -> None:
    KeyFile(*paths).sign(b"x")
    paths[1].write_text("ab" * 32)
    with pytest.raises(LedgerError, match="is not the one of"):
        KeyFile(*paths).sign(b"x")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
def test_a_key_file_with_no_such_key_is_refused(paths: tuple[Path, Path], content: bytes) -> None:
    paths[0].write_bytes(content)
    paths[0].chmod(0o600)
    with pytest.raises(LedgerError, match="signing key"):
        KeyFile(*paths).sign(b"x")


def test_a_key_that_cannot_sign_is_refused(paths: tuple[Path, Path]) -> None:
    pem = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    paths[0].write_bytes(pem)
    paths[0].chmod(0o600)
    with pytest.raises(LedgerError, match="no Ed25519 key"):
        KeyFile(*paths).sign(b"x")


def test_a_key_that_cannot_be_made_fails(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file or directory"):
        KeyFile(tmp_path / "nowhere" / "key", tmp_path / "pub").sign(b"x")


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31, "é" * 64])
def test_a_public_key_file_that_holds_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "pub").write_text(content, encoding="utf-8")
    with pytest.raises(LedgerError, match="no public key"):
        read_public_key(tmp_path / "pub")
    with pytest.raises(LedgerError, match="cannot be read"):
        read_public_key(tmp_path / "absent")


def test_cryptography_is_not_imported_before_a_key_is_needed(log: Log) -> None:
    process = log.process(
        "print('cryptography' in sys.modules)\nappend(1).result(30)\nprint('cryptography' in sys.modules)"
    )
    output, errors = process.communicate(timeout=30)
    assert output.split() == ["False", "True"], errors
