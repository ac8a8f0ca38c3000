"""What README promises is what the project does."""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gradcam
from benchmarks.__main__ import MARKS, short_table
from dashboard.serving import IMPORTED_FIRST, IMPORTED_LATER
from gradcam.moved import MOVED
from tests.conftest import LONGEST_FIRST, OF_THEIR_OWN

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(file.parent.name for file in (ROOT / "gradcam").glob("*/__init__.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = (
    "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && "
    ".venv/bin/streamlit run dashboard/Home.py"
)
TEST = "python3 -m venv .venv && .venv/bin/pip install -r requirements-dev.txt && .venv/bin/pytest"


def test_readme_opens_with_a_picture_and_the_two_commands() -> None:
    picture, run, test = README.index("![", 0), README.index(RUN), README.index(TEST)
    assert picture < run < test
    assert README[:test].count("\n") < 25


def test_the_gate_calls_readmes_test_command_word_for_word() -> None:
    assert f"\n{TEST}\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_file_that_readme_and_docs_point_to_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_shows_the_numbers_of_the_committed_benchmark() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "results.json").read_text(encoding="utf-8"))
    shown = README.partition(MARKS[0])[2].partition(MARKS[1])[0]
    assert shown.strip().splitlines() == short_table(result)


def test_pins_are_exact_and_lie_in_the_ranges_of_the_package() -> None:
    pins = [
        line.split("#")[0].strip()
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
    ]
    packages = [pin for pin in pins if pin and not pin.startswith("-")]
    assert [pin for pin in packages if not re.fullmatch(r"[\w\[\]-]+==[\w.]+", pin)] == []
    pinned = {re.split(r"[\[=]", pin)[0] for pin in packages}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["dashboard"], *extras["report"], *extras["runs"]]
    assert {re.split(r"[\[>=<]", need)[0] for need in needed} <= pinned


STUB = ast.parse(Path(gradcam.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
HOMES = {alias.name: node.module for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names}
"""A public name -> the module that holds it, within the package."""


def test_the_facade_offers_what_it_names_and_nothing_by_accident() -> None:
    assert sorted(gradcam.__all__) == gradcam.__all__
    assert [name for name in dir(gradcam) if not name.startswith("_")] == gradcam.__all__
    assert [name for name in gradcam.__all__ if not hasattr(gradcam, name)] == []
    assert not hasattr(gradcam, "explian")


def _names_something(path: str) -> bool:
    """Whether a path is a module of the package, or a name in one."""
    if importlib.util.find_spec(path):
        return True
    module, _, name = path.rpartition(".")
    return hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("path", MOVED)
def test_what_has_moved_since_0_1_0_is_told_with_a_place_that_is_there(path: str) -> None:
    told = re.escape(f"got '{path}' of gradcam 0.1.0; use {MOVED[path]}")
    module, _, name = path.rpartition(".")
    with pytest.raises(ImportError, match=told):
        importlib.import_module(path)
    if re.fullmatch("from gradcam import ([a-z]+), the function", MOVED[path]):
        assert callable(getattr(gradcam, name))
        return
    with pytest.raises(ImportError, match=told):
        exec(f"from {module} import {name}")
    assert _names_something(MOVED[path])


@pytest.mark.parametrize("path", ["gradcam.recipe", "gradcam.layers.joined", "gradcam.report.CARRIED"])
def test_a_moved_name_is_told_as_an_attribute_too(path: str) -> None:
    module, _, name = path.rpartition(".")
    opened = importlib.import_module(module)
    with pytest.raises(AttributeError, match=f"got '{path}' of gradcam 0.1.0; use gradcam"):
        getattr(opened, name)


@pytest.mark.parametrize("package", ["gradcam", *(f"gradcam.{name}" for name in PACKAGES)])
def test_no_verb_shadows_a_module(package: str) -> None:
    opened = importlib.import_module(package)
    modules = {module.name for module in pkgutil.iter_modules(opened.__path__)}
    assert modules & set(opened.__all__) == set()


def test_the_files_of_tests_that_a_worker_takes_apart_or_first_are_there() -> None:
    assert [file for file in (*OF_THEIR_OWN, *LONGEST_FIRST) if not [*ROOT.glob(f"{file}*")]] == []


HEAVY = {"cv2", "plotly", "scipy", "skimage", "streamlit", "timm", "torchvision"}


def imported_by(*steps: str) -> list[set[str]]:
    """Which of the `HEAVY` packages a fresh process has imported after each of these steps."""
    code = "\n".join(["import sys", *(f"{step}; print(*sys.modules)" for step in steps)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [HEAVY & set(line.split()) for line in done.stdout.splitlines()]


def test_a_heavy_library_comes_when_it_is_needed_and_the_server_imports_each_before_its_first_visitor() -> None:
    verbs = [name for name, home in HOMES.items() if home != "report"]
    first = [*IMPORTED_FIRST, *IMPORTED_LATER]
    package, public, reports, loaded, served = imported_by(
        "import gradcam; assert 'torch' not in sys.modules",
        f"from gradcam import {', '.join(verbs)}",
        "from gradcam import *",
        "gradcam.load_classifier('bundled/tf_efficientnet_lite0', weights='random')",
        f"import importlib; [importlib.import_module(module) for module in {first}]",
    )
    assert package == public == set()
    assert reports == {"cv2", "plotly"}  # what reports draw with
    assert "timm" in loaded
    assert {module.partition(".")[0] for module in first} >= loaded  # imported above, so the server must name it
    assert served >= HEAVY - {"skimage"}


@pytest.mark.parametrize("tool", [["lint-imports"], ["ruff", "check", "."], ["ruff", "format", "--check", "."]])
def test_the_layers_hold_and_the_code_is_clean(tool: list[str]) -> None:
    command = [str(Path(sys.executable).with_name(tool[0])), *tool[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
