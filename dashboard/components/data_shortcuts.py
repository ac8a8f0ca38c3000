"""What a class may stand on: candidates for shortcuts, what is common to their photos, and a causal check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard import library
from dashboard.components.data_filters import Shown, pick_from
from dashboard.components.data_gallery import strips_of
from dashboard.components.messages import escape_markdown, show_errors
from dashboard.components.single_choice import pick_one
from dashboard.session import DataKey
from gradcam.draw import draw_map
from gradcam.model_spec import display_name
from gradcam.runs import Run
from gradcam.shortcuts import Candidate, Check, Effect, check_shortcut, find_shortcuts
from gradcam.text import count, percent

SHOWN = 8
"""Members, and photos beside them, that are shown."""
SIDE = 224
"""Pixels of a mean map."""

_CHECKS = "_shortcut_checks"


def show_shortcuts(shown: Shown) -> None:
    """Choose a model and a class, look for candidates, and look at each."""
    st.header("What does a class stand on?", anchor=False)
    st.markdown(
        "A candidate is a group of photos of one class that share something which the model uses and the class's "
        "other photos lack: a text in the corner, a ruler, a frame, or a true kind of the class. It is something "
        "to look at, never a verdict."
    )
    labels, plan = shown.run.choices("label"), shown.run.plan
    if len(labels) < 2:
        st.info("Candidates need labels, and photos of two classes at least.", icon=":material/label:")
        return
    position = pick_one("Model", [display_name(model.id) for model in plan.models], DataKey.MODEL)
    label = pick_from("Class", labels, DataKey.OF_LABEL)
    with show_errors():
        found = _found(shown.run.folder, shown.done, plan.models[position].id, label)
        if not found:
            st.info("No group of this class's photos stands out.", icon=":material/check:")
        for number, candidate in enumerate(found, start=1):
            _show_candidate(shown, candidate, number)


@st.cache_resource(max_entries=64, show_spinner="Looking for what photos share")
def _found(folder: Path, done: int, model: str, label: str) -> list[Candidate]:
    """`find_shortcuts`, worked out once for all visitors. done: how many maps the run has."""
    return find_shortcuts(Run(folder), model, label, use=library.use)


def _show_candidate(shown: Shown, candidate: Candidate, number: int) -> None:
    members, others = candidate.members, candidate.others
    with st.container(border=True):
        st.subheader(
            f"Candidate {number} · {count(len(members), 'photo')} of {len(members) + len(others)}", anchor=False
        )
        right = candidate.accuracy[candidate.model]
        st.caption(
            f"Score {candidate.score:.2f}. The model is right on {_share(right.members)} of these photos and on "
            f"{_share(right.others)} of the class's others. Made by channels "
            f"{', '.join(str(channel.number) for channel in candidate.channels[:6])}."
        )
        _show_group(shown, candidate, "Strongest", [one.photo for one in members[:SHOWN]])
        _show_group(shown, candidate, "Nearest photos that are not in it", [one.photo for one in others[:SHOWN]])
        with st.container(horizontal=True):
            for values, who in ((candidate.member_heat, "these photos"), (candidate.other_heat, "the others")):
                if values is not None:
                    picture = draw_map(values / (float(values.max()) or 1.0), "viridis", SIDE)
                    st.image(picture, caption=f"Mean heat of {who}", alt=f"Mean heat of {who}")
        _offer_check(shown, candidate, number)


def _show_group(shown: Shown, candidate: Candidate, title: str, photos: Sequence[int]) -> None:
    st.markdown(f"**{title}**")
    pictures = strips_of(shown, photos, [candidate.model])
    with st.grid(min_column_width=240, gap="xsmall"):
        for photo in photos:
            if photo in pictures:
                st.image(pictures[photo], width="stretch", alt=f"Photo {photo} and its heatmap")


def _offer_check(shown: Shown, candidate: Candidate, number: int) -> None:
    """A button that asks the model again without what makes the candidate, and what it then predicts."""
    checks: dict[object, Check] = st.session_state.setdefault(_CHECKS, {})
    key = shown.run.folder, shown.done, candidate.model, candidate.label, number
    if st.button("Check the cause", key=f"_check-{number}", icon=":material/science:", help=_HELP):
        bar = st.progress(0.0, "Asking the model again")

        def say(done: int, total: int) -> None:
            bar.progress(done / max(total, 1), "Asking the model again")

        checks[key] = check_shortcut(shown.run, candidate, use=library.use, on_progress=say)
        bar.empty()
    if check := checks.get(key):
        _show_check(check)


def _show_check(check: Check) -> None:
    if check.effects:
        st.markdown(
            f"Without these channels the prediction changes on **{_flips(check.members)}** of these photos, and on "
            f"**{_flips(check.others)}** as many others beside them."
        )
    if check.failed:
        path, reason = next(iter(check.failed.items()))
        st.warning(
            f"{count(len(check.failed), 'photo')} could not be looked at, such as {escape_markdown(path)}: "
            f"{escape_markdown(reason)}.",
            icon=":material/broken_image:",
        )
    if flipped := [effect for effect in check.members if effect.flips]:
        st.caption("; ".join(_words(effect) for effect in flipped[:SHOWN]))


_HELP = "Sets the channels to what the class's other photos have, and lists whose prediction changes."


def _flips(effects: Sequence[Effect]) -> str:
    return f"{sum(effect.flips for effect in effects)} of {len(effects)}"


def _words(effect: Effect) -> str:
    return escape_markdown(f"{effect.path}: {effect.before} → {effect.after}")


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else percent(value)
