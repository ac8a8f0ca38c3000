"""Every method from many forwards is what its paper says, computed here step by step; and it can be ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradcam import Explanation, Progress, compare, explain, explain_many, heatmaps
from gradcam._compare import OnProgress
from gradcam.methods import METHODS
from gradcam.methods.from_forwards import is_cam, opti_cam, rise, ss_cam
from gradcam.methods.grids import on_coarse_grid
from gradcam.models.classifier import Classifier
from gradcam.models.labels import make_labels
from gradcam.panel_store import PanelMemory
from gradcam.types import ModelSpec, Photo, Preprocessing
from tests.methods.nets import NETS, Blocks, ChannelsLast, DeepHead, PooledHead, Tokens, images, net, walked
from tests.test_explain import colours, quarters

CLASSES = [2, 0]


def maps(model: PooledHead, batch: Tensor, name: str) -> Tensor:
    return heatmaps(model, batch, CLASSES, model.layer, method=name)


def replace_row(monkeypatch: pytest.MonkeyPatch, name: str, compute: Callable[..., Tensor]) -> None:
    """A row with fewer steps, so that the test is fast."""
    monkeypatch.setitem(METHODS, name, replace(METHODS[name], compute=compute))


# --------------------------------------------------------------------------------------- through feature maps


def masks_of(model: PooledHead, image: Tensor) -> list[Tensor]:
    """H of each channel, `[H, W]`, upsampled and stretched."""
    (activation,), _ = walked(model, image, CLASSES)
    found = []
    for one in activation:
        large = nn.functional.interpolate(one[None, None], (12, 12), mode="bilinear")[0, 0]
        spread = large.max() - large.min()
        found.append((large - large.min()) / spread if spread > 0 else torch.zeros_like(large))
    return found


def by_softmax(model: PooledHead, image: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """ReLU(Σ αA) for both classes; `score` takes a mask and returns the logits."""
    (activation,), _ = walked(model, image, CLASSES)
    scores = torch.stack([score(mask)[CLASSES] for mask in masks_of(model, image)])
    weights = scores.exp() / scores.exp().sum(0)
    return torch.einsum("ck,chw->khw", weights, activation).relu()


@pytest.mark.parametrize("kind", NETS)
def test_score_cam_weighs_channels_by_the_score_of_the_photo_seen_through_them(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images()
    model.head.weight /= 3  # a softmax that leaves more than one channel
    found = maps(model, batch, "Score-CAM")
    for image, mine in zip(batch.split(1), found, strict=True):
        expected = by_softmax(model, image, lambda mask, image=image: model(image * mask)[0])
        assert torch.allclose(mine, expected, rtol=0, atol=1e-9 * float(expected.max()))


def test_ss_cam_averages_scores_over_noise_in_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_row(monkeypatch, "SS-CAM", ss_cam(samples=3, noise=0.5, seed=4))
    model, batch = net(DeepHead), images(1)
    generator = torch.Generator().manual_seed(4)

    def score(mask: Tensor) -> Tensor:
        noisy = [mask + 0.5 * torch.randn(12, 12, generator=generator).double() for _ in range(3)]
        return torch.stack([model(batch * one)[0] for one in noisy]).mean(0)

    expected = by_softmax(model, batch, score)
    assert torch.allclose(maps(model, batch, "SS-CAM")[0], expected, rtol=1e-9)


def test_is_cam_averages_scores_while_the_masked_photo_brightens(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_row(monkeypatch, "IS-CAM", is_cam(steps=4))
    model, batch = net(Tokens), images(1)

    def score(mask: Tensor) -> Tensor:
        return torch.stack([model(batch * mask * t)[0] for t in (0.25, 0.5, 0.75, 1.0)]).mean(0)

    expected = by_softmax(model, batch, score)
    assert torch.allclose(maps(model, batch, "IS-CAM")[0], expected, rtol=1e-9)


def test_opti_cam_climbs_to_the_mixture_through_which_the_score_is_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_row(monkeypatch, "Opti-CAM", opti_cam(steps=6, rate=0.1))
    model, batch = net(ChannelsLast), images()
    found = maps(model, batch, "Opti-CAM")
    for number, image in enumerate(batch.split(1)):
        (activation,), _ = walked(model, image, CLASSES)
        for k, wanted in enumerate(CLASSES):
            u, first, second = (np.zeros(len(activation)) for _ in range(3))
            scores = []
            for step in range(1, 7):
                score, slope = score_and_slope(model, image, activation.relu(), u, wanted)
                first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
                size = np.sqrt(second / (1 - 0.999**step))
                u = u + 0.1 * (first / (1 - 0.9**step)) / (size + 0.05 * size.max())
                scores.append(score)
            assert scores[-1] > scores[0]
            expected = np.tensordot(np.exp(u) / np.exp(u).sum(), activation.relu().numpy(), 1)
            assert found[number, k].numpy() == pytest.approx(expected, abs=1e-6 * expected.max())


def score_and_slope(
    model: PooledHead, image: Tensor, features: Tensor, u: NDArray[np.float64], wanted: int
) -> tuple[float, NDArray[np.float64]]:
    """The score of an image through the features mixed by softmax(u), and its gradient with respect to u."""
    leaf = torch.from_numpy(u).requires_grad_()
    heat = torch.tensordot(leaf.softmax(0), features, 1)[None, None]
    mask = nn.functional.interpolate(heat, (12, 12), mode="bilinear")
    mask = (mask - mask.min()) / (mask.max() - mask.min())
    score = model(image * mask)[0, wanted]
    (slope,) = torch.autograd.grad(score, leaf)
    return float(score.detach()), slope.numpy()


# ------------------------------------------------------------------------------------------ changed features


def behind(model: PooledHead, image: Tensor, change: Callable[[Tensor], object]) -> Tensor:
    """The logits of both classes when the layer's places, `[1, C, h, w]`, are changed in place."""

    def hook(_module: nn.Module, _args: object, output: Tensor) -> Tensor:
        output = output.clone()
        if model.layer.layout == "NHWC":
            change(output.permute(0, 3, 1, 2))
        elif model.layer.layout == "tokens":
            change(output[:, model.layer.prefix :].mT.unflatten(2, model.layer.grid))
        else:
            change(output)
        return output

    handle = model.get_submodule(model.layer.name).register_forward_hook(hook)
    try:
        return model(image)[0, CLASSES]
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", NETS)
def test_ablation_cam_weighs_channels_by_the_score_that_is_lost_without_them(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images()
    found = maps(model, batch, "Ablation-CAM")
    for image, mine in zip(batch.split(1), found, strict=True):
        (activation,), _ = walked(model, image, CLASSES)
        score = model(image)[0, CLASSES]
        expected = torch.zeros_like(mine)
        for k, channel in enumerate(activation):
            without = behind(model, image, lambda places, k=k: places[:, k].zero_())
            expected += ((score - without) / score.abs())[:, None, None] * channel
        assert torch.allclose(mine, expected.relu(), rtol=0, atol=1e-9 * float(expected.max()))


def test_ablation_cam_behind_a_pooled_linear_head_has_a_closed_form_and_takes_no_forward() -> None:
    model, batch = net(PooledHead), images()
    heatmaps(model, batch, CLASSES, model.layer)  # what is learnt of a model once
    forwards: list[object] = []
    handle = model.body.register_forward_hook(lambda *_: forwards.append(1))
    found = maps(model, batch, "Ablation-CAM")
    handle.remove()
    assert len(forwards) == 1
    activation, scores = model.body(batch), model(batch)[:, CLASSES]
    weights = model.head.weight[CLASSES] * activation.mean((2, 3))[:, None] / scores.abs()[..., None]
    assert torch.allclose(found, torch.einsum("bkc,bchw->bkhw", weights, activation).relu(), rtol=1e-9)


class Around(DeepHead):
    """A path leads around the target layer."""

    def forward(self, x: Tensor) -> Tensor:
        behind = self.middle(self.pool(self.body(x)).flatten(1)).relu()
        return self.head(torch.cat([behind[:, 3:], x.mean((2, 3))], 1))


class Counted(DeepHead):
    """It remembers how many images came in."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.pool(self.body(x)).reshape(len(x), -1)).relu())


@pytest.mark.parametrize("name", ["Ablation-CAM", "Recipro-CAM"])
@pytest.mark.parametrize(("kind", "by_itself"), [(DeepHead, True), (Around, False), (Counted, False)])
def test_only_the_part_behind_the_layer_runs_so_often_where_it_can(
    kind: type[PooledHead], by_itself: bool, name: str
) -> None:
    model, batch = net(kind), images()
    entered: list[int] = []
    with model.body.register_forward_hook(lambda *call: entered.append(len(call[2]))):
        found = maps(model, batch, name)
    changes = {"Ablation-CAM": 5, "Recipro-CAM": 37}[name]  # channels; places, and nothing at all
    assert (sum(entered) < 2 * (changes + 3)) == by_itself  # beside the forward itself, and a trial of two
    for image, mine in zip(batch.split(1), found, strict=True):
        (activation,), _ = walked(model, image, CLASSES)
        nothing = behind(model, image, lambda places: places.zero_())
        if name == "Recipro-CAM":
            corner = torch.zeros(6, 6, dtype=torch.float64)
            corner[:2, :2] = torch.tensor([[4, 2], [2, 1]]) / 16
            alone = behind(model, image, lambda places, corner=corner: places.mul_(corner))
            assert torch.allclose(mine[:, 0, 0], alone - nothing, rtol=0, atol=1e-9 * float(mine.abs().max()))
        else:
            without = [behind(model, image, lambda places, k=k: places[:, k].zero_()) for k in range(5)]
            drops = torch.stack([model(image)[0, CLASSES] - one for one in without])
            weighted = torch.einsum("ck,chw->khw", drops / model(image)[0, CLASSES].abs(), activation)
            assert torch.allclose(mine, weighted.relu(), rtol=0, atol=1e-9 * float(weighted.abs().max()))


def test_whether_the_end_runs_by_itself_is_measured_once_and_told() -> None:
    model, entered = net(DeepHead), list[int]()
    with model.body.register_forward_hook(lambda *call: entered.append(len(call[2]))):
        maps(model, images(2), "SmoothGrad(Recipro-CAM)")
    assert max(entered) == 2
    assert len(entered) < 1 + 8 * (1 + 5) + 8  # each copy, and its 37 changes eight at a time; few to measure
    told: list[tuple[int, int]] = []
    explain(colours(), quarters(), "red", method="Recipro-CAM", on_forwards=lambda *now: told.append(now))
    assert told == [(0, 3), (0, 17), (16, 17)]


def test_a_negative_score_turns_no_weight_of_ablation_cam_round() -> None:
    model, batch = net(PooledHead), images(1)
    model.head.bias.sub_(float(model(batch).max()) + 1)
    assert (model(batch) < 0).all()
    low = maps(model, batch, "Ablation-CAM")
    model.head.bias.add_(2 * float(model(batch).abs().max()))
    high = maps(model, batch, "Ablation-CAM")
    assert low.max() > 0
    for one, other in zip(low[0], high[0], strict=True):
        assert torch.allclose(one / one.max(), other / other.max(), rtol=1e-9)


@pytest.mark.parametrize("kind", NETS)
def test_recipro_cam_is_the_score_of_each_place_by_itself(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images(1)
    (found,) = maps(model, batch, "Recipro-CAM")
    nothing = behind(model, batch, lambda places: places.zero_())
    for row, column in ((0, 0), (2, 3), (5, 1)):
        kept = torch.zeros(6, 6, dtype=torch.float64)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                if 0 <= row + down < 6 and 0 <= column + right < 6:
                    kept[row + down, column + right] = 1 / 2 ** (2 + abs(down) + abs(right))
        alone = behind(model, batch, lambda places, kept=kept: places.mul_(kept))
        assert torch.allclose(found[:, row, column], alone - nothing, rtol=0, atol=1e-9 * float(found.abs().max()))


# -------------------------------------------------------------------------------------------- changed images


def test_rise_adds_up_random_masks_by_how_much_more_they_score_than_the_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_row(monkeypatch, "RISE", rise(samples=9, cells=3, share=0.4, seed=2))
    model, batch = net(DeepHead), images(1)
    generator = torch.Generator().manual_seed(2)
    small = torch.rand(9, 1, 3, 3, generator=generator) < 0.4
    down, right = (torch.randint(4, (9,), generator=generator) for _ in range(2))
    large = nn.functional.interpolate(small.double(), (16, 16), mode="bilinear")[:, 0]
    masks = [one[y : y + 12, x : x + 12] for one, y, x in zip(large, down, right, strict=True)]
    scores = torch.stack([model(batch * mask)[0, CLASSES] for mask in masks])
    above = scores - scores.mean(0)
    expected = torch.einsum("nk,nhw->khw", above, torch.stack(masks)) / (9 * 0.4)
    assert torch.allclose(maps(model, batch, "RISE")[0], expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


class Corner(nn.Module):
    """Whose scores are the brightness of the upper right corner, without any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4).double(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :3, 8:].mean((1, 2, 3))[:, None] * self.scale


@pytest.mark.parametrize("name", ["RISE", "Occlusion"])
def test_a_model_without_a_layer_is_explained_from_its_scores_alone(name: str) -> None:
    found = heatmaps(Corner(), torch.ones(1, 3, 12, 12).double(), 0, method=name)[0, 0]
    row, column = divmod(int(found.argmax()), 12)
    assert row < 3
    assert column >= 8
    assert found[6:, :6].max() < found.max() / 3


@pytest.mark.parametrize("kind", NETS)
def test_occlusion_is_the_score_that_a_grey_patch_takes(kind: type[PooledHead]) -> None:
    model, batch = net(kind), images()
    found = maps(model, batch, "Occlusion")
    assert found.shape == (2, 2, 12, 12)  # no finer than the pixels
    for row, column in ((0, 0), (4, 7), (11, 3)):
        covered = batch.clone()
        for y in range(max(0, row - 1), min(12, row + 2)):
            for x in range(max(0, column - 1), min(12, column + 2)):
                covered[:, :, y, x] = 0
        expected = (model(batch) - model(covered))[:, CLASSES]
        assert torch.allclose(found[:, :, row, column], expected, rtol=0, atol=1e-9 * float(found.abs().max()))


def test_a_large_map_is_kept_on_a_coarser_grid() -> None:
    rising = torch.arange(112.0)[:, None].expand(112, 224)[None]
    kept = on_coarse_grid(rising)
    assert kept.shape == (1, 28, 56)
    assert torch.allclose(kept[0, :, 0], torch.arange(28.0) * 4 + 1.5)
    assert on_coarse_grid(rising[:, :5, :5]).shape == (1, 5, 5)


# --------------------------------------------------------------------------------------- progress and its end


class Enough(Exception):  # noqa: N818
    pass


def test_a_method_tells_its_forwards_and_can_be_ended_between_batches() -> None:
    told: list[tuple[int, int]] = []
    explain(colours(), quarters(), ["red", "blue"], method="Occlusion", on_forwards=lambda *now: told.append(now))
    assert told == [(0, 16)]  # 4×4 pixels, no finer: one batch

    def end(done: int, total: int) -> None:
        told.append((done, total))
        if done >= 32:
            raise Enough

    told.clear()
    with pytest.raises(Enough):
        explain(colours(), quarters(), ["red", "blue"], method="RISE", on_forwards=end)
    assert told == [(0, 1000), (16, 1000), (32, 1000)]


AGAIN = [
    *("Smooth Grad-CAM++", "Integrated Grad-CAM", "Expected Grad-CAM", "FullGrad", "Guided Grad-CAM"),
    *("RefineCAM", "LeGrad"),
    *("Generic attention", "Opti-CAM", "Recipro-CAM", "SmoothGrad(Ablation-CAM)", "SmoothGrad(RefineCAM)"),
    "Augmented(SmoothGrad(LeGrad))",
]


@pytest.mark.parametrize("name", AGAIN)
def test_whatever_runs_the_model_again_tells_one_count_of_forwards_and_can_be_ended(name: str) -> None:
    size = Preprocessing(
        (12, 12), (12, 12), mode="squash", interpolation="nearest", mean=(0.5,) * 3, std=(0.2,) * 3
    )
    labels = make_labels(["a", "b", "c", "d"])
    classifier = Classifier(net(Blocks).float(), size, labels, ModelSpec("own", "blocks"))
    photo = Photo(np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8), "noise", "2" * 64)
    told: list[float] = []

    def ask(last: int) -> None:
        def tell(done: int, total: int) -> None:
            told.append(done / total)
            if len(told) == last:
                raise Enough

        told.clear()
        explain(classifier, photo, ["a", "c"], method=name, layer=Blocks.layer, on_forwards=tell)

    ask(0)
    assert told[0] == 0
    assert told == sorted(told)
    assert told[-1] < 1
    with pytest.raises(Enough):
        ask(len(told))


def test_compare_tells_them_and_keeps_what_other_methods_found() -> None:
    shares: list[float] = []

    def end(progress: Progress) -> None:
        shares.append(progress.share)
        if progress.forwards and progress.forwards[0] >= 32:
            raise Enough

    def ask(methods: list[str], end: OnProgress) -> None:
        compare(
            ["own/colours"],
            [photo],
            ["red"],
            methods=methods,
            layer="maps",
            results=kept,
            use=lambda _: nullcontext(classifier),
            on_progress=end,
        )

    classifier, photo, kept = colours(), Photo(quarters().pixels, "quarters", "1" * 64), PanelMemory()
    with pytest.raises(Enough):
        ask(["RISE", "Grad-CAM"], end)
    assert shares == pytest.approx([0, 0.5, 0.5, 0.5, 0.5 + 8 / 1000, 0.5 + 16 / 1000])
    shares.clear()
    ask(["Grad-CAM"], end)
    assert shares == []


def test_explain_many_that_is_closed_ends_its_workers() -> None:
    photos = [Photo(quarters().pixels, f"quarters {number}", str(number) * 64) for number in range(4)]
    found = explain_many(colours(), photos, ["red"], method="Occlusion", batch_size=1)
    assert isinstance(first := next(found), Explanation)
    assert first.grid == (4, 4)
    found.close()
