"""Another Python process, with another seed of hashes, that has loaded no model and read no setting.

It is started once and imports the heavy libraries; each script runs in a fork of it, as in a process of its own.
What a start itself does, or what is imported when, a fork cannot tell: such tests start Python themselves.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = str(Path(__file__).parents[1])
SEED = "0" if os.environ.get("PYTHONHASHSEED", "random") not in ("0", "random") else "7"
"""Of the other process's hashes: never that of this one."""

SERVER = """
import json, os, sys, traceback
from gradcam.starting import uncollected
with uncollected():
    import timm, torch
    import gradcam
    from gradcam import *

for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        code = 1
        try:
            said = os.open(request["said"], os.O_WRONLY)
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            exec(request["script"], {"__name__": "__main__"})
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@cache
def _server() -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONHASHSEED": SEED, "PYTHONPATH": ROOT}
    started = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    atexit.register(_end, started)
    return started


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate()  # closes what it reads, and waits


def said_elsewhere(script: str) -> str:
    """What a script prints in another process, in this folder and this environment."""
    if not hasattr(os, "fork"):
        alone = {**os.environ, "PYTHONHASHSEED": SEED, "PYTHONPATH": ROOT}
        return subprocess.check_output([sys.executable, "-c", script], env=alone, text=True)
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as said:
        request = {
            "script": script,
            "said": said.name,
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
        }
        print(json.dumps(request), file=server.stdin, flush=True)
        code = server.stdout.readline().strip()
        printed = said.read()
    assert code == "0", f"ended with {code or 'nothing said'}: {printed}"
    return printed
