"""Strategies: a cut, what may change above it, and how; each a small frozen value in a file of its own."""

from headstart.strategies.probe import Probe

__all__ = ["Probe"]
