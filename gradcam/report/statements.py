"""The fixed sentences of a report: method, limits, and the warnings that stand beside a panel."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from gradcam.draw.captions import SCALE_LABELS
from gradcam.errors import quoted
from gradcam.geometry import hides_part_of_photo
from gradcam.methods import GRADCAM, METHODS
from gradcam.report.model import Answer, Content, Finding, ModelEntry, Paragraph, Verdict
from gradcam.scaling import NO_EVIDENCE, normalize
from gradcam.text import count, dimensions, listed, percent
from gradcam.types import Fit, Style, TargetLayer

FIT_LABELS: dict[Fit, str] = {
    "crop": "each model's own evaluation crop",
    "squash": "the whole photo, its aspect lost",
    "pad": "the whole photo between bars",
}


_INDEX = re.compile(r"#\d+", re.ASCII)
_OWN = re.compile(r"top prediction|prediction \d+|#top-\d+", re.ASCII)


def question_text(question: str) -> str:
    """A question in a table: `#10` is an index, and `10` the name of a class."""
    if _INDEX.fullmatch(question):
        return f"class {question[1:]}"
    return f'class "{question}"' if question.isdigit() else question


def question_title(question: str) -> str:
    """A question as a heading; a label is left as it is written."""
    if _INDEX.fullmatch(question) or question.isdigit():
        return question_text(question).capitalize()
    return f"Each model’s {question}" if _OWN.fullmatch(question) else question


# -------------------------------------------------------------------------------------- beside a panel


def _no_evidence(finding: Finding, answer: Answer, model: ModelEntry) -> str | None:
    if normalize(finding.values).note != NO_EVIDENCE:
        return None
    return "No positive evidence: the map is zero everywhere, so nothing is coloured."


def _flat(finding: Finding, answer: Answer, model: ModelEntry) -> str | None:
    flat = finding.values.max() > 0 and np.ptp(finding.values) == 0
    return "The map has one value everywhere: it says nothing about where." if flat else None


def _unlikely(finding: Finding, answer: Answer, model: ModelEntry) -> str | None:
    if finding.target is None or finding.target.rank <= 5:
        return None
    return (
        f"The model does not expect this class: it is number {finding.target.rank} among its predictions, with "
        f"{percent(finding.target.probability)}."
    )


def _untrained(finding: Finding, answer: Answer, model: ModelEntry) -> str | None:
    return "Untrained: random weights; this is not what a trained model looks at." if model.untrained else None


def _hidden(finding: Finding, answer: Answer, model: ModelEntry) -> str | None:
    if not hides_part_of_photo(answer.view):
        return None
    hidden = 100 * (1 - answer.view.coverage)
    share = f"{hidden:.0f} %" if hidden >= 1 else "less than 1 %"
    return f"The crop hides {share} of the photo; the model never saw what lies outside the frame."


def _squashed(finding: Finding, answer: Answer, model: ModelEntry) -> str | None:
    left, top, right, bottom = answer.view.box
    height, width = answer.view.input_size
    stretch = (right - left) / width * height / (bottom - top)
    if 0.95 < stretch < 1.05:
        return None
    return f"The photo was squashed: width and height were scaled {max(stretch, 1 / stretch):.2f} to 1."


WARNINGS: tuple[Callable[[Finding, Answer, ModelEntry], str | None], ...] = (
    _no_evidence,
    _flat,
    _unlikely,
    _untrained,
    _hidden,
    _squashed,
)


def warnings_of(finding: Finding, answer: Answer, model: ModelEntry) -> tuple[str, ...]:
    """Every computed warning that concerns this panel."""
    said = (warning(finding, answer, model) for warning in WARNINGS)
    return tuple(sentence for sentence in said if sentence is not None)


# --------------------------------------------------------------------------------------- of the whole


def method(models: Sequence[ModelEntry], style: Style, fit: Fit) -> tuple[Paragraph, ...]:
    """How the maps were made, a passage a step."""
    names = {model.method for model in models if model.method} or {GRADCAM.name}
    rows = [METHODS[name] for name in sorted(names) if name in METHODS]
    smooth = {
        "bilinear": "Bilinear (as align_corners=False means it), from the layer's grid straight to the photo.",
        "nearest": "None: each cell of the layer's grid is shown as a block.",
    }
    threshold = f" Heat below {percent(style.threshold)} of full colour is left out." if style.threshold else ""
    return (
        Paragraph("Method", f"{listed([f'{row.name} ({row.citation})' for row in rows])}."),
        *(
            Paragraph("Formula", f"{row.formula}. A is the target layer's output and k runs over its feature maps.")
            for row in rows
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
            f"subtracted. {SCALE_LABELS[style.scale]}{threshold}",
        ),
        Paragraph(
            "Agreement",
            "Measured between the maps of two models on the photo's own pixels that both saw: Spearman's rank "
            "correlation (1 same order, 0 none, −1 opposite) and the overlap (IoU) of the hottest fifths (1 same, "
            "0 none in common).",
        ),
    )


def layer_statement(models: Sequence[ModelEntry]) -> str:
    """Who chose the models' layers: the rule, or somebody by hand."""
    asked = {model.id: model.asked_layer for model in models if model.asked_layer != "auto"}
    if len(asked) == len(models) > 1 and len(set(asked.values())) == 1:
        return f"Overridden: {quoted(next(iter(asked.values())))} was named by hand for every model."
    by_hand = listed([f"{quoted(layer)} for {model}" for model, layer in asked.items()])
    found = (
        "Found in each model's own data flow: the place and the rule that chose it are named with each model. "
        if len(asked) < len(models)
        else ""
    )
    return found + (f"Overridden by hand: {by_hand}." if asked else "Nothing was overridden.")


def limits(layers: Sequence[TargetLayer], style: Style, fit: Fit) -> tuple[Paragraph, ...]:
    """What the pictures cannot show, as far as it applies to these models."""
    grids = sorted({layer.grid for layer in layers})
    told = listed([dimensions(*grid) for grid in grids])
    passages = [
        Paragraph(
            "Coarse grid",
            f"The maps have {told} cells; the smooth look comes from upsampling. A cell covers many photo pixels, "
            "so an edge in the heat is no edge in the photo.",
        ),
        Paragraph("Scale", _SCALE_LIMITS[style.scale]),
    ]
    if len(grids) > 1:
        passages.append(
            Paragraph(
                "Different grids",
                "The models' grids differ: a coarser one spreads its heat over more of the photo, which alone "
                "lowers agreement and must not be read as a wider gaze.",
            )
        )
    if any(layer.layout == "tokens" for layer in layers):
        passages.append(
            Paragraph(
                "Transformers",
                "Grad-CAM was made for convolutional layers. Attention mixes places, so a token's heat need not "
                "belong to the patch that it started from; read these maps with more doubt.",
            )
        )
    if fit == "crop":
        passages.append(
            Paragraph(
                "Crop", "A model's evaluation crop may cut off what matters; nothing is known about that part."
            )
        )
    passages.append(
        Paragraph(
            "Plausible is not correct",
            "A map that looks right does not make the prediction right, nor one that looks odd make it wrong. It "
            "shows where a score is sensitive, not what the model understands.",
        )
    )
    return tuple(passages)


_SCALE_LIMITS = {
    "each": "Every map is scaled by its own maximum: a weak map looks as strong as a strong one. Compare places, "
    "never strengths; the raw peaks are in the numbers.",
    "model": "Maps of one model share a scale; strengths cannot be compared across models.",
    "shared": "All maps share one scale. Raw units differ between architectures, so a pale map may be a matter of "
    "units.",
}


def conclusion(verdict: Verdict) -> str:
    """Status, reviewer and date in one line."""
    said = [verdict.status.capitalize(), verdict.reviewer and f"by {verdict.reviewer}", verdict.date]
    return " · ".join(part for part in said if part)


def extent(report: Content) -> str:
    """How much was compared, in one line."""
    parts = [count(len(report.photos), "photo"), count(len(report.models), "model")]
    parts += [count(len(report.questions), "question"), count(len(report.findings), "panel")]
    failures = f" · {len(report.failures)} failed" if report.failures else ""
    return " × ".join(parts[:3]) + f" = {parts[3]}{failures}"
