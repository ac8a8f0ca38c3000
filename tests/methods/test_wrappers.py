"""A wrapper makes a row from any row: by name, step by step, and with all that a row says."""

from __future__ import annotations

import pytest
import torch

from gradcam import Failure, Heatmap, compare, heatmaps, scaling
from gradcam.errors import MethodError, OptionError
from gradcam.methods import METHODS, WRAPPERS, find_method, find_methods, known_method
from gradcam.methods.wrappers import LEAST_PEAK, fused
from tests.methods.nets import Blocks, DeepHead, PooledHead, images, net, walked
from tests.test_explain import colours, quarters

CLASSES = [2, 0]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("smoothgrad(layercam)", "SmoothGrad(LayerCAM)"),
        (" Layer Max ( Smooth-Grad ( Finer-CAM ( layer-cam ) ) )", "Layer-max(SmoothGrad(Finer-CAM(LayerCAM)))"),
        ("Finer-CAM(Grad-CAM)", "Finer-CAM"),
        ("augmented(finercam(gradcam))", "Augmented(Finer-CAM)"),
    ],
)
def test_a_name_is_a_method_in_brackets_after_its_wrapper(typed: str, name: str) -> None:
    found = find_method(typed)
    assert found.name == name
    assert getattr(known_method(name), "parameters", None) == found.parameters
    assert known_method(typed) is None or typed == name
    assert [one.name for one in find_methods([typed, name])] == [name]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("LayerCAM(Grad-CAM)", "expected a wrapper before the bracket, got 'LayerCAM'; use Finer-CAM"),
        ("Augmented(Grad-CAM", r"expected a method in brackets, got .*; write Augmented\(Grad-CAM\)"),
        ("Augmented()", "expected a method, got ''; use "),
        ("Augmented(Augmented(FEM))", r"each wrapper once, got .*; write Augmented\(FEM\)"),
        ("Finer-CAM(Finer-CAM)", "each wrapper once"),
        ("Finer-CAM(FEM)", r"knows the class in Finer-CAM\(…\), got FEM"),
        ("Layer-max(LeGrad)", r"reads a layer in Layer-max\(…\), got LeGrad"),
        ("SmoothGrad(Layer-max(CAM))", r"fuses layers outermost, got .*; write Layer-max\(SmoothGrad\(CAM\)\)"),
        ("Layer-mean(Layer-max(CAM))", r"fuses layers outermost, got .*; write Layer-max\(CAM\)"),
        ("Augmented(" * 9999 + ")" * 9999, "expected a method in brackets"),
    ],
)
def test_a_name_that_is_none_is_refused_in_a_sentence(typed: str, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence) as refused:
        find_method(typed)
    assert len(str(refused.value)) < 400


def test_every_wrapper_makes_a_whole_row_of_every_row_that_it_fits() -> None:
    for wrapper in WRAPPERS.values():
        for base in METHODS.values():
            fits = base.class_specific if wrapper.of_a_class else base.reads_layer or wrapper.fuse is None
            if not fits or base.name == wrapper.name:
                continue
            row = wrapper.of(base)
            assert find_method(row.name).name in (row.name, wrapper.name)
            assert base.name in row.says
            assert "{" not in row.says + row.formula
            assert row.formula.endswith(base.formula)
            assert set(base.needs) | set(wrapper.needs) == set(row.needs)
            names = [name for name, _ in row.parameters]
            assert names == sorted(set(names)), "two parameters of one name"
            assert None in (base.seed, wrapper.seed) or base.seed == wrapper.seed
            assert row.link.startswith("https://")
    smooth = find_method("SmoothGrad(LayerCAM)")
    assert smooth.cost == "9 forwards, 8 backwards a class"
    assert find_method("SmoothGrad(Score-CAM)").cost == "9 forwards and 8 a channel, no backward"
    assert find_method("Augmented(LeGrad)").forwards_text == "19 + 6 a block"
    assert find_method("Augmented(RefineCAM)").cost == "7 forwards and 6 a stage, 6 backwards a stage and class"
    assert smooth.citation == "Smilkov et al. 2017, of Jiang et al. 2021"
    assert (smooth.parameters, smooth.seed) == ((("noise level", 0.15), ("noisy copies", 8)), 0)


@pytest.mark.parametrize("name", ["Finer-CAM(LayerCAM)", "SmoothGrad(Grad-CAM)", "Augmented(SmoothGrad(Grad-CAM))"])
def test_a_row_counts_every_forward_of_the_model(name: str) -> None:
    model, batch = net(PooledHead), images(1)
    forwards: list[object] = []
    with model.head.register_forward_hook(lambda *_: forwards.append(model)):
        heatmaps(model, batch, 2, model.layer, method=name)
    assert len(forwards) == find_method(name).forwards


def test_finer_cam_of_another_base_asks_it_for_the_class_rather_than_the_closest() -> None:
    model, batch = net(DeepHead), images(1)
    logits = model(batch)[0]
    others = sorted({0, 1, 2, 3} - {2}, key=lambda one: abs(float(logits[one] - logits[2])))
    activation, gradients = walked(model, batch, [2, *others])
    finer = gradients[0] - 0.6 * gradients[1:].mean(0)
    found = heatmaps(model, batch, 2, model.layer, method="Finer-CAM(LayerCAM)")[:, 0]
    assert torch.allclose(found, (finer.relu() * activation).sum(1).relu(), rtol=1e-9)


FINER = [name for name, row in METHODS.items() if row.class_specific and not row.takes_long and name != "Finer-CAM"]


@pytest.mark.parametrize("base", FINER)
def test_finer_cam_of_any_base_is_another_map_that_the_batch_does_not_change(base: str) -> None:
    model, batch = net(Blocks if "attention" in METHODS[base].needs else PooledHead), images()
    plain, finer = heatmaps(model, batch, CLASSES, model.layer, method=[base, f"Finer-CAM({base})"])
    alone = [heatmaps(model, one[None], CLASSES, model.layer, method=f"Finer-CAM({base})") for one in batch]
    peak = plain.abs().max()
    assert (finer - plain).abs().max() > 0.01 * peak
    assert torch.allclose(finer, torch.cat(alone), rtol=1e-6, atol=1e-9 * float(peak))


@pytest.mark.parametrize(
    "base", ["SmoothGrad(LayerCAM)", "Augmented(HiResCAM)", "Smooth Grad-CAM++", "Expected Grad-CAM"]
)
def test_finer_cam_asks_every_forward_of_its_base_for_the_same_difference(base: str) -> None:
    """The base of a function that is the same sum of logits, with the classes closest to it on the photo itself."""
    model, batch = net(DeepHead), images(1)
    logits = model(batch)[0]
    others = sorted({0, 1, 3}, key=lambda one: abs(float(logits[one] - logits[2])))
    expected = heatmaps(model, batch, lambda y: y[2] - 0.6 * y[others].mean(), model.layer, method=base)
    found = heatmaps(model, batch, 2, model.layer, method=f"Finer-CAM({base})")
    assert torch.allclose(found, expected, rtol=1e-9)
    assert found.abs().max() > 0


def test_smooth_grad_is_the_mean_over_noisy_photos_the_same_in_every_call() -> None:
    model, batch = net(DeepHead), images()
    generator, expected = torch.Generator().manual_seed(0), torch.zeros(2, 2, 6, 6).double()
    ranges = torch.stack([0.15 * (one.max() - one.min()) for one in batch])[:, None, None, None]
    for _ in range(8):
        noisy = batch + ranges * torch.randn(3, 12, 12, generator=generator).double()
        expected += heatmaps(model, noisy, CLASSES, model.layer, method="LayerCAM") / 8
    for _ in range(2):
        found = heatmaps(model, batch, CLASSES, model.layer, method="SmoothGrad(LayerCAM)")
        assert torch.allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("base", ["HiResCAM", "Eigen-CAM", "Integrated Grad-CAM"])
def test_augmented_is_the_mean_over_mirror_images_and_contrasts(base: str) -> None:
    """Also of a base that runs the model by itself, which must see the image that the wrapper made."""
    model, batch = net(DeepHead), images()
    expected = torch.zeros(2, 2, 6, 6).double()
    for contrast in (0.9, 1.0, 1.1):
        expected += heatmaps(model, contrast * batch, CLASSES, model.layer, method=base) / 6
        expected += heatmaps(model, contrast * batch.flip(3), CLASSES, model.layer, method=base).flip(3) / 6
    found = heatmaps(model, batch, CLASSES, model.layer, method=f"Augmented({base})")
    assert torch.allclose(found, expected, rtol=1e-9)


def test_layers_are_fused_by_hand() -> None:
    maps = torch.tensor([[[[[2.0, 1.0, -1.0, 0.0]]]], [[[[10.0, -5.0, -10.0, 2.0]]]], [[[[1e-9, 0.0, 0.0, 0.0]]]]])
    two = maps[:2]  # as shares of their peaks 1, 0.5, −0.5, 0 and 1, −0.5, −1, 0.2
    for reduce, expected in (
        (lambda shares: shares.mean(0), [1, 0, -0.75, 0.1]),
        (lambda shares: shares.amax(0), [1, 0, -1, 0.2]),
        (lambda shares: shares.prod(0), [1, 0, -0.5, 0]),
    ):
        assert fused(reduce)(two).flatten().tolist() == pytest.approx(expected)
    assert fused(lambda shares: shares.amax(0))(maps[2:]).tolist() == [[[[0.0] * 4]]]  # no evidence stays none
    assert LEAST_PEAK == scaling.FLOOR


def test_each_fusion_is_over_the_layers_that_were_asked_for() -> None:
    model, batch = net(PooledHead), images()
    layers = ["body.1", "body.3"]
    one, two = (heatmaps(model, batch, CLASSES, layer, method="LayerCAM") for layer in layers)
    shares = torch.stack([maps / maps.amax((2, 3), keepdim=True) for maps in (one, two)])
    names = ["LayerCAM", *(f"{name}(LayerCAM)" for name in ("Layer-mean", "Layer-max", "Layer-product"))]
    found = heatmaps(model, batch, CLASSES, layers, method=names)
    expected = ((one + two) / 2, shares.mean(0), shares.amax(0), shares.prod(0))
    for name, maps, wanted in zip(names, found, expected, strict=True):
        assert torch.allclose(maps, wanted, rtol=1e-9), name
        assert maps.max() > 0, name


def test_a_fusion_of_one_layer_is_refused_in_a_sentence() -> None:
    sentence = r"expected several layers for Layer-max\(Grad-CAM\), got 'maps' alone; name them"
    with pytest.raises(MethodError, match=sentence):
        heatmaps(colours().module, images().float(), CLASSES, "maps", method="Layer-max(Grad-CAM)")
    plain, wrapped = compare(
        [colours()], [quarters()], ["red"], methods=["Grad-CAM", "Layer-max(Grad-CAM)"], layer="maps"
    ).panels
    assert isinstance(plain, Heatmap)
    assert isinstance(wrapped, Failure)


def test_a_comparison_files_a_wrapped_method_under_its_whole_name() -> None:
    names = ["Grad-CAM", "augmented(gradcam)"]
    plain, wrapped = compare([colours()], [quarters()], ["red"], methods=names, layer="maps").heatmaps
    assert (plain.method, wrapped.method) == ("Grad-CAM", "Augmented(Grad-CAM)")
    assert wrapped.map.max() > 0
    assert scaling.is_signed("Augmented(HiResCAM)", plain.map)
