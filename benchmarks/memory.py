"""Memory and time of heads on more features than memory should hold: made, fitted, answered, measured.

Run `python -m benchmarks.memory`: it writes (n, 1280) features to a temporary folder (5 GB), fits a probe for each
number of classes, appends what it took to `results/memory.jsonl`, and removes the features.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

import headstart as hs
from headstart import metrics
from headstart.strategies.probe import Probe, fit_probe
from headstart.tasks import Task

RESULTS = Path(__file__).parent / "results" / "memory.jsonl"
D, FACTORS, MADE_AT_ONCE = 1280, 64, 10_000


def anonymous() -> float:
    """Return the resident memory in MB that belongs to no file."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024


class Phases:
    """Seconds and peak memory by phase."""

    def __init__(self) -> None:
        self.took: dict[str, dict[str, float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Watch memory every 20 ms while the body runs."""
        over, peaks, begun = threading.Event(), [anonymous()], time.perf_counter()

        def watch() -> None:
            while not over.wait(0.02):
                peaks.append(anonymous())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self.took[name] = {"seconds": round(time.perf_counter() - begun, 1), "peak_mb": round(max(peaks))}
            print(" ", name, self.took[name], flush=True)


def make(path: Path, n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Write features (n, d) whose classes differ in correlated directions; return them as a memmap, and labels (n,)."""
    dice = torch.Generator().manual_seed(seed)
    mixing = torch.randn(FACTORS, D, generator=dice) / torch.arange(1, FACTORS + 1)[:, None] ** 0.5
    centres = torch.randn(classes, FACTORS, generator=dice) / 2
    truth = torch.randint(0, classes, (n,), generator=dice)
    features = np.memmap(path, dtype=np.float32, mode="w+", shape=(n, D))
    for start in range(0, n, MADE_AT_ONCE):
        own = truth[start : start + MADE_AT_ONCE]
        factors = centres[own] + torch.randn(len(own), FACTORS, generator=dice)
        noise = torch.randn(len(own), D, generator=dice)
        features[start : start + len(own)] = (factors @ mixing + noise / 2 + 1).numpy()
    features.flush()
    return np.memmap(path, dtype=np.float32, mode="r", shape=(n, D)), truth.numpy()


def examples(truth: np.ndarray, classes: int) -> hs.Dataset:
    """Return a data set with these labels, and with nothing in it."""
    labels = tuple(f"{place:04}" for place in range(classes))
    contents = tuple(hashlib.sha256(str(place).encode()).hexdigest() for place in range(len(truth)))
    task = Task("y", "classification", labels)
    return hs.Dataset("made", "image", contents, contents, contents, task, tuple(labels[place] for place in truth))


def run(n: int, classes: int, folder: Path) -> dict[str, object]:
    """Return what one size took."""
    phases, path = Phases(), folder / "features"
    print(f"{n:,} × {D}, {classes} classes", flush=True)
    with phases.phase("make"):
        features, truth = make(path, n, classes)
    with phases.phase("data"):
        data = examples(truth, classes)
    with phases.phase("fit"):
        fitted = fit_probe(Probe(), features, data, None, data.task)
    with phases.phase("logits"):
        logits = fitted.head.logits(features)
    with phases.phase("metrics"):
        accuracy = metrics.measure(data.task, truth, data.task.outputs(logits))["accuracy"].value
    path.unlink()
    return {"n": n, "d": D, "classes": classes, "C": fitted.strength, "accuracy": accuracy, **phases.took}


def main() -> None:
    """Run each number of classes once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, nargs="*", default=[2, 10])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": chosen.threads,
    }
    machine |= {"load": round(os.getloadavg()[0], 1), "torch": torch.__version__, "headstart": hs.__version__}
    for classes in chosen.classes:
        with tempfile.TemporaryDirectory() as folder:
            line = run(chosen.n, classes, Path(folder))
        with chosen.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, **machine}) + "\n")


if __name__ == "__main__":
    main()
