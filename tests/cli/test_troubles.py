"""The machine's troubles and options that make no sense: a sentence and an exit code, and nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from gradcam import starting
from gradcam.cli import _main, terminal
from gradcam.errors import PhotoError
from gradcam.models.pool import shared_pool
from gradcam.report import read_report
from tests.fakes import photo

MODEL = "timm/test_resnet (untrained, seed 1)"
BYTES = os.fsdecode(b"\xff\xfe")
LONG, DIGITS = "a" * 3000, "9" * 5000


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo().pixels).save("a.png")
    Image.fromarray(255 - photo().pixels).save("b.png")
    Path("broken.png").write_bytes(Path("a.png").read_bytes()[:60])


def _explain(*words: str, photos: tuple[str, ...] = ("a.png",), out: str = "out") -> int:
    return _main.main(["explain", *photos, "--model", MODEL, "--out", out, *words])


def _report(*words: str, photos: tuple[str, ...] = ("a.png",), out: str = "r.json") -> int:
    return _main.main(["report", *photos, "--model", MODEL, "--out", out, *words])


def _raising(error: BaseException) -> Callable[..., NoReturn]:
    def raises(*_: object, **__: object) -> NoReturn:
        raise error

    return raises


# -------------------------------------------------------------------------------------- broken photos


def test_explain_keeps_a_broken_photo_in_its_place_and_says_so_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _explain(photos=("a.png", "broken.png", "none.png", "b.png")) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(" · ")[0] for line in said[:4]] == ["a.png", "broken.png", "none.png", "b.png"]
    assert "FAILED: expected a whole picture, but 'broken.png' is truncated or damaged" in said[1]
    assert "FAILED: expected a photo, but there is no file 'none.png'" in said[2]
    assert said[4].endswith("and 2 map(s)")
    assert len(list(Path("out").glob("*.npy"))) == 2
    page = Path("out", "comparison.html").read_text("utf-8")
    assert "is truncated or damaged" in page


def test_a_report_keeps_a_broken_photo_in_its_place_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    formats = ["zip", "html", "pdf", "markdown", "csv", "json", "junit", "interactive"]
    wanted = [word for name in formats for word in ("--format", name)]
    assert _report(*wanted, photos=("a.png", "broken.png")) == 1
    assert "broken.png" in capsys.readouterr().err
    made = read_report(Path("r.zip"))
    assert [entry.size for entry in made.photos] == [photo().size, (0, 0)]
    assert [type(finding).__name__ for finding in made.findings] == ["HeatmapEntry", "FailureEntry"]
    assert "could not be opened" in Path("r.md").read_text("utf-8")
    assert _main.main(["replay", "r.zip", "broken.png"]) == 0
    assert "same: there is no map, now as then" in capsys.readouterr().out


def test_where_no_photo_can_be_opened_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    for run in (_explain, _report):
        assert run(photos=("broken.png", "none.png")) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert {path.name for path in Path().iterdir()} == {"a.png", "b.png", "broken.png"}


def test_a_photo_that_cannot_be_opened_for_replay_is_named_and_the_others_are_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _report(photos=("a.png", "b.png")) == 0
    assert _main.main(["replay", "r.json", "broken.png", "a.png"]) == 1
    said = capsys.readouterr()
    assert "damaged" in said.err
    assert "2 panels: 1 same, 1 cannot be checked" in said.out


# ---------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "words",
    [
        ["--opacity", "nan"],
        ["--opacity", "inf"],
        ["--opacity", DIGITS],
        ["--colormap", LONG],
        ["--colormap", "\n"],
        ["--scale", LONG],
        ["--fit", "x"],
        ["--seed", "-1"],
        ["--seed", "1" + "0" * 30],
        ["--seed", DIGITS],
        ["--seed", "nan"],
        ["--class", ""],
        ["--layer", ""],
        ["--layer", "a +  + b"],
        ["--layer", f"{LONG}=x"],
        ["--layer", "=x"],
        ["--layer", "-x"],
        ["--activation", LONG],
        ["--activation", f"{LONG}=sigmoid"],
        ["--threshold", "nan"],
        ["--interpolation", "cubic"],
        ["--class", " rather than "],
        ["--model", ""],
        ["--model", LONG],
        ["--model", BYTES],
        ["--model", f"timm/resnet18 (untrained, seed {DIGITS})"],
        ["--checkpoint", "\0", "--arch", "timm/resnet18"],
        ["--checkpoint", LONG, "--arch", "timm/resnet18"],
        ["--checkpoint", "a.png", "--arch", BYTES],
        ["--out", ""],
        ["--out", LONG],
        ["--out", "a\0b"],
        ["--out", "a.png/deep"],
        ["--out", "\ud800"],
        [f"--{LONG}", "1"],
        ["--nothing\n", BYTES],
    ],
    ids=lambda words: " ".join(words)[:30].encode("unicode_escape").decode(),
)
def test_an_option_of_explain_that_makes_no_sense_is_a_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcam.cli.options.compare", _raising(AssertionError("a model ran")))
    assert _explain(*words) == 2
    _is_one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize(
    "words",
    [
        ["--now", "0999-01-01T00:00:00Z"],
        ["--now", "2200-01-01T00:00:00Z"],
        ["--now", "0001-01-01T00:00:00+14:00"],
        ["--now", "9999-12-31T23:59:59-14:00"],
        ["--now", DIGITS],
        ["--threshold", "nan"],
        ["--min-agreement", "nan"],
        ["--max-outside-box", "1e999"],
        ["--note", f"{DIGITS}=x"],
        ["--photo-status", "1=\n"],
        ["--status", LONG],
        ["--layer", f"{LONG}=x"],
        ["--box", f"{LONG}=1,2,3,4"],
        ["--box", "a.png=nan,2,3,4"],
        ["--box", "a.png=1e400,2,3,4"],
        ["--expect-class", ""],
        ["--out", LONG],
        ["--out", "a\0.zip"],
        ["--out", "a.png"],
        ["--out", "/dev/null"],
        ["--out", f"{LONG}/r.zip"],
    ],
    ids=lambda words: " ".join(words)[:30].encode("unicode_escape").decode(),
)
def test_an_option_of_report_that_makes_no_sense_is_a_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcam.cli.options.compare", _raising(AssertionError("a model ran")))
    assert _report(*words) == 2
    _is_one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("path", ["\0", "\ud800", LONG, "none", ".", "fifo", "/dev/zero", "a.png/x"])
@pytest.mark.parametrize("command", ["replay", "diff", "explain"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="files of POSIX")
def test_a_path_that_is_no_file_is_a_sentence_and_no_hang(
    command: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("fifo")
    rest = {"replay": [], "diff": [path], "explain": ["--model", MODEL, "--out", "out"]}[command]
    assert _main.main([command, path, *rest]) == 2
    _is_one_sentence(capsys.readouterr().err)


def test_a_device_in_a_photos_place_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert _explain(photos=(os.devnull,)) == 2
    assert f"got the device '{Path(os.devnull).name}'; name a file" in capsys.readouterr().err


def test_names_with_odd_letters_are_written_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    odd = f"{'Ä' * 90}{BYTES}\n.png"
    Path("a.png").rename(odd)
    assert _explain(photos=(odd,)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert len(list(Path("out").iterdir())) == 4


def _is_one_sentence(said: str) -> None:
    assert said.startswith("gradcam: expected ")
    assert said.count("\n") == 1
    assert len(said) < 700
    assert "Traceback" not in said


# ------------------------------------------------------------------------------------- the machine


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "but the disk is full; free some space"),
        (
            OSError(errno.EROFS, "Read-only file system", "a"),
            2,
            "expected to use 'a', but the disk can only be read",
        ),
        (MemoryError(), 2, "the machine has none left"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "the machine has none left"),
        (PhotoError("expected x"), 2, "expected x"),
        (BrokenPipeError(), 141, ""),
        (KeyboardInterrupt(), 130, "stopped"),
        (SystemExit(0), 0, ""),
    ],
)
def test_a_command_ends_in_one_sentence_and_a_code(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal.run(_raising(error)) == code
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == bool(told)


def test_a_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        terminal.run(_raising(RuntimeError("a bug")))


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of POSIX")
def test_sigterm_ends_a_command_like_ctrl_c_and_is_then_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def command() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        return 0

    assert terminal.run(command) == 143
    assert capsys.readouterr().err == "gradcam: stopped\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_command_may_run_in_another_thread() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(terminal.run(lambda: 0)))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_terminal_shows_progress_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda shown=is_terminal: shown  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stderr", stream)
        with terminal.progress(2) as show:
            show(1, "model: photo")
        assert ("model: photo" in stream.getvalue()) is is_terminal
    monkeypatch.setattr(sys, "stderr", None)
    with terminal.progress(2) as show:
        show(1, "model: photo")
    terminal.say("nobody reads this")


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("call", [0, 1, 2, 3])
def test_explain_that_is_interrupted_leaves_whole_files_only(
    stopped: BaseException, call: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = iter(range(10))
    whole = os.fsync
    monkeypatch.setattr("os.fsync", lambda file: whole(file) if next(calls) < call else _raising(stopped)())
    assert _explain() == (130 if isinstance(stopped, KeyboardInterrupt) else 2)
    assert capsys.readouterr().err.count("\n") == 1
    _are_whole(Path("out"))
    assert len(list(Path("out").iterdir())) == call


def test_layers_that_is_interrupted_leaves_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("layers.csv").write_text("old")
    monkeypatch.setattr("gradcam.layer_tables.by_shape.layer_row", _raising(KeyboardInterrupt()))
    assert _main.main(["layers", "timm/test_resnet", "--out", "layers.csv"]) == 130
    assert Path("layers.csv").read_text() == "old"


@pytest.mark.parametrize("size", ["abc", "-1", "1e9", DIGITS])
def test_a_budget_of_memory_that_makes_no_sense_is_a_sentence(
    size: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADCAM_MODEL_BYTES", size)
    shared_pool.cache_clear()
    assert _explain() == 2
    _is_one_sentence(capsys.readouterr().err)


def _are_whole(folder: Path) -> None:
    """Every file under a final name can be read to its end."""
    for path in folder.iterdir():
        if path.suffix == ".png":
            Image.open(path).load()
        elif path.suffix == ".npy":
            np.load(path)
        elif path.suffix == ".html":
            assert path.read_text("utf-8").rstrip().endswith("</html>")
        else:
            assert path.suffix == ".part"


# --------------------------------------------------------------------------- real processes: few, for they are slow


def _run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=os.environ | {"PY": sys.executable, "OMP_NUM_THREADS": "1"} | environment,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a shell and devices of Linux")
def test_a_closed_pipe_is_silence_and_a_full_output_is_a_sentence() -> None:
    """Output of one line at a time meets the closed pipe while the command runs, all else when it ends."""
    methods = "-m gradcam methods"
    done = _run(f'"$PY" -u {methods} | true; echo ${{PIPESTATUS[0]}}; "$PY" {methods} > /dev/full; echo $?')
    assert done.stdout.split() == ["141", "2"]
    assert done.stderr == (
        "gradcam: expected to read and write, but the disk is full; free some space or choose another folder\n"
    )


CLOSING = """
import sqlite3, sys
import sqlalchemy as sa
from gradcam.cli import terminal

class Interrupted(sqlite3.Connection):
    def close(self):
        raise KeyboardInterrupt

def command():
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.NullPool, connect_args={"factory": Interrupted})
    with engine.connect() as connection:
        connection.execute(sa.text("select 1"))

sys.exit(terminal.run(command))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_ctrl_c_while_a_connection_closes_is_one_word() -> None:
    done = _run('"$PY" -c "$SCRIPT"', SCRIPT=CLOSING)
    assert (done.returncode, done.stderr) == (130, "gradcam: stopped\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_a_machine_without_utf_8_home_or_room_for_temporary_files_lists_layers_all_the_same() -> None:
    done = _run(
        'unset HOME; "$PY" -m gradcam layers timm/test_resnet --out ä.csv 2>&1',
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        TMPDIR="/nowhere",
    )
    assert done.returncode == 0, done.stdout
    assert r"timm/test_resnet \xb7 layer4" in done.stdout
    assert "5×5" in Path("ä.csv").read_text("utf-8")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be killed")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize(
    "words", [["-m", "gradcam", "explain"], ["gradcam", "explain"], ["-c", "from gradcam import explain"]]
)
def test_ctrl_c_while_the_command_is_still_imported_is_silence(words: list[str]) -> None:
    """A torch that never ends stands in for one that takes seconds. A program that imports gradcam is let alone."""
    Path("torch.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    Path("gradcam").write_text("from gradcam.cli._main import main\n\nmain()\n")
    path = os.pathsep.join([str(Path.cwd()), str(Path(_main.__file__).parents[2])])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # children inherit one that is ignored
    try:
        started = subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"begun\n"
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=30)
    assert started.returncode == -signal.SIGINT  # 130 in a shell
    assert (said == b"") == (words[0] != "-c")


def test_a_command_looks_for_garbage_once_it_is_imported() -> None:
    script = (
        "import gc\nfrom gradcam import starting\nprint(gc.isenabled())\nstarting.done()\nprint(gc.isenabled())\n"
    )
    said = {}
    for name in ("gradcam", "other"):
        Path(name).write_text(script)
        environment = os.environ | {"PYTHONPATH": str(Path(_main.__file__).parents[2])}
        said[name] = subprocess.check_output([sys.executable, name], env=environment, text=True).split()
    assert said == {"gradcam": ["False", "True"], "other": ["True", "True"]}


@pytest.mark.parametrize(
    ("words", "pauses"),
    [
        (["python", "-m", "gradcam", "models"], True),
        (["python", "-m", "gradcam.runs.job_process", "folder"], True),
        (["python", "-m", "pytest", "tests"], False),
    ],
)
def test_programs_of_the_package_pause_while_they_are_imported(
    monkeypatch: pytest.MonkeyPatch, words: list[str], pauses: bool
) -> None:
    monkeypatch.setattr("sys.argv", ["-m", *words[3:]])
    monkeypatch.setattr("sys.orig_argv", words)
    assert starting._is_own_program() == pauses


@pytest.mark.parametrize("command", ["explain", "report", "layers"])
def test_a_kill_at_any_instant_leaves_whole_files_only(command: str) -> None:
    survived = kills(command, int(os.environ.get("GRADCAM_KILLS", "3")))
    assert survived


def kills(command: str, times: int) -> int:
    """Kill a command at random instants, and see that what it leaves is whole; how many kills met it alive."""
    words = {
        "explain": ["explain", "a.png", "b.png", "--model", MODEL, "--out", "killed/out", "--force"],
        "report": ["report", "a.png", "--model", MODEL, "--out", "killed/r.zip", "--force"],
        "layers": ["layers", "timm/test_resnet", "timm/test_vit", "--out", "killed/layers.csv"],
    }[command]
    Path("killed").mkdir()
    started = time.monotonic()
    assert _main.main(words) == 0  # so that the first child has nothing to import
    took = time.monotonic() - started
    alive = 0
    for attempt in range(times):
        child = os.fork()
        if child == 0:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os._exit(_main.main(words))
        time.sleep(random.Random(attempt).uniform(0, min(took, 3.0)))
        os.kill(child, signal.SIGKILL)
        alive += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        _are_whole(Path("killed", "out")) if command == "explain" else None
        if command == "report":
            read_report(Path("killed/r.zip"))
        if command == "layers":
            assert Path("killed/layers.csv").read_text("utf-8").count("\n") == 3
    return alive
