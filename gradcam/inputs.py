"""What one forward of a model is given: the images, and what else its forward takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradcam.errors import ModelError, OptionError, nearest, quoted
from gradcam.scores import Output

Batch: TypeAlias = Tensor | NDArray[Any] | tuple[Any, ...] | list[Any] | Mapping[str, Any]
"""Preprocessed images `[B, C, H, W]`; or all that a model's forward takes, by position or by name."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What one forward of a model is given, and which of its outputs is read.

    args, kwargs: the arguments of the model's forward. at: position or name of the images that a heatmap lies on.
    images: those images, `[B, C, H, W]`.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    at: int | str
    output: Output = None

    @classmethod
    def of(
        cls, batch: Batch | Inputs, model: nn.Module, at: int | str | None = None, output: Output = None
    ) -> Inputs:
        """batch: one tensor or array, a tuple or list of inputs by position, or a mapping of inputs by name.

        at: the input that the heatmap lies on; by default the first that is a batch of images.
        Arrays become tensors of the model's type on its device.
        Raises: ModelError if that input is not a batch of images, OptionError if there is no such input.
        """
        if isinstance(batch, Inputs):
            return batch
        if isinstance(batch, Tensor) and at is None and output is None:  # as most are
            _check_images(batch, model, several=False)
            return cls((batch,), {}, 0)
        several = isinstance(batch, (tuple, list, Mapping))
        entries = batch.items() if isinstance(batch, Mapping) else enumerate(batch if several else [batch])
        given: dict[int | str, Any] = {
            key: _as_tensor(value, model) if isinstance(value, np.ndarray) else value for key, value in entries
        }
        if at is None:
            at = next((key for key, value in given.items() if _is_images(value)), next(iter(given), 0))
        if not (output is None or isinstance(output, int | str) or callable(output)):
            raise ModelError(
                f"expected an index, a key or a function as output, got {quoted(output)}; choose one of the model's"
            )
        if at not in tuple(given):
            raise OptionError(
                f"expected one of the model's inputs, got {quoted(at)}; use {nearest(str(at), map(str, given))}"
            )
        _check_images(given[at], model, several)
        args = tuple(value for key, value in given.items() if isinstance(key, int))
        return cls(args, {key: value for key, value in given.items() if isinstance(key, str)}, at, output)

    @property
    def images(self) -> Tensor:
        return self.args[self.at] if isinstance(self.at, int) else self.kwargs[self.at]

    @property
    def count(self) -> int:
        """How many images there are, B."""
        return self.images.shape[0]  # sooner had than `len`, which asks more of a tensor

    def with_images(self, images: Tensor) -> Inputs:
        """The same inputs with other images."""
        if isinstance(self.at, int):
            return replace(self, args=(*self.args[: self.at], images, *self.args[self.at + 1 :]))
        return replace(self, kwargs={**self.kwargs, self.at: images})

    def repeated(self, images: Tensor) -> Inputs:
        """Other images, `[n · B, C, H, W]`, and n times what else these B inputs hold."""
        times = len(images) // self.count
        repeated = self if times == 1 else self.each(lambda value: value.repeat(times, *[1] * (value.ndim - 1)))
        return repeated.with_images(images)

    def each(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """The same inputs, after `change` of every tensor that has an entry for each image."""
        count = self.count

        def changed(value: Any) -> Any:
            return change(value) if isinstance(value, Tensor) and value.ndim and len(value) == count else value

        args = tuple(map(changed, self.args))
        return replace(self, args=args, kwargs={key: changed(value) for key, value in self.kwargs.items()})

    def copied(self) -> Inputs:
        """The same values in new tensors, which a model may change and autograd may record."""

        def copy(value: Any) -> Any:
            return value.detach().clone() if isinstance(value, Tensor) else value

        named = {key: copy(value) for key, value in self.kwargs.items()}
        return Inputs(tuple(map(copy, self.args)), named, self.at, self.output)

    def first(self, times: int) -> Inputs:
        """The first image and its other inputs, repeated `times` times."""
        return self.each(lambda value: value[:1].repeat(times, *[1] * (value.ndim - 1)))

    @property
    def key(self) -> tuple[Any, ...]:
        """A key of everything about these inputs except their numbers."""
        shapes = [
            (key, tuple(value.shape[1:]) if isinstance(value, Tensor) else type(value))
            for key, value in (*enumerate(self.args), *self.kwargs.items())
        ]
        return (*shapes, self.at, _key_of(self.output))


def _key_of(output: Output) -> Any:
    """A key for `output`: a function written in place is a new object in each call, but its code is the same."""
    code = getattr(output, "__code__", None)
    if not isinstance(code, CodeType):
        return output
    cells = tuple(id(cell.cell_contents) for cell in getattr(output, "__closure__", None) or ())
    return code, repr(getattr(output, "__defaults__", None)), cells


def _as_tensor(array: NDArray[Any], model: nn.Module) -> Tensor:
    """An array as a tensor where the model's weights are; floating-point numbers in their type."""
    try:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
    except TypeError as error:
        raise ModelError(
            f"expected an array of numbers, got one of {array.dtype}; pass floating-point pixels"
        ) from error
    weight = next((weight for weight in model.parameters() if weight.is_floating_point()), torch.empty(0))
    return tensor.to(weight.device, weight.dtype if tensor.is_floating_point() else None)


def _is_images(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()


def _check_images(images: Any, model: nn.Module, several: bool) -> None:
    """Raises: ModelError, with what to pass instead."""
    rule = "expected a preprocessed batch [B, C, H, W] of floating-point pixels"
    if not isinstance(images, Tensor):
        raise ModelError(f"{rule}, got {type(images).__name__}; pass a tensor, or a photo to explain()")
    shape = list(images.shape)
    if images.ndim == 3:
        advice = "stack the images with torch.stack" if several else "add the batch dimension with batch[None]"
        raise ModelError(f"{rule}, got a tensor {shape}; {advice}")
    if images.ndim == 5 and any(isinstance(module, nn.Conv3d) for module in model.modules()):
        raise ModelError(f"{rule}, got volumes {shape}; heatmaps of 3-D models are not covered, pass a 2-D model")
    if images.ndim != 4:
        raise ModelError(f"{rule}, got a tensor {shape}; pass images one batch at a time")
    if 0 in shape:
        raise ModelError(f"{rule}, got an empty one {shape}; pass at least one image")
    if not images.is_floating_point():
        raise ModelError(
            f"{rule}, got {str(images.dtype).removeprefix('torch.')}; scale and normalise it as the model wants, "
            "or pass photos to explain()"
        )


def advice_on(images: Tensor, model: nn.Module) -> str:
    """What may be wrong with images on which a model failed, as the end of a sentence; empty if unknown."""
    weight = next((weight for weight in model.parameters() if weight.is_floating_point()), images)
    if images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
        return "; put the channels first with batch.permute(0, 3, 1, 2)"
    if images.device != weight.device:
        return f"; pass the batch on the model's device, batch.to('{weight.device}')"
    if images.dtype != weight.dtype:
        return f"; pass the batch in the model's type, batch.to({weight.dtype})"
    return ""
