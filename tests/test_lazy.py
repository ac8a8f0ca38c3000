"""A room of the package has a door: its names, each imported when it is first used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

each_room = pytest.mark.parametrize("room", ["draw", "layer_tables", "layers", "models", "report", "teaching"])


@each_room
def test_every_name_of_a_room_can_be_imported(room: str) -> None:
    package = import_module(f"gradcam.{room}")
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert package.__all__
    with pytest.raises(AttributeError, match=f"gradcam.{room} attribute nothing"):
        _ = package.nothing


def test_a_room_that_is_only_entered_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'timm', 'cv2'} & {*sys.modules}"
    rooms = "gradcam.draw, gradcam.layers, gradcam.models, gradcam.report, gradcam.teaching"
    script = f"import {rooms}, sys; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
