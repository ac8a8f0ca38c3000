"""Which spatial outputs are what their shapes say: proved by measuring, not believed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from torch import Tensor, nn

from gradcam.capture import record
from gradcam.inputs import Inputs
from gradcam.layers.flow import Flow, SpatialOutput
from gradcam.layers.graph import nodes_between, shape_at
from gradcam.layers.layouts import other_readings
from gradcam.layers.placement import (
    CONFIRMED_OFF,
    ELSEWHERE,
    NOTHING,
    Measurement,
    changes,
    displacement,
    judge_reading,
    measure,
)
from gradcam.nodes import operation
from gradcam.types import TargetLayer

MOST_MEASURED = 24
"""Most outputs that one search measures; all others count as not proved."""

MIXES = re.compile("Bmm|ScaledDotProduct|Softmax|Einsum|Attention")
"""Operations by which tokens read other tokens."""


@dataclass(frozen=True)
class Finding:
    """The result of measuring an output.

    output: the proved output, perhaps in another reading; None where nothing is proved.
    measurement: of the output as its shape was read.
    """

    output: SpatialOutput | None
    measurement: Measurement


class Proof:
    """What is known of a flow's outputs. On the meta device nothing can be measured, and shapes are believed."""

    def __init__(self, model: nn.Module, inputs: Inputs, flow: Flow) -> None:
        self.model, self.inputs, self.flow = model, inputs, flow
        self.measured: dict[tuple[SpatialOutput, TargetLayer], Measurement] = {}
        self.findings: dict[SpatialOutput, Finding] = {}
        made = None if flow.pixels.is_meta else flow.image_as_made()
        self.moved = (0.0, 0.0) if made is None else displacement(flow.pixels, made, shape_at(made))

    def proved(self, output: SpatialOutput) -> SpatialOutput | None:
        """The output in the reading that measuring proved; None where none is proved."""
        return self.finding(output).output

    def finding(self, output: SpatialOutput) -> Finding:
        known = self._original(output)
        if known not in self.findings:
            self.findings[known] = self._find(known)
        found = self.findings[known]
        if found.output is None:
            return found
        return replace(found, output=replace(output, layer=replace(found.output.layer, rule=output.layer.rule)))

    def unsure(self) -> SpatialOutput | None:
        """The latest output that measuring neither confirmed nor contradicted, if nothing was proved."""
        neither = [
            output
            for output, found in self.findings.items()
            if found.measurement.verdict == "inconclusive" and not output.doubtful
        ]
        return max(neither, key=lambda output: output.order, default=None)

    def _original(self, output: SpatialOutput) -> SpatialOutput:
        return self.flow.outputs[output.order]

    def _find(self, output: SpatialOutput) -> Finding:
        if self.flow.pixels.is_meta:
            return Finding(None if output.doubtful else output, NOTHING)
        if self.moves(output):
            return Finding(None, ELSEWHERE)
        measurement = self.measure(output)
        if measurement.verdict == "confirmed":
            return Finding(output, measurement)
        if measurement.verdict == "inconclusive" and not output.doubtful:
            if output.layer.layout == "tokens":
                return Finding(output if self._keeps_confirmed_tokens(output) else None, measurement)
            return Finding(self._swapped(output) or output, measurement)
        return Finding(self._read_otherwise(output), measurement)

    def moves(self, output: SpatialOutput) -> bool:
        """Whether the model moves its input by so much that it shows on the output's grid."""
        return any(
            moved * cells > CONFIRMED_OFF for moved, cells in zip(self.moved, output.layer.grid, strict=True)
        )

    def measure(self, output: SpatialOutput, reading: TargetLayer | None = None) -> Measurement:
        """The measurement of an output as it is read; `NOTHING` once too many were measured."""
        key = self._original(output), reading or output.layer
        if key not in self.measured:
            if len(self.measured) >= MOST_MEASURED:
                return NOTHING
            module_call = output.module_call
            self.measured[key] = measure(self.flow.pixels, module_call.output_edge, module_call.shape, key[1])
        return self.measured[key]

    def _keeps_confirmed_tokens(self, output: SpatialOutput) -> bool:
        """Whether tokens that mix too much to be measured are the same as tokens that were confirmed earlier.

        The earliest tokens of this number, grid and prefix must be confirmed, and lead here by a path on which
        tokens do not read each other (the residual one). Latents that attention gathers are no places, even if
        there are as many of them as patches.
        """
        earliest = next(other for other in self.flow.outputs if other.geometry == output.geometry)
        if earliest is output or self.measure(earliest).verdict != "confirmed":
            return False
        return earliest.node in nodes_between(
            output.node, earliest.node, lambda node: MIXES.search(operation(node)) is not None
        )

    def _swapped(self, output: SpatialOutput) -> SpatialOutput | None:
        """The output in its other layout, if that is confirmed."""
        readings = other_readings(output.module_call.shape, output.layer, self.flow.pixels.shape[-2:])
        confirmed = (reading for reading in readings if self.measure(output, reading).verdict == "confirmed")
        return next((replace(output, layer=reading) for reading in confirmed), None)

    def _read_otherwise(self, output: SpatialOutput) -> SpatialOutput | None:
        """The output in its other layout, or after the number of tokens that fits the changes of an image best, if
        a measurement confirms it."""
        if output.layer.layout != "tokens":
            return self._swapped(output)
        readings = other_readings(output.module_call.shape, output.layer, self.flow.pixels.shape[-2:])
        if not readings or len(self.measured) >= MOST_MEASURED:
            return None
        changed, centres = self._changes(output)
        judged = {reading: judge_reading(changed, centres, reading) for reading in readings}
        best = max(judged, key=lambda reading: judged[reading].correlation)
        if judged[best].verdict != "confirmed" or self.measure(output, best).verdict != "confirmed":
            return None
        return replace(output, layer=best)

    def _changes(self, output: SpatialOutput) -> tuple[Tensor, Tensor]:
        def activation(batch: Tensor) -> Tensor:
            inputs = self.inputs.first(len(batch)).with_images(batch)
            return record(self.model, inputs, output.layer).activation

        return changes(activation, self.flow.pixels.detach(), output.layer.grid)
