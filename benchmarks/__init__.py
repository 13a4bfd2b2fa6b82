"""Parcache beside its peers, measured in turn in the same run: ``make bench``. See README.md in this folder."""
