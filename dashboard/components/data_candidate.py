"""One candidate for a shortcut: where its photos share it, its channels, the models beside it, a causal check."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import mean

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from dashboard import library, session
from dashboard.components.data_filters import Shown
from dashboard.components.data_gallery import strips_of
from dashboard.components.messages import escape_markdown
from dashboard.data_runs import Version
from gradcam import PhotoError, Style
from gradcam.draw import draw_map
from gradcam.model_spec import display_name
from gradcam.runs import Run
from gradcam.shortcuts import (
    Candidate,
    Check,
    Effect,
    Member,
    channel_crops,
    check_shortcut,
    component_maps,
)
from gradcam.text import count, minus_sign, percent, unbroken

Pixels = NDArray[np.uint8]

SHOWN = 8
"""Members, and photos beside them, that are shown."""
CHANNELS, CROPS = 6, 4
"""Channels that are shown, and photos of each."""
SIDE, CROP_SIDE = 224, 112
"""Pixels of a mean map or a map of the component, and of a crop."""

_CHECKS = "_shortcut_checks"


def show_candidate(shown: Shown, candidate: Candidate) -> None:
    """Everything that is known of one candidate: what it causes, if somebody asks, and then the photos."""
    _offer_check(shown, candidate)
    look = session.look()
    with st.spinner("Looking where the photos share it"):
        maps = _maps(shown.run.folder, shown.version, _key(candidate), look, candidate)
    st.caption(
        "Photo and heatmap; below them where the photo has what the group shares, in full colour where it is "
        "strongest on any of these photos. The strength is in standard deviations over all photos."
    )
    _show_group(shown, candidate, "Strongest", candidate.members[:SHOWN], maps)
    _show_group(shown, candidate, "Nearest photos that are not in it", candidate.others[:SHOWN], maps)
    st.markdown("**Where the model looks, on average**")
    with st.container(horizontal=True):
        for values, who in ((candidate.member_heat, "these photos"), (candidate.other_heat, "the others")):
            if values is not None:
                picture = draw_map(values / (float(values.max()) or 1.0), look.colormap, SIDE)
                st.image(picture, caption=f"Mean heat of {who}", alt=f"Mean heat of {who}")
    _show_channels(shown, candidate)
    _show_models(candidate)


def _key(candidate: Candidate) -> tuple[str, str, int]:
    """What tells a candidate from the others of its run."""
    return candidate.model, candidate.label, candidate.members[0].photo


# ------------------------------------------------------------------------------- photos


@st.cache_data(max_entries=32, show_spinner=False)
def _maps(
    folder: Path, version: Version, key: tuple[str, str, int], style: Style, _candidate: Candidate
) -> dict[int, bytes]:
    """The component over each photo that is shown, as JPEG, drawn once for all; none over a photo that is gone."""
    run = Run(folder)
    photos = {}
    for member in (*_candidate.members[:SHOWN], *_candidate.others[:SHOWN]):
        with suppress(PhotoError):
            photos[member.photo] = run.photo(member.path)
    if not photos:
        return {}
    found = component_maps(run, _candidate, list(photos.values()), use=library.use)
    vmax = max(1e-6, *(float(one.values.max()) for one in found))
    drawn = (one.over(photo, vmax, SIDE, style) for one, photo in zip(found, photos.values(), strict=True))
    return dict(zip(photos, map(_jpeg, drawn), strict=True))


def _show_group(
    shown: Shown, candidate: Candidate, title: str, members: Sequence[Member], maps: dict[int, bytes]
) -> None:
    st.markdown(f"**{title}**")
    pictures = strips_of(shown, [one.photo for one in members], [candidate.model])
    with st.grid(min_column_width=SIDE, gap="xsmall"):
        for one in members:
            with st.container(border=True, gap="xsmall"):
                if one.photo in pictures:
                    st.image(pictures[one.photo], width="stretch", alt=f"{one.path} and its heatmap")
                if one.photo in maps:
                    st.image(maps[one.photo], width="stretch", alt=f"Where {one.path} has what the group shares")
                st.caption(_member_caption(one))


def _member_caption(one: Member) -> str:
    mark = {True: " ✓", False: " ✗", None: ""}[one.right]
    name = escape_markdown(one.path.rpartition("/")[2])
    strength = minus_sign(f"strength {one.strength:z.1f}")
    return f"**{name}**  \n{strength} · {escape_markdown(one.predicted or '')}{mark}"


# ------------------------------------------------------------------------------- channels


def _show_channels(shown: Shown, candidate: Candidate) -> None:
    st.markdown("**The channels that make it**")
    st.caption("Each with the class's photos on which it is strongest, cut out around its strongest place.")
    with st.spinner("Looking what the channels see"):
        crops = _crops(shown.run.folder, shown.version, _key(candidate), candidate)
    with st.grid(min_column_width=CROP_SIDE * 2, gap="small"):
        for channel in candidate.channels[:CHANNELS]:
            title = unbroken(f"Channel {channel.number} · {percent(channel.share)} of it")
            if picture := crops.get(channel.number):
                st.image(picture, caption=title, width="stretch", alt=f"What channel {channel.number} sees")
            else:
                st.caption(title)


@st.cache_data(max_entries=32, show_spinner=False)
def _crops(folder: Path, version: Version, key: tuple[str, str, int], _candidate: Candidate) -> dict[int, bytes]:
    """Of each channel that is shown, its crops side by side as JPEG, cut once for all visitors."""
    found = channel_crops(Run(folder), _candidate, channels=CHANNELS, each=CROPS, use=library.use)
    return {number: _beside([one.pixels for one in crops]) for number, crops in found.items() if crops}


def _beside(squares: Sequence[Pixels]) -> bytes:
    sized = [np.asarray(Image.fromarray(one).resize((CROP_SIDE, CROP_SIDE))) for one in squares]
    return _jpeg(np.hstack(sized))


def _jpeg(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=88)
    return file.getvalue()


# ------------------------------------------------------------------------------- models, and the check


def _show_models(candidate: Candidate) -> None:
    """How often each model of the run is right on the group and on the class's other photos."""
    st.markdown("**How often each model is right**")
    rows = {name: (one.members, one.others) for name, one in candidate.accuracy.items()}
    st.table(
        {
            "Model": [escape_markdown(display_name(name)) for name in rows],
            "On these photos": [_share(inside) for inside, _ in rows.values()],
            "On the class's others": [_share(outside) for _, outside in rows.values()],
            "Difference": [_difference(*pair) for pair in rows.values()],
        }
    )


def _share(value: float | None) -> str:
    return "unknown" if value is None else unbroken(percent(value))


def _difference(inside: float | None, outside: float | None) -> str:
    if inside is None or outside is None:
        return "unknown"
    return minus_sign(f"{100 * (inside - outside):+z.0f} points")


def _offer_check(shown: Shown, candidate: Candidate) -> None:
    """A button that asks the model again without what makes the candidate, and what it then predicts."""
    checks: dict[object, Check] = st.session_state.setdefault(_CHECKS, {})
    key = shown.run.folder, shown.version, _key(candidate)
    if st.button("Check the cause", icon=":material/science:", help=_HELP):
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
            f"**{_flips(check.others)}** other photos of the class. Against the other classes its score falls by "
            f"**{_drop(check.members)}** and **{_drop(check.others)}** logits on average."
        )
    if check.failed:
        path, reason = next(iter(check.failed.items()))
        st.warning(
            f"{count(len(check.failed), 'photo')} could not be looked at, such as {escape_markdown(path)}: "
            f"{escape_markdown(reason)}.",
            icon=":material/broken_image:",
        )
    if flipped := [effect for effect in check.members if effect.flips]:
        st.caption("; ".join(_effect_text(effect) for effect in flipped[:SHOWN]))


_HELP = "Sets the channels to what the class's other photos have, and lists whose prediction changes."


def _flips(effects: Sequence[Effect]) -> str:
    return f"{sum(effect.flips for effect in effects)} of {len(effects)}"


def _drop(effects: Sequence[Effect]) -> str:
    return minus_sign(f"{mean(effect.drop for effect in effects):z.2f}") if effects else "nothing"


def _effect_text(effect: Effect) -> str:
    return escape_markdown(f"{effect.path}: {effect.before} → {effect.after}")
