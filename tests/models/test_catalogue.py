"""The catalogue: every id once, and searched with a slip forgiven."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gradcam.models.catalogue import catalogue_entries, search_models
from gradcam.models.ids import parse_model_id
from tests.models.small_network import SQUEEZENET_FILE, place, squeezenet

pytestmark = pytest.mark.usefixtures("empty_caches")


def test_the_catalogue_lists_every_id_once_and_quickly() -> None:
    entries = catalogue_entries()
    started = time.monotonic()
    assert catalogue_entries() == entries
    assert time.monotonic() - started < 2
    assert len({entry.id for entry in entries}) == len(entries) > 1400
    assert [entry.weights for entry in entries[:3]] == ["bundled"] * 3
    by_id = {entry.id: entry for entry in entries}
    vgg16 = by_id["torchvision/vgg16@IMAGENET1K_V1"]
    assert (vgg16.weights, vgg16.parameters, vgg16.input_size) == ("download 553 MB", 138357544, (224, 224))
    assert "timm/vit_small_patch14_dinov2.lvd142m" not in by_id


def test_every_id_of_the_catalogue_can_be_read() -> None:
    for entry in catalogue_entries()[::25]:
        assert str(parse_model_id(entry.id)) == entry.id


def test_a_model_whose_weights_are_here_is_listed_as_cached(empty_caches: Path) -> None:
    place(empty_caches / "torchvision" / SQUEEZENET_FILE, squeezenet())
    assert [entry.weights for entry in search_models("torchvision/squeezenet1_1")] == ["cached"]


def test_search_puts_the_exact_name_first_and_forgives_a_slip() -> None:
    assert [entry.id for entry in search_models("vgg16")[:2]] == [
        "torchvision/vgg16@IMAGENET1K_V1",
        "timm/vgg16.tv_in1k",
    ]
    assert {entry.architecture for entry in search_models("resnet50 timm")[:5]} == {"resnet50"}
    assert search_models("resnt50")[0].architecture == "resnet50"
    assert search_models("qqqqqqqq") == []
    assert search_models("") == catalogue_entries()
