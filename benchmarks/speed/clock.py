"""Seconds by phase inside one process, and what does not count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Clock:
    """A stopwatch.

    Attributes:
        seconds: by phase; phases of one name add up.
        unmeasured: seconds that do not count for the whole process: what only the benchmark wants to know.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    unmeasured: float = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the body's seconds to a phase."""
        begun = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave the body out of what is measured."""
        begun = time.perf_counter()
        yield
        self.unmeasured += time.perf_counter() - begun
