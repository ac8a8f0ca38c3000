"""Methods from the scores of many forwards: of images seen through masks, or of features changed at the layer.

A is the activation of a layer, k one of its channels, y a score and X an image. A function named `seen` or
`without` makes the images, or the activation, of the forward of a number. Every function returns raw maps
`[B, K, h, w]`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor

import torch
from torch import Tensor
from torch.nn import functional

from gradcam.methods.from_gradients import weighted_sum
from gradcam.methods.grids import on_coarse_grid, stretched, upsampled
from gradcam.methods.method import Compute, Signals

FLAT, TINY = 0.05, 1e-30
"""For Adam: the share of the steepest slope next to which a slope counts as flat, and the least divisor."""

# --------------------------------------------------------------------------------------- through feature maps


def score_cam(signals: Signals) -> Tensor:
    """ReLU(Σₖ αₖ Aₖ), with α = the softmax over k of y(X ⊙ Hₖ), where Hₖ is Aₖ, upsampled and stretched to [0, 1].

    Differs from pytorch-grad-cam, which aligns the corners of A and of X, and from torchcam, which stretches first
    and upsamples then.
    """
    scores = signals.scores_of(lambda k: signals.images * _mask(signals, k), signals.activation.shape[1])
    return _weighted_by_softmax(scores, signals)


def ss_cam(samples: int, noise: float, seed: int) -> Compute:
    """Score-CAM with the mean of y(X ⊙ (Hₖ + δ)) over noise δ; the same noise for every image of a batch.

    noise: its standard deviation. Differs from torchcam, which draws other noise in each call.
    """

    def compute(signals: Signals) -> Tensor:
        size, generator = signals.images.shape[2:], torch.Generator().manual_seed(seed)

        def seen(number: int) -> Tensor:
            drawn = torch.randn(size, generator=generator).to(signals.images)
            return signals.images * (_mask(signals, number // samples) + noise * drawn)

        scores = signals.scores_of(seen, samples * signals.activation.shape[1])
        return _weighted_by_softmax(scores.unflatten(2, (-1, samples)).mean(3), signals)

    return compute


def is_cam(steps: int) -> Compute:
    """Score-CAM with the mean of y(t X ⊙ Hₖ) over t = 1/n, 2/n, …, 1.

    Differs from torchcam, whose t is the sum of all steps so far and exceeds 1.
    """

    def compute(signals: Signals) -> Tensor:
        def seen(number: int) -> Tensor:
            k, step = divmod(number, steps)
            return signals.images * _mask(signals, k) * ((step + 1) / steps)

        scores = signals.scores_of(seen, steps * signals.activation.shape[1])
        return _weighted_by_softmax(scores.unflatten(2, (-1, steps)).mean(3), signals)

    return compute


def opti_cam(steps: int, rate: float) -> Compute:
    """Σₖ αₖ ReLU(Aₖ), with α = softmax(u), where u maximises y(X ⊙ H), H being the map upsampled and stretched.

    u begins at 0 and climbs by Adam in `steps` of `rate`. If y never depends on H, the map is empty.
    Differs from the authors' code, which brings y(X ⊙ H) close to y(X) and may stop early. Adam's constant is
    `FLAT` of the steepest slope, not 1e-8: a slope that is nothing but rounding moves nothing.
    """

    def compute(signals: Signals) -> Tensor:
        return torch.cat([_climbed(one, steps, rate) for one in signals.one_by_one()], 1)

    return compute


def _climbed(signals: Signals, steps: int, rate: float) -> Tensor:
    """The map `[B, 1, h, w]` of a single score."""
    features = signals.activation.relu()
    u, first, second = features.new_zeros(3, *features.shape[:2])
    for step in signals.counted(steps):
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            seen = signals.images * stretched(upsampled(weighted_sum(u.softmax(1)[None], features), signals.images))
        gradient = signals.at_input(seen.detach()).gradients[0].to(seen)
        (slope,) = torch.autograd.grad(seen, u, gradient)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        mean, size = first / (1 - 0.9 ** (step + 1)), (second / (1 - 0.999 ** (step + 1))).sqrt()
        u = u.detach() + rate * mean / (size + FLAT * size.amax(1, keepdim=True)).clamp(min=TINY)
    depends = (second != 0).any(1, keepdim=True)
    return weighted_sum((u.softmax(1) * depends)[None], features)


def _mask(signals: Signals, channel: int) -> Tensor:
    """Hₖ of a channel, `[B, 1, H, W]`."""
    return stretched(upsampled(signals.activation[:, channel, None], signals.images)).to(signals.images)


def _weighted_by_softmax(scores: Tensor, signals: Signals) -> Tensor:
    """ReLU(Σₖ αₖ Aₖ), with α = the softmax over k of scores `[K, B, C]`; 0 where no mask changes the score."""
    changes = (scores != signals.scores[..., None]).any(2, keepdim=True)
    return weighted_sum(scores.softmax(2) * changes, signals.activation).relu()


# ------------------------------------------------------------------------------------------ changed features


def ablation_cam(signals: Signals) -> Tensor:
    """ReLU(Σₖ wₖ Aₖ), with wₖ = (y − yₖ) / |y|, where yₖ is the score without channel k; 0 where y is.

    Behind a pooling and one linear layer with weights v, y − yₖ = vₖ mean(Aₖ), without a forward. Tokens that are
    no place keep channel k. Differs from the paper and pytorch-grad-cam, which divide by y: a negative score would
    turn every weight round.
    """

    def without(k: int) -> Tensor:
        return signals.activation.index_fill(1, torch.tensor([k], device=signals.activation.device), 0)

    if signals.has_linear_head:
        drops = signals.head * signals.activation.mean((2, 3))
    else:
        drops = signals.scores[..., None] - signals.scores_with(without, signals.activation.shape[1])
    size = signals.scores.abs()[..., None]
    return weighted_sum(torch.where(size == 0, 0, drops / size), signals.activation).relu()


def recipro_cam(signals: Signals) -> Tensor:
    """y(A ⊙ Gₚ) − y(0) at each place p, where Gₚ is a bump of 3×3 places around p, ¼ in its middle.

    Differs from the paper, which takes the probability and stretches the map from its least value to its largest.
    """
    height, width = signals.activation.shape[2:]
    bump = signals.activation.new_tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16

    def seen(number: int) -> Tensor:
        row, column = divmod(number, width)
        kept = signals.activation.new_zeros(height + 2, width + 2)
        if row < height:  # after the last place, all features are 0
            kept[row : row + 3, column : column + 3] = bump
        return signals.activation * kept[1:-1, 1:-1]

    scores = signals.scores_with(seen, height * width + 1)
    return (scores[..., :-1] - scores[..., -1:]).unflatten(2, (height, width)).transpose(0, 1)


# -------------------------------------------------------------------------------------------- changed images


def rise(samples: int, cells: int, share: float, seed: int) -> Compute:
    """Σᵢ (yᵢ − mean y) Mᵢ / (N p), with yᵢ = y(X ⊙ Mᵢ) and N smooth random masks Mᵢ that keep a share p of X.

    Differs from the paper, which takes the probability and no mean: only a constant is taken off, so that 0 is what
    a mask leaves on average.
    """

    def compute(signals: Signals) -> Tensor:
        mask = _random_masks(signals.images, samples, cells, share, seed)
        scores = signals.scores_of(lambda number: signals.images * mask(number), samples)
        above = scores - scores[..., :1]
        above = (above - above.mean(2, keepdim=True)) / (samples * share)
        masks = torch.cat([on_coarse_grid(mask(number)[None]) for number in range(samples)])
        return torch.einsum("kbn,nhw->bkhw", above, masks.to(above))

    return compute


def _random_masks(images: Tensor, samples: int, cells: int, share: float, seed: int) -> Callable[[int], Tensor]:
    """The masks `[H, W]` by their number: `cells`×`cells` of 0 and 1, enlarged smoothly and shifted by less than a
    cell."""
    generator = torch.Generator().manual_seed(seed)
    kept = (torch.rand(samples, 1, cells, cells, generator=generator) < share).to(images)
    height, width = images.shape[2:]
    rows, columns = ceil(height / cells), ceil(width / cells)
    down, right = (torch.randint(side, (samples,), generator=generator).tolist() for side in (rows, columns))

    def mask(number: int) -> Tensor:
        size = (cells + 1) * rows, (cells + 1) * columns
        large = functional.interpolate(kept[number, None], size, mode="bilinear")[0, 0]
        return large[down[number] : down[number] + height, right[number] : right[number] + width]

    return mask


def occlusion(cells: int) -> Compute:
    """y(X) − y(X without a patch) at each of `cells`×`cells` patches, which are twice as wide as a cell.

    A patch is filled with 0, which the model takes for the mean colour.
    """

    def compute(signals: Signals) -> Tensor:
        height, width = signals.images.shape[2:]
        rows, columns = min(cells, height), min(cells, width)

        def without(number: int) -> Tensor:
            row, column = divmod(number, columns)
            changed = signals.images.clone()
            changed[:, :, _patch(row, rows, height), _patch(column, columns, width)] = 0
            return changed

        scores = signals.scores_of(without, rows * columns)
        return (signals.scores[..., None] - scores).unflatten(2, (rows, columns)).transpose(0, 1)

    return compute


def _patch(cell: int, cells: int, side: int) -> slice:
    """The pixels of a side that are less than a cell away from the middle of a cell."""
    return slice(max(0, floor((cell - 0.5) * side / cells)), ceil((cell + 1.5) * side / cells))
