"""Signatures of a report: what is signed, by whom, and whether it still fits.

A signature lies in the ZIP as `signatures/N.sig`, beside the manifest and not listed in it: another signature adds
a file and changes none. It binds two hashes: of the evidence and of the verdict.
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

from gradcam.errors import ReportError, quoted
from gradcam.keys import Key, Name, PublicKey, Revocation, SecretKey, Time, fingerprint, is_signed_by, now
from gradcam.report.limits import read_json
from gradcam.report.model import Sha256, Status
from gradcam.text import clean

MAX_SIGNATURES = 1_000
MAX_BYTES = 10_000
"""How many signatures a report can have, and the bytes of one."""

NO_EVIDENCE = frozenset({"format", "title", "created", "verdict", "embedded", "procedure", "limits"})
"""What a report says beside its evidence: words, times, and how its photos travel. The environment is evidence: its
version of gradcam tells whether the pages in the ZIP can be rendered again and compared."""

NO_EVIDENCE_OF_PHOTOS = frozenset({"note", "embedded_sha256"})


class Statement(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed: two hashes, the status that the verdict gives, who signs, and when by the signer's clock."""

    evidence: Sha256
    verdict: Sha256
    status: Status
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


def read_signature(data: bytes, file: str) -> Signature:
    """Raises: ReportError if `data` is no signature."""
    try:
        return msgspec.json.decode(data, type=Signature)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReportError(
            f"expected a signature as `gradcam sign` writes it in {quoted(file)}, got: {quoted(str(error))}; "
            "do not trust it"
        ) from error


@dataclass(frozen=True)
class Signed:
    """What can be signed of a report: the hashes of its evidence and of its verdict, and the verdict's status.

    evidence: over photos, models, methods, targets, settings, answers, maps, numbers and environment.
    verdict: over what the reviewer says of the whole, and the status of each photo; a note on a photo is a comment
        and changes neither.
    """

    evidence: str
    verdict: str
    status: Status

    @classmethod
    def of(cls, report_json: bytes) -> Signed:
        """From the bytes of a `report.json` that has been read as a report before.

        The hashes are over the file's own fields, so that a later version reads the same ones.
        """
        content: dict[str, Any] = read_json(report_json)
        evidence = {name: value for name, value in content.items() if name not in NO_EVIDENCE}
        evidence["photos"] = [
            {name: value for name, value in photo.items() if name not in NO_EVIDENCE_OF_PHOTOS}
            for photo in content["photos"]
        ]
        verdict = content["verdict"]
        statuses = [photo.get("note", {}).get("status") for photo in content["photos"]]
        return cls(_sha256(evidence), _sha256([verdict, statuses]), verdict.get("status", "needs review"))


def _sha256(value: Any) -> str:
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
    """A signature, compared with the report as it is now.

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
        said = self.statement
        who = clean(self.trusted_name or said.name)
        line = f"{said.status}, {said.at}, {who} ({fingerprint(said.key)}): {self.state.value}"
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
