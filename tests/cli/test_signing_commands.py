"""The commands `key`, `sign` and `verify`, from a new key to an exit code."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gradcam.cli import main
from gradcam.report import Verdict, revised, write_report
from tests.report_fakes import report


@pytest.fixture
def review(tmp_path: Path) -> Path:
    return write_report(revised(report(), verdict=Verdict("approved", "Anna")), tmp_path / "review.zip")


@pytest.fixture
def as_anna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "anna"
    monkeypatch.setenv("GRADCAM_KEYS", str(folder))
    assert main(["key", "new", "--name", "Anna Müller"]) == 0
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_one_signs_and_another_verifies_with_the_key_that_was_handed_round(
    review, as_anna, tmp_path, monkeypatch, capsys
):
    code, out = said(capsys, "sign", review)
    assert code == 0
    assert "approved, signed by Anna Müller (" in out
    assert said(capsys, "verify", review)[0] == 0
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "anna.pub").write_bytes((as_anna / "anna-muller.pub").read_bytes())
    monkeypatch.setenv("GRADCAM_KEYS", str(tmp_path / "ben"))
    code, out = said(capsys, "verify", review)
    assert code == 1
    assert "NOT TRUSTED" in out
    assert said(capsys, "verify", review, "--trust", trust)[0] == 0


def test_an_unsigned_report_ends_with_1_and_says_what_is_known(review, as_anna, capsys):
    assert said(capsys, "verify", review) == (
        1,
        "the files fit the manifest; nobody has signed it, so anyone could have rewritten both\n",
    )


def test_a_report_with_a_changed_file_ends_with_1(review, as_anna, capsys):
    assert said(capsys, "sign", review)[0] == 0
    with zipfile.ZipFile(review) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(review, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data + b" " * (name == "report.md"))
    code, out = said(capsys, "verify", review)
    assert (code, "'report.md' was changed; do not trust it" in out) == (1, True)


def test_the_key_of_a_server_is_listed_as_one(as_anna, capsys):
    assert said(capsys, "key", "new", "--server", "--name", "gradcam at example.org")[0] == 0
    assert "made " in said(capsys, "key", "list")[1]
    assert said(capsys, "key", "list")[1].count("a server's, in the names of those who sign in there") == 1


def test_one_of_several_keys_is_asked_for_by_the_option_that_names_it(review, as_anna, capsys):
    assert said(capsys, "key", "new", "--name", "Ben")[0] == 0
    code, out = said(capsys, "sign", review)
    assert (code, "got 2 keys; name one with --key" in out) == (2, True)
    assert said(capsys, "sign", review, "--key", as_anna / "ben.key")[0] == 0


def test_a_revoked_key_is_listed_and_ends_with_1(review, as_anna, capsys):
    assert said(capsys, "sign", review)[0] == 0
    assert said(capsys, "key", "revoke", as_anna / "anna-muller.pub", "--reason", "lost")[0] == 0
    assert "REVOKED" in said(capsys, "key", "list")[1]
    code, out = said(capsys, "verify", review)
    assert code == 1
    assert ": lost" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sign", "none.zip"], "but there is no such file or folder"),
        (["sign", "review.zip", "--key", "review.zip"], "expected a secret key"),
        (["verify", "review.zip", "--trust", "none"], "expected a folder of .pub files"),
        (["key", "new", "--name", " "], "1 to 100 letters"),
        (["key", "new", "--name", "Anna Müller"], "which exists"),
        (["key", "revoke", "review.zip"], "expected a public key"),
        (["key"], "expected options as `gradcam key --help` lists them"),
    ],
)
def test_bad_input_is_one_sentence(review, as_anna, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(review.parent)
    code, out = said(capsys, *arguments)
    assert code == 2
    assert sentence in out
    assert out.count("\n") == 1
