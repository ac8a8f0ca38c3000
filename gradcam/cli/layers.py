"""The command `layers`: where the maps of models lie, found from shapes alone or measured on numbers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from gradcam.cli import terminal
from gradcam.errors import OptionError, quoted
from gradcam.files import refuse_existing
from gradcam.layer_tables import (
    LayerRow,
    known_models,
    layer_row,
    models_to_measure,
    write_layer_table,
    write_measured_table,
)
from gradcam.layers import Verdict
from gradcam.models import is_listed, parse_model_id


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", nargs="*", metavar="ID", help="such as timm/convnext_tiny")
    add("--all", action="store_true", help="every builder of torchvision and every name in timm")
    add("--out", type=terminal.path, metavar="FILE.csv", help="write a table, and counts by family beside it")
    add(
        "--measure",
        action="store_true",
        help="build models with random weights, one of each family by default, and measure their places; rows that "
        "--out has already are kept, so that a stopped run goes on",
    )


def run(options: argparse.Namespace) -> int:
    """Say where the maps of the models lie; 1 where a measurement failed or contradicts the layer."""
    models = [_without_weights(model_id) for model_id in options.models]
    out: Path | None = options.out
    if out is not None:
        if out.suffix != ".csv":
            raise OptionError(f"expected a .csv file for --out, got {quoted(out)}; name another")
        refuse_existing(out, force=True)
    return _measure(models, out) if options.measure else _find(models, out, options.all)


def _measure(models: Sequence[str], out: Path | None) -> int:
    """Measure the target layers of models, and say how many are confirmed."""
    if out is None:
        raise OptionError("expected a .csv file for --measure to write, got none; name one with --out")
    models = models or models_to_measure()
    with terminal.progress(len(models), "model") as show:
        verdicts = write_measured_table(models, out, show)
    print(", ".join(f"{verdicts[verdict]} {verdict}" for verdict in (*get_args(Verdict), "failed")))
    return terminal.DIFFERENT if verdicts["contradicted"] or verdicts["failed"] else 0


def _find(models: Sequence[str], out: Path | None, every: bool) -> int:
    """Find the target layers of models, and say how many are resolved."""
    models = known_models() if every else models
    if not models:
        raise OptionError("expected the ids of models, got none; name some or add --all")
    if out is None:
        rows = [layer_row(model) for model in models]
    else:
        with terminal.progress(len(models), "model") as show:
            rows = write_layer_table(models, out, show)
        terminal.tell(f"Wrote {out} and {out.with_suffix('.md').name}")
    if not every:
        for row in rows:
            terminal.tell(_sentence(row))
    print(f"{sum(not row.refused for row in rows)} of {len(rows)} resolved")
    return 0


def _sentence(row: LayerRow) -> str:
    if row.refused:
        return f"{row.model} · REFUSED: {row.refused}"
    return f"{row.model} · {row.layer} · {row.grid} · {row.channels} channels · {row.layout} · {row.rule}"


def _without_weights(model_id: str) -> str:
    """The id without weights, on which no layer depends. Raises: GradcamError."""
    spec = parse_model_id(model_id)
    if not is_listed(model_id):
        raise OptionError(
            f"expected a model that is built without a network, got {quoted(model_id)}; name its "
            "architecture, such as timm/resnet18"
        )
    return spec.architecture
