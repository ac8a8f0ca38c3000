"""Every error a caller can meet, in one tree.

    GradcamError
    ├── PhotoError          a photo that cannot be opened
    ├── ModelError          a model id, checkpoint or module that cannot be used
    │   └── WeightsError    weights that cannot be had here and now
    ├── LayerError          a target layer that cannot be found or has no layout in space
    ├── ClassError          a class that a model does not have
    ├── MapError            a heatmap that is not finite
    ├── OptionError         a style, fit or other option outside its choices
    └── ReportError         a report that cannot be written or reopened

Each message is one sentence a user can act on: *expected X, got Y; do Z*, naming the nearest valid choice.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GradcamError(Exception):
    """Base of every error raised on purpose; its text is meant for the user."""


class PhotoError(GradcamError):
    """A photo that cannot be opened."""


class ModelError(GradcamError):
    """A model id, checkpoint or module that cannot be used."""


class WeightsError(ModelError):
    """Weights that cannot be had here and now."""


class LayerError(GradcamError):
    """A target layer that cannot be found or has no layout in space."""


class ClassError(GradcamError):
    """A class that a model does not have."""


class MapError(GradcamError):
    """A heatmap that is not finite."""


class OptionError(GradcamError):
    """A style, fit or other option outside its choices."""


class ReportError(GradcamError):
    """A report that cannot be written or reopened."""


def nearest(wanted: str, choices: Iterable[str], count: int = 3) -> str:
    """The choices closest to `wanted` as a phrase for an error message, such as `'a', 'b' or 'c'`.

    A choice that contains the wanted text counts as close; if none is, the first few choices are named.
    """
    choices = list(choices)
    close = difflib.get_close_matches(wanted, choices, n=count, cutoff=0.5)
    close += [choice for choice in choices if wanted.lower() in choice.lower() and choice not in close]
    names = [repr(name) for name in (close or choices)[:count]]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}" if names else "nothing"
