"""Hostile inputs, made from seeds: each kind of file, text or link that a stranger may hand in, a module a kind.

`test_fuzz` tries a few hundred of each kind; `python -m tests.fuzz --minutes 5` tries as many as fit in the time.
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.fuzz.kind import Kind


def kinds() -> dict[str, Kind]:
    """Every kind by name: the `KIND` of each module here that has one."""
    modules = (
        importlib.import_module(f"{__name__}.{found.name}")
        for found in pkgutil.iter_modules(__path__)
        if found.name not in ("__main__", "child")
    )
    found = (getattr(module, "KIND", None) for module in modules)
    return {kind.name: kind for kind in found if kind is not None}
