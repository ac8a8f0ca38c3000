"""The runs that a visitor may look at: their own, by links that nobody guesses, and those shown to all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import streamlit as st

from dashboard import identity, library, serving, session
from gradcam.config import runs_folder, settings
from gradcam.errors import OptionError, ReviewError, RunError, nearest, quoted, without_path
from gradcam.model_spec import display_name
from gradcam.models import Classifier, is_file_of, write_options
from gradcam.runs import SAMPLE, HostedRun, Run, RunHost, Status

Version = tuple[str, str]
"""What a kept answer about a run holds for."""

_OWNER, _MINE = "_owner", "_my_runs"


@dataclass(frozen=True)
class ListedRun:
    """A run as it was when the page looked at it.

    name: in the link. status: None before anything is planned. hosted: None for the operator's, which nobody may
    change here.
    """

    name: str
    title: str
    run: Run
    status: Status | None
    hosted: HostedRun | None = None

    @property
    def version(self) -> Version:
        """What the run has so far, and its state: at its end, its answers change while its maps stay."""
        return (self.status.content, self.status.state) if self.status else ("", "")

    @property
    def is_active(self) -> bool:
        """Whether it computes or will by itself."""
        if self.hosted:
            return self.hosted.is_active
        return self.status is not None and self.status.state == "running"


@st.cache_resource(show_spinner=False)
def host() -> RunHost:
    """The runs of all visitors. Those whose days are over are deleted, also while nobody visits."""
    found = RunHost(replace(settings().runs, folder=runs_folder()))
    found.keep_sweeping()
    return found


def data_sets() -> dict[str, Path]:
    """The data sets that the operator offers, by name."""
    return {name: path.expanduser() for name, path in settings().runs.data_sets}


def shown() -> dict[str, Path]:
    """The runs that the operator shows to all, by name."""
    return {name: path.expanduser() for name, path in settings().runs.shown}


def mine() -> list[str]:
    """The links of this visitor's runs, the latest first: those that they started or opened in this session."""
    return st.session_state.setdefault(_MINE, [])


def titles() -> dict[str, str]:
    """What each run that this visitor may choose is called, by its name in the link."""
    found: dict[str, str] = {}
    for token in mine():
        try:
            found[token] = host().get(token).job.title
        except RunError:
            continue  # deleted, or its days are over
    return found | {name: f"{name} · shown to all" for name in shown()}


def opened(name: str) -> ListedRun:
    """The run of a name in a link. Raises: RunError where there is none."""
    if path := shown().get(name):
        run = Run(path)
        with hide_path(run):
            return ListedRun(name, name, run, run.status())
    hosted = host().get(name)
    if name not in mine():
        mine().insert(0, name)
    return ListedRun(name, hosted.job.title, hosted.run, hosted.status, hosted)


@contextmanager
def hide_path(run: Run) -> Iterator[None]:
    """Raise a RunError of this block without the folders of the run and of its photos, which are no visitor's
    business."""
    try:
        yield
    except RunError as error:
        sentence = without_path(str(error), run.folder)
        with suppress(RunError):  # a folder without a run names no photos
            sentence = without_path(sentence, Path(run.data))
        raise RunError(sentence) from error


def start(
    title: str,
    data: str | Sequence[tuple[str, BinaryIO]] | None,
    models: Sequence[str],
    targets: Sequence[str],
    files: Mapping[str, BinaryIO | None],
) -> str:
    """Start a run of this visitor's. Returns: its name in the link.

    data: the name of a data set that the operator offers, or uploads by name; None is the sample set.
    files: of the visitor's own models, by id.
    Raises: GradcamError, one sentence, for what this visitor may not run.
    """
    _check_may_run()
    own = session.custom_models()
    for model in models:
        if model not in own:
            library.check_may_use(model)
    checkpoints = [_checkpoint(own[model], files.get(model)) for model in models if model in own]
    where = SAMPLE if data is None else _folder(data) if isinstance(data, str) else data
    token = host().start(_owner(), title, where, models, targets, checkpoints)
    mine().insert(0, token)
    return token


def _checkpoint(model: Classifier, file: BinaryIO | None) -> tuple[str, BinaryIO]:
    """What a run takes to load a model of the visitor's own. Raises: OptionError for none or another file."""
    name = display_name(str(model.spec))
    if file is None:
        raise OptionError(f"expected the file of {name} once more, got none; add it, for a session keeps no files")
    file.seek(0)
    if not is_file_of(model, file.read()):
        raise OptionError(f"expected the file that {name} was loaded from, got another; choose that one")
    return write_options(model), file


def _folder(name: str) -> Path:
    if name not in data_sets():
        raise OptionError(
            f"expected a data set of this server, got {quoted(name)}; choose {nearest(name, data_sets())}"
        )
    return data_sets()[name]


def _owner() -> str:
    """What tells this visitor from others, for the quota.

    Their name; where nobody is asked, the network that they come from; at the server's own machine, the session.
    """
    if identity.requires_sign_in():
        return identity.known_actor().name
    return serving.network() or st.session_state.setdefault(_OWNER, secrets.token_hex(16))


def cancel(name: str) -> None:
    """Compute a run no further. Raises: GradcamError."""
    _check_may_run()
    host().cancel(name)


def resume(name: str) -> None:
    """Go on with a run. Raises: GradcamError, one sentence, for why it cannot."""
    _check_may_run()
    host().resume(name)


def delete(name: str) -> None:
    """Delete a run of this visitor's. Raises: GradcamError."""
    _check_may_run()
    host().delete(name)
    mine().remove(name)


def _check_may_run() -> None:
    """Ask anew who asks: a button is pressed before the page asks, and perhaps after somebody was signed out.

    Raises: ReviewError for a viewer, and for nobody, where somebody is asked.
    """
    if identity.requires_sign_in() and not (who := identity.known_actor()).may("reviewer"):
        raise ReviewError(
            f"expected the role reviewer for this, got {quoted(who.name)} with {who.role or 'no role'}; ask an "
            "owner"
        )
