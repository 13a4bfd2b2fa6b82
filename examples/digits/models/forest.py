"""A random forest."""

from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline


def build(trees: int, depth: int, seed: int) -> Pipeline:
    """Return the classifier, not trained yet."""
    return make_pipeline(RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=seed))
