"""Features at a cut: what lies below it, computed once for each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.replay import Batch
from headstart.devices import undisturbed
from headstart.progress import Progress, silent
from headstart.states import BATCH, passed


@undisturbed()
def extract(
    backbone: Backbone,
    inputs: Sequence[Any],
    *,
    cut: int | None = None,
    batch_size: int = BATCH,
    progress: Progress = silent,
) -> np.ndarray:
    """Return the features (n, d) of inputs at a cut, in fp32; without a cut, at the top.

    Texts of like length are batched together; the order and the batch size change nothing but rounding.

    Raises:
        DataError: an input cannot be read.
        OptionError: there is no such cut.

    Example:
        >>> import headstart as hs
        >>> hs.extract(hs.load_backbone("wordllama"), ["a text", "another text"]).shape
        (2, 256)
    """

    def run(batch: Batch) -> np.ndarray:
        return backbone.read_at(batch, cut).float().cpu().numpy()

    features: np.ndarray | None = None
    for places, rows in passed(backbone, inputs, run, batch_size=batch_size, progress=progress):
        if features is None:
            features = np.empty((len(inputs), rows.shape[1]), dtype=np.float32)
        features[places] = rows
    return features if features is not None else np.empty((0, 0), dtype=np.float32)
