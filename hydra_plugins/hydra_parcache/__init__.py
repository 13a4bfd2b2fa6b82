"""parcache's place among Hydra's plugins."""
