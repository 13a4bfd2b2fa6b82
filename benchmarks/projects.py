"""A generated project of many modules, as large as it is asked for, all of whose code one task can reach."""

from __future__ import annotations

from pathlib import Path
from typing import Final

# Modules of one package know the two before them: the graph is deep, and wide by packages.
_PER_PACKAGE: Final = 20
_MODULE: Final = '''"""Part {number} of a project: transformations of numbers and the classes that hold them."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

{imports}

log = logging.getLogger(__name__)
RATE_{number} = {number} / 7
LIMITS_{number} = {{"low": -{number}, "high": {number} + 1}}
'''
_FUNCTION: Final = '''

def step_{number}_{index}(value: float, scale: float = RATE_{number}) -> float:
    """Return one step of a computation."""
    total = 0.0
    for place in range({index} + 2):
        shifted = value + place * scale
        if shifted > LIMITS_{number}["high"]:
            shifted = math.sqrt(abs(shifted))
        elif shifted < LIMITS_{number}["low"]:
            shifted = -math.log1p(abs(shifted))
        total += shifted * {index}.5
    return {inner}
'''
_CLASS: Final = '''

@dataclass
class Model{number}{base}:
    """What is configured of part {number}."""

    width: int = {number}
    rates: list[float] = field(default_factory=list)

    def fit(self, data: list[float]) -> float:
        """Run every step over all data."""
        results = [{calls} for item in data]
        log.debug("fitted %d items", len(results))
        return sum(results) / max(1, len(results))

    @property
    def name(self) -> str:
        """Return what it is called."""
        return f"model-{number}-{{self.width:03d}}"
'''
_FUNCTIONS: Final = 5


def write_project(folder: Path, lines: int) -> int:
    """Write a project of about so many lines below a folder, ``app.py`` among them; return how many there are.

    Every module is imported by the next, and every definition is used by one that ``app.main`` uses.
    """
    written = number = 0
    last = ""
    while written < lines:
        package, place = divmod(number, _PER_PACKAGE)
        where = folder / f"part{package}"
        where.mkdir(parents=True, exist_ok=True)
        (where / "__init__.py").touch()
        text = _module(number, last)
        (where / f"m{place}.py").write_text(text, encoding="utf-8")
        written += text.count("\n")
        last = f"part{package}.m{place}"
        number += 1
    app = f"from {last} import Model{number - 1}\n\n\ndef main(cfg):\n    return Model{number - 1}().fit([1.0])\n"
    (folder / "app.py").write_text(app, encoding="utf-8")
    return written + app.count("\n")


def _module(number: int, last: str) -> str:
    imports = f"from {last} import Model{number - 1}, step_{number - 1}_0" if last else ""
    base = f"(Model{number - 1})" if last else ""
    parts = [_MODULE.format(number=number, imports=imports)]
    for index in range(_FUNCTIONS):
        inner = f"step_{number}_{index - 1}(total)" if index else f"step_{number - 1}_0(total)" if last else "total"
        parts.append(_FUNCTION.format(number=number, index=index, inner=inner))
    calls = " + ".join(f"step_{number}_{index}(item)" for index in range(_FUNCTIONS))
    parts.append(_CLASS.format(number=number, base=base, calls=calls))
    return "".join(parts)
