"""The command `review`: what a team says of its models, in the store that `$GRADCAM_STORE` names."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam import reviews
from gradcam.cli import terminal
from gradcam.errors import OptionError, ReviewError, nearest, quoted
from gradcam.files import read_file, write_whole
from gradcam.keys import own_keys, public_key, secret_key
from gradcam.report import review_report
from gradcam.statuses import STATUSES, SubjectKind
from gradcam.text import count

if TYPE_CHECKING:
    from gradcam.reviews import Project, Review, ReviewStore, Subject

Verb = Callable[["ReviewStore", argparse.Namespace], int | None]


def add_options(parser: argparse.ArgumentParser) -> None:
    terminal.add_verbs(parser, VERBS)


def run(options: argparse.Namespace) -> int:
    """Run the verb on the store."""
    with reviews.ReviewStore() as store:
        return options.verb(store, options) or 0


def _me() -> str:
    """Who says it without `--as`: `$GRADCAM_REVIEWER`, else the owner of the only key, else of the account."""
    if name := os.environ.get("GRADCAM_REVIEWER"):
        return name
    keys = list(own_keys().values())
    return keys[0].name if len(keys) == 1 else getpass.getuser()


def _add_me(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="me",
        default=None,
        metavar="NAME",
        help="who says it [$GRADCAM_REVIEWER, else your key's name]",
    )


def _by(options: argparse.Namespace) -> str:
    return options.me or _me()


def _add_review_name(parser: argparse.ArgumentParser, what: str = "of it") -> None:
    parser.add_argument("review", metavar="REVIEW", help=f"the title or the beginning of the id {what}")
    _add_me(parser)


def _add_subject(parser: argparse.ArgumentParser) -> None:
    about = parser.add_mutually_exclusive_group()
    for kind in STATUSES:
        if kind != "whole":
            about.add_argument(f"--{kind}", metavar="NAME", help="rather than the whole")


def _subject(options: argparse.Namespace) -> Subject:
    said: list[tuple[SubjectKind, str]] = [
        (kind, name) for kind in STATUSES if kind != "whole" and (name := getattr(options, kind)) is not None
    ]
    return reviews.Subject(*said[0]) if said else reviews.WHOLE


def _project(store: ReviewStore, name: str) -> Project:
    found = {project.name: project for project in store.projects()}
    if name not in found:
        do = f"use {nearest(name, found)}" if found else "make one with `gradcam review new`"
        raise OptionError(f"expected a project, got {quoted(name)}; {do}")
    return found[name]


def _review(store: ReviewStore, text: str) -> Review:
    everything = store.reviews()
    found = [one for one in everything if one.id.startswith(text.lower()) or one.title == text]
    if len(found) == 1:
        return found[0]
    if found:
        raise OptionError(f"expected one review, got {quoted(text)}, which is {len(found)}; use the id of one")
    do = f"use {nearest(text, [one.title for one in everything])}" if everything else "add one first"
    raise OptionError(f"expected a review's title or id, got {quoted(text)}; {do}")


# ------------------------------------------------------------------------------- projects and reviews


def _projects(store: ReviewStore, _: argparse.Namespace) -> None:
    found = store.projects()
    for project in found:
        many = count(len(store.reviews(project)), "review")
        trusted = "; ".join(map(str, store.trusted_keys(project).values()))
        by = f" by {trusted}" if trusted else ""
        terminal.tell(f"{project.name}: {many}, approved with {count(project.signatures, 'signature')}{by}")
    if not found:
        terminal.tell("no projects yet; `gradcam review new NAME` makes one")


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--signatures", type=int, default=1, metavar="N", help="of how many people an approval needs [1]"
    )
    _add_me(parser)


def _new(store: ReviewStore, options: argparse.Namespace) -> None:
    project = store.add_project(options.name, _by(options), options.signatures)
    terminal.tell(f"{project.name}: made; `gradcam review add FILE --project …` brings a report")


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument(
        "keys", nargs="+", type=terminal.path, metavar="FILE", help="a .pub file; again, once it is revoked"
    )
    _add_me(parser)


def _trust(store: ReviewStore, options: argparse.Namespace) -> None:
    project = _project(store, options.project)
    for key in [public_key(file) for file in options.keys]:
        store.trust(project, key, _by(options))
        terminal.tell(f"{project.name}: {'no longer trusts' if key.revoked else 'trusts'} {key}")


def _add_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "evidence", type=terminal.path, metavar="EVIDENCE", help="a report's ZIP, or a run's folder"
    )
    parser.add_argument("--project", required=True, metavar="NAME")
    parser.add_argument("--title", metavar="TEXT", help="of a run [its folder's name]")
    parser.add_argument(
        "--blind", action="store_true", help="reviewers see each other's verdicts when all are done"
    )
    parser.add_argument("--supersedes", metavar="REVIEW", help="an earlier one, which no longer counts then")
    _add_me(parser)


def _add(store: ReviewStore, options: argparse.Namespace) -> None:
    project, by = _project(store, options.project), _by(options)
    before = _review(store, options.supersedes) if options.supersedes else None
    if options.evidence.is_dir():
        review = _add_run(store, project, options, before)
    else:
        review = review_report(store, project, options.evidence, by, blind=options.blind, supersedes=before)
    terminal.tell(_line(store, review))


def _add_run(store: ReviewStore, project: Project, options: argparse.Namespace, before: Review | None) -> Review:
    from gradcam.runs import Run

    folder = options.evidence.resolve()
    title, by = options.title or folder.name, _by(options)
    review = store.add_review(
        project, Run(folder).evidence, title, by, kind="run", blind=options.blind, supersedes=before
    )
    store.keep_evidence(review, json.dumps({"run": str(folder)}).encode(), by)
    return review


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", metavar="NAME")
    parser.add_argument("--of", choices=reviews.FILTERS, default="all", help="which of them [all]")
    _add_me(parser)


def _list(store: ReviewStore, options: argparse.Namespace) -> None:
    project = _project(store, options.project) if options.project else None
    found = [one for one in store.reviews(project) if store.is_among(one, options.of, _by(options))]
    for review in found:
        terminal.tell(_line(store, review))
    if not found:
        terminal.tell("no reviews; `gradcam review add FILE --project …` brings one")


def _line(store: ReviewStore, review: Review) -> str:
    asked = ", ".join(store.waiting_for(review))
    waits = f" · waits for {asked}" if asked else ""
    return f"{review.id[:8]} · {store.project_of(review).name} · {review.title} · {store.state(review)}{waits}"


def _show(store: ReviewStore, options: argparse.Namespace) -> None:
    review, me = _review(store, options.review), _by(options)
    terminal.tell(_line(store, review))
    terminal.tell(f"evidence {review.evidence}, {review.kind}, begun by {review.by}, {review.at[:10]}")
    for one in store.verdicts(review, reader=me):
        decides = ", decides" if one.adjudicates else ""
        terminal.tell(f"{one.subject}: {one.status}, {one.reviewer}{decides}{f': {one.note}' if one.note else ''}")
    if store.is_open(review):
        terminal.tell(str(store.agreement(review)))
        for subject in store.disputed(review):
            terminal.tell(f"disputed: {subject}")
    for by, signature in store.signatures(review, own_keys().values()):
        terminal.tell(f"signed by {by}: {signature}")


# ------------------------------------------------------------------------------- what people say


def _add_say(parser: argparse.ArgumentParser) -> None:
    _add_review_name(parser)
    parser.add_argument(
        "status", metavar="STATUS", help="; ".join(f"{k}: {', '.join(v)}" for k, v in STATUSES.items())
    )
    _add_subject(parser)
    parser.add_argument("--note", default="", metavar="MARKDOWN")
    parser.add_argument("--decide", action="store_true", help="between the verdicts of others")


def _say(store: ReviewStore, options: argparse.Namespace) -> None:
    review, about = _review(store, options.review), _subject(options)
    said = store.say(review, options.status, _by(options), about, note=options.note, adjudicates=options.decide)
    terminal.tell(f"{about}: {said.status}, {said.reviewer}; the review is {store.state(review)}")


def _add_comment(parser: argparse.ArgumentParser) -> None:
    _add_review_name(parser)
    parser.add_argument("text", metavar="MARKDOWN")
    _add_subject(parser)


def _comment(store: ReviewStore, options: argparse.Namespace) -> None:
    about = _subject(options)
    store.comment(_review(store, options.review), options.text, _by(options), about)
    terminal.tell(f"{about}: kept")


def _add_assign(parser: argparse.ArgumentParser) -> None:
    _add_review_name(parser)
    parser.add_argument("reviewers", nargs="+", metavar="NAME")
    parser.add_argument("--no-more", action="store_true", help="take back that they are asked")


def _assign(store: ReviewStore, options: argparse.Namespace) -> None:
    review = _review(store, options.review)
    for name in options.reviewers:
        store.assign(review, name, _by(options), asked=not options.no_more)
    terminal.tell(_line(store, review))


def _add_sign(parser: argparse.ArgumentParser) -> None:
    _add_review_name(parser)
    parser.add_argument("--key", type=terminal.path, metavar="FILE", help="a .key file [the only one of yours]")


def _sign(store: ReviewStore, options: argparse.Namespace) -> None:
    review, key = _review(store, options.review), secret_key(options.key, "name one with --key")
    terminal.tell(f"signed: {store.sign(review, key, options.me or key.public.name)}")
    terminal.tell(_line(store, review))


# ------------------------------------------------------------------------------- export and import


def _add_file(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("file", type=terminal.path, metavar="FILE", help=text)


def _export(store: ReviewStore, options: argparse.Namespace) -> None:
    with write_whole(options.file, force=False, error=ReviewError) as file:
        rows = store.export(file)
    terminal.tell(f"{options.file}: {count(rows, 'row')}; hand the reports' ZIPs round beside it")


def _import(store: ReviewStore, options: argparse.Namespace) -> None:
    read_file(options.file, 0, "an export", error=ReviewError)
    with Path(options.file).open("rb") as file:
        terminal.tell(f"{options.file}: {count(store.import_(file), 'new row')}")


def _backup(store: ReviewStore, options: argparse.Namespace) -> None:
    store.backup(options.file)
    terminal.tell(f"{options.file}: a store as of now; $GRADCAM_STORE={options.file} opens it")


def _nothing(_: argparse.ArgumentParser) -> None:
    pass


VERBS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Verb, str]] = {
    "projects": (_nothing, _projects, "List the projects."),
    "new": (_add_new, _new, "Make a project."),
    "trust": (_add_trust, _trust, "Let signatures by these keys count in a project, and by no others."),
    "add": (_add_add, _add, "Bring a report or a run into a project, to be reviewed."),
    "list": (_add_list, _list, "List reviews with their state and who is asked."),
    "show": (_add_review_name, _show, "Show what people said of a review, how far they agree, and who signed."),
    "say": (_add_say, _say, "Give a verdict on a review or a part of it; it supersedes your last one."),
    "comment": (_add_comment, _comment, "Remark on a review or a part of it, which changes no verdict."),
    "assign": (_add_assign, _assign, "Ask people to review, or no more."),
    "sign": (_add_sign, _sign, "Sign a review that is approved or rejected; earlier signatures stay."),
    "export": (partial(_add_file, text="a new .jsonl"), _export, "Write all that people said, a line each."),
    "import": (partial(_add_file, text="an export"), _import, "Take in what an export has and the store has not."),
    "backup": (partial(_add_file, text="a new .sqlite"), _backup, "Copy a store of SQLite while others use it."),
}
"""What adds each verb's options, what runs it, and what it does in a sentence."""
