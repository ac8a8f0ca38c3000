"""The dashboard as README starts it, for tests and pictures: no network, empty weight caches, a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOWHERE = "http://127.0.0.1:9"
"""A proxy that nothing listens on: the server under test has no network, on any machine."""


@contextmanager
def dashboard(proxy: str = NOWHERE, start_in: Path = ROOT, **variables: str) -> Iterator[str]:
    """Start the dashboard, give its address, stop it; fails if its log holds a traceback.

    proxy: what its downloads go through. start_in: the folder of the start. variables: of its environment.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {
            "https_proxy": proxy,
            "http_proxy": proxy,
            "TORCH_HOME": str(home / "torch"),
            "HF_HOME": str(home / "huggingface"),
            "GRADCAM_WEIGHTS": str(home / "weights"),
            "GRADCAM_RUNS": str(home / "runs"),
            "GRADCAM_STORE": str(home / "reviews.sqlite"),
            "GRADCAM_KEYS": str(home / "keys"),
        }
        environment |= variables
        command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "Home.py")]
        options = [f"--server.port={port}", "--server.headless=true", "--server.fileWatcherType=none"]
        with (home / "log").open("w+") as log:
            server = subprocess.Popen([*command, *options], cwd=start_in, env=environment, stdout=log, stderr=log)
            try:
                _await(f"http://127.0.0.1:{port}/_stcore/health", server, home / "log")
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()
                server.wait(10)
        said = (home / "log").read_text()
        assert "Traceback" not in said, said


def _await(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            direct.open(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the dashboard did not start: {log.read_text()}")
