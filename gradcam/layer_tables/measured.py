"""The table of measurements: whether the target layer's places answer to their own part of the image, by family."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path

import torch
from torch import nn

from gradcam.errors import GradcamError
from gradcam.files import write_whole
from gradcam.layers.find import measure_target
from gradcam.model_spec import read_spec
from gradcam.models.classifier import seeded
from gradcam.models.sources import SOURCES
from gradcam.text import dimensions


@dataclass(frozen=True)
class MeasuredRow:
    """One model's line of the table; its numbers are those of `Measurement`, `failed` is the reason."""

    model: str
    input_size: str = ""
    layer: str = ""
    grid: str = ""
    measured: str = ""
    own: float | None = None
    correlation: float | None = None
    off: float | None = None
    slope: float | None = None
    failed: str = ""


def models_to_measure() -> list[str]:
    """Every torchvision builder, and the smallest model of each timm module."""
    text = resources.files("gradcam").joinpath("data/layers.csv").read_text("utf-8-sig")
    rows = [row for row in csv.DictReader(text.splitlines()) if not row["refused"]]
    rows = sorted(rows, key=_parameters)
    smallest = {row["family"]: row["model"] for row in reversed(rows)}
    torchvisions = [row["model"] for row in rows if read_spec(row["model"]).source == "torchvision"]
    return [*torchvisions, *(model for model in smallest.values() if read_spec(model).source == "timm")]


def _parameters(row: dict[str, str]) -> int:
    return int(row["parameters"])


def write_measured_table(
    models: Sequence[str], out: Path, progress: Callable[[int, str], None] = lambda done, model: None
) -> Counter[str]:
    """Measure every model without a row in `out` (CSV), and write each row as soon as it is known.

    progress: called before each model with the number done and its id.
    Returns: how many of all rows are confirmed, inconclusive, contradicted or failed.
    """
    done = list(csv.DictReader(out.read_text("utf-8-sig").splitlines())) if out.exists() else []
    known = {row["model"] for row in done}
    verdicts = Counter(row["measured"] or "failed" for row in done)
    with out.open("a", newline="", encoding="utf-8-sig") as file:
        table = csv.DictWriter(file, [column.name for column in fields(MeasuredRow)], lineterminator="\n")
        if not done:
            table.writeheader()
        for position, model in enumerate(models):
            if model not in known:
                progress(position, model)
                row = measured_row(model)
                verdicts[row.measured or "failed"] += 1
                table.writerow(asdict(row))
                file.flush()
    with write_whole(out.with_suffix(".md")) as file:
        file.write(summary(list(csv.DictReader(out.read_text("utf-8-sig").splitlines()))).encode())
    return verdicts


def summary(rows: Sequence[dict[str, str]]) -> str:
    """Counts by source, and every model whose places are not confirmed, as Markdown."""
    wanted = set(models_to_measure())
    done = sum(row["model"] in wanted for row in rows)
    verdicts = ("confirmed", "inconclusive", "contradicted", "failed")
    lines = [
        "# Target layers measured with seeded random weights",
        "",
        f"Written by `python -m gradcam layers --measure`; {done} of its {len(wanted)} models so far.",
        "",
        f"| source | {' | '.join(verdicts)} |",
        "|---|--:|--:|--:|--:|",
    ]
    verdicts_of: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        verdicts_of[read_spec(row["model"]).source][row["measured"] or "failed"] += 1
    for source, counts in sorted(verdicts_of.items()):
        lines.append(f"| {source} | {' | '.join(str(counts[verdict]) for verdict in verdicts)} |")
    lines += ["", "## Not confirmed", ""]
    for row in rows:
        if row["measured"] != "confirmed":
            figures = (
                f"{row['measured']}, own {row['own']}, correlation {row['correlation']}, off "
                f"{row['off']}, slope {row['slope']}"
            )
            lines.append(f"- `{row['model']}`: {row['failed'] or figures}")
    return "\n".join(lines) + "\n"


def measured_row(model: str) -> MeasuredRow:
    """The row of one model with seeded random weights."""
    spec = read_spec(model)
    source = SOURCES[spec.source]
    try:
        with seeded(0):
            module = source.build(replace(spec, weights="random"), None).eval().requires_grad_(False)
            size = source.preprocessing(spec).size
            awaken(module, size)
        layer, measurement = measure_target(module, size)
    except (GradcamError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        return MeasuredRow(model, failed=" ".join(str(error).split()) or type(error).__name__)
    return MeasuredRow(
        model,
        dimensions(*size),
        layer.name,
        dimensions(*layer.grid),
        measurement.verdict,
        round(measurement.own, 3),
        round(measurement.correlation, 3),
        round(measurement.off, 3),
        round(measurement.slope, 3),
    )


def awaken(module: nn.Module, size: Sequence[int]) -> None:
    """Give values to scales that start at zero, which would hide a path, and statistics to batch normalisation."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() > 1 and parameter.std() == 0 and parameter.abs().max() < 0.1:
                nn.init.normal_(parameter, std=0.1)
        norms = [norm for norm in module.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        if norms:
            module(torch.randn(2, 3, *size))
    module.eval()
