"""An app without a config, for what is asked of a profile alone: ``python -m parcache.hydra.bare_app``."""

from __future__ import annotations

from typing import Any, Final

import hydra

# Hydra 1.3 warns where there is no version base, and 1.4 where there is one.
_VERSION_BASE: Final[dict[str, Any]] = {"version_base": None} if hydra.__version__.startswith("1.3") else {}


@hydra.main(config_path=None, config_name=None, **_VERSION_BASE)
def main(config: Any) -> None:
    """Do nothing."""


if __name__ == "__main__":
    main()
