"""Packages that only a part of gradcam needs, which come with an extra such as `gradcam[report]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gradcam.errors import OptionError


class MissingPackageError(OptionError):
    """A package that comes with an extra is not installed. Its arguments are the names of both."""

    def __str__(self) -> str:
        package, extra = self.args
        return f'expected the package {package}, got none; install it with pip install "gradcam[{extra}]"'


@contextmanager
def packages_of(extra: str) -> Iterator[None]:
    """Guard imports of an extra's packages: if one is missing, name it and the command that installs it.

    Of nested guards the outermost names its extra: `gradcam[shortcuts]` brings what `gradcam[runs]` does, too.
    Raises: MissingPackageError.
    """
    try:
        yield
    except MissingPackageError as error:
        raise MissingPackageError(error.args[0], extra) from error
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "gradcam":
            raise
        raise MissingPackageError(error.name, extra) from error
