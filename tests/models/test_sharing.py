"""A checkpoint that one person loaded is the same model for another, who has its file and its options."""

from __future__ import annotations

import pytest

from gradcam import ModelError, load_classifier
from gradcam.models.labels import make_labels
from gradcam.models.sharing import is_file_of, load_shared, write_options
from tests.shapes import KINDS, load, saved, state


def test_it_has_the_same_id_labels_preprocessing_and_weights() -> None:
    one = load(state(), labels=make_labels(KINDS), activation="sigmoid")
    data = saved(state())
    other = load_shared(data, write_options(one))
    assert (str(other.spec), other.spec.file, other.labels) == (str(one.spec), one.spec.file, one.labels)
    assert (other.preprocessing, other.activation) == (one.preprocessing, one.activation)
    assert other.weights_sha256 == one.weights_sha256
    assert is_file_of(one, data)
    assert not is_file_of(one, data + b" ")


def test_another_file_or_model_is_refused_in_a_sentence() -> None:
    options = write_options(load(state()))
    with pytest.raises(ModelError, match="expected a checkpoint with SHA-256"):
        load_shared(saved(state()) + b" ", options)
    with pytest.raises(ModelError, match="expected the options of a checkpoint"):
        load_shared(saved(state()), "{}")
    with pytest.raises(ModelError, match="others are shared by their ids"):
        write_options(load_classifier("timm/test_resnet (untrained, seed 1)"))
