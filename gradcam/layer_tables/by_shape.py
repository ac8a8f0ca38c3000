"""The table of target layers: which layer every known model resolves to, or why it does not."""

from __future__ import annotations

import csv
import io
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn

from gradcam.errors import GradcamError
from gradcam.files import write_whole
from gradcam.layers.find import target_layer_support
from gradcam.model_spec import read_spec
from gradcam.models.sources import SOURCES
from gradcam.text import dimensions
from gradcam.types import ModelSpec


@dataclass(frozen=True)
class LayerRow:
    """One model's line of the table, as text; `refused` is the reason where there is no layer.

    classes: 0 where the model is known to give features or an embedding. support: share of the grid that the
        gradient can reach. measured: how the layer was checked; here always by shapes only. seconds: to find the
        layer, without building the model.
    """

    model: str
    family: str
    parameters: int | None = None
    input_size: str = ""
    classes: int = 0
    layer: str = ""
    layout: str = ""
    prefix: int | None = None
    grid: str = ""
    channels: int | None = None
    support: float | None = None
    measured: str = ""
    rule: str = ""
    seconds: float | None = None
    refused: str = ""


def known_models() -> list[str]:
    """Ids of every torchvision builder and every timm architecture, without weights."""
    return [str(ModelSpec(source, name)) for source in ("torchvision", "timm") for name in SOURCES[source].names()]


def write_layer_table(
    models: Sequence[str], out: Path, progress: Callable[[int, str], None] = lambda done, model: None
) -> list[LayerRow]:
    """Resolve every model on the meta device and write `out` (CSV) and, beside it, counts by family (Markdown).

    models: ids such as `timm/resnet50`. progress: called before each model with the number done and its id.
    Raises: OptionError where the files cannot be written.
    """
    rows = []
    for done, model in enumerate(models):
        progress(done, model)
        rows.append(layer_row(model))
    with write_whole(out) as file:
        file.write(_csv(rows).encode("utf-8-sig"))  # for Excel
    with write_whole(out.with_suffix(".md")) as file:
        file.write(summary(rows).encode())
    return rows


def _csv(rows: Iterable[LayerRow]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, [column.name for column in fields(LayerRow)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    return text.getvalue()


def layer_row(model: str) -> LayerRow:
    """The row of one model, built without numbers: weights are never read, and only shapes are computed."""
    spec = read_spec(model)
    row = SOURCES[spec.source]
    size = row.preprocessing(spec).size
    facts = {
        "model": model,
        "family": _family(spec),
        "classes": row.classes(spec),
    }
    try:
        module = _build(spec)
        facts["input_size"] = dimensions(*size)
        facts["parameters"] = sum(parameter.numel() for parameter in module.parameters())
        started = time.perf_counter()
        layer, support = target_layer_support(module, size)
        seconds = round(time.perf_counter() - started, 2)
    except (GradcamError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        return LayerRow(**facts, refused=" ".join(str(error).split()))
    return LayerRow(
        **facts,
        layer=layer.name,
        layout=layer.layout,
        prefix=layer.prefix,
        grid=dimensions(*layer.grid),
        channels=layer.channels,
        support=round(support, 3),
        measured="shapes only",
        rule=layer.rule,
        seconds=seconds,
    )


def summary(rows: Iterable[LayerRow]) -> str:
    """Counts by family, and every refusal with its reason, as Markdown."""
    families: dict[str, list[LayerRow]] = defaultdict(list)
    for row in rows:
        families[row.family].append(row)
    lines = [
        "# Target layers by family",
        "",
        "Written by `python -m gradcam layers --all`. *Refused* models have no classification head by default.",
        "",
        "| family | models | resolved | refused | NCHW | NHWC | tokens | least support |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    total = [row for family in families.values() for row in family]
    lines += [_line(family, families[family]) for family in sorted(families)]
    sources = [read_spec(row.model).source for row in total]
    for source in sorted({*sources}):
        lines.append(
            _line(f"**{source}**", [row for row, own in zip(total, sources, strict=True) if own == source])
        )
    lines += ["", "## Refused", ""]
    lines += [f"- `{row.model}`: {row.refused}" for row in total if row.refused]
    return "\n".join(lines) + "\n"


def _line(name: str, rows: Sequence[LayerRow]) -> str:
    layouts = Counter(row.layout for row in rows)
    refused = sum(bool(row.refused) for row in rows)
    least = min((row.support for row in rows if row.support is not None), default=0.0)
    cells = [name, len(rows), len(rows) - refused, refused]
    cells += [layouts["NCHW"], layouts["NHWC"], layouts["tokens"], f"{least:.2f}"]
    return f"| {' | '.join(map(str, cells))} |"


def _family(spec: ModelSpec) -> str:
    """The module that defines a model, such as `timm.vision_transformer`."""
    torchvisions = spec.source == "torchvision"
    entry = torchvision.models.get_model_builder if torchvisions else timm.models.model_entrypoint
    return f"{spec.source}.{entry(spec.name).__module__.rsplit('.', 1)[-1]}"


def _build(spec: ModelSpec) -> nn.Module:
    """The model on the meta device; one whose builder computes with numbers is built on the CPU first."""
    untrained = ModelSpec(spec.source, spec.name, "random")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                return SOURCES[spec.source].build(untrained, None)
        except (RuntimeError, NotImplementedError):
            return SOURCES[spec.source].build(untrained, None).to("meta")
