"""A file of weights that was exchanged for another while the process lives is not used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gradcam import WeightsError
from gradcam.models.weights import Location, fetch


def test_a_file_of_the_same_size_and_time_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADCAM_WEIGHTS", str(tmp_path / "none"))
    file = tmp_path / f"net-{hashlib.sha256(b'good').hexdigest()[:8]}.pth"
    file.write_bytes(b"good")
    location = Location("acme/net", bundled=file)
    assert fetch(location) == file
    before = file.stat()
    file.write_bytes(b"evil")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match="the file is damaged or another one"):
        fetch(location)
