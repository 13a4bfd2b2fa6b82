"""A support vector machine on scaled pixels."""

from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC


def build(c: float, gamma: float) -> Pipeline:
    """Return the classifier, not trained yet."""
    return make_pipeline(MinMaxScaler(), SVC(C=c, gamma=gamma))
