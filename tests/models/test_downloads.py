"""Weights from a host: fetched once, checked, and given up in time."""

from __future__ import annotations

import http.server
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm

from gradcam.errors import WeightsError
from gradcam.models import weights
from gradcam.models.classifier import load_classifier
from gradcam.models.weights import Location, fetch, find

pytestmark = pytest.mark.usefixtures("empty_caches")


@pytest.mark.usefixtures("unreachable")
def test_without_a_network_the_error_says_what_was_tried_how_large_it_is_and_where_to_put_it(
    empty_caches: Path,
) -> None:
    with pytest.raises(WeightsError) as caught:
        load_classifier("torchvision/vgg16")
    sentence = str(caught.value)
    for part in ("torchvision/vgg16@IMAGENET1K_V1", "553 MB", "download.pytorch.org", "Network is unreachable"):
        assert part in sentence
    assert f"at {empty_caches / 'torchvision' / 'vgg16-397923af.pth'}" in sentence
    with pytest.raises(WeightsError, match=r"huggingface\.co.*timm/resnet50\.a1_in1k\.safetensors"):
        load_classifier("timm/resnet50")


def test_weights_that_nobody_offers_are_said_to_be_so() -> None:
    assert not timm.models.is_model_pretrained("darknet17")
    with pytest.raises(WeightsError, match=r"which nobody offers for download; put a weight file at .*darknet17"):
        load_classifier("timm/darknet17")


def test_a_host_that_accepts_and_never_answers_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DEADLINE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(WeightsError, match=r"timed out|no answer within 0\.3 seconds"):
            fetch(Location("torchvision/x", url=f"http://127.0.0.1:{port}/x.pth"))
    assert time.monotonic() - started < 2


def test_a_name_that_never_resolves_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_arguments: object, **_options: object) -> None:
        released.wait(60)
        raise OSError("released")

    monkeypatch.setattr(weights, "DEADLINE", 0.3)
    monkeypatch.setattr(urllib.request, "urlopen", hang)
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"no answer within 0\.3 seconds"):
        load_classifier("torchvision/vgg16")
    assert time.monotonic() - started < 2
    released.set()


def test_the_default_deadline_leaves_room_within_fifteen_seconds() -> None:
    assert weights.DEADLINE <= 12


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A loopback host that serves the folder `served`."""
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options) -> None:
            super().__init__(*args, directory=str(tmp_path / "served"), **options)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_download_lands_in_torch_hubs_cache_and_is_found_there_next_time(tmp_path: Path, host: str) -> None:
    (tmp_path / "served" / "model.pth").write_bytes(b"weights")
    location = Location("torchvision/model", url=f"{host}/model.pth")
    assert find(location) is None
    file = fetch(location)
    assert file == tmp_path / "torch" / "hub" / "checkpoints" / "model.pth" == find(location)
    assert file.read_bytes() == b"weights"


def test_a_damaged_download_is_refused_and_leaves_nothing_behind(tmp_path: Path, host: str) -> None:
    (tmp_path / "served" / "model-0123abcd.pth").write_bytes(b"weights")
    with pytest.raises(WeightsError, match="the file is damaged"):
        fetch(Location("torchvision/model", url=f"{host}/model-0123abcd.pth"))
    assert not list((tmp_path / "torch" / "hub" / "checkpoints").iterdir())


def test_a_file_that_the_host_does_not_have_is_said_to_be_missing(host: str) -> None:
    with pytest.raises(WeightsError, match="File not found"):
        fetch(Location("torchvision/model", url=f"{host}/model.pth"))
