"""What README promises is what the project does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gradcam
from benchmarks.__main__ import MARKS, short_table

ROOT = Path(__file__).parents[1]
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


def test_every_file_that_readme_points_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


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
    needed = [*project["dependencies"], *project["optional-dependencies"]["dashboard"]]
    assert {re.split(r"[\[>=<]", need)[0] for need in needed} <= pinned


def test_the_facade_offers_what_it_names_and_nothing_by_accident() -> None:
    public = {name for name in vars(gradcam) if not name.startswith("_")}
    modules = {name for name in public if f"gradcam.{name}" in sys.modules and name not in gradcam.__all__}
    assert sorted(gradcam.__all__) == gradcam.__all__
    assert public - modules - {"annotations"} == set(gradcam.__all__)


def test_importing_the_package_brings_no_plotly_and_no_streamlit() -> None:
    code = "import sys, gradcam; print(sorted({'plotly', 'streamlit'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("tool", [["lint-imports"], ["ruff", "check", "."], ["ruff", "format", "--check", "."]])
def test_the_layers_hold_and_the_code_is_clean(tool: list[str]) -> None:
    command = [str(Path(sys.executable).with_name(tool[0])), *tool[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
