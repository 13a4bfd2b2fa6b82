"""An app without a config, for what is asked of a profile alone: ``python -m parcache.hydra.bare_app``."""

from __future__ import annotations

from typing import Any

import hydra


@hydra.main(config_path=None, config_name=None, version_base=None)
def main(config: Any) -> None:
    """Do nothing."""


if __name__ == "__main__":
    main()
