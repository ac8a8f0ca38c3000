"""Methods over the activations of one layer and the gradients there: each is one pure function of `Signals`.

A is the activation of a layer, k one of its channels, y a score, and a sum or mean without index runs over all
places of the grid. Every function returns raw maps `[B, K, h, w]`, or `[B, 1, h, w]` for all classes alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from gradcam.errors import MethodError
from gradcam.methods.method import Compute, Signals
from gradcam.methods.wrappers import image_ranges, noisy_copies

MOST_PLACES = 4096
"""Of a grid, for a kernel between all of its places."""

ITERATED = 2**14
"""Numbers in a batch of matrices from which on their first eigenvectors are iterated; of fewer, all are computed
sooner."""

TOGETHER, DEGREE = 8, 8
"""Vectors that are iterated together, and products with the matrix between two looks at how close they are."""

ROUNDS, CLOSE = 8, 1e-8
"""Looks at most, and the distance from an eigenvector of length 1 that is enough."""


def weighted_sum(weights: Tensor, activation: Tensor) -> Tensor:
    """Σₖ wₖ Aₖ. weights: `[K, B, C]`. activation: `[B, C, h, w]`. Returns: `[B, K, h, w]`."""
    images, _, *grid = activation.shape
    return torch.bmm(weights.transpose(0, 1), activation.flatten(2)).view(images, -1, *grid)


def cam(signals: Signals) -> Tensor:
    """Σₖ wₖ Aₖ with the weights w of the linear head; below zero where the evidence is against the class."""
    return weighted_sum(signals.head, signals.activation)


def grad_cam(signals: Signals) -> Tensor:
    """ReLU(Σₖ αₖ Aₖ), with αₖ = mean of ∂y/∂Aₖ."""
    return weighted_sum(signals.alpha, signals.activation).relu()


def counterfactual(signals: Signals) -> Tensor:
    """ReLU(Σₖ −αₖ Aₖ): Grad-CAM of −y."""
    return weighted_sum(-signals.alpha, signals.activation).relu()


def grad_cam_plus_plus(signals: Signals) -> Tensor:
    """ReLU(Σₖ wₖ Aₖ), with wₖ = Σ aₖ ReLU(g) and aₖ = g² / (2g² + g³ ΣAₖ), where g = ∂y/∂Aₖ.

    The paper's score is exp(y), whose derivatives are exp(y) times powers of g: a stays as it is, and the map is
    scaled by a positive number. g² is divided out, so that nothing becomes zero by being squared; a is 0 where g
    or the denominator is.
    """
    total = signals.activation.sum((2, 3))[..., None, None]

    def weights(gradients: Tensor) -> Tensor:  # of one score: all at once would not stay in the processor's cache
        denominator = 2 + gradients * total
        return gradients.relu().div_(denominator).masked_fill_(denominator == 0, 0).sum((2, 3))

    return weighted_sum(torch.stack([*map(weights, signals.gradients)]), signals.activation).relu()


def xgrad_cam(signals: Signals) -> Tensor:
    """ReLU(Σₖ wₖ Aₖ), with wₖ = Σ (g · Aₖ) / ΣAₖ; 0 where ΣAₖ is."""
    total = signals.activation.sum((2, 3))
    share = signals.products.sum((3, 4)) / total
    return weighted_sum(torch.where(total != 0, share, 0), signals.activation).relu()


def hires_cam(signals: Signals) -> Tensor:
    """Σₖ gₖ ⊙ Aₖ; below zero where the evidence is against the class."""
    return signals.products.sum(2).transpose(0, 1)


def element_wise(signals: Signals) -> Tensor:
    """Σₖ ReLU(gₖ ⊙ Aₖ)."""
    return signals.products.relu().sum(2).transpose(0, 1)


def layer_cam(signals: Signals) -> Tensor:
    """ReLU(Σₖ ReLU(gₖ) ⊙ Aₖ)."""
    return (signals.gradients.relu() * signals.activation).sum(2).transpose(0, 1).relu()


def shapley_cam(signals: Signals) -> Tensor:
    """ReLU(Σₖ wₖ Aₖ), with wₖ = mean of (g − ½ H·A), where H·A is the second derivative applied to A."""
    weights = (signals.gradients - signals.curvature / 2).mean((3, 4))
    return weighted_sum(weights, signals.activation).relu()


def fem(signals: Signals) -> Tensor:
    """Σₖ μₖ [Aₖ ≥ μₖ + 2σₖ], with the mean μₖ and the standard deviation σₖ of Aₖ."""
    activation = signals.activation
    # the mean of equal numbers is that number where it is added up in float64; `var_mean` takes four times as long
    mean = activation.mean((2, 3), keepdim=True, dtype=torch.float64).to(activation)
    deviation = (activation - mean).square().mean((2, 3), keepdim=True).sqrt()
    peaks = activation >= mean + 2 * deviation
    return (mean * peaks).sum(1, keepdim=True).relu()


def eigen_cam(signals: Signals) -> Tensor:
    """ReLU of A's first principal component: A·v₁, where A has a row for each place. Not centred.

    Differs from pytorch-grad-cam, which centres and whose sign is arbitrary: here the largest value is positive.
    """
    component = _first_component(_rows(signals.activation))
    return _as_maps(_with_positive_peak(component), signals.activation).relu()


def eigen_grad_cam(signals: Signals) -> Tensor:
    """ReLU of the first principal component of g ⊙ A, centred over the places.

    Differs from pytorch-grad-cam, whose sign is arbitrary: here the component goes with Σₖ gₖ ⊙ Aₖ.
    """
    rows = _rows(signals.products)
    component, towards = _first_component(_centred(rows)), rows.sum(-1).cpu()
    against = (component * towards).sum(-1, keepdim=True) < 0
    return _as_maps(torch.where(against, -component, component), signals.activation).relu()


def seg_eigen_cam(signals: Signals) -> Tensor:
    """ReLU of the first principal component of |g| ⊙ A, centred; its sign makes the largest value positive."""
    component = _first_component(_centred(_rows(signals.gradients.abs() * signals.activation)))
    return _as_maps(_with_positive_peak(component), signals.activation).relu()


def kpca_cam(signals: Signals) -> Tensor:
    """ReLU of A's first kernel principal component, kernel tanh(⟨a, b⟩ / C + 1) of centred places a and b; its sign
    makes the largest value positive.

    Raises: MethodError for a grid of more than `MOST_PLACES`, whose kernel would not fit into memory.
    """
    if (places := signals.activation[0, 0].numel()) > MOST_PLACES:
        raise MethodError(
            f"expected a grid of at most {MOST_PLACES:,} places for KPCA-CAM, got {places:,}; choose a later layer"
        )
    rows = _centred(_rows(signals.activation).cpu().double())
    kernel = (_gram(rows) / rows.shape[-1] + 1).tanh()
    component = _first_of_gram(_centred(_centred(kernel).mT))
    return _as_maps(_with_positive_peak(component), signals.activation).relu()


def smooth_grad_cam_plus_plus(samples: int, noise: float, seed: int) -> Compute:
    """Grad-CAM++ with g, g² and g³ each averaged over noisy copies of the photo, on the clean photo's A.

    samples, noise, seed: as for `noisy_copies`.
    Differs from torchcam, which draws on the last noisy A and draws other noise in each call.
    """

    def compute(signals: Signals) -> Tensor:
        first = second = third = signals.images.new_zeros(())
        for noisy in signals.again(noisy_copies(signals.images, samples, noise, seed), samples):
            drawn = noisy.gradients / samples
            first, second, third = first + drawn, second + samples * drawn**2, third + samples**2 * drawn**3
        denominator = 2 * second + third * signals.activation.sum((2, 3))[..., None, None]
        share = torch.where(denominator != 0, second / denominator, 0)
        return weighted_sum((share * first.relu()).sum((3, 4)), signals.activation).relu()

    return compute


def integrated_grad_cam(steps: int) -> Compute:
    """ReLU(Σₖ mean over t of αₖ(t) (Aₖ(t) − Aₖ(0))), with the photo brightened from zero to itself in `steps`.

    Zero is what the model takes for the mean colour.
    Differs from the authors' code, which clamps the map of each step at zero before it adds them up, takes 0 for
    Aₖ(0), and has t go from 0 to (n − 1) / n.
    """

    def compute(signals: Signals) -> Tensor:
        brightened = (signals.images * (step / steps) for step in range(steps + 1))
        on_the_way = signals.again(brightened, steps + 1)
        start = next(on_the_way).activation
        maps = [weighted_sum(one.alpha, one.activation - start) for one in on_the_way]
        return torch.stack(maps).mean(0).relu()

    return compute


def expected_grad_cam(samples: int, cells: int, noise: float, seed: int) -> Compute:
    """ReLU(Σₖ mean over (x′, t) of αₖ(x′ + t (x − x′)) (Aₖ(x) − Aₖ(x′))), for the photo x, random pictures x′ and
    random t, one in each of `samples` equal parts of 0 … 1.

    samples, cells, noise, seed: the x′ are `smooth_pictures`.
    Source: Erion et al. 2021, the definition of expected gradients, at a layer in place of the pixels, with the
    gradients' mean over all places as in equation 1 of Grad-CAM. At a pooled linear head all places before ReLU add
    up to the score less its mean over the x′.
    Differs from `integrated_grad_cam` in the many x′ and in Aₖ(x), which is Aₖ(x′ + t (x − x′)) there.
    """

    def compute(signals: Signals) -> Tensor:
        parts = torch.rand(samples, generator=torch.Generator().manual_seed(seed + 1)).tolist()  # not the colours'
        pictures = smooth_pictures(signals.images, samples, cells, noise, seed)

        def images() -> Iterator[Tensor]:
            for number, (picture, part) in enumerate(zip(pictures, parts, strict=True)):
                yield picture
                yield picture + (number + part) / samples * (signals.images - picture)

        runs, maps = signals.again(images(), 2 * samples), []
        for one in runs:
            change = signals.activation - one.activation
            maps.append(weighted_sum(next(runs).alpha, change))
        return torch.stack(maps).mean(0).relu()

    return compute


def smooth_pictures(images: Tensor, count: int, cells: int, noise: float, seed: int) -> Iterator[Tensor]:
    """Random pictures `[B, channels, H, W]` around zero, the mean colour: `cells`×`cells` colours, smoothly
    enlarged; for every image of a batch the same but for the contrast.

    noise: the standard deviation of the colours, as a share of each image's range.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        colours = torch.randn(1, images.shape[1], cells, cells, generator=generator).to(images)
        yield noise * image_ranges(images) * functional.interpolate(colours, images.shape[2:], mode="bicubic")


# ------------------------------------------------------------------------------------- principal components


def _rows(maps: Tensor) -> Tensor:
    """`[…, C, h, w]` as matrices with a row for each place, `[…, h·w, C]`."""
    return maps.flatten(-2).mT


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(-2, keepdim=True)


def _as_maps(components: Tensor, activation: Tensor) -> Tensor:
    """`[B, h·w]` or `[K, B, h·w]` as maps `[B, 1 or K, h, w]` in the activation's type."""
    maps = components.to(activation).unflatten(-1, activation.shape[2:])
    return maps[:, None] if maps.ndim == 3 else maps.transpose(0, 1)


def _with_positive_peak(components: Tensor) -> Tensor:
    """Components `[…, P]`, whose sign is arbitrary, with the sign that makes the largest value positive."""
    flipped = -components.amin(-1, keepdim=True) > components.amax(-1, keepdim=True)
    return torch.where(flipped, -components, components)


def _first_component(rows: Tensor) -> Tensor:
    """X·v₁ of matrices X `[…, P, C]`, `[…, P]`, from whichever Gram matrix is smaller; its sign is arbitrary."""
    rows = rows.cpu().double()  # some devices compute neither float64 nor eigenvectors
    if rows.shape[-2] <= rows.shape[-1]:
        return _first_of_gram(_gram(rows))
    vectors, _ = _leading(_gram(rows.mT))
    return (rows @ vectors[..., None])[..., 0]


def _gram(rows: Tensor) -> Tensor:
    """X Xᵀ of matrices X `[…, P, C]`."""
    return rows @ rows.mT


def _first_of_gram(gram: Tensor) -> Tensor:
    """√λ₁ u₁ of Gram matrices `[…, P, P]`: the first component of what they are the products of."""
    vectors, values = _leading(gram)
    return vectors * values.clamp(min=0).sqrt()[..., None]


def _leading(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvectors `[…, P]` of the largest eigenvalues `[…]` of symmetric matrices; NaN where not finite.

    By PyTorch, whose threads a caller can bound. It computes all eigenvectors or none, in a time that grows with
    P³, so that those of large or many matrices are iterated. Where that does not come close, all are computed.
    """
    finite = gram.sum((-2, -1)).isfinite()
    gram = gram.contiguous() if finite.all() else gram.where(finite[..., None, None], 0)
    if gram.numel() < ITERATED or gram.shape[-1] < 4 * TOGETHER:
        vectors, values = _last(*torch.linalg.eigh(gram)[::-1])
    else:
        vectors, values, close = _iterated(gram)
        if not close.all():
            vectors[~close], values[~close] = _last(*torch.linalg.eigh(gram[~close])[::-1])
    missing = torch.where(finite, 0.0, torch.nan).to(gram)
    return vectors + missing[..., None], values + missing


def _last(vectors: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    return vectors[..., -1], values[..., -1]


def _iterated(gram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first eigenvectors `[…, P]` and values `[…]` by iterating a few vectors together, and which are close.

    How far a vector is from an eigenvector is at most its residual over the distance to the next eigenvalue: where
    two are nearly equal, it is not close. Nor is it where the largest eigenvalue is below zero.
    Source: Zhou et al. 2006, *Self-consistent-field calculations using Chebyshev-filtered subspace iteration*, with
    the stopping rule of Davis and Kahan 1970.
    """
    start = torch.randn(gram.shape[-1], TOGETHER, generator=torch.Generator().manual_seed(0), dtype=gram.dtype)
    basis, rounds = _orthonormal(start.mT), 0
    while True:
        image, rounds = basis @ gram, rounds + 1  # twice as fast as gram @ basis.mT
        values, mixtures = torch.linalg.eigh(image @ basis.mT)
        basis, image = mixtures.mT @ basis, mixtures.mT @ image
        vector, value = basis[..., -1, :], values[..., -1]
        residual = (image[..., -1, :] - value[..., None] * vector).norm(dim=-1)
        close = residual <= CLOSE * (value - values[..., -2].clamp(min=0))
        if rounds == ROUNDS or bool(close.all()):
            return vector, value, close
        basis = _orthonormal(_filtered(gram, basis, image, values))


def _orthonormal(vectors: Tensor) -> Tensor:
    """An orthonormal basis of the space of vectors `[…, n, P]`."""
    return torch.linalg.qr(vectors.mT)[0].mT


def _filtered(gram: Tensor, basis: Tensor, image: Tensor, values: Tensor) -> Tensor:
    """The basis `[…, n, P]` times a Chebyshev polynomial of the matrix: small for eigenvalues between zero and the
    least of `values` `[…, n]`, and growing fastest beyond.

    image: the basis times the matrix.
    """
    half = torch.maximum(values[..., 0], values[..., -1] / 1000)[..., None, None] / 2  # not so small as to overflow
    half = half.where(half > 0, 1)
    before, now = basis, image / half - basis
    for _ in range(DEGREE - 1):
        before, now = now, 2 * (now @ gram / half - now) - before
    return now
