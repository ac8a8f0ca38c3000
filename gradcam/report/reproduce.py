"""The command and the Python lines that make a report again, worked out from the report itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from keyword import iskeyword

from gradcam.kinds import expect
from gradcam.layers import TypedLayer, read_layer, write_layer
from gradcam.methods import GRADCAM, known_method
from gradcam.model_spec import HUBS, architecture_of, find_spec
from gradcam.models.checkpoint import input_of
from gradcam.models.checkpoint_settings import LABEL_SETS
from gradcam.photo import SAMPLES, sample_photo
from gradcam.regions import write_region
from gradcam.report.checks import Thresholds, as_options
from gradcam.report.model import MADE_BY_HAND, UNREADABLE, Content, ModelEntry, Note, PhotoEntry, Verdict
from gradcam.report.sections import is_marked
from gradcam.targets import known_names, write_target
from gradcam.teaching.script import loading
from gradcam.text import clean, listed
from gradcam.types import Activation, PythonTarget, Style, Target, WeightsFile

Layers = TypedLayer | tuple[TypedLayer, ...]

_OF_RUN = "The section Data set is made of the run: see `gradcam run export`, and `data_set_of` in Python."

_OWN_NAME = re.compile(
    "Contrast|Labels|Note|Preprocessing|Style|Top|Verdict|build_report|compare|comparison|datetime|load_checkpoint|"
    "load_classifier|models|open_photos?|photos|replace|report|sample_photo|targets|write_report|(model|function)_.*"
)
"""What the lines of Python may call something themselves."""

_FLAGS = ("--stretch", "--exact")
"""Options without a value."""


def command(report: Content, thresholds: Thresholds | None = None) -> str:
    """One shell command, to be run in a folder that holds what `required_files` says.

    A comment names each model that only Python can make.
    thresholds: those that the command checks.
    """
    expect(Content, report)
    if functions := [clean(target.name) for target in _functions(report)]:
        return f"# No command computes what is defined in Python by {listed(functions)}: run the lines of Python."
    if pythonic := _from_python(report):
        return f"# No command loads {pythonic} the way Python did: run the lines of Python."
    if unknown := [clean(name) for name in _methods(report) if known_method(name) is None]:
        return f"# No command knows the method {listed(unknown)}: use the gradcam that wrote the report."
    ways = {photo.stretched for photo in report.photos if not _is_sample(photo)}
    if len(ways) > 1:
        return "# No command stretches some photos and not others: run the lines of Python."
    photos = [_file(photo.name) for photo in report.photos]
    made = _shell("report", photos, (*_options(report), *as_options(thresholds or Thresholds())))
    return made + ("\n# " + _OF_RUN if report.data_set else "")


def replay_command(report: Content) -> str:
    """One shell command that checks the maps of `review.zip`, in a folder that holds somebody's own models, too.

    A comment where a model is one that only Python can load.
    """
    if pythonic := _from_python(report):
        return (
            f"# No command loads {pythonic} the way Python did: make the report again by the lines of Python, and "
            "compare the two with `gradcam diff`."
        )
    checkpoints = (option for model in report.models for option in _custom_options(model))
    return _shell("replay", ["review.zip"], checkpoints)


def _shell(verb: str, files: Sequence[str], options: Iterable[tuple[str, str]]) -> str:
    words = ["python", "-m", "gradcam", verb, *files]
    for name, value in options:
        words += [f"{name}={value}"] if value.startswith("-") else [name, value] if name not in _FLAGS else [name]
    return shlex.join(words)


def required_files(report: Content) -> str:
    """What the folder of the command or the lines must hold: `the photos, mine.pt and labels.txt`."""
    expect(Content, report)
    files = [name for model in report.models if model.file for name in (model.file.name, _labels_file(model.file))]
    return listed(["the photos", *dict.fromkeys(name for name in files if name)])


def python_lines(report: Content) -> str:
    """The same in Python."""
    arguments = [f"now=datetime.fromisoformat({report.created!r})", f"title={report.title!r}"]
    arguments += [f"layer={layers_of(report)!r}", f"fit={report.fit!r}", f"embedded={report.embedded!r}"]
    if report.style != Style():
        arguments.append(f"style={report.style!r}")
    if report.verdict != Verdict():
        arguments.append(f"verdict={report.verdict!r}")
    notes = [photo.note for photo in report.photos]
    if any(note != Note() for note in notes):
        arguments.append(f"notes={notes!r}")
    models = [_loaded(model, number, _is_exact(report)) for number, model in enumerate(report.models, 1)]
    requested, functions = ["models", "photos", "targets"], _functions(report)
    names = _names_in_code(functions)
    if _methods(report) != [GRADCAM.name]:
        requested.append(f"methods={_methods(report)!r}")
    requested += [f"fit={report.fit!r}", f"layer={layers_of(report)!r}"]
    if activations_of(report):
        requested.append(f"activation={activations_of(report)!r}")
    return "\n".join(
        (
            *(["from dataclasses import replace"] if is_marked(report) else []),
            "from datetime import datetime",
            *_imports(report),
            "from gradcam.report import Note, Verdict, build_report, write_report",
            "",
            *_made_by_hand(report),
            f"photos = [{', '.join(_opened(photo) for photo in report.photos)}]",
            f"models = [{', '.join(models)}]",
            *(
                f"# {name}: define it, the report has only the name {clean(target.name)}"
                for name, target in zip(names, functions, strict=True)
            ),
            f"targets = [{', '.join(_as_code([entry.target for entry in report.targets], names))}]",
            f"comparison = compare({', '.join(requested)})",
            *([f"# {_OF_RUN}"] if report.data_set else []),
            "report = build_report(",
            *(f"    {argument}," for argument in ("comparison", *arguments)),
            ")",
            "write_report(report, 'review.zip')",
        )
    )


def _functions(report: Content) -> list[PythonTarget]:
    return [target for entry in report.targets if isinstance(target := entry.target, PythonTarget)]


def _names_in_code(functions: Sequence[PythonTarget]) -> list[str]:
    """What the lines of Python call each function: its own name if that is free, else `function_1` and so on."""
    names: list[str] = []
    for number, name in enumerate((target.name for target in functions), 1):
        is_free = name.isidentifier() and not iskeyword(name) and not _OWN_NAME.fullmatch(name)
        names.append(name if is_free and name not in names else f"function_{number}")
    return names


def _as_code(targets: Sequence[Target], names: Sequence[str]) -> Iterator[str]:
    """What makes each target in Python; `names` are those of the functions among them."""
    left = iter(names)
    return (next(left) if isinstance(target, PythonTarget) else repr(target) for target in targets)


def _methods(report: Content) -> list[str]:
    return [method.name for method in report.methods]


def _options(report: Content) -> Iterator[tuple[str, str]]:
    """Name and value of every option; those at their default are left out, except those that decide the maps."""
    for model in report.models:
        yield "--model", model.id
    for model in report.models:
        yield from _custom_options(model)
    if _methods(report) != [GRADCAM.name]:
        yield from (("--method", name) for name in _methods(report))
    names = _class_names(report)
    for entry in report.targets:
        yield "--class", write_target(entry.target, names)
    yield "--fit", report.fit
    if any(photo.stretched for photo in report.photos):
        yield "--stretch", ""
    if _is_exact(report):
        yield "--exact", ""
    layers = layers_of(report)
    if isinstance(layers, dict):
        for model, layer in layers.items():
            yield "--layer", f"{model}={write_layer(layer)}"
    else:
        yield "--layer", write_layer(layers)
    activations = activations_of(report)
    shared = {*activations.values()} if len(activations) == len(report.models) else set()
    for one in shared if len(shared) == 1 else [f"{model}={one}" for model, one in activations.items()]:
        yield "--activation", one
    style, default = report.style, Style()
    for name in (field.name for field in fields(Style)):
        if getattr(style, name) != getattr(default, name):
            yield f"--{name}", str(getattr(style, name))
    yield "--photos", report.embedded
    yield "--title", report.title
    yield from _review(report)
    yield "--now", report.created
    yield "--out", "review.zip"


def _review(report: Content) -> Iterator[tuple[str, str]]:
    verdict, default = report.verdict, Verdict()
    for name in ("status", "reviewer", "date", "summary"):
        if getattr(verdict, name) != getattr(default, name):
            yield f"--{name}", getattr(verdict, name)
    for question in verdict.questions:
        yield "--open-question", question
    for number, photo in enumerate(report.photos, start=1):
        if photo.note.status != Note().status:
            yield "--photo-status", f"{number}={photo.note.status}"
        if photo.note.text:
            yield "--note", f"{number}={photo.note.text}"
        if photo.region:
            yield "--region", f"{number}={write_region(photo.region)}"


def _is_exact(report: Content) -> bool:
    """Whether all models computed by their own modules alone, as `exact` makes them and some do anyhow."""
    answered = [model for model in report.models if model.answered]
    return bool(answered) and all(model.numerics == "eager" for model in answered)


def _class_names(report: Content) -> frozenset[str]:
    """The names of classes that the command could mistake a target for, as far as the report tells them."""
    labels = [one.label for answer in report.answers for one in answer.predictions]
    labels += [name for model in report.models if model.file for name in model.file.class_names]
    return known_names(labels)


def activations_of(report: Content) -> dict[str, Activation]:
    """The activation by model; none if all are softmax and no model's source says its own."""
    told: dict[str, Activation] = {model.id: model.activation for model in report.models if model.answered}
    is_plain = all(one == "softmax" for one in told.values()) and not any(map(_may_say_its_own, told))
    return {} if is_plain else told


def _may_say_its_own(model: str) -> bool:
    spec = find_spec(model)
    return spec is not None and spec.source in HUBS


def layers_of(report: Content) -> Layers | dict[str, Layers]:
    """The layer as it was requested, one for every model or by model."""
    layers = {model.id: read_layer(model.requested_layer) for model in report.models}
    if len(set(layers.values())) == 1:
        return next(iter(layers.values()))
    return {model: layer for model, layer in layers.items() if layer != "auto"}


def _imports(report: Content) -> Iterator[str]:
    yield "from gradcam import Contrast, Style, Top, compare, open_photo, sample_photo"
    if any(photo.size == UNREADABLE for photo in report.photos):
        yield "from gradcam import open_photos"
    if any(model.file for model in report.models):
        yield "from gradcam import Labels, Preprocessing, load_checkpoint, load_classifier"
    elif _is_exact(report):
        yield "from gradcam import load_classifier"


def _from_python(report: Content) -> str:
    """The models that no option of the command line brings as they were, listed; empty if there is none."""
    models = [clean(model.id) for model in report.models if _is_from_python(model)]
    return listed(models) if models else ""


def _is_from_python(model: ModelEntry) -> bool:
    """Whether no option of the command line brings this model as it was."""
    file = model.file
    return model.origin == MADE_BY_HAND or (file is not None and bool(file.given_for or file.class_names))


def _made_by_hand(report: Content) -> Iterator[str]:
    """A line for each model that nobody but its maker can make again."""
    for number, model in enumerate(report.models, start=1):
        if model.origin == MADE_BY_HAND:
            yield f"# model_{number}: make the Classifier {clean(model.id)} here, as it was made by hand;"
            yield f"# its weights had the SHA-256 {model.weights_sha256}"


def _loaded(model: ModelEntry, number: int, exact: bool) -> str:
    """A model as `compare` takes it: its id, or a classifier loaded from its file or made by hand.

    One that answered nothing stays an id, for to load it may be what fails.
    """
    if model.origin == MADE_BY_HAND:
        return f"model_{number}"
    if model.file is None:
        return f"load_classifier({model.id!r}, exact=True)" if exact and model.answered else repr(model.id)
    verb, arguments = loading(model.id, model.file, model.preprocessing)
    checked = [] if model.file.given_for else [f"sha256={model.file.sha256!r}"]
    return f"{verb}({', '.join(arguments + checked + ['exact=True'] * exact)})"


def _custom_options(model: ModelEntry) -> Iterator[tuple[str, str]]:
    """The options that bring a checkpoint; its id in the list of models gives its position."""
    if model.file is None:
        return
    yield "--checkpoint", model.file.name
    yield "--sha256", model.file.sha256
    yield "--arch", architecture_of(model.id)
    if model.file.prefix:
        yield "--prefix", model.file.prefix
    if model.file.labels:
        yield "--labels", model.file.labels
    for name, value in (input_of(model.preprocessing) if model.preprocessing else {}).items():
        yield f"--input-{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _labels_file(file: WeightsFile) -> str:
    return "" if file.labels in LABEL_SETS else file.labels


def _opened(photo: PhotoEntry) -> str:
    if photo.size == UNREADABLE:
        return f"*open_photos([{_file(photo.name)!r}])"
    if _is_sample(photo):
        opened = f"sample_photo({photo.name!r})"
    else:
        opened = f"open_photo({_file(photo.name)!r}{', stretch=True' * photo.stretched})"
    return f"replace({opened}, region={photo.region!r})" if photo.region else opened


def _is_sample(photo: PhotoEntry) -> bool:
    return photo.name in SAMPLES and sample_photo(photo.name).sha256 == photo.sha256


def _file(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name
