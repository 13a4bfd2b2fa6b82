"""Edits of small projects, as data: which of them must make jobs run again, and which must not."""

from __future__ import annotations

from importlib import import_module

from tests.edits.case import Case

_PARTS = (
    *("usual_misses", "usual_values", "usual_hits", "names", "bindings", "control"),
    *("classes", "special_methods", "class_bodies", "imports", "programs"),
    *("mutations", "patches", "registrations", "computed_imports", "lookups", "targets", "configs"),
    *("quiet_effects", "orders", "import_orders", "shared_objects", "started_programs"),
    *("texts_read", "library_hooks", "unused_statements", "acting_objects", "acting_classes"),
)


def _collected() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for part in _PARTS:
        for case in import_module(f"tests.edits.{part}").CASES:
            if found.setdefault(case.name, case) is not case:
                raise ValueError(f"two cases are called {case.name}")
    return found


CASES = _collected()
MISSES = {name: case for name, case in CASES.items() if case.again}
HITS = {name: case for name, case in CASES.items() if not case.again}
