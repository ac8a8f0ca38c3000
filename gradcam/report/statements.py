"""The fixed sentences of a report: method, limits, and the warnings that stand beside a panel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from gradcam.draw.captions import ONLY_AGAINST, scale_label
from gradcam.errors import quoted
from gradcam.geometry import hides_part_of_photo
from gradcam.methods import GRADCAM, Method, known_method
from gradcam.report.model import (
    Agreement,
    Answer,
    Content,
    Finding,
    HeatmapEntry,
    MethodEntry,
    ModelEntry,
    Paragraph,
    Row,
    Verdict,
)
from gradcam.scaling import FLOOR
from gradcam.targets import write_target
from gradcam.text import count, dimensions, listed, percent
from gradcam.types import Fit, Numerics, Style, Target, TargetLayer, Top

FIT_LABELS: dict[Fit, str] = {
    "crop": "each model's own evaluation crop",
    "squash": "the whole photo, its aspect lost",
    "pad": "the whole photo between bars",
}

NUMERICS_LABELS: dict[Numerics, str] = {
    "eager": "as its library built it",
    "folded": "in a faster form, equal but for rounding (folded)",
    "packed": "in a faster form, equal but for rounding (packed)",
}
"""How a model computed."""


def target_text(target: Target) -> str:
    """A target in a table: `class 10` is an index, and `class "10"` the name of a class."""
    if isinstance(target, int):
        return f"class {target}"
    return f'class "{target}"' if isinstance(target, str) and target.isdigit() else write_target(target)


def target_title(target: Target) -> str:
    """A target as a heading; a label is left as it is written."""
    text = target_text(target)
    if isinstance(target, Top):
        return f"Each model’s {text}"
    is_number = isinstance(target, int) or (isinstance(target, str) and target.isdigit())
    return text.capitalize() if is_number else text


def request_text(report: Content, one: Finding | Agreement) -> str:
    """What a panel or a pair of panels shows, in a table: the target, and the method where there are several."""
    return _with_method(report, target_text(report.targets[one.target].target), one.method)


def request_title(report: Content, row: Row) -> str:
    """The same as a heading."""
    return _with_method(report, target_title(report.targets[row.target].target), row.method)


def _with_method(report: Content, text: str, method: int) -> str:
    return f"{text} · {report.methods[method].name}" if len(report.methods) > 1 else text


def methods_line(report: Content) -> str:
    """All methods of a report: `Grad-CAM`."""
    return listed([method.name for method in report.methods])


# -------------------------------------------------------------------------------------- beside a panel


def _no_evidence(panel: HeatmapEntry, answer: Answer, model: ModelEntry) -> str | None:
    if panel.values.max() >= FLOOR:
        return None
    if panel.values.min() <= -FLOOR:
        return f"No positive evidence: the map holds {ONLY_AGAINST}."
    return "No positive evidence: the map is zero everywhere, so nothing is coloured."


def _flat(panel: HeatmapEntry, answer: Answer, model: ModelEntry) -> str | None:
    flat = panel.values.max() > 0 and np.ptp(panel.values) == 0
    return "The map has one value everywhere: it says nothing about where." if flat else None


def _unlikely(panel: HeatmapEntry, answer: Answer, model: ModelEntry) -> str | None:
    if panel.scored.rank <= 5:  # also 0, of what is no class
        return None
    return (
        f"The model does not expect this class: it is number {panel.scored.rank} among its predictions, with "
        f"{percent(panel.scored.probability)}."
    )


def _no_class(panel: HeatmapEntry, answer: Answer, model: ModelEntry) -> str | None:
    words = panel.scored.label
    return None if panel.scored.is_class else f"{words[:1].upper()}{words[1:]}; cannot be recomputed."


def _untrained(panel: HeatmapEntry, answer: Answer, model: ModelEntry) -> str | None:
    return "Untrained: random weights; this is not what a trained model looks at." if model.untrained else None


def _hidden(panel: HeatmapEntry, answer: Answer, model: ModelEntry) -> str | None:
    if not hides_part_of_photo(answer.view):
        return None
    hidden = 100 * (1 - answer.view.coverage)
    share = f"{hidden:.0f} %" if hidden >= 1 else "less than 1 %"
    return f"The crop hides {share} of the photo; the model never saw what lies outside the frame."


def _squashed(panel: HeatmapEntry, answer: Answer, model: ModelEntry) -> str | None:
    left, top, right, bottom = answer.view.box
    height, width = answer.view.input_size
    stretch = (right - left) / width * height / (bottom - top)
    if 0.95 < stretch < 1.05:
        return None
    return f"The photo was squashed: width and height were scaled {max(stretch, 1 / stretch):.2f} to 1."


WARNINGS: tuple[Callable[[HeatmapEntry, Answer, ModelEntry], str | None], ...] = (
    _no_evidence,
    _flat,
    _unlikely,
    _no_class,
    _untrained,
    _hidden,
    _squashed,
)


def warnings_of(panel: HeatmapEntry, answer: Answer, model: ModelEntry) -> tuple[str, ...]:
    """Every computed warning that concerns this panel."""
    sentences = (warning(panel, answer, model) for warning in WARNINGS)
    return tuple(sentence for sentence in sentences if sentence is not None)


# --------------------------------------------------------------------------------------- of the whole


def procedure(
    methods: Sequence[MethodEntry],
    models: Sequence[ModelEntry],
    style: Style,
    fit: Fit,
    *,
    marked: bool = False,
    not_compared: list[str] | None = None,
) -> tuple[Paragraph, ...]:
    """How the maps were made, a paragraph for each step.

    marked: whether somebody marked where the object is on any photo. not_compared: the models, by name, whose own
    predictions are compared with no other's.
    """
    cited = [f"{method.name} ({method.citation})" if method.citation else method.name for method in methods]
    smooth = {
        "bilinear": "Bilinear (as align_corners=False means it), from the map's grid straight to the photo.",
        "nearest": "None: each cell of the map's grid is shown as a block.",
    }
    few = (
        f" The predictions of {listed(not_compared)} are left out: a model that knows few classes names one of "
        "them, whatever the photo shows."
        if not_compared
        else ""
    )
    threshold = f" Heat below {percent(style.threshold)} of full colour is left out." if style.threshold else ""
    return (
        Paragraph("Method", f"{listed(cited)}."),
        *(
            Paragraph(
                "Formula" if len(methods) == 1 else f"Formula of {method.name}",
                f"{method.formula}." + (f" {_SYMBOLS}" if method.reads_layer else ""),
            )
            for method in methods
            if method.formula
        ),
        *(
            Paragraph(f"Reading {method.name}", _reading(row))
            for method in methods
            if (row := known_method(method.name)) and row is not GRADCAM
        ),
        Paragraph(
            "Target scalar",
            "y is the class's logit, before softmax or sigmoid; for “A rather than B” it is logit A minus logit B. "
            "A head with a single logit has two classes: the positive one has that logit, the other its negative.",
        ),
        Paragraph("Target layer", layer_statement(models)),
        Paragraph(
            "Fit to the input", f"{FIT_LABELS[fit].capitalize()}; the frame in a picture marks what was seen."
        ),
        Paragraph("Upsampling", smooth[style.interpolation]),
        Paragraph(
            "Normalisation",
            "The raw map is the truth and is kept; for showing it is divided by full scale, and no minimum is "
            f"subtracted. {scale_label(style.scale, [method.name for method in methods])}{threshold}",
        ),
        *([_agreement(few)] if len(models) > 1 else []),
        *([_MARKED] if marked else []),
    )


def _agreement(few: str) -> Paragraph:
    return Paragraph(
        "Agreement",
        "Measured between the maps of two models on the photo's own pixels that both saw: Spearman's rank "
        "correlation (1 same order, 0 none, −1 opposite) and the overlap (IoU) of the hottest fifths (1 same, "
        f"0 none in common).{few}",
    )


_SYMBOLS = "A is the target layer's output and k runs over its feature maps."


def _reading(method: Method) -> str:
    """What zero means, what to know before trusting a map, and what could have been chosen otherwise."""
    chosen = [f"{name} {value}" for name, value in method.parameters]
    chosen += [] if method.seed is None else [f"seed {method.seed}"]
    with_these = f"Computed with {listed(chosen)}." if chosen else ""
    return " ".join(filter(None, (method.zero, method.caveats, with_these)))


_MARKED = Paragraph(
    "Heat inside",
    "The share of a map's heat (what is above 0, on the photo's own pixels) that lies where the reviewer marked "
    "the object, beside the share of the photo's area that the mark covers: heat spread evenly over the photo has "
    "as much inside as the mark has area (the energy-based pointing game of Wang et al. 2020).",
)


def layer_statement(models: Sequence[ModelEntry]) -> str:
    """Who chose the models' layers: the rule, or somebody by hand."""
    by_hand = {model.id: model.requested_layer for model in models if model.requested_layer != "auto"}
    if len(by_hand) == len(models) > 1 and len(set(by_hand.values())) == 1:
        return f"Overridden: {quoted(next(iter(by_hand.values())))} was named by hand for every model."
    found = (
        "Found in each model's own data flow: the place and the rule that chose it are named with each model. "
        if len(by_hand) < len(models)
        else ""
    )
    named = listed([f"{quoted(layer)} for {model}" for model, layer in by_hand.items()])
    return found + (f"Overridden by hand: {named}." if by_hand else "Nothing was overridden.")


def limits(
    grids: Collection[tuple[int, int]],
    layers: Sequence[TargetLayer],
    methods: Sequence[MethodEntry],
    style: Style,
    fit: Fit,
) -> tuple[Paragraph, ...]:
    """What the pictures cannot show, as far as it applies to these maps, models and methods. grids: of all maps."""
    told = listed([dimensions(*grid) for grid in sorted(grids)])
    several = _SCALE_LIMITS_OF_SEVERAL_METHODS if len(methods) > 1 else {}
    scale = several.get(style.scale, _SCALE_LIMITS[style.scale])
    paragraphs = [
        Paragraph(
            "Coarse grid",
            f"The maps have {told} cells; the smooth look comes from upsampling. A cell covers many photo pixels, "
            "so an edge in the heat is no edge in the photo.",
        ),
        Paragraph("Scale", scale),
    ]
    if len(grids) > 1:
        paragraphs.append(
            Paragraph(
                "Different grids",
                "The maps' grids differ: a coarser one spreads its heat over more of the photo, which alone "
                "lowers agreement and must not be read as a wider gaze.",
            )
        )
    names = {method.name for method in methods}
    family = f"{GRADCAM.name} was" if GRADCAM.name in names else "Class activation maps were"
    if any(layer.layout == "tokens" for layer in layers):
        paragraphs.append(
            Paragraph(
                "Transformers",
                f"{family} made for convolutional layers. Attention mixes places, so a token's heat need not "
                "belong to the patch that it started from; read these maps with more doubt.",
            )
        )
    if fit == "crop":
        paragraphs.append(
            Paragraph(
                "Crop", "A model's evaluation crop may cut off what matters; nothing is known about that part."
            )
        )
    paragraphs.append(
        Paragraph(
            "Plausible is not correct",
            "A map that looks right does not make the prediction right, nor one that looks odd make it wrong. It "
            "shows where a score is sensitive, not what the model understands.",
        )
    )
    return tuple(paragraphs)


_SCALE_LIMITS = {
    "each": "Every map is scaled by its own maximum: a weak map looks as strong as a strong one. Compare places, "
    "never strengths; the raw peaks are in the numbers.",
    "model": "Maps of one model share a scale; strengths cannot be compared across models.",
    "shared": "All maps share one scale. Raw units differ between architectures, so a pale map may be a matter of "
    "units.",
}

_SCALE_LIMITS_OF_SEVERAL_METHODS = {
    "model": "Maps of one model by one method share a scale; strengths cannot be compared across models, nor "
    "across methods.",
    "shared": "Maps of one method share a scale; strengths cannot be compared across methods. Raw units differ "
    "between architectures, too, so a pale map may be a matter of units.",
}


def conclusion(verdict: Verdict) -> str:
    """Status, reviewer and date in one line."""
    parts = [verdict.status.capitalize(), verdict.reviewer and f"by {verdict.reviewer}", verdict.date]
    return " · ".join(part for part in parts if part)


def extent(report: Content) -> str:
    """How much was compared, in one line."""
    axes = [count(len(report.photos), "photo"), count(len(report.models), "model")]
    axes += [count(len(report.methods), "method")] if len(report.methods) > 1 else []
    axes += [count(len(report.targets), "question")]
    failures = f" · {len(report.failures)} failed" if report.failures else ""
    return f"{' × '.join(axes)} = {count(len(report.findings), 'panel')}{failures}"
