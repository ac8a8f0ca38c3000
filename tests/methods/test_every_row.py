"""What holds for every method, whatever the network: one property test over all rows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import Tensor, nn

from gradcam import MapError, heatmaps
from gradcam.methods import METHODS, Method, find_method
from gradcam.methods.from_forwards import is_cam, occlusion, opti_cam, rise, ss_cam
from tests.methods.nets import NETS, Blocks, ChannelsLast, DeepHead, PooledHead, Tokens, images, net

CLASSES = [3, 1]
IGNORED = 1
RULED_OUT = 0
OWN_GRIDS = {"FullGrad": (12, 12), "Guided Grad-CAM": (3, 3), "RISE": (12, 12), "Occlusion": (4, 4)}
AS_GOOD_AS_EQUAL = 1e-6
"""A share of a map's own peak."""

IN_FLOAT32 = 1e-4
"""The same in float32, whose rounding is 1e-7, where no more than 999 thousandths of what is added up cancel."""


@pytest.fixture(autouse=True, scope="module")
def _fewer_steps() -> Iterator[None]:
    """Methods of many steps take a few here, and their rows hold all the same."""
    fewer = {
        "SS-CAM": ss_cam(samples=2, noise=2.0, seed=0),
        "IS-CAM": is_cam(steps=2),
        "Opti-CAM": opti_cam(steps=3, rate=0.1),
        "RISE": rise(samples=40, cells=3, share=0.5, seed=0),
        "Occlusion": occlusion(cells=4),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, compute in fewer.items():
            patch.setitem(METHODS, name, replace(METHODS[name], compute=compute))
        yield


def maps_of(model: PooledHead, batch: Tensor, classes: list[int]) -> dict[str, Tensor]:
    """Each method's maps; a method that cannot explain this kind of network has none."""
    names = [name for name, method in METHODS.items() if can_explain(method, type(model))]
    names += ["Augmented(HiResCAM)", "SmoothGrad(LayerCAM)", "Finer-CAM(Eigen-Grad-CAM)"]
    return dict(zip(names, heatmaps(model, batch, classes, model.layer, method=names), strict=True))


def can_explain(method: Method, kind: type[PooledHead]) -> bool:
    lacks = {
        "linear head": kind is not PooledHead,
        "attention": kind not in (Tokens, Blocks),
        "pixel gradients": method.name == "Guided Grad-CAM" and kind is Tokens,  # it has no ReLU
        "curvature": kind is Blocks,  # fused attention has no second derivative
    }
    return not any(lacks.get(need) for need in method.needs)


def as_found(model: nn.Module) -> tuple[object, ...]:
    """All that a method could leave behind."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    modules = [(*(len(getattr(one, kind)) for kind in hooks), one.training) for one in model.modules()]
    weights = [(weight.requires_grad, weight.grad) for weight in model.parameters()]
    values = [value.flatten().tolist() for value in model.state_dict().values()]
    return modules, weights, values, torch.is_grad_enabled()


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(NETS),
    seed=st.integers(0, 2**16),
    count=st.integers(1, 3),
    precision=st.sampled_from([torch.float32, torch.float64]),
)
def test_a_method_leaves_the_model_and_does_not_see_the_rest_of_the_batch(
    kind: type[PooledHead], seed: int, count: int, precision: torch.dtype
) -> None:
    model, batch = net(kind, seed).to(precision), images(count, seed + 1).to(precision)
    before = as_found(model)
    together = maps_of(model, batch, CLASSES)
    assert as_found(model) == before
    alone = maps_of(model, batch[-1:], CLASSES)
    for name, maps in together.items():
        assert maps.shape == (count, 2, *OWN_GRIDS.get(name, model.layer.grid)), name
        assert find_method(name).signed or maps.min() >= 0, name
        assert maps.dtype == precision, name
        apart, peak = ((maps[-1:] - alone[name]).abs().amax((2, 3)), alone[name].abs().amax((2, 3)))
        if precision is torch.float64:  # where values nearly cancel, float32 keeps few digits
            assert (apart <= AS_GOOD_AS_EQUAL * peak).all(), name
        assert find_method(name).class_specific or torch.equal(maps[:, 0], maps[:, 1]), name


@pytest.mark.parametrize("kind", [PooledHead, Blocks])
def test_in_float32_maps_differ_by_no_more_than_rounding(kind: type[PooledHead]) -> None:
    """A photo alone and in a batch are rounded otherwise, because sums are added up in another order; where terms
    nearly cancel, what is left has lost digits. Above, float64 holds 1e-6."""
    model, batch = net(kind).float(), images().float()
    together, alone = maps_of(model, batch, CLASSES), maps_of(model, batch[-1:], CLASSES)
    for name, maps in together.items():
        peak = alone[name].abs().amax((2, 3))
        assert ((maps[-1:] - alone[name]).abs().amax((2, 3)) <= IN_FLOAT32 * peak).all(), name


def test_eight_threads_get_what_each_would_get_alone() -> None:
    names = ["FullGrad", "Guided Grad-CAM", "LeGrad", "Generic attention", "Recipro-CAM", "Score-CAM"]
    shared, batch = net(Blocks), images(2)

    def ask(model: PooledHead, photo: int) -> tuple[Tensor, ...]:
        return heatmaps(model, batch[[photo]], CLASSES, model.layer, method=names)

    before, alone = as_found(shared), [ask(shared, photo) for photo in (0, 1)]
    models = [shared if thread < 4 else deepcopy(shared) for thread in range(8)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, models, [0, 1] * 4))
    assert as_found(shared) == before
    for number, maps in enumerate(found):
        for name, mine, expected in zip(names, maps, alone[number % 2], strict=True):
            assert (mine - expected).abs().max() <= AS_GOOD_AS_EQUAL * expected.abs().max(), name


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_photo_of_one_colour_has_finite_maps(kind: type[PooledHead], value: float) -> None:
    model = net(kind)
    for name, maps in maps_of(model, torch.full((1, 3, 12, 12), value).double(), CLASSES).items():
        assert maps.isfinite().all(), name


@pytest.mark.parametrize("kind", [PooledHead, DeepHead, Blocks])
def test_weights_that_are_not_finite_are_refused_and_no_empty_map(kind: type[PooledHead]) -> None:
    model = net(kind)
    model.head.weight[CLASSES[0], 0] = torch.nan
    for name in [name for name, method in METHODS.items() if can_explain(method, kind) and method.class_specific]:
        with pytest.raises(MapError, match="expected finite heat"):
            heatmaps(model, images(), CLASSES[0], model.layer, method=name)


@pytest.mark.parametrize("kind", [PooledHead, DeepHead, Blocks])
def test_a_class_that_the_network_rules_out_changes_no_other_class(kind: type[PooledHead]) -> None:
    model = net(kind)
    before = maps_of(model, images(), CLASSES)
    model.head.bias[RULED_OUT] = -torch.inf
    for name, maps in maps_of(model, images(), CLASSES).items():
        assert maps.isfinite().all(), name
        compares = "scores" in find_method(name).needs  # with the similar classes, one of which is gone
        assert compares or torch.allclose(maps, before[name], rtol=1e-9), name


def test_finer_cam_compares_with_no_class_that_the_network_rules_out() -> None:
    model = net(DeepHead)
    model.head.bias[0] = -torch.inf
    found = heatmaps(model, images(), 3, model.layer, method="Finer-CAM(HiResCAM)")
    three, one, two = heatmaps(model, images(), [3, 1, 2], model.layer, method="HiResCAM").unbind(1)
    assert torch.allclose(found[:, 0], three - 0.6 * (one + two) / 2)


@pytest.mark.parametrize("kind", NETS)
def test_a_class_that_the_network_ignores_has_an_empty_map(kind: type[PooledHead]) -> None:
    model = net(kind)
    model.head.weight[IGNORED] = 0
    for name, maps in maps_of(model, images(), [IGNORED]).items():
        compares = "scores" in find_method(name).needs  # with other classes, which the network does not ignore
        assert find_method(name).class_specific is False or compares or not maps.any(), name


@pytest.mark.parametrize("kind", [PooledHead, ChannelsLast, Tokens, Blocks])
def test_a_layout_is_read_as_it_lies(kind: type[PooledHead]) -> None:
    """A photo mirrored before a network that sees no direction has mirrored maps."""
    model = net(kind)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_((module.weight + module.weight.flip(3)) / 2)
    if kind not in (Tokens, Blocks):  # strides of two see a direction, whole patches do not
        model.body[0] = nn.Conv2d(3, 8, 2, 2).double().requires_grad_(False)
        model.body[0].weight.copy_((model.body[0].weight + model.body[0].weight.flip(3)) / 2)
    seen, mirrored = (maps_of(model, batch, CLASSES) for batch in (images(), images().flip(3)))
    for name, maps in seen.items():
        if find_method(name).seed is not None:
            continue  # its noise is not mirrored
        assert torch.allclose(maps.flip(3), mirrored[name], atol=1e-9 * float(maps.abs().max())), name
        assert not torch.allclose(maps, mirrored[name], atol=1e-3 * float(maps.abs().max())), name
