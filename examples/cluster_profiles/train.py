"""A task that is given what it needs by the profile: memory and time by its model."""

from __future__ import annotations

import logging
import os
from typing import Any

import hydra

log = logging.getLogger(__name__)


@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(config: Any) -> float:
    """Pretend to train: return a loss that depends on the config."""
    where = f"Slurm job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else "this machine"
    loss = sum((config.lr * step - 0.5) ** 2 for step in range(config.model.layers)) / config.model.layers
    log.info("%s, lr %s: loss %.4f, on %s", config.model.name, config.lr, loss, where)
    return loss


if __name__ == "__main__":
    main()
