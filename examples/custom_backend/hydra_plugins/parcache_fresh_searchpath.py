"""Shows Hydra the backend's YAML."""

import os

import parcache_fresh
from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class FreshSearchPath(SearchPathPlugin):
    """Appends the package's folder of configs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append it last, so that a project's own YAML of the same name comes first."""
        folder = os.path.join(os.path.dirname(parcache_fresh.__file__), "conf")
        search_path.append(provider="parcache-fresh", path=f"file://{folder}")
