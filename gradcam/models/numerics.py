"""A model is run as a copy that computes the same, up to rounding, in less time.

In the copy a BatchNorm is folded into the convolution before it. For these convolutions oneDNN arranges the
weights in advance instead of at every call, and computes the activation behind them as it writes their output. The
copy shares all other weights, and nobody sees it: names, state, hooks and layers stay those of the model. A model
that somebody's hooks watch is run as it is.

Folding is safe where one traced forward shows that nobody else reads what is no longer computed, see `_is_safe` and
`_activation_of`. It ends before the target layer, whose activation and gradients are computed by the model's own
modules. A copy that does not give the model's own scores and activation for noise is not used.
"""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.nn.modules import module as global_module
from torch.nn.modules.batchnorm import _BatchNorm

from gradcam.as_found import changed_by_forward
from gradcam.capture import ModuleCall, Recording, record, trace
from gradcam.errors import GradcamError, is_out_of_memory
from gradcam.inputs import Inputs
from gradcam.layers.fingerprint import fingerprint
from gradcam.layers.graph import shape_at
from gradcam.layers.inputs import noise_like
from gradcam.models import onednn
from gradcam.models.devices import PointwiseConv2d, is_wide_pointwise
from gradcam.models.onednn import ACTIVATIONS, PLAIN, SAME, kind_of
from gradcam.models.shortening import Work, in_turn, shorten
from gradcam.modules import Modules
from gradcam.reads import Reads
from gradcam.running import clone_sharing_weights, lock_of
from gradcam.types import NUMERICS, Numerics, TargetLayer

log = logging.getLogger(__name__)

CONVOLUTIONS = PLAIN | {SAME}
"""Exact types whose output is the convolution of their input, padded in some way, with `weight`, plus `bias`."""

NORMS: dict[str, tuple[str, ...]] = {
    "torch.nn.modules.batchnorm.BatchNorm2d": (),
    "timm.layers.norm_act.BatchNormAct2d": ("drop", "act"),
}
"""Exact types that begin with a BatchNorm by stored statistics, and the modules within that go on from there."""

NEAR = 1e-4
"""Most that a copy's scores and activation may differ from the model's for noise, as a share of their peak.
Rounding makes some 1e-6 of it, a wrong copy about 1."""


def numerics_for(module: nn.Module, device: torch.device, *, exact: bool) -> Numerics:
    """How a model of our own may compute: faster only on a processor, and only if a module of it can be faster.

    Weights are packed only where a BatchNorm may be folded; wide 1×1 convolutions alone are `folded`.
    """
    if exact or device.type != "cpu":
        return "eager"
    parts = tuple(module.modules())
    if any(kind_of(part) in NORMS for part in parts):
        return "packed" if onednn.can_pack() else "folded"
    return "folded" if any(map(is_wide_pointwise, parts)) else "eager"


@dataclass(frozen=True, eq=False)
class Runner:
    """What a forward is made with: a module, all modules in it, and how these compute."""

    module: nn.Module
    modules: Modules
    numerics: Numerics


def runner_for(
    model: nn.Module,
    modules: Modules,
    inputs: Inputs,
    layers: Sequence[TargetLayer],
    most: Numerics,
    clone: nn.Module | None = None,
) -> Runner:
    """What to run in the place of `model`: the model itself if no copy of it is proved to be safe.

    modules: those that `unwrapped` returned with `model`. clone: `model` over the same weights, for another thread.
    layers: what is recorded of the forward, the target layer first. most: the furthest from eager that is allowed.
    """
    own = _own_numerics(modules)
    if clone is None or clone is model:
        itself = Runner(model, modules, own)
    else:
        itself = Runner(clone, Modules.of(clone), own)
    if most == "eager" or not _is_plain(inputs.images):
        return itself
    with lock_of(model):  # else hooks of another thread's forward would be taken for a user's
        state = _state(model, modules)
        if state is None:
            return itself
        proof = _proofs.get(model)
        if proof is None or proof.of != (inputs.key, state):
            proof = _proofs[model] = _prove(model, inputs, state)
        return _Copies(model, proof, inputs).runner(itself.module, layers, most) or itself


def _own_numerics(modules: Modules) -> Numerics:
    """How modules compute without a copy: those that hold products are not what their library built."""
    return "folded" if PointwiseConv2d in modules.kinds else "eager"


def bytes_beside(model: nn.Module) -> int:
    """Bytes of the weights that copies of `model` hold beside its own."""
    proof = _proofs.get(model)
    tensors = [tensor for pair in proof.folded.values() for tensor in pair] if proof is not None else []
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _is_plain(images: Tensor) -> bool:
    """Whether a forward of these images computes in float32 on a processor."""
    return images.device.type == "cpu" and images.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


# ---------------------------------------------------------------------------------------------- the proof


@dataclass(frozen=True)
class _Pair:
    """A convolution and the BatchNorm that alone reads its output, by their names.

    order: of the norm among the calls of a forward. size: of the convolution's input for one image, `[1, C, H, W]`.
    outputs: every call, by name and number, whose output is that of the convolution or of the norm.
    activation: the name of the module that alone reads the norm's result, one of `ACTIVATIONS`; empty without one.
    end: the order of what returns last, that module or the norm.
    """

    conv: str
    norm: str
    order: int
    size: tuple[int, ...]
    outputs: frozenset[tuple[str, int]]
    activation: str
    end: int


_Pairs = tuple[_Pair, ...]

_Request = tuple[Any, ...]
"""The names and calls of the layers that are recorded, and the furthest from eager that is allowed."""


@dataclass(frozen=True)
class _CopyPlan:
    """How a copy is made. kept: names of the layers that are recorded. short: whether it calls fewer modules."""

    pairs: _Pairs
    numerics: Numerics
    kept: tuple[str, ...]
    short: bool


@dataclass(frozen=True, eq=False)
class _Proof:
    """What one traced forward proved of a model, and the copies made of it, valid until the model changes.

    of: the inputs' key and the model's state. calls: the order in which calls returned, by name and number.
    checked: for each request how copies are made, after comparison with the model's own numbers.
    folded: weight and bias of a convolution, shared by all copies. copies: of the model and of its clones.
    """

    of: tuple[object, object]
    pairs: _Pairs
    calls: Mapping[tuple[str, int], int]
    checked: dict[_Request, _CopyPlan | None] = field(default_factory=dict)
    folded: dict[tuple[str, Numerics], tuple[Tensor, Tensor]] = field(default_factory=dict)
    copies: weakref.WeakKeyDictionary[nn.Module, dict[_Request, Runner]] = field(
        default_factory=weakref.WeakKeyDictionary
    )

    def before(self, layers: Sequence[TargetLayer]) -> _Pairs:
        """The pairs that run before the target layer, the first of `layers`, returns; none that is recorded."""
        target = self.calls.get((layers[0].name, layers[0].call), -1)
        recorded = {(layer.name, layer.call) for layer in layers}
        return tuple(
            pair if pair.end < target else replace(pair, activation="")
            for pair in self.pairs
            if pair.order < target and recorded.isdisjoint(pair.outputs)
        )


_proofs: weakref.WeakKeyDictionary[nn.Module, _Proof] = weakref.WeakKeyDictionary()


def _prove(model: nn.Module, inputs: Inputs, state: object) -> _Proof:
    if not any(kind_of(module) in NORMS for module in model.modules()):  # nothing to fold: a trace costs a forward
        return _Proof((inputs.key, state), (), {})
    reads = Reads()
    try:
        traced = trace(model, _noise(inputs), reads)
    except GradcamError as error:  # the forward itself will raise it
        log.info("%s is not traced: %s", type(model).__name__, error)
        return _Proof((inputs.key, state), (), {})
    calls = {(call.name, call.call): order for order, call in enumerate(traced.module_calls)}
    return _Proof((inputs.key, state), _safe_pairs(traced.module_calls, reads), calls)


def _noise(inputs: Inputs) -> Inputs:
    """One image of noise, with its other inputs."""
    return inputs.first(1).with_images(noise_like(inputs.images, inputs.images.dtype)[:1])


def _safe_pairs(calls: Sequence[ModuleCall], reads: Reads) -> _Pairs:
    """All pairs that may be folded; none if the way through the model depends on its numbers."""
    convolutions = {call.output_edge: call for call in calls if kind_of(call.module) in CONVOLUTIONS}
    orders, times = {call: order for order, call in enumerate(calls)}, Counter(call.module for call in calls)
    activations = {
        call.input_edge: call
        for call in calls
        if kind_of(call.module) in ACTIVATIONS and times[call.module] == 1 and "forward" not in vars(call.module)
    }
    found: list[_Pair] = []
    for norm, order in orders.items():
        conv = convolutions.get(norm.input_edge) if norm.input_edge and kind_of(norm.module) in NORMS else None
        if conv is not None and conv.input_edge is not None and _is_safe(conv, norm, reads):
            ends = (conv.output_edge, norm.output_edge)
            outputs = frozenset((call.name, call.call) for call in calls if call.output_edge in ends)
            size = (1, *shape_at(conv.input_edge)[1:])
            activation = _activation_of(norm, activations, reads)
            end = order if activation is None else max(order, orders[activation])
            name = "" if activation is None else activation.name
            found.append(_Pair(conv.name, norm.name, order, size, outputs, name, end))
    return () if reads.as_numbers else tuple(found)


def _activation_of(
    norm: ModuleCall, activations: Mapping[GradientEdge | None, ModuleCall], reads: Reads
) -> ModuleCall | None:
    """The activation that alone reads the norm's result: within the norm, as in timm, or behind it.

    activations: those that are called once, by where their input stands.
    """
    within = [call for call in activations.values() if call.module is getattr(norm.module, "act", None)]
    if within:
        return within[0] if type(norm.module.drop) is nn.Identity else None
    return activations.get(norm.output_edge) if reads.of_edge(norm.output_edge) == 1 else None


def _is_safe(conv: ModuleCall, norm: ModuleCall, reads: Reads) -> bool:
    """Whether nobody but the norm reads the convolution's output, and nobody but the two reads their weights.

    A tensor that is read once belongs to a module that is called once.
    """
    own = _tensors(conv.module, norm.module)
    return (
        reads.of_edge(conv.output_edge) == 1
        and all(reads.of_weight(tensor) <= 1 for tensor in own)
        and all(tensor.dtype == torch.float32 for tensor in own if tensor.is_floating_point())
        and norm.module.running_mean is not None
        and not any("forward" in vars(call.module) for call in (conv, norm))
    )


def _tensors(*modules: nn.Module) -> list[Tensor]:
    """The own parameters and buffers of modules."""
    named = [part for module in modules for part in (module._parameters, module._buffers) if part]
    return [tensor for part in named for tensor in part.values() if tensor is not None]


def _state(model: nn.Module, modules: Modules) -> tuple[Any, ...] | None:
    """A key that changes with the model; None if the model must be run as it is.

    That is while somebody's hooks watch it, while it is trained or compiled, or if PyTorch does not count changes
    of its weights.
    """
    if any(map(_is_touched, modules)) or any(getattr(global_module, name) for name in _GLOBAL_HOOKS):
        return None
    tensors = _tensors(*modules)
    try:
        written = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
    except RuntimeError:  # an inference tensor
        return None
    epsilons = [module.eps for module in modules if isinstance(module, _BatchNorm)]
    return fingerprint(modules, changed_by_forward(model)), epsilons, written


def _is_touched(module: nn.Module) -> bool:
    return (
        module.training
        or module._compiled_call_impl is not None
        or bool(module._forward_hooks or module._forward_pre_hooks)
        or bool(module._backward_hooks or module._backward_pre_hooks)
    )


_GLOBAL_HOOKS = (
    *("_global_forward_hooks", "_global_forward_pre_hooks"),
    *("_global_backward_hooks", "_global_backward_pre_hooks"),
)


# ---------------------------------------------------------------------------------------------- the copies


@dataclass(frozen=True)
class _Copies:
    """Makes the copies that a proof allows, and compares their numbers with the model's."""

    model: nn.Module
    proof: _Proof
    inputs: Inputs

    def runner(self, module: nn.Module, layers: Sequence[TargetLayer], most: Numerics) -> Runner | None:
        """A copy of `module`, the model or a clone of it; None if `module` itself must run."""
        request = (*((layer.name, layer.call) for layer in layers), most)
        if request not in self.proof.checked:
            self.proof.checked[request] = self._check(request, layers, most)
        plan = self.proof.checked[request]
        copies = self.proof.copies.setdefault(module, {})
        if request not in copies and plan is not None:
            copies[request] = self._runner(module, plan)
        return copies.get(request)

    def _check(self, request: _Request, layers: Sequence[TargetLayer], most: Numerics) -> _CopyPlan | None:
        """The fastest way to make a copy to which noise gives the model's own numbers; None if the model must run.

        The copy of the model that gave them is kept.
        """
        pairs, noise = self.proof.before(layers), _noise(self.inputs)
        allowed = NUMERICS[NUMERICS.index(most) : 0 : -1] if pairs else ()
        kept = tuple(layer.name for layer in layers)
        for plan in [_CopyPlan(pairs, numerics, kept, short) for numerics in allowed for short in (True, False)]:
            try:
                runner = self._runner(self.model, plan)
                if runner.module is self.model:  # its modules cannot be copied
                    break
                if _are_near(record(runner.module, noise, layers[0]), record(self.model, noise, layers[0])):
                    self.proof.copies.setdefault(self.model, {})[request] = runner
                    return plan
            except (GradcamError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                log.info("a copy of %s fails: %s", type(self.model).__name__, error)
            log.info("no %s copy of %s is used", plan.numerics, type(self.model).__name__)
            self.proof.folded.clear()
        return None

    def _runner(self, module: nn.Module, plan: _CopyPlan) -> Runner:
        """A copy of `module` made as `plan` says; `module` itself if its modules cannot be copied."""
        copy = clone_sharing_weights(module)
        if copy is module:
            modules = Modules.of(module)
            return Runner(module, modules, _own_numerics(modules))
        work: dict[nn.Module, Work] = {}
        for pair in plan.pairs:
            work |= self._fold(copy, pair, plan.numerics)
        for part, does in work.items():
            vars(part)["forward"] = does if callable(does) else in_turn(does)
        if plan.short:
            shorten(copy, work, plan.kept)
        return Runner(copy, Modules.of(copy), plan.numerics)

    def _fold(self, copy: nn.Module, pair: _Pair, numerics: Numerics) -> dict[nn.Module, Work]:
        """What the modules of a pair compute instead of their own: the convolution also what the norm did."""
        conv, norm = copy.get_submodule(pair.conv), copy.get_submodule(pair.norm)
        assert isinstance(conv, nn.Conv2d)
        numerics = "packed" if numerics == "packed" and onednn.is_packable(conv) else "folded"
        weight, bias = self._weights(conv, pair, numerics)
        after = [norm.get_submodule(name) for name in NORMS[kind_of(norm)]]
        if numerics == "folded":
            conv.weight, conv.bias = (nn.Parameter(tensor, requires_grad=False) for tensor in (weight, bias))
            return {norm: after}
        activation = copy.get_submodule(pair.activation) if pair.activation else None
        if activation is None:
            return {conv: onednn.convolution(conv, weight, bias, pair.size, onednn.NOTHING), norm: after}
        computed = ACTIVATIONS[kind_of(activation)]
        return {conv: onednn.convolution(conv, weight, bias, pair.size, computed), norm: (), activation: ()}

    def _weights(self, conv: nn.Conv2d, pair: _Pair, numerics: Numerics) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution, which all copies share."""
        if (pair.conv, numerics) not in self.proof.folded:
            weight, bias = _folded(self.model.get_submodule(pair.conv), self.model.get_submodule(pair.norm))
            weight = onednn.packed(conv, weight, pair.size) if numerics == "packed" else weight
            self.proof.folded[pair.conv, numerics] = weight, bias
        return self.proof.folded[pair.conv, numerics]


def _folded(conv: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that equals `conv` followed by `norm`; computed in float64."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.double()
    shift = 0 if norm.bias is None else norm.bias.double()
    mean = norm.running_mean.double() if conv.bias is None else norm.running_mean.double() - conv.bias.double()
    weight = conv.weight.double() * scale[:, None, None, None]
    return weight.to(conv.weight).detach(), (shift - mean * scale).to(conv.weight).detach()


def _are_near(found: Recording, expected: Recording) -> bool:
    pairs = ((found.logits, expected.logits), (found.activation, expected.activation))
    return all(bool((a - b).abs().max() <= NEAR * b.abs().max()) for a, b in pairs)  # False if one is NaN
