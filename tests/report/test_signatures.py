"""Signatures: bound to the evidence and the verdict, added without changing a byte, void when either differs."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from gradcam import keys
from gradcam.errors import ReportError, SigningError
from gradcam.report import (
    Note,
    Report,
    State,
    Verdict,
    read_report,
    render_report,
    revised,
    sign_report,
    verify_report,
    write_report,
)
from gradcam.report.codec import encode
from gradcam.report.model import pixels_sha256
from gradcam.report.signatures import signed_of
from gradcam.report.zip_layout import manifest
from gradcam.signatures import CheckedSignature, Signed, check_signature, read_signature
from tests import fakes
from tests.report_fakes import report

APPROVED = Verdict("approved", "Anna", "2026-11-22", "It looks at the dog.")


@pytest.fixture(scope="module")
def made() -> Report:
    return revised(report(fakes.photo(name="one.jpg")), verdict=APPROVED)


@pytest.fixture
def anna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> keys.SecretKey:
    monkeypatch.setenv("GRADCAM_KEYS", str(tmp_path / "keys"))
    return keys.new_key("Anna")


@pytest.fixture
def stranger(tmp_path: Path) -> keys.SecretKey:
    return keys.new_key("Ben", tmp_path / "elsewhere")


@pytest.fixture
def review(made: Report, tmp_path: Path) -> Path:
    return write_report(made, tmp_path / "review.zip")


def files(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_signatures_of(path: Path, changed: Report) -> bytes:
    """Another report, as its writer writes it, with the signatures of the one at `path`."""
    out = io.BytesIO(render_report(changed, "zip"))
    with zipfile.ZipFile(out, "a") as archive:
        for name, data in files(path).items():
            if name.startswith("signatures/"):
                archive.writestr(name, data)
    return out.getvalue()


def test_without_a_signature_only_what_is_known_is_said(review):
    found = verify_report(review)
    assert found.statement == (
        "the files fit the manifest; nobody has signed it, so anyone could have rewritten both"
    )
    assert not found.holds


def test_a_signature_adds_a_file_and_changes_no_other(review, anna, made):
    before = files(review)
    sign_report(review)
    after = files(review)
    assert {name: data for name, data in after.items() if name != "signatures/1.sig"} == before
    assert read_report(review) == made
    found = verify_report(review)
    assert found.holds
    assert [signature.state for signature in found.signatures] == [State.VALID]
    assert found.statement == "signed by 1 trusted key; evidence and verdict are as they were signed"


def test_a_second_reviewer_countersigns_and_the_first_signature_stays(review, anna, stranger):
    sign_report(review)
    first = files(review)["signatures/1.sig"]
    sign_report(review, stranger)
    assert files(review)["signatures/1.sig"] == first
    assert [signature.counts for signature in verify_report(review).signatures] == [True, False]
    assert [signature.counts for signature in verify_report(review, [stranger.public]).signatures] == [True, True]


def test_of_many_who_sign_at_the_same_time_no_signature_is_lost(review, made, tmp_path):
    signers = [keys.new_key(f"Person {number}", tmp_path / "keys") for number in range(6)]
    with ThreadPoolExecutor(len(signers)) as pool:
        list(pool.map(lambda key: sign_report(review, key), signers))
    found = verify_report(review, [key.public for key in signers], render=False)
    assert {one.statement.name for one in found.signatures if one.counts} == {key.public.name for key in signers}
    assert read_report(review) == made
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["review.zip"]  # no lock is left


def test_a_key_that_signs_for_several_people_says_for_whom(review, anna):
    for name in ("Ben", "Carla"):
        sign_report(review, structs.replace(anna, public=structs.replace(anna.public, name=name)))
    found = verify_report(review, render=False)
    assert [
        f"Anna ({anna.public.fingerprint}) for {name}" in str(one)
        for name, one in zip(("Ben", "Carla"), found.signatures, strict=True)
    ] == [True, True]
    assert found.statement.startswith("signed by 1 trusted key")


def test_a_stranger_alone_is_not_enough_and_the_line_says_why(review, anna, stranger):
    sign_report(review, stranger)
    found = verify_report(review)
    assert not found.holds
    assert "NOT TRUSTED" in str(found.signatures[0])
    assert stranger.public.fingerprint in str(found.signatures[0])


def test_a_trusted_keys_owner_is_named_as_the_trust_says_not_as_the_signer_wrote(review, anna, stranger):
    posing = structs.replace(stranger, public=structs.replace(stranger.public, name="Anna"))
    sign_report(review, posing)
    assert str(verify_report(review, [stranger.public]).signatures[0]).split(", ")[2].startswith("Ben (")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda r: replace(r, verdict=replace(r.verdict, status="rejected")), State.OTHER_VERDICT),
        (lambda r: replace(r, verdict=replace(r.verdict, summary="It does not.")), State.OTHER_VERDICT),
        (lambda r: noted(r, Note("rejected")), State.OTHER_VERDICT),
        (lambda r: noted(r, Note(text="A comment.")), State.VALID),
        (lambda r: replace(r, title="Another title"), State.VALID),
        (lambda r: replace(r, limits=()), State.OTHER_EVIDENCE),
        (lambda r: replace(r, style=replace(r.style, threshold=0.5)), State.OTHER_EVIDENCE),
        (lambda r: replace(r, fit="letterbox" if r.fit != "letterbox" else "model"), State.OTHER_EVIDENCE),
        (lambda r: replace(r, models=(replace(r.models[0], weights_sha256="0" * 64),)), State.OTHER_EVIDENCE),
        (lambda r: replace(r, photos=(replace(r.photos[0], sha256="0" * 64),)), State.OTHER_EVIDENCE),
        (lambda r: replace(r, environment=replace(r.environment, gradcam="0.0.1")), State.OTHER_EVIDENCE),
    ],
)
def test_a_sign_off_is_void_as_soon_as_what_was_signed_differs(review, made, anna, change, state):
    sign_report(review)
    signed = signed_of(encode(change(made)))
    assert [check.state for check in checked(review, signed, anna)] == [state]


def noted(of: Report, note: Note) -> Report:
    return replace(of, photos=(replace(of.photos[0], note=note), *of.photos[1:]))


def checked(path: Path, signed: Signed, key: keys.SecretKey) -> list[CheckedSignature]:
    trusted = {key.public.key: key.public}
    signatures = [read_signature(data, name) for name, data in files(path).items() if name.endswith(".sig")]
    return [check_signature(signature, signed, trusted) for signature in signatures]


def test_a_verdict_changed_with_its_manifest_is_shown_void(review, made, anna):
    sign_report(review)
    rewritten = revised(made, verdict=replace(APPROVED, status="rejected"))
    found = verify_report(with_signatures_of(review, rewritten))
    assert found.report.verdict.status == "rejected"
    assert [signature.state for signature in found.signatures] == [State.OTHER_VERDICT]
    assert not found.holds


def test_a_changed_map_is_shown_void(review, made, anna):
    sign_report(review)
    panel = made.heatmaps[0]
    brighter = structs.replace(panel, map=tuple(tuple(2 * value for value in row) for row in panel.map))
    changed = replace(made, findings=(brighter, *made.findings[1:]))
    found = verify_report(with_signatures_of(review, changed))
    assert [signature.state for signature in found.signatures] == [State.OTHER_EVIDENCE]


@pytest.mark.parametrize("embedded", ["full", "small", "none"])
def test_another_photo_in_the_place_of_the_one_that_was_signed_is_shown_void(tmp_path, anna, embedded):
    """An attacker swaps the pixels that travel along and their hash, and renders every page anew."""
    made = revised(report(fakes.photo(name="one.jpg"), embedded=embedded), verdict=APPROVED)
    path = write_report(made, tmp_path / "review.zip")
    sign_report(path)
    assert verify_report(path).holds
    pixels = np.full_like(fakes.photo().pixels, 7)
    photo = replace(made.photos[0], embedded_sha256=pixels_sha256(pixels))
    found = verify_report(with_signatures_of(path, replace(made, photos=(photo,), pixels=(pixels,))))
    assert [signature.state for signature in found.signatures] == [State.OTHER_EVIDENCE]


def test_whether_photos_travel_along_is_no_evidence():
    full, none = (report(fakes.photo(), embedded=embedded) for embedded in ("full", "none"))
    assert signed_of(encode(full)) == signed_of(encode(none))


def test_a_statement_that_was_changed_is_forged(review, anna):
    sign_report(review)
    signature = read_signature(files(review)["signatures/1.sig"], "1.sig")
    other = structs.replace(signature, statement=structs.replace(signature.statement, name="Ben"))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files(review).items():
            archive.writestr(name, other.encode() if name.endswith(".sig") else data)
    found = verify_report(out.getvalue())
    assert [one.state for one in found.signatures] == [State.FORGED]
    assert not found.holds


def test_a_revoked_key_counts_no_more_and_old_signatures_say_so(review, anna, tmp_path):
    sign_report(review)
    keys.revoke(tmp_path / "keys" / "anna.pub", "lost")
    found = verify_report(review)
    assert not found.holds
    assert "REVOKED" in str(found.signatures[0])
    assert "lost" in str(found.signatures[0])
    with pytest.raises(SigningError, match="expected a key that counts"):
        sign_report(review, anna)


def test_a_key_signs_once_and_only_what_has_a_verdict(review, anna, made, tmp_path):
    sign_report(review)
    with pytest.raises(SigningError, match="signed as it is already"):
        sign_report(review)
    draft = write_report(revised(made, verdict=Verdict()), tmp_path / "draft.zip")
    with pytest.raises(SigningError, match="got one that needs review"):
        sign_report(draft)


def test_a_json_has_no_room_for_signatures(made, anna, tmp_path):
    path = write_report(made, tmp_path / "report.json")
    with pytest.raises(ReportError, match="has no room for signatures"):
        sign_report(path)
    assert verify_report(path).statement.startswith("it keeps to the schema; a JSON carries no hashes")
    assert not verify_report(path).holds


def test_a_signature_that_is_there_twice_counts_once(review, anna):
    sign_report(review)
    out = io.BytesIO(review.read_bytes())
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("signatures/2.sig", files(review)["signatures/1.sig"])
    found = verify_report(out.getvalue())
    assert len(found.signatures) == 2
    assert found.statement.startswith("signed by 1 trusted key;")


def test_a_page_that_says_something_else_than_the_json_is_found(review, anna):
    """An attacker rewrites the page and its line in the manifest; the signature covers neither."""
    sign_report(review)
    found = files(review)
    found["report.html"] = found["report.html"].replace(b"It looks at the dog.", b"It looks at the cat.")
    listed = [name for name in found if name != "MANIFEST.sha256" and not name.startswith("signatures/")]
    found["MANIFEST.sha256"] = manifest({name: hashlib.sha256(found[name]).hexdigest() for name in listed})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    verified = verify_report(out.getvalue())
    assert verified.changed == ("report.html",)
    assert not verified.holds
    assert verified.statement == "report.html does not say what report.json says; do not trust them"


@pytest.mark.parametrize(
    "name", ["signatures/0.sig", "signatures/1.txt", "signatures/../1.sig", "signatures/x.sig"]
)
def test_only_signatures_lie_among_signatures(review, name):
    data = io.BytesIO(review.read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr(name, b"{}")
    with pytest.raises(ReportError, match="not opened"):
        read_report(data.getvalue())


@pytest.mark.parametrize("written", [b"", b"{}", b"\x80\x04.", b"x" * 20_000])
def test_a_broken_signature_is_refused_in_a_sentence(review, written):
    data = io.BytesIO(review.read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("signatures/1.sig", written)
    with pytest.raises(ReportError, match="signature"):
        read_report(data.getvalue())


def test_hashes_do_not_depend_on_the_order_of_fields_or_white_space(made):
    data = encode(made)
    turned = json.dumps(dict(reversed(json.loads(data).items()))).encode()
    assert signed_of(turned) == signed_of(data)
