"""Processes that may be killed: forks of one that has imported what they need."""

from __future__ import annotations

import multiprocessing

from tests.fuzz import KINDS

FORKS = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
FORKS.set_forkserver_preload(["timm", "tests.runs.kill_child", *(f"tests.fuzz.{name}" for name in KINDS)])
"""Python has one such server in a process: whoever starts it must name what all import."""
