"""The command `run`: a data set, in six words – start, status, resume, prepare, shortcuts, export."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam import models, report, reviews, runs, shortcuts
from gradcam.cli import terminal
from gradcam.cli.model_options import (
    add_checkpoint_options,
    add_exact_option,
    add_method_option,
    by_model,
    layer_choices,
    load_checkpoints,
    models_in_memory,
    of_model,
)
from gradcam.errors import OptionError, ReviewError, RunBusyError, nearest, quoted
from gradcam.files import refuse_existing
from gradcam.layers import write_layer
from gradcam.text import count, first_few, percent
from gradcam.types import FITS, PRECISIONS

if TYPE_CHECKING:
    from gradcam.models import Classifier
    from gradcam.reviews import Verdict
    from gradcam.runs import Engine, Plan, Run, Settings, Status
    from gradcam.shortcuts import Candidate

    Use = Callable[[str], AbstractContextManager[Classifier]]

MAPS = ("float16", "float32")


def add_options(parser: argparse.ArgumentParser) -> None:
    terminal.add_verbs(parser, VERBS)


def run(options: argparse.Namespace) -> int:
    """Run the verb; 1 where a unit failed or another process did not finish."""
    return options.verb(options)


# ------------------------------------------------------------------------------- start and resume


def _add_start(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "data",
        metavar="DATA",
        help="a folder, a manifest (.csv, .parquet, .jsonl), a .zip, a saved Hugging Face dataset, or `sample`",
    )
    add("--model", action="append", default=[], metavar="ID", help="see `gradcam models`; repeatable")
    add("--out", required=True, type=terminal.path, metavar="DIR", help="folder of the run, new or gone on with")
    add(
        "--class",
        action="append",
        dest="classes",
        metavar="CLASS",
        help="`label`, the photo's own, `top`, or a class as `explain` takes it; repeatable [top]",
    )
    add_method_option(parser)
    add("--layer", action="append", default=[], metavar="[ID=]LAYER", help="as `explain` takes it; repeatable")
    add("--labels-are", type=terminal.path, metavar="FILE", help="CSV or JSON: which class each label means")
    add("--new", action="store_true", help="where --out holds a run, begin another one beside it")
    settings = parser.add_argument_group("what all results have in common, chosen by the first start").add_argument
    settings("--fit", choices=FITS, help="how a photo meets the input [crop]")
    settings("--precision", choices=PRECISIONS, help="of the forward [float32]")
    settings("--maps", choices=MAPS, help="the type that maps are kept in [float16]")
    settings("--batch", type=int, metavar="N", help="photos of a shard, which a killed worker loses at most [64]")
    settings("--at-once", type=int, metavar="N", help="photos of one forward [4; more on an accelerator]")
    settings("--threads", type=int, metavar="N", help="of one worker's forward [1]")
    settings(
        "--previews", action="store_true", default=None, help="store a small picture of each map over its photo"
    )
    _add_engine(parser)
    _add_models(parser)


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=terminal.path, metavar="DIR", help="folder of a run")
    _add_engine(parser)
    _add_models(parser)


def _add_models(parser: argparse.ArgumentParser) -> None:
    add_exact_option(parser)
    add_checkpoint_options(parser)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what computes").add_argument
    add("--engine", default="local", choices=runs.ENGINES, help="this machine, or a Ray cluster [local]")
    add("--address", metavar="ADDRESS", help="of the Ray cluster, such as auto [one on this machine]")
    add("--workers", type=int, metavar="N", help="batches side by side [2; on Ray as the cluster has processors]")


def _start(options: argparse.Namespace) -> int:
    checkpoints = {str(one.spec): one for one in load_checkpoints(options)}
    plan = _plan_there(options)
    there = [] if plan is None else [model.requested_id for model in plan.models]
    for name in options.model:
        if name not in (*checkpoints, *there):
            models.parse_model_id(name)
    names = [*dict.fromkeys([*options.model, *checkpoints])]
    if not names:
        raise OptionError("expected a model, got none; add --model ID or --checkpoint FILE")
    layers = [of_model(text, lambda choice: write_layer(layer_choices(choice))) for text in options.layer]
    out = runs.folder_beside(options.out) if options.new else options.out
    return _computed(
        out,
        lambda engine: runs.start(
            options.data,
            [checkpoints.get(name, name) for name in names],
            options.classes or ["top"],
            out=out,
            methods=options.method or ["Grad-CAM"],
            layer=by_model(layers, dict(zip(names, names, strict=True))),
            labels_are=options.labels_are,
            settings=_settings(options, plan),
            engine=engine,
            use=_use_of(options, checkpoints),
        ),
        options,
    )


def _resume(options: argparse.Namespace) -> int:
    use = _use_of(options)
    return _computed(options.folder, lambda engine: runs.resume(options.folder, engine=engine, use=use), options)


def _prepare(options: argparse.Namespace) -> int:
    use = _use_of(options)
    return _computed(options.folder, lambda engine: runs.prepare(options.folder, engine=engine, use=use), options)


def _plan_there(options: argparse.Namespace) -> Plan | None:
    """The plan of the run that `--out` goes on with, if there is one."""
    return runs.Run(options.out).plan if not options.new and (options.out / "plan.json").exists() else None


def _settings(options: argparse.Namespace, plan: Plan | None) -> Settings | None:
    """The settings that were given, beside those that the run has already; None if none were given."""
    names = [field.name for field in fields(runs.Settings)]
    said = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return replace(plan.settings if plan else runs.Settings(), **said) if said else None


def _use_of(options: argparse.Namespace, checkpoints: dict[str, Classifier] | None = None) -> Use:
    """What turns an id into a classifier. checkpoints: those of the options, if they are loaded already."""
    if checkpoints is None:
        checkpoints = {str(one.spec): one for one in load_checkpoints(options)}
    pool = cache(lambda: models_in_memory(exact=options.exact))  # made once, and only where a model is needed

    def use(name: str) -> AbstractContextManager[Classifier]:
        if name in checkpoints:
            return nullcontext(checkpoints[name])
        return pool().use(name)

    return use


def _computed(folder: Path, compute: Callable[[Engine], Run], options: argparse.Namespace) -> int:
    """Compute, after watching any other process that does; then say how far the run is."""
    with _bar() as show:
        engine = runs.Engine(options.engine, options.workers, options.address, on_progress=show, say=terminal.say)
        try:
            while not _is_computed(compute, engine):
                runs.watch(folder, show)
        except KeyboardInterrupt:
            terminal.say(f"`gradcam run resume {shlex.quote(str(folder))}` goes on where this ends")
            raise
    return _tell(runs.Run(folder))


def _is_computed(compute: Callable[[Engine], Run], engine: Engine) -> bool:
    """Compute; False where another process does, which perhaps was asked for less."""
    try:
        compute(engine)
    except RunBusyError as busy:
        terminal.say(str(busy))
        return False
    return True


@contextmanager
def _bar() -> Iterator[Callable[[Status], None]]:
    """A bar that begins with the first status."""
    with ExitStack() as stack:
        show: Callable[[int, str], None] | None = None

        def on_progress(status: Status) -> None:
            nonlocal show
            if show is None:
                show = stack.enter_context(terminal.progress(status.units, "map", status.done))
            show(status.done, f"{status.failed} failed" if status.failed else "")

        yield on_progress


# ------------------------------------------------------------------------------- status


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=terminal.path, metavar="DIR", help="folder of a run")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def _status(options: argparse.Namespace) -> int:
    return _tell(runs.Run(options.folder), as_json=options.json)


def _tell(run: Run, as_json: bool = False) -> int:
    """Say how far a run is; 1 if a unit failed, or if the run is neither finished nor being computed."""
    status = run.status()
    if as_json:
        print(json.dumps(asdict(status) | {"seconds_left": status.seconds_left}))
    else:
        terminal.tell(_sentence(run, status))
    return terminal.DIFFERENT if status.failed or status.state == "stopped" else 0


def _sentence(run: Run, status: Status) -> str:
    size = f"{count(status.photos, 'photo')}, {count(len(status.models), 'model')}"
    said = f"{run.folder}: {status.state} · {size} · {status.done:,} of {count(status.units, 'map')}"
    said += f", {status.failed:,} failed" if status.failed else ""
    if status.rate and status.seconds_left is not None:
        minutes, seconds = divmod(round(status.seconds_left), 60)
        said += f" · {status.rate:.3g} a second, {minutes}:{seconds:02} left"
    return said


# ------------------------------------------------------------------------------- shortcuts


def _add_shortcuts(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", type=terminal.path, metavar="DIR", help="folder of a finished run")
    add("--class", required=True, dest="label", metavar="LABEL", help="the label whose photos are looked at")
    add("--model", metavar="ID", help="of the run [its only one]")
    add("--seed", type=int, default=0, metavar="N", help="of all that is drawn [0]")
    add("--json", action="store_true", help="as JSON, with all photos and channels, for programs")
    _add_models(parser)


def _shortcuts(options: argparse.Namespace) -> int:
    """Say what a class may stand on, the likeliest first."""
    run = runs.Run(options.folder)
    ids = [model.id for model in run.plan.models]
    if options.model is None and len(ids) > 1:
        raise OptionError(f"expected --model, for the run has {len(ids)}; use {nearest('', ids)}")
    use = _use_of(options)
    found = shortcuts.find_shortcuts(run, options.model or ids[0], options.label, seed=options.seed, use=use)
    if options.json:
        print(json.dumps([_as_json(candidate) for candidate in found]))
        return 0
    for number, candidate in enumerate(found, 1):
        terminal.tell(f"{number}. {_candidate_line(candidate)}")
        terminal.tell(f"   members: {first_few([member.path for member in candidate.members], 6)}")
        terminal.tell(f"   nearest: {first_few([member.path for member in candidate.others], 6)}")
    if not found:
        terminal.tell(f"No group of photos with the label {quoted(options.label)} stands out.")
    return 0


def _candidate_line(candidate: Candidate) -> str:
    members, others = len(candidate.members), len(candidate.others)
    right = candidate.accuracy[candidate.model]
    said = [f"score {candidate.score:.2f}", f"{members} of {count(members + others, 'photo')}"]
    if right.members is not None and right.others is not None:
        said.append(f"right on {percent(right.members)} of them, on {percent(right.others)} of the others")
    channels = [str(channel.number) for channel in candidate.channels]
    return " · ".join([*said, f"channels {first_few(channels, 5)}"])


def _as_json(candidate: Candidate) -> dict[str, object]:
    """A candidate without its arrays."""
    plain = ("model", "label", "score", "threshold")
    listed = ("members", "others", "channels", "earlier_channels")
    return {
        **{name: getattr(candidate, name) for name in plain},
        **{name: [asdict(one) for one in getattr(candidate, name)] for name in listed},
        "accuracy": {name: asdict(found) for name, found in candidate.accuracy.items()},
    }


# ------------------------------------------------------------------------------- export


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", type=terminal.path, metavar="DIR", help="folder of a run, which need not be finished")
    add(
        "--out",
        required=True,
        type=terminal.path,
        metavar="FILE",
        help="a row for each map (.csv, .parquet), each map over its photo (.zip), or, with --top, a report by its "
        "suffix (.zip, .html, .pdf, …)",
    )
    add("--top", type=int, metavar="N", help="only the first N photos, computed anew for a report")
    add(
        "--by",
        metavar="RANKING",
        help="their order: disagreement, same-answer, same-place, confident-mistakes, doubt, outside-box, border, "
        "unlike, like",
    )
    add("--where", action="append", default=[], metavar="NAME=VALUE", help="label, predicted, a column; repeatable")
    add(
        "--notes",
        action="store_true",
        help="tell in a report of the candidates for shortcuts that people noted in the team's store",
    )
    add("--force", action="store_true", help="replace a file that exists")
    _add_models(parser)


def _export(options: argparse.Namespace) -> int:
    """Write a table, pictures or a report of a run as it is now."""
    out, top = options.out, options.top
    refuse_existing(out, options.force)
    if top is not None and top < 1:
        raise OptionError(f"expected at least 1 photo for --top, got {top}; leave it out for all")
    as_report = out.suffix.lower() not in runs.EXPORTS or (top is not None and out.suffix.lower() == ".zip")
    if as_report:
        _check_suffix(out)
    if options.notes and not as_report:
        raise OptionError("expected a report for --notes, got a table or pictures; add --top N")
    if as_report and top is None:
        raise OptionError("expected the number of photos of a report, got none; add --top N")
    run = runs.Run(options.folder)
    where = _conditions(options.where)
    if options.by in runs.RANKINGS and options.by not in (can := run.rankings()):
        instead = f"use {', '.join(can)}" if can else "leave --by out"
        raise OptionError(f"expected a ranking that this run can be put into, got {options.by}; {instead}")
    photos = None
    if top or options.by or where:
        photos = run.ranked(options.by, where=where, most=None if top is None else min(top, run.plan.photos))
    if photos == []:
        raise OptionError("expected photos to write, got none that are computed and fit; change --by or --where")
    if as_report:
        _write_report(run, photos or [], where, options)
    else:
        runs.export(run, out, photos=photos, force=options.force)
    terminal.tell(f"Wrote {out} ({out.stat().st_size / 1e3:,.0f} kB)")
    return 0


def _check_suffix(out: Path) -> None:
    reports = [row.suffix for row in report.FORMATS.values() if row.suffix not in runs.EXPORTS]
    if not out.name.lower().endswith((*runs.EXPORTS, *reports)):
        raise OptionError(
            f"expected a file name that ends in one of {', '.join(runs.EXPORTS)} or, with --top, in one of "
            f"{', '.join(reports)}, got {quoted(out.name)}; name the format"
        )


def _conditions(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise OptionError(f"expected NAME=VALUE for --where, got {quoted(text)}; write such as label=tabby")
        if name in found:
            raise OptionError(f"expected one value of {quoted(name)} for --where, got two; export each by itself")
        found[name] = value
    return found


def _write_report(run: Run, photos: Sequence[int], where: dict[str, str], options: argparse.Namespace) -> None:
    use = _use_of(options)
    candidates, said = _noted(run, use) if options.notes else ([], [])
    with terminal.comparing(len(run.plan.models), len(photos)) as show:
        made = report.report_of_run(
            run,
            photos,
            run.folder.resolve().name,
            chosen=report.first_by(len(photos), options.by, [f"{name} {value}" for name, value in where.items()]),
            candidates=candidates,
            verdicts=said,
            use=use,
            on_progress=show,
        )
    report.write_report(made, options.out, force=options.force)


def _noted(run: Run, use: Use) -> tuple[list[Candidate], list[Verdict]]:
    """The candidates of a run that people judged in the team's store, and what they said of the run."""
    with reviews.ReviewStore() as store:
        review = next(iter(store.reviews(evidence=run.evidence)), None)
        if review is not None and not store.is_open(review):
            raise ReviewError(
                f"expected a review that all may read for --notes, got {quoted(review.title)}, which is still "
                "blind; wait for its reviewers, or leave --notes out"
            )
        said = [] if review is None else store.verdicts(review)
    found = shortcuts.noted_candidates(
        run, said, lambda model, label: shortcuts.find_shortcuts(run, model, label, use=use)
    )
    if not found:
        terminal.say(f"nobody has noted a candidate for a shortcut of {run.folder} in {reviews.default_store()}")
    return found, said


VERBS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int], str]] = {
    "start": (_add_start, _start, "Run models over a data set; what the folder has is not computed again."),
    "status": (_add_status, _status, "Say how far a run is, whoever computes it."),
    "resume": (_add_resume, _resume, "Compute what a run lacks."),
    "prepare": (_add_resume, _prepare, "Compute what each channel contributes to the class of every label."),
    "shortcuts": (_add_shortcuts, _shortcuts, "Say what a class may stand on: groups of its photos, ranked."),
    "export": (_add_export, _export, "Write a table, pictures or a report of a run as it is now."),
}
"""What adds each verb's options, what runs it to an exit code, and what it does in a sentence."""
