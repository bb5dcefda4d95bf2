"""Data in: read, check, split. Nothing here knows of models."""

from headstart.data.checks import check
from headstart.data.dataset import Dataset, Finding, Input, Modality, Split
from headstart.data.reading import read

__all__ = ["Dataset", "Finding", "Input", "Modality", "Split", "check", "read"]
