"""Keys that people sign with: Ed25519 pairs (RFC 8032) with a name, each in two files of the owner's folder.

`anna.key` is secret and readable by its owner alone; `anna.pub` is handed to everybody who is to trust it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from gradcam.errors import SigningError, quoted
from gradcam.extras import packages_of
from gradcam.files import make_folder, read_file, write_whole
from gradcam.text import clean, count

MAX_BYTES = 10_000
"""Bytes of a key's file."""

MAX_KEYS = 10_000
"""Keys in a folder."""

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class Revocation(Struct, frozen=True, forbid_unknown_fields=True):
    """Since when a key no longer counts, and why."""

    at: Time
    reason: Annotated[str, Meta(max_length=1000)]


class PublicKey(Struct, frozen=True, forbid_unknown_fields=True):
    """The public half of a key. name: of its owner, as the owner wrote it. created: UTC. key: 32 bytes.

    vouches: whether it is a server's, which signs in the names of those who sign in there.
    """

    name: Name
    created: Time
    key: Key
    revoked: Revocation | None = None
    vouches: bool = False
    format: Literal["gradcam-public-key-1"] = "gradcam-public-key-1"

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.key)

    def __str__(self) -> str:
        return f"{clean(self.name)} ({self.fingerprint})"


class SecretKey(Struct, frozen=True, forbid_unknown_fields=True):
    """The secret half of a key, which only its owner has. Never printed."""

    public: PublicKey
    secret: Key
    format: Literal["gradcam-secret-key-1"] = "gradcam-secret-key-1"

    def __repr__(self) -> str:
        return f"SecretKey(of {self.public})"

    def sign(self, message: bytes) -> bytes:
        """64 bytes that only this key can make for this message."""
        return _ed25519().Ed25519PrivateKey.from_private_bytes(self.secret).sign(message)


def fingerprint(key: bytes) -> str:
    """The first 128 bits of the SHA-256 of a public key, for people to compare."""
    digits = hashlib.sha256(key).hexdigest()[:32]
    return " ".join(digits[start : start + 4] for start in range(0, 32, 4))


def is_signed_by(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the owner of a public key signed exactly this message."""
    with packages_of("report"):
        from cryptography.exceptions import InvalidSignature
    try:
        _ed25519().Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def now() -> str:
    """The time as signatures hold it: UTC, in seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def own_folder() -> Path:
    """Where somebody's own keys are: `$GRADCAM_KEYS`, else `~/.config/gradcam/keys`."""
    return Path(os.environ.get("GRADCAM_KEYS") or "~/.config/gradcam/keys").expanduser()


def new_key(name: str, folder: Path | None = None, *, vouches: bool = False) -> SecretKey:
    """Make a key and both of its files. Raises: SigningError for an empty name, or one that has a key there."""
    folder, name = folder or own_folder(), " ".join(name.split())
    if not 1 <= len(name) <= 100:
        raise SigningError(f"expected a name of 1 to 100 letters, got {quoted(name)}; say who signs")
    private = _ed25519().Ed25519PrivateKey.generate()
    public = PublicKey(name, now(), private.public_key().public_bytes_raw(), vouches=vouches)
    made = SecretKey(public, private.private_bytes_raw())
    make_folder(folder)
    file = secret_file(name, folder)
    with write_whole(file, force=False, error=SigningError, mode=0o600) as out:
        out.write(encode(made))
    _write_public(made.public, file.with_suffix(".pub"))
    return made


def has_secret_key() -> bool:
    """Whether somebody's own folder has a key to sign with."""
    return any(own_folder().glob("*.key"))


def secret_key(file: Path | None = None, choose: str = "pass `key=secret_key(file)`") -> SecretKey:
    """The key in a file, or the only one of the owner's folder.

    choose: what to do if there are several.
    Raises: SigningError where there is none, there are several, or others can read the file.
    """
    if file is None:
        found = sorted(own_folder().glob("*.key"))
        if len(found) != 1:
            what = count(len(found), "key") if found else "none"
            do = choose if found else 'make one with gradcam key new --name "…"'
            raise SigningError(f"expected one key in {quoted(own_folder())}, got {what}; {do}")
        file = found[0]
    key = _decoded(file, SecretKey)
    if os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise SigningError(
            f"expected a secret key that its owner alone can read, got {quoted(file)}, which others can read; "
            "run chmod 600 on it, or make a new key"
        )
    return key


def public_key(file: Path) -> PublicKey:
    """The key in a `.pub` file. Raises: SigningError."""
    return _decoded(file, PublicKey)


def read_public_key(data: bytes, name: str) -> PublicKey:
    """The key in the bytes of a `.pub` file of this name. Raises: SigningError."""
    return _read(data, PublicKey, name)


def by_bytes(keys: Iterable[PublicKey]) -> dict[bytes, PublicKey]:
    """Public keys by their 32 bytes; of a key that is there twice the first one counts, or one that is revoked."""
    found: dict[bytes, PublicKey] = {}
    for key in keys:
        if key.key not in found or (key.revoked and not found[key.key].revoked):
            found[key.key] = key
    return found


def keys_in(folder: Path) -> dict[bytes, PublicKey]:
    """The public keys of a folder, as `by_bytes` has them.

    Raises: SigningError for a folder that is not there, and for a file in it that is no key.
    """
    if not folder.is_dir():
        raise SigningError(f"expected a folder of .pub files, got {quoted(folder)}, which is none; check the path")
    files = sorted(folder.glob("*.pub"))
    if len(files) > MAX_KEYS:
        raise SigningError(f"expected at most {MAX_KEYS:,} keys in {quoted(folder)}, got {len(files):,}")
    return by_bytes(map(public_key, files))


def own_keys() -> dict[bytes, PublicKey]:
    """The public keys in the owner's folder, which are trusted; none if there is no such folder."""
    return keys_in(own_folder()) if own_folder().is_dir() else {}


def revoke(file: Path, reason: str) -> PublicKey:
    """Write into a `.pub` file that its key no longer counts: its signatures say so wherever this file is trusted.

    Raises: SigningError for a file that is no public key, or a key that is revoked already.
    """
    key = public_key(file)
    if key.revoked:
        raise SigningError(f"expected a key that counts, got {key}, revoked on {key.revoked.at[:10]} already")
    revoked = msgspec.structs.replace(key, revoked=Revocation(now(), " ".join(reason.split())[:1000]))
    _write_public(revoked, file)
    return revoked


_K = TypeVar("_K", PublicKey, SecretKey)


def _decoded(file: Path, kind: type[_K]) -> _K:
    return _read(read_file(file, MAX_BYTES, _WHAT[kind], error=SigningError), kind, file)


_WHAT = {PublicKey: "a public key", SecretKey: "a secret key"}


def _read(data: bytes, kind: type[_K], file: str | Path) -> _K:
    try:
        return msgspec.json.decode(data[: MAX_BYTES + 1], type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SigningError(
            f"expected {_WHAT[kind]} as `gradcam key new` writes it, got another file, {quoted(file)}; "
            "check the path"
        ) from error


def encode(key: PublicKey | SecretKey) -> bytes:
    """The bytes of its file."""
    return msgspec.json.format(msgspec.json.encode(key), indent=1) + b"\n"


def _write_public(key: PublicKey, file: Path) -> None:
    with write_whole(file, error=SigningError) as out:
        out.write(encode(key))


def secret_file(name: str, folder: Path | None = None) -> Path:
    """Where this owner's key is kept: that of `Anna Müller` in `anna-muller.key`; the public one in `….pub`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return (folder or own_folder()) / f"{re.sub(r'[^a-z0-9]+', '-', plain).strip('-') or 'key'}.key"


def _ed25519():
    with packages_of("report"):
        from cryptography.hazmat.primitives.asymmetric import ed25519
    return ed25519
