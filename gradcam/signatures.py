"""Signatures of reports and reviews: what is signed, by whom, and whether it still fits.

A signature binds two hashes, of the evidence and of the verdict, and lies beside what it signs: another one is
added and changes none. In a report's ZIP it is `signatures/N.sig`, which the manifest does not list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gradcam.errors import GradcamError, SigningError, quoted
from gradcam.keys import Key, Name, PublicKey, Revocation, SecretKey, Time, fingerprint, is_signed_by, now
from gradcam.statuses import ReportStatus
from gradcam.text import clean

MAX_SIGNATURES = 1_000
MAX_BYTES = 10_000
"""How many signatures a report can have, and the bytes of one."""

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Statement(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed: two hashes, the status that the verdict gives, who signs, and when by the signer's clock."""

    evidence: Sha256
    verdict: Sha256
    status: ReportStatus
    name: Name
    key: Key
    at: Time
    format: Literal["gradcam-signature-1"] = "gradcam-signature-1"

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return msgspec.json.encode(self, order="sorted")


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """A statement and the 64 bytes that the owner of its key alone can make for it (Ed25519, RFC 8032)."""

    statement: Statement
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    def encode(self) -> bytes:
        """The bytes of `signatures/N.sig`."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def read_signature(data: bytes, file: str, *, error: type[GradcamError] = SigningError) -> Signature:
    """Raises: `error` if `data` is no signature."""
    try:
        return msgspec.json.decode(data, type=Signature)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise error(
            f"expected a signature as `gradcam sign` writes it in {quoted(file)}, got: {quoted(str(wrong))}; "
            "do not trust it"
        ) from wrong


@dataclass(frozen=True)
class Signed:
    """What can be signed of a report or review: the SHA-256 of its evidence and of its verdict, and the status."""

    evidence: str
    verdict: str
    status: ReportStatus


def sha256_of(value: Any) -> str:
    """The SHA-256 of plain data, whatever the order of its fields and its white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def make_signature(signed: Signed, key: SecretKey) -> Signature:
    public = key.public
    statement = Statement(signed.evidence, signed.verdict, signed.status, public.name, public.key, now())
    return Signature(statement, key.sign(statement.message))


class State(Enum):
    """What can be said of a signature; the value is the sentence about it."""

    VALID = "it fits the evidence and the verdict"
    OTHER_EVIDENCE = "VOID: maps, photos, models or settings are others than those that were signed"
    OTHER_VERDICT = "VOID: the verdict is another than the one that was signed"
    FORGED = "FORGED: it was not made by the key that it names, or was changed since"


@dataclass(frozen=True)
class CheckedSignature:
    """A signature, compared with what it signs as that is now.

    trusted_name: of its key among the trusted ones; None if the key is not trusted.
    revoked: since when that key no longer counts.
    """

    statement: Statement
    state: State
    trusted_name: str | None = None
    revoked: Revocation | None = None

    @property
    def counts(self) -> bool:
        """Whether it is valid and by a key that is trusted and not revoked."""
        return self.state is State.VALID and self.trusted_name is not None and self.revoked is None

    def __str__(self) -> str:
        statement = self.statement
        who = clean(self.trusted_name or statement.name)
        whom = f" for {clean(statement.name)}" if self.trusted_name not in (None, statement.name) else ""
        line = f"{statement.status}, {statement.at}, {who} ({fingerprint(statement.key)}){whom}: {self.state.value}"
        if self.state is State.FORGED:
            return line
        if self.revoked:
            return f"{line}; REVOKED {self.revoked.at[:10]}: {clean(self.revoked.reason) or 'no reason given'}"
        if self.trusted_name is None:
            line += "; NOT TRUSTED: the name is the signer's own word, ask them for the fingerprint"
        return line


def check_signature(signature: Signature, signed: Signed, trusted: Mapping[bytes, PublicKey]) -> CheckedSignature:
    """trusted: public keys by their 32 bytes."""
    statement = signature.statement
    if not is_signed_by(statement.key, signature.signature, statement.message):
        return CheckedSignature(statement, State.FORGED)
    known = trusted.get(statement.key)
    if statement.evidence != signed.evidence:
        state = State.OTHER_EVIDENCE
    else:
        same = (statement.verdict, statement.status) == (signed.verdict, signed.status)
        state = State.VALID if same else State.OTHER_VERDICT
    return CheckedSignature(statement, state, known.name if known else None, known.revoked if known else None)
