"""All modules of a model, listed once for every question that a call asks of all of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Self

from torch import nn

OF_PYTORCH = frozenset(vars(nn.Module())) - {"_buffers", "_parameters", "_non_persistent_buffers_set"}
"""Attributes of every module that no forward changes; hooks may come and go in other threads meanwhile."""


class Modules(tuple[nn.Module, ...]):
    """All modules of a model, in the order of `model.modules()`.

    kinds: their types. attributes: the dictionaries that hold their attributes.
    """

    kinds: tuple[type[nn.Module], ...]
    attributes: list[dict[str, Any]]

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        is_usual = type(model).modules is nn.Module.modules  # a class may list modules that it does not register
        found = cls(_add_below(model, {model: None}) if is_usual else model.modules())
        found.kinds = tuple(map(type, found))
        found.attributes = [module.__dict__ for module in found]
        return found

    def marked(self) -> list[nn.Module]:
        """Those that may be in training mode, have a hook or a forward of their own or be compiled: seldom any.

        All of this is asked in one go, for after a forward most of the time is spent on reading the modules at all.
        A class that computes its `training`, as of a compiled module, keeps none itself and is among them.
        """
        return [
            module
            for module, own in zip(self, self.attributes, strict=True)
            if own["_forward_hooks"]
            or own["_forward_pre_hooks"]
            or own.get("training", True)
            or "_compiled_call_impl" in own
            or "forward" in own
        ]


def _add_below(module: nn.Module, found: dict[nn.Module, None]) -> dict[nn.Module, None]:
    """Add what `module.modules()` yields after the module itself to `found`, in its order.

    Unlike that method it makes no name for each module, and steps into no module that has no children: together
    these take 1 % of a small model's forward.
    """
    for child in module._modules.values():
        if child is not None and child not in found:
            found[child] = None
            if child._modules:
                _add_below(child, found)
    return found


@lru_cache(4096)
def own_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a module's attributes without `OF_PYTORCH`."""
    return tuple(name for name in names if name not in OF_PYTORCH)
