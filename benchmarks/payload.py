"""The job that the pools run: a module of its own, so that workers import nothing else for it."""

from __future__ import annotations


def receive(payload: object) -> None:
    """Do nothing with what has come."""
