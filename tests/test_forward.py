"""What one forward answers beside maps: each photo's own targets, and what the channels hold."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam import Explanation, GradcamError, LayerError, ModelError, load_classifier, sample_photo
from gradcam.forward import Batch, Forward, channels_of, explanations
from gradcam.layers import candidate_layers
from gradcam.methods import find_method
from gradcam.types import TargetLayer, Top
from tests import plain

WEIGHTS = [[4.0, 0, 0], [0, 0, 8.0]]
RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_each_photo_of_a_batch_may_have_a_target_of_its_own() -> None:
    classifier = plain.classifier(["red", "blue"], WEIGHTS)
    photos = plain.photo(RED), plain.photo(BLUE)
    forward = Forward.of(Batch.of(photos, classifier.preprocessing, "squash"), classifier, "grid")
    found = explanations(classifier, forward, [["blue"], [Top(2)]])
    assert [explanation.targets[0].label for (explanation,) in found] == ["blue", "red"]
    assert [explanation.targets[0].score for (explanation,) in found] == [0, 0]


@pytest.mark.parametrize(("learns", "error"), [(True, LayerError), (False, ModelError)])
def test_a_method_that_reads_more_of_the_model_than_autograd_sees_fails_no_other(
    learns: bool, error: type[GradcamError]
) -> None:
    classifier = plain.classifier(["red", "blue"], WEIGHTS)
    layer = TargetLayer("grid", (2, 2), 3, "by hand")
    classifier.module.get_submodule("grid").register_forward_pre_hook(lambda _module, args: args[0].detach())
    classifier.module.get_submodule("head").requires_grad_(learns)
    forward = Forward.of(Batch.of((plain.photo(RED),), classifier.preprocessing, "squash"), classifier, layer)
    methods = [find_method("Grad-CAM"), find_method("FullGrad")]
    ((seen, unseen),) = explanations(classifier, forward, [["red"]], methods)
    assert isinstance(seen, Explanation)
    assert seen.maps.max() > 0
    assert isinstance(unseen, error)


def test_contributions_at_a_head_that_pools_are_weight_times_mean_and_add_up_to_the_logit() -> None:
    classifier = plain.classifier(["red", "blue"], WEIGHTS, bias=[0.5, 0])
    photo = plain.photo(RED, RED, BLUE, BLUE)
    forward = Forward.of(Batch.of((photo,), classifier.preprocessing, "squash"), classifier, "grid")
    ((found,),) = explanations(classifier, forward, [["red", "blue"]])
    (channels,) = channels_of(forward, [found.targets])
    assert channels.means == pytest.approx([0.5, 0, 0.5])
    assert channels.contributions.tolist() == [[2, 0, 0], [0, 0, 4]]
    assert np.add(channels.contributions.sum(axis=1), [0.5, 0]) == pytest.approx(found.logits)
    assert channels.earlier.size == 0


def test_an_earlier_layer_is_kept_pooled_and_changes_no_map() -> None:
    classifier = load_classifier("bundled/tf_efficientnet_lite0", exact=True)
    earlier = candidate_layers(classifier.module, classifier.preprocessing.size)[-2]
    batch = Batch.of((sample_photo("chelsea"), sample_photo("coffee")), classifier.preprocessing, "crop")
    bare, both = (Forward.of(batch, classifier, earlier=layer) for layer in (None, earlier))
    alone, beside = (explanations(classifier, forward, [[Top(1)]] * 2) for forward in (bare, both))
    assert all(np.array_equal(a.maps, b.maps) for (a,), (b,) in zip(alone, beside, strict=True))
    channels = channels_of(both, [explanation.targets for (explanation,) in beside], earlier)
    own = Forward.of(batch, classifier, earlier.name)
    expected = channels_of(own, [explanation.targets for (explanation,) in beside])
    assert [one.earlier.shape for one in channels] == [(earlier.channels,)] * 2
    assert all(np.allclose(a.earlier, b.means, atol=1e-6) for a, b in zip(channels, expected, strict=True))
