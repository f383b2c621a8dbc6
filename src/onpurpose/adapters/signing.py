"""The key that signs checkpoints: Ed25519, in a file that only its owner may read."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from onpurpose.core.record import LedgerError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_FORBIDDEN_MODE = stat.S_IRWXG | stat.S_IRWXO


class KeyFile:
    """A signer whose private key (PEM, PKCS #8) lies in a file; made on first use, with mode 0600.

    The public half is written beside it (`public_path`), so that an auditor needs no private key.
    Nothing is read, made or imported before the key is first needed. Raises `LedgerError` when the
    key cannot be made or read, when others than its owner could read it, when it does not belong
    to the public half, and when only the public half is left.
    """

    def __init__(self, path: str | os.PathLike[str], public_path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._public_path = Path(public_path).absolute()
        self._lock = threading.Lock()
        self._key: Ed25519PrivateKey | None = None
        self._public = b""

    @property
    def public_key(self) -> bytes:
        """The raw public key, 32 bytes."""
        self._load()
        return self._public

    def sign(self, message: bytes) -> bytes:
        """The signature over the message, 64 bytes."""
        return self._load().sign(message)

    def _load(self) -> Ed25519PrivateKey:
        with self._lock:
            if self._key is None:
                try:
                    if not self._path.exists():
                        self._make()
                    key = _read_private(self._path)
                    self._public = self._pin(key.public_key().public_bytes_raw())
                except OSError as error:
                    raise LedgerError(f"the signing key `{self._path}` cannot be used: {error.strerror}") from error
                self._key = key
            return self._key

    def _make(self) -> None:
        # In this order: another process may be making both just now, the key before its public half.
        if self._public_path.exists() and not self._path.exists():
            raise LedgerError(
                f"the signing key `{self._path}` is gone, its public half `{self._public_path}` is not\n"
                "help: put the key back, or move the log and all its files away to begin a new one"
            )
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  slow
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  slow to import
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _create(self._path, pem, 0o600)

    def _pin(self, public: bytes) -> bytes:
        """Make sure that the public half in its file is this one; write it where there is none."""
        if not self._public_path.exists():
            _create(self._public_path, public.hex().encode() + b"\n", 0o644)
        if read_public_key(self._public_path) != public:
            raise LedgerError(f"the signing key `{self._path}` is not the one of `{self._public_path}`")
        return public


class SecretKey:
    """A signer whose private key is derived from a secret: what several processes share without a file of their own.

    Nothing is imported before the key is first needed.
    """

    def __init__(self, secret: str) -> None:
        seed = hmac.new(secret.encode("utf-8", "surrogatepass"), b"onpurpose.log.1", hashlib.sha256).digest()
        self._seed = seed
        self._lock = threading.Lock()
        self._key: Ed25519PrivateKey | None = None

    @property
    def public_key(self) -> bytes:
        """The raw public key, 32 bytes."""
        return self._load().public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The signature over the message, 64 bytes."""
        return self._load().sign(message)

    def _load(self) -> Ed25519PrivateKey:
        with self._lock:
            if self._key is None:
                from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415  slow to import
                    Ed25519PrivateKey,
                )

                self._key = Ed25519PrivateKey.from_private_bytes(self._seed)
            return self._key


def read_public_key(path: str | Path) -> bytes:
    """The raw public key (32 bytes) that a `KeyFile` wrote, as hex digits; `LedgerError` if it is none."""
    try:
        with Path(path).open("rb") as file:
            public = bytes.fromhex(file.read(1024).decode("ascii"))
    except OSError as error:
        raise LedgerError(f"the public key `{path}` cannot be read: {error.strerror}") from error
    except ValueError:
        public = b""
    if len(public) != 32:
        raise LedgerError(f"`{path}` is no public key of this log: it must hold 64 hex digits")
    return public


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this is the Ed25519 signature of the raw public key's owner over the message."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  slow to import
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  slow

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _read_private(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  slow
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  slow

    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        pem = file.read(65536)
    if os.name == "posix" and mode & _FORBIDDEN_MODE:
        raise LedgerError(
            f"the signing key `{path}` has mode {stat.S_IMODE(mode):04o}: others than its owner could read it\n"
            f"help: chmod 600 {path}"
        )
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise LedgerError(f"the signing key `{path}` cannot be read: it is no unencrypted PEM key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError(f"the signing key `{path}` is no Ed25519 key")
    return key


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a new file in one step, durably; when another process was first, its file stays."""
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: it fails where the name is taken, and nobody sees half a file.
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
