"""The command line: the package's verbs with a progress bar, and one sentence for every error."""

from gradcam.cli._main import main

__all__ = ["main"]
