"""The cache at a cut: what lies below it, kept on disk, so that it is computed once for each example.

A shelf holds what one network, run in one way, makes of examples; an example is found by its content alone.
Its rows lie in blocks, which any number of processes may add and remove at once: no block ever changes.
A disk that refuses ends the keeping and nothing else, for all of it can be computed again.
"""

from headstart.cache.blocks import Row
from headstart.cache.shelf import Shelf
from headstart.cache.shelves import Cache, the_cache

__all__ = ["Cache", "Row", "Shelf", "the_cache"]
