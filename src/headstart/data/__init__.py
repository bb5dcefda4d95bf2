"""Data in: read, check, split. Nothing here knows of models."""

from headstart.data.checks import check
from headstart.data.dataset import Dataset, Finding, Input, Modality, Split
from headstart.data.reading import read
from headstart.data.splits import TEST_SHARE, spread

__all__ = ["TEST_SHARE", "Dataset", "Finding", "Input", "Modality", "Split", "check", "read", "spread"]
