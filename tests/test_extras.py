"""What a machine without the extras can do, and what it is told about the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gradcam.errors import OptionError
from gradcam.extras import packages_of

WITHOUT = """
import io, sys
for name in ("typst", "manimgx_fonts", "jinja2", "markupsafe", "markdown_it", "streamlit", "starlette"):
    sys.modules[name] = None  # as if it was not installed
import gradcam.cli
from gradcam.errors import OptionError
from gradcam.report import FORMATS
from tests.report_fakes import report

made = report()
for name, row in FORMATS.items():
    try:
        row.write(made, io.BytesIO())
        print(name, "written")
    except OptionError as error:
        print(name, error)
"""


def test_without_the_extras_numbers_are_written_and_other_formats_name_the_package_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    wanted = 'expected the package {}, got none; install it with pip install "gradcam[report]"'
    assert said == {
        "zip": wanted.format("jinja2"),
        "html": wanted.format("jinja2"),
        "pdf": wanted.format("typst"),
        "markdown": wanted.format("markdown_it"),
        **dict.fromkeys(("csv", "json", "junit", "interactive"), "written"),
    }


def test_what_is_missing_of_the_package_itself_is_no_matter_of_extras():
    with pytest.raises(ModuleNotFoundError), packages_of("report"):
        import gradcam.nowhere  # noqa: F401
    with pytest.raises(OptionError, match=r'"gradcam\[report\]"'), packages_of("report"):
        import surely_not_installed  # noqa: F401


def test_of_nested_parts_the_one_that_was_asked_for_names_its_extra():
    told = pytest.raises(OptionError, match=r'package surely_not_installed, .*"gradcam\[shortcuts\]"$')
    with told, packages_of("shortcuts"), packages_of("runs"):
        import surely_not_installed  # noqa: F401
