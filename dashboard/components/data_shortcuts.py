"""Shows what a class may stand on: candidates for shortcuts, what people call them, and one of them opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from dashboard import library
from dashboard.components.data_candidate import show_candidate
from dashboard.components.data_filters import Shown, pick_from
from dashboard.components.data_verdicts import TeamReview, offer_discussion, offer_verdict
from dashboard.components.messages import as_sentence, escape_markdown, show_errors
from dashboard.components.single_choice import pick_one
from dashboard.data_runs import ListedRun, Version
from dashboard.session import DataKey
from gradcam.errors import TooFewError
from gradcam.model_spec import display_name
from gradcam.reviews import Subject, Verdict, agreed_status, split_note
from gradcam.runs import Run
from gradcam.shortcuts import Candidate, cluster_subjects, find_shortcuts, noted_candidates
from gradcam.text import count, percent, unbroken

PICK_WIDTH = 320
"""Pixels of the boxes that pick a class and a candidate."""


def show_shortcuts(listed: ListedRun, team: TeamReview, shown: Shown) -> None:
    """Let the visitor pick a model and a class, list its candidates, and open, check, name and judge one."""
    st.header("What does a class stand on?", anchor=False)
    st.markdown(
        "A candidate is a group of photos of one class that share something which the model uses and the class's "
        "other photos lack: a text in the corner, a ruler, a frame, or a true kind of the class. It is something "
        "to look at, never a verdict."
    )
    labels, plan = shown.labels, shown.run.plan
    if len(labels) < 2:
        st.info("Candidates need labels, and photos of two classes at least.", icon=":material/label:")
        return
    if listed.status is None or listed.status.state != "finished":
        st.info(_what_to_do(listed), icon=":material/hourglass_empty:")
        return
    of_candidates = [one for one in team.verdicts if one.subject.kind == "cluster"]
    _show_noted(of_candidates)
    position = pick_one("Model", [display_name(model.id) for model in plan.models], DataKey.MODEL)
    with st.container(width=PICK_WIDTH):
        label = pick_from("Class", labels, DataKey.OF_LABEL)
    with show_errors():
        try:
            found = _found(shown.run.folder, shown.version, plan.models[position].id, label)
        except TooFewError as error:
            st.info(as_sentence(error), icon=":material/add_photo_alternate:")
            return
        if not found:
            st.info("No group of this class's photos stands out.", icon=":material/check:")
            return
        subjects = cluster_subjects(found)
        lines = [_line(one, _of(of_candidates, subject)) for one, subject in zip(found, subjects, strict=True)]
        st.markdown("\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1)))
        names = [f"Candidate {number}" for number in range(1, len(found) + 1)]
        with st.container(width=PICK_WIDTH):
            at = names.index(pick_from("Look at", names, DataKey.CANDIDATE))
        title = _title(_of(of_candidates, subjects[at]))
        st.subheader(names[at] + (f" · {escape_markdown(title)}" if title else ""), anchor=False)
        offer_verdict(listed, team, subjects[at])
        show_candidate(shown, found[at])
        offer_discussion(team, subjects[at])


def _what_to_do(listed: ListedRun) -> str:
    """What gives a run that has not finished its candidates, in words."""
    if listed.is_active:
        return "Candidates are looked for once the run has ended: they need all of its photos."
    if listed.hosted:
        return "Go on with the run: candidates need all of its photos."
    return "The run has stopped, and candidates need all of its photos; tell whoever keeps this server."


def noted_of(listed: ListedRun, verdicts: Iterable[Verdict]) -> list[Candidate]:
    """The candidates of a run that somebody judged. verdicts: on the run and its parts."""
    return noted_candidates(listed.run, verdicts, partial(_found, listed.run.folder, listed.version))


@st.cache_resource(max_entries=64, show_spinner="Looking for what photos share")
def _found(folder: Path, version: Version, model: str, label: str) -> list[Candidate]:
    """Run `find_shortcuts` once for all visitors. version: of the run."""
    return find_shortcuts(Run(folder), model, label, use=library.use)


def _show_noted(verdicts: Iterable[Verdict]) -> None:
    """What people have called shortcuts, or fine, in any class of the run."""
    by_subject: dict[Subject, list[Verdict]] = {}
    for one in verdicts:
        by_subject.setdefault(one.subject, []).append(one)
    lines = [
        f"- **{escape_markdown(_title(found) or subject.name)}**: {agreed_status(found)}"
        + (f" · {escape_markdown(subject.name)}" if _title(found) else "")
        for subject, found in by_subject.items()
        if _title(found) or agreed_status(found) != "draft"
    ]
    if lines:
        with st.expander(f"{count(len(lines), 'candidate')} of this run noted so far"):
            st.markdown("\n".join(lines))


def _line(one: Candidate, verdicts: Sequence[Verdict]) -> str:
    """A candidate in the list: what people call it and think of it, its size, its score, how often it is right."""
    right, photos = one.accuracy[one.model], len(one.members) + len(one.others)
    title, status = _title(verdicts), agreed_status(verdicts)
    words = [f"**{escape_markdown(title)}**"] if title else []
    words += [f"**{status}**"] if status != "draft" else []
    words += [f"{len(one.members):,} of {count(photos, 'photo')}", f"score {one.score:.2f}"]
    if right.members is not None and right.others is not None:
        words.append(f"right on {percent(right.members)} of these and on {percent(right.others)} of the others")
    return unbroken(" · ".join(words))


def _of(verdicts: Iterable[Verdict], subject: Subject) -> list[Verdict]:
    return [one for one in verdicts if one.subject == subject]


def _title(verdicts: Iterable[Verdict]) -> str:
    """What people call a candidate: the name that was given last."""
    named = {one.number: title for one in verdicts if (title := split_note(one.note)[0])}
    return named[max(named)] if named else ""
