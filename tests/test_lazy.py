"""A room of the package has a door: its names, each imported when it is first used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gradcam.report import render_report
from tests.report_fakes import report

each_room = pytest.mark.parametrize(
    "room", ["draw", "layer_tables", "layers", "models", "report", "runs", "shortcuts", "teaching"]
)


@each_room
def test_every_name_of_a_room_can_be_imported(room: str) -> None:
    package = import_module(f"gradcam.{room}")
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert package.__all__
    with pytest.raises(AttributeError, match=f"gradcam.{room} attribute nothing"):
        _ = package.nothing


def test_a_room_that_is_only_entered_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'timm', 'cv2', 'pyarrow', 'sqlalchemy', 'sklearn'} & {*sys.modules}"
    rooms = ["draw", "layers", "models", "report", "runs", "shortcuts", "teaching"]
    script = f"import {', '.join(f'gradcam.{room}' for room in rooms)}, sys; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_report_is_read_and_compared_without_what_draws_and_plots(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(render_report(report(), "json"))
    script = """
import sys
from gradcam import diff, read_report
print(diff(*map(read_report, sys.argv[1:])), sorted({"cv2", "plotly", "timm", "torchvision"} & {*sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, path, path], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "() []\n"
