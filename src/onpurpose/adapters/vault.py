"""Secrets at rest: AES-256-GCM, under a key from the environment or from a file that only its owner may read."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from onpurpose.core.errors import OnPurposeError

VARIABLE = "ONPURPOSE_SECRET"
"""The environment variable that holds the secret."""

SHORTEST = 32
"""How long the secret must be, in characters."""

_VERSION = b"\x01"
_MARK = 8
_NONCE = 12
_FORBIDDEN_MODE = stat.S_IRWXG | stat.S_IRWXO


class VaultError(OnPurposeError):
    """The secret is missing or unfit, or what is stored was sealed under another one. Nothing is revealed."""


class AesVault:
    """Seals with AES-256-GCM under a key derived from the secret (at least 32 characters of chance).

    What is sealed carries a mark of its key, so that a wrong secret is told from a damaged store.
    """

    def __init__(self, secret: str) -> None:
        if len(secret) < SHORTEST:
            raise VaultError(
                f"the secret is shorter than {SHORTEST} characters\nhelp: make one with `openssl rand -base64 32`"
            )
        # The secret is chance, not a password: one HMAC each is derivation enough (HKDF's expansion).
        self._key = _derived(secret, b"onpurpose.vault.key.1")
        self._mark = _derived(secret, b"onpurpose.vault.mark.1")[:_MARK]

    def __repr__(self) -> str:
        return "AesVault()"

    def seal(self, secret: bytes, label: str) -> bytes:
        """The secret, encrypted; it opens under the same label alone."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  slow to import

        nonce = os.urandom(_NONCE)
        return _VERSION + self._mark + nonce + AESGCM(self._key).encrypt(nonce, secret, label.encode())

    def open(self, sealed: bytes, label: str) -> bytes:
        """The secret that was sealed under the label. Raises `VaultError`."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  slow to import
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  slow to import

        version, mark, rest = sealed[:1], sealed[1 : 1 + _MARK], sealed[1 + _MARK :]
        if version != _VERSION:
            raise VaultError(f"`{label}` is not sealed in a way that this version knows")
        if not hmac.compare_digest(mark, self._mark):
            raise VaultError(
                f"`{label}` was sealed under another secret\n"
                f"help: set {VARIABLE} (or put its file back) as it was when the store was written"
            )
        try:
            return AESGCM(self._key).decrypt(rest[:_NONCE], rest[_NONCE:], label.encode())
        except (InvalidTag, ValueError) as error:
            raise VaultError(f"`{label}` was changed in the store, and cannot be opened") from error


def find_secret(environment: Mapping[str, str], path: str | os.PathLike[str]) -> str:
    """The secret: `ONPURPOSE_SECRET`, else the text of the file, which is made with mode 0600 where there is none.

    Raises `VaultError` where the variable is empty, where the file cannot be made or read, and where
    others than its owner could read it.
    """
    if VARIABLE in environment:
        return environment[VARIABLE].strip()
    file = Path(path).absolute()
    try:
        if not file.exists():
            _create(file, secrets.token_hex(32))
        return _read(file)
    except OSError as error:
        raise VaultError(f"the secret `{file}` cannot be used: {error.strerror}") from error


def _derived(secret: str, purpose: bytes) -> bytes:
    return hmac.new(secret.encode("utf-8", "surrogatepass"), purpose, hashlib.sha256).digest()


def _read(path: Path) -> str:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        text = file.read(4096)
    if os.name == "posix" and mode & _FORBIDDEN_MODE:
        raise VaultError(
            f"the secret `{path}` has mode {stat.S_IMODE(mode):04o}: others than its owner could read it\n"
            f"help: chmod 600 {path}"
        )
    try:
        return text.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise VaultError(f"the secret `{path}` is no text") from error


def _create(path: Path, text: str) -> None:
    """Write a new file in one step, durably; when another process was first, its file stays."""
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: it fails where the name is taken, and nobody sees half a file.
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
