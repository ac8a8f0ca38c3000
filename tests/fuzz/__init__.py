"""Hostile inputs, made from seeds: each kind of file, text or link that a stranger may hand in, a module a kind.

`test_fuzz` tries a few hundred of each kind; `python -m tests.fuzz --minutes 5` tries as many as fit in the time.
"""

from __future__ import annotations

import importlib

from tests.fuzz.kind import Kind

KINDS = ("checkpoints", "hub_configs", "labels", "links", "options", "photos", "report_json", "report_zip")
"""Names of the kinds, each of a module here."""


def kind_named(name: str) -> Kind:
    """One of `KINDS`; only its own module is imported, and what that needs."""
    return importlib.import_module(f"{__name__}.{name}").KIND
