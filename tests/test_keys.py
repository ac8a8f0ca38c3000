"""Keys: made once, secret to their owner, trusted by their file, and revoked in it."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from gradcam import keys
from gradcam.errors import SigningError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "keys"
    monkeypatch.setenv("GRADCAM_KEYS", str(folder))
    return folder


def test_a_message_is_signed_by_one_key_alone(own):
    anna, ben = keys.new_key("Anna Müller"), keys.new_key("Ben")
    signature = anna.sign(b"maps")
    assert keys.is_signed_by(anna.public.key, signature, b"maps")
    assert not keys.is_signed_by(anna.public.key, signature, b"maps.")
    assert not keys.is_signed_by(ben.public.key, signature, b"maps")


def test_signatures_are_those_of_rfc_8032():
    """The second test of section 7.1."""
    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    key = keys.SecretKey(keys.PublicKey("somebody", "2026-01-01T00:00:00Z", public), secret)
    assert key.sign(b"\x72").hex() == signature


def test_the_files_of_a_key_come_back_and_the_secret_one_is_its_owners_alone(own):
    made = keys.new_key("  Anna   Müller ")
    assert made.public.name == "Anna Müller"
    assert sorted(path.name for path in own.iterdir()) == ["anna-muller.key", "anna-muller.pub"]
    assert stat.S_IMODE((own / "anna-muller.key").stat().st_mode) == 0o600
    assert keys.secret_key() == made
    assert keys.own_keys() == {made.public.key: made.public}
    assert base64.b64encode(made.secret).decode() not in (own / "anna-muller.pub").read_text() + repr(made)


def test_a_fingerprint_is_the_beginning_of_the_sha256_of_the_key():
    assert keys.fingerprint(b"abc").replace(" ", "") == "ba7816bf8f01cfea414140de5dae2223"


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_a_secret_that_others_can_read_is_refused(own):
    keys.new_key("Anna")
    (own / "anna.key").chmod(0o644)
    with pytest.raises(SigningError, match="which others can read; run chmod 600"):
        keys.secret_key()


def test_a_name_has_one_key_and_says_something(own):
    keys.new_key("Anna")
    before = (own / "anna.key").read_bytes()
    with pytest.raises(SigningError, match="which exists"):
        keys.new_key("anna")
    assert (own / "anna.key").read_bytes() == before
    for name in ("", "   ", "x" * 101):
        with pytest.raises(SigningError, match="1 to 100 letters"):
            keys.new_key(name)


def test_without_a_key_or_with_several_the_sentence_says_what_to_do(own):
    with pytest.raises(SigningError, match=r"got none; make one with gradcam key new"):
        keys.secret_key()
    keys.new_key("Anna")
    keys.new_key("Ben")
    with pytest.raises(SigningError, match=r"got 2 keys; pass `key=secret_key\(file\)`"):
        keys.secret_key()


def test_a_key_is_revoked_once_and_its_file_says_so(own):
    made = keys.new_key("Anna")
    revoked = keys.revoke(own / "anna.pub", " lost\nwith the laptop ")
    assert revoked.revoked is not None
    assert revoked.revoked.reason == "lost with the laptop"
    assert keys.own_keys()[made.public.key] == revoked
    with pytest.raises(SigningError, match=r"revoked on .* already"):
        keys.revoke(own / "anna.pub", "again")


def test_of_two_files_of_a_key_the_revoked_one_counts_whatever_their_order(own):
    made = keys.new_key("Anna")
    whole = (own / "anna.pub").read_bytes()
    keys.revoke(own / "anna.pub", "lost")
    for name in ("a.pub", "z.pub"):
        (own / name).write_bytes(whole)
        assert keys.own_keys()[made.public.key].revoked
        (own / name).unlink()


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN PUBLIC KEY-----",
        b"[]",
        b'{"name": "Anna"}',
        json.dumps({"name": "A", "created": "2026-01-01T00:00:00Z", "key": "AAAA", "format": "x"}).encode(),
    ],
)
def test_a_file_that_is_no_key_is_named(own, written):
    own.mkdir()
    (own / "odd.pub").write_bytes(written)
    with pytest.raises(SigningError, match=r"expected a public key as `gradcam key new` writes it.*odd\.pub"):
        keys.own_keys()


def test_a_folder_of_trust_must_be_one(own):
    with pytest.raises(SigningError, match=r"expected a folder of \.pub files"):
        keys.keys_in(own / "none")
