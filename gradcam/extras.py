"""Packages that only a part of gradcam needs, which come with an extra such as `gradcam[report]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gradcam.errors import OptionError


@contextmanager
def packages_of(extra: str) -> Iterator[None]:
    """Guard imports of an extra's packages: if one is missing, name it and the command that installs it.

    Raises: OptionError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "gradcam":
            raise
        raise OptionError(
            f'expected the package {error.name}, got none; install it with pip install "gradcam[{extra}]"'
        ) from error
