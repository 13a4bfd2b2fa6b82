"""Which model reads handwritten digits better? Cross-validated accuracy on scikit-learn's bundled data."""

import logging

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig
from preprocessing import prepare
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_score

log = logging.getLogger(__name__)


@hydra.main(config_path="conf", config_name="config", version_base=None)
def train(cfg: DictConfig) -> float:
    """Return the mean accuracy over the folds."""
    images, labels = load_digits(return_X_y=True)
    model = instantiate(cfg.model)
    folds = StratifiedKFold(cfg.folds, shuffle=True, random_state=cfg.seed)
    accuracy = cross_val_score(model, prepare(images, cfg.blur), labels, cv=folds).mean()
    log.info("%s, blur %s, seed %d: accuracy %.4f", type(model[-1]).__name__, cfg.blur, cfg.seed, accuracy)
    return float(accuracy)


if __name__ == "__main__":
    train()
