"""Fewer calls in a copy of a model that nobody sees: Python calls a small layer for as long as the layer computes.

Modules that do nothing are taken out, a sequence calls what is left of it in one loop, and where the work of a
module is a function, its parent calls that function.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn

from gradcam.models.onednn import kind_of

Work: TypeAlias = Callable[..., Any] | Sequence[nn.Module]
"""What a module computes: a function, or what other modules compute in turn; nothing if there are none."""

IDLE = frozenset(
    {
        "torch.nn.modules.linear.Identity",
        "torch.nn.modules.dropout.Dropout",
        "torch.nn.modules.dropout.Dropout2d",
        "timm.layers.drop.DropPath",
        "torchvision.ops.stochastic_depth.StochasticDepth",
    }
)
"""Exact types that do nothing in eval mode."""

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Types whose modules others may take by position."""


def shorten(model: nn.Module, work: Mapping[nn.Module, Work], kept: Collection[str]) -> None:
    """Let `model` call as few modules as it needs.

    It may fail afterwards: its code may ask more of a module than to be called.

    work: what modules compute in place of their own forward. kept: names of modules that can still be found by
        `get_submodule` and have their hooks called.
    """
    on_the_way = {name.rsplit(".", depth)[0] for name in kept for depth in range(name.count(".") + 1)}
    _Shortening(work, {model, *map(model.get_submodule, on_the_way)}).call_of(model)


def in_turn(calls: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """One function for several, each of which is given what the one before returned."""
    if len(calls) == 1:
        return calls[0]

    def run(input: Any) -> Any:
        for call in calls:
            input = call(input)
        return input

    return run if calls else nothing


def nothing(input: Tensor) -> Tensor:
    """The work of a module that has none."""
    return input


class _Shortening:
    """Shortens each module once, after the modules within it."""

    def __init__(self, work: Mapping[nn.Module, Work], kept: Collection[nn.Module]) -> None:
        self._work, self._kept = work, kept
        self._calls: dict[nn.Module, Callable[..., Any]] = {}

    def call_of(self, module: nn.Module) -> Callable[..., Any]:
        """What to call in place of the module: the module itself, or something shorter that computes the same."""
        if module not in self._calls:
            self._calls[module] = self._shortened(module)
        return self._calls[module]

    def _shortened(self, module: nn.Module) -> Callable[..., Any]:
        work = self._work.get(module, _own_work(module))
        if isinstance(work, Sequence):
            work = in_turn([call for part in work if (call := self.call_of(part)) is not nothing])
        if work is not None:
            vars(module)["forward"] = work  # for whoever calls the module nevertheless
        self._shorten_within(module, by_name=work is None)
        return module if work is None or module in self._kept else work

    def _shorten_within(self, module: nn.Module, *, by_name: bool) -> None:
        """Let a module's forward find functions where modules were, and take out modules that nobody calls now.

        by_name: whether the forward is the module's own, which finds the modules within by their names.
        """
        for name, child in [*module._modules.items()]:
            call = None if child is None else self.call_of(child)
            if child is None or call is child or (by_name and isinstance(module, _CONTAINERS)):
                continue
            if by_name:
                vars(module)[name] = call  # Python finds it before the module of that name
            if not child._modules:
                del module._modules[name]


def _own_work(module: nn.Module) -> Work | None:
    """What a module computes, if it needs no call of its own for it."""
    if "forward" in vars(module):
        return None
    if type(module).forward is nn.Sequential.forward:
        return [part for part in module._modules.values() if part is not None]
    return [] if kind_of(module) in IDLE else None
