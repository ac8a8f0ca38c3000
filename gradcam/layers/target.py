"""Which of a flow's spatial outputs is the target layer, which are candidates, and which one a name means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import log2

from gradcam.errors import LayerError, quoted
from gradcam.layers.flow import Flow, SpatialOutput, is_feature_map
from gradcam.layers.proof import Proof
from gradcam.nodes import upstream
from gradcam.types import TargetLayer

LATE = 0.6
"""A dominator with a larger share of the graph after it is early: the network may go on in parallel branches."""


def _is_normalisation(output: SpatialOutput) -> bool:
    return "norm" in type(output.module_call.module).__name__.lower()


def find_target(flow: Flow, proof: Proof) -> SpatialOutput:
    """The target layer, with its rule in words."""
    unread: SpatialOutput | None = None
    unproved: SpatialOutput | None = None
    output: SpatialOutput | None = None
    for dominator in flow.at_dominators():
        if not flow.is_read(dominator):
            unread = dominator
        elif (output := proof.proved(dominator)) is not None:
            break
        elif not dominator.doubtful:
            unproved = unproved or dominator
    if output is None or output.after > LATE:
        _refuse_tokens_before_batch(flow, output)
        branch = _in_a_branch(flow, proof)
        if branch is not None and (output is None or branch.order > output.order):
            return branch
    if output is None:
        return _unsure(proof)
    rule = "the last place with {a} {grid} layout that every path to the class scores passes through"
    if unproved is not None:
        fault = "answer to other parts of the image" if _is_contradicted(unproved, proof) else "mix the whole image"
        rule += f" and that measuring confirms: the places of {_called(unproved, flow)}, which is later, {fault}"
    if unread is None:
        return output.why(rule)
    reason = f"because the class scores do not read the patches that leave {unread.layer.name}"
    patches = _alone_feeds(flow, output, unread)
    if patches is None:
        return output.why(f"{rule}, {reason}")
    patches = replace(patches, layer=replace(patches.layer, prefix=output.layer.prefix), after=output.after)
    return patches.why(f"{rule}; {patches.layer.name}, {reason}")


def _is_contradicted(output: SpatialOutput, proof: Proof) -> bool:
    return proof.finding(output).measurement.verdict == "contradicted"


def _unsure(proof: Proof) -> SpatialOutput:
    """The latest output that measuring neither confirmed nor contradicted. Raises: LayerError if there is none."""
    unsure = proof.unsure()
    if unsure is not None:
        return unsure.why("the last place with {a} {grid} layout; measuring could not confirm where its places lie")
    if proof.findings:
        raise LayerError(
            "expected a layer whose places answer to their own part of the image, found none: the model moves, "
            "turns or re-orders what it sees (a flip, roll or crop in its forward, or tokens in another order); "
            "pass the model without that step"
        )
    raise LayerError(
        "expected a layer whose output has a layout in space and a gradient from the class scores, found none; "
        "pass layer= the name of a module that returns [B, C, h, w], [B, h, w, C] or [B, tokens, C]"
    )


def _refuse_tokens_before_batch(flow: Flow, output: SpatialOutput | None) -> None:
    """Raise if the network goes on from `output` with tokens `[N, B, C]`, whose maps would be read wrongly."""
    start = 0 if output is None else flow.module_calls.index(output.module_call)
    for module_call in flow.module_calls[start:]:
        if len(module_call.shape) == 3 and module_call.shape[0] != len(flow.pixels) == module_call.shape[1]:
            raise LayerError(
                f"expected tokens [batch, tokens, channels], got [tokens, batch, channels] from "
                f"{quoted(module_call.name)}; build the transformer with batch_first=True"
            )


def _alone_feeds(flow: Flow, output: SpatialOutput, unread: SpatialOutput) -> SpatialOutput | None:
    """The last normalisation between the two, if the patches of `output` are read only through it."""
    for norm in reversed(flow.outputs[output.order + 1 : unread.order]):
        if _is_normalisation(norm) and flow.is_read(norm):
            with flow.without([norm.node]):
                if not flow.is_read(output):
                    return norm
    return None


def _in_a_branch(flow: Flow, proof: Proof) -> SpatialOutput | None:
    """The latest output that is read, its siblings named in its rule, for graphs without a late common output."""
    ends = _branch_ends(flow, proof)
    if not ends:
        return None
    rule = "the last place with {a} {grid} layout that the class scores read; no late place carries every path"
    siblings = ", ".join(_called(end, flow) for end in ends[1:])
    return ends[0].why(f"{rule}, parallel branches end at {siblings}" if siblings else rule)


def _branch_ends(flow: Flow, proof: Proof) -> list[SpatialOutput]:
    """The latest output of each parallel branch, or of each call of one encoder, from late to early.

    A branch whose end answers to other parts of the image, such as one that sees it flipped, is left out if there
    is another.
    """
    ends: list[SpatialOutput] = []
    moved: list[SpatialOutput] = []
    for output in reversed(flow.outputs):
        later = [*ends, *moved] if ends else []
        apart = is_feature_map(output) and all(output.node not in upstream(other.node) for other in later)
        if apart and flow.is_read(output):
            proved = proof.proved(output)
            ends += [proved] if proved is not None else []
            moved += [output] if proved is None else []
    return ends


def _called(output: SpatialOutput, flow: Flow) -> str:
    """The name of an output's module, with its call if the module is called several times."""
    calls = sum(module_call.module is output.module_call.module for module_call in flow.module_calls)
    return f"{output.layer.name} (call {output.layer.call})" if calls > 1 else output.layer.name


def find_candidates(flow: Flow, proof: Proof) -> list[TargetLayer]:
    """The outermost and latest output of each stage, or of each block if there are fewer than three stages.

    Where the target is one of several parallel branches, the others come before it.
    """
    target = find_target(flow, proof)
    early = [
        dominator for dominator in flow.at_dominators() if dominator.order < target.order and not dominator.doubtful
    ][::-1]

    def stage(output: SpatialOutput) -> int:
        return round(log2(flow.pixels.shape[-2] / output.layer.grid[0]))

    stages = sorted({stage(output) for output in early} - {stage(target)})
    if len(stages) < 2:
        blocks = [output for output in early if next(output.module_call.module.children(), None) is not None]
        chosen = [_like(target, block, proof) for block in _without_first_halves(blocks, flow, target)]
    else:
        groups = [[output for output in early if stage(output) == number] for number in stages]
        chosen = [_outermost_proved(group, proof) for group in groups]
    found = [output for output in chosen if output is not None]
    rule = "the {grid} layout that every path to the class scores passes through here"
    return [*(output.why(rule).layer for output in found), *_siblings(target, flow, proof), target.layer]


def _like(target: SpatialOutput, block: SpatialOutput, proof: Proof) -> SpatialOutput | None:
    """A block before the target: proved with the target if their places lie alike, else by itself."""
    original = proof.flow.outputs[target.order]
    if original.geometry == block.geometry and original.layer.channels == block.layer.channels:
        layout = replace(
            block.layer, layout=target.layer.layout, prefix=target.layer.prefix, grid=target.layer.grid
        )
        return replace(block, layer=replace(layout, channels=target.layer.channels))
    return proof.proved(block)


def _outermost_proved(stage: Sequence[SpatialOutput], proof: Proof) -> SpatialOutput | None:
    """The outermost and latest output of a stage; another if measuring contradicts that one."""
    ranked = sorted(stage, key=lambda output: (-output.depth, output.order), reverse=True)
    return next((proved for output in ranked if (proved := proof.proved(output)) is not None), None)


def _siblings(target: SpatialOutput, flow: Flow, proof: Proof) -> list[TargetLayer]:
    """The ends of the branches parallel to the target's, from early to late; none if every path passes it."""
    if target.after < 1:
        return []
    rule = "the {grid} layout at the end of one of several parallel branches"
    ends = [end for end in _branch_ends(flow, proof) if end.module_call is not target.module_call]
    return [end.why(f"{rule}, {_called(end, flow)}").layer for end in reversed(ends)]


def _without_first_halves(
    blocks: Sequence[SpatialOutput], flow: Flow, target: SpatialOutput
) -> list[SpatialOutput]:
    """The blocks without those that are part of another: a block with a single dominator inside is listed once."""
    ends = {
        output.layer.name
        for output in flow.outputs
        if output.module_call.output_edge == target.module_call.output_edge
    }
    ends |= {output.layer.name for output in blocks}
    within = {
        output.layer.name: {end for end in ends if output.layer.name.startswith(f"{end}.")} for output in blocks
    }
    parts = Counter(end for around in within.values() for end in around)
    return [output for output in blocks if all(parts[end] > 1 for end in within[output.layer.name])]


def find_named(flow: Flow, proof: Proof, name: str) -> TargetLayer:
    """The last call of the module of this name, checked for a layout and for support."""
    outputs = [output for output in flow.outputs if output.layer.name == name]
    if not outputs:
        raise LayerError(
            f"expected a layer whose output has a layout in space, got {quoted(name)}; "
            f"use {_nearest_output(flow, name)}"
        )
    read = [output for output in outputs if flow.is_read(output) or flow.is_picked_from(output)]
    if not read:
        raise LayerError(
            f"expected a layer whose places the class scores read, got {quoted(name)}, whose gradient is zero "
            f"there; use {quoted(find_target(flow, proof).layer.name)}"
        )
    proved = next((found for output in reversed(read) if (found := proof.proved(output)) is not None), None)
    if proved is not None:
        return proved.why("chosen by name; its layout is {grid}").layer
    if _is_contradicted(read[-1], proof) or read[-1].doubtful:
        tokens = read[-1].layer.layout == "tokens"
        lie = "tokens lie row by row" if tokens else "places lie as on the image"
        raise LayerError(
            f"expected a layer whose {lie}, got {quoted(name)}, which has them in another order; "
            f"use {quoted(find_target(flow, proof).layer.name)}"
        )
    return read[-1].why("chosen by name; measuring could not confirm that its places lie as {grid}").layer


def _nearest_output(flow: Flow, name: str) -> str:
    """The name of the spatial output that ran closest to `name`, an earlier one rather than a later one."""
    order = [module_call.name for module_call in flow.module_calls]
    here = order.index(name) if name in order else len(order)
    names = [output.layer.name for output in flow.outputs]
    return quoted(min(names, key=lambda other: (order.index(other) > here, abs(order.index(other) - here))))
