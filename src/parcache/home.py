"""Where parcache lies: processes that it starts are told, for they may not find it by themselves."""

from __future__ import annotations

import os
from typing import Final

PACKAGE: Final = os.path.dirname(os.path.abspath(__file__))
HOME: Final = os.path.dirname(PACKAGE)
"""The folder that ``parcache`` is imported from."""
