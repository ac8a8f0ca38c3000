"""Signing a report's ZIP, and verifying what is signed; neither needs a model or the network."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

from gradcam import __version__
from gradcam.errors import ReportError, SigningError
from gradcam.extras import packages_of
from gradcam.files import write_whole
from gradcam.keys import PublicKey, SecretKey, by_bytes, own_keys, secret_key
from gradcam.locks import alone_with
from gradcam.report.model import Report
from gradcam.report.read import Reopened, bytes_of, reopen
from gradcam.report.signatures import signed_of
from gradcam.report.zip_layout import signature_file
from gradcam.signatures import (
    MAX_SIGNATURES,
    CheckedSignature,
    Signature,
    Signed,
    State,
    check_signature,
    make_signature,
)
from gradcam.text import count, first_few

UNSIGNED = "the files fit the manifest; nobody has signed it, so anyone could have rewritten both"
NO_MANIFEST = (
    "it keeps to the schema; a JSON carries no hashes and no signatures, so anyone could have rewritten it"
)
UNTRUSTED = "the files fit the manifest; no signature on it counts, so anyone could have rewritten both"


def sign_report(path: str | Path, key: SecretKey | None = None) -> Signature:
    """Add a signature to a report's ZIP, in one step; every other file in it keeps its bytes.

    Of several who sign one file at the same time, each waits for the one before.

    key: by default the only one in the owner's folder.
    Raises: ReportError for a file that is not the ZIP of a report. SigningError where the report has no verdict
    yet, the key is revoked or has signed it as it is already, or there is no key.
    """
    key = key or secret_key()
    with alone_with(Path(path), error=ReportError):
        data = bytes_of(path)
        signed, signature = with_signature(data, key)
        with write_whole(path, error=ReportError) as file:
            file.write(signed)
    return signature


def with_signature(data: bytes, key: SecretKey) -> tuple[bytes, Signature]:
    """The bytes of a report's ZIP with another signature, and that. Raises: as `sign_report` does."""
    found = reopen(data)
    if not data.startswith(b"PK"):
        raise ReportError(
            "expected a report's ZIP to sign, got a JSON, which has no room for signatures; export a ZIP"
        )
    signed = signed_of(found.content)
    _refuse_to_sign(found, signed, key)
    signature = make_signature(signed, key)
    return _added(data, signature, found), signature


def merge_signatures(kept: bytes, brought: bytes) -> bytes:
    """Of two files of a report with the same evidence the one to keep, with what was signed of it in either.

    A ZIP counts for more than a JSON, and one that is signed for more than one that is not. brought: a report.
    """
    after = reopen(brought)
    try:
        before = reopen(kept)
    except ReportError:
        return brought
    signed = signed_of(before.content)
    if signed.evidence != signed_of(after.content).evidence:
        return brought
    if not after.hashes:
        return kept
    if not before.signatures:
        return brought
    new = [one for one in after.signatures if one not in before.signatures]
    fitting = [one for one in new if check_signature(one, signed, {}).state is State.VALID]
    for signature in fitting[: MAX_SIGNATURES - len(before.signatures)]:
        kept = _added(kept, signature, before)
    return kept


def _refuse_to_sign(found: Reopened, signed: Signed, key: SecretKey) -> None:
    if signed.status == "needs review":
        raise SigningError(
            "expected a report with a verdict to sign, got one that needs review; give it a status first"
        )
    known = own_keys().get(key.public.key)
    if revoked := (known and known.revoked) or key.public.revoked:
        raise SigningError(
            f"expected a key that counts, got {key.public}, revoked on {revoked.at[:10]}; make another"
        )
    mine = {key.public.key: key.public}
    if any(
        check_signature(one, signed, mine).counts and one.statement.name == key.public.name
        for one in found.signatures
    ):
        raise SigningError(f"expected a report that {key.public} has not signed, got one signed as it is already")
    if len(found.signatures) >= MAX_SIGNATURES:
        raise SigningError(
            f"expected fewer than {MAX_SIGNATURES:,} signatures, got as many; export the report anew"
        )


def _added(data: bytes, signature: Signature, found: Reopened) -> bytes:
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        names = archive.namelist()
        name = next(name for number in range(1, 10_000) if (name := signature_file(number)) not in names)
        archive.writestr(_zip_format().entry(name, found.report.created), signature.encode())
    return file.getvalue()


@dataclass(frozen=True)
class Verification:
    """What is known of a report's file after it was reopened.

    signed: what can be signed of it; its evidence is what tells one comparison from another.
    has_manifest: whether the file carries hashes of what is in it, as a ZIP does and a JSON does not.
    changed: files in the ZIP that do not show what `report.json` says, though the same version made them.
    unknown: files that cannot be compared, because another version of gradcam made them.
    """

    report: Report
    signatures: tuple[CheckedSignature, ...]
    signed: Signed
    has_manifest: bool = True
    changed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything fits and somebody trusted has signed it."""
        broken = any(signature.state is not State.VALID for signature in self.signatures)
        return not self.changed and not broken and any(signature.counts for signature in self.signatures)

    @property
    def statement(self) -> str:
        """What is known of the whole, in a sentence."""
        if self.changed:
            return f"{_files(self.changed)} not say what report.json says; do not trust them"
        counting = len({signature.statement.key for signature in self.signatures if signature.counts})
        if counting:
            return f"signed by {count(counting, 'trusted key')}; evidence and verdict are as they were signed"
        if not self.has_manifest:
            return NO_MANIFEST
        return UNTRUSTED if self.signatures else UNSIGNED


def _files(names: tuple[str, ...]) -> str:
    return f"{first_few(list(names))} {'do' if len(names) > 1 else 'does'}"


def verify_report(
    source: str | Path | bytes, trusted: Iterable[PublicKey] = (), *, render: bool = True
) -> Verification:
    """Check that a report is as it was written, and who signed it.

    Its hashes and maps are checked, every page and picture in its ZIP is rendered again from `report.json` and
    compared, and each signature is checked against the evidence and the verdict.
    trusted: keys that are trusted beside one's own. render: False leaves out the rendering, which takes longest.
    Raises: ReportError for what is not as it was written.
    """
    found = reopen(source)
    keys = by_bytes([*own_keys().values(), *trusted])
    signed = signed_of(found.content)
    checked = tuple(check_signature(signature, signed, keys) for signature in found.signatures)
    others = tuple(_others(found)) if render else ()
    verified = Verification(found.report, checked, signed, has_manifest=bool(found.hashes))
    same_version = found.report.environment.gradcam == __version__
    return replace(verified, changed=others) if same_version else replace(verified, unknown=others)


def _others(found: Reopened) -> Iterable[str]:
    """The files in the ZIP that are rendered otherwise now, or not at all."""
    if not found.hashes:
        return
    made = _zip_format().hashes_of(found.report)
    for name, sha256 in found.hashes.items():
        if made.get(name) != sha256:
            yield name


def _zip_format() -> ModuleType:
    """The writer of ZIPs, whose packages come with `gradcam[report]`."""
    with packages_of("report"):
        return import_module("gradcam.report.formats.zip")
