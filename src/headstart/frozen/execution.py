"""How frozen stages are run on this machine: in which precision, by which backend."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from headstart.backbones.backbone import Backbone, quick_hash
from headstart.backbones.replay import SPANS, Batch
from headstart.devices import Precision, allowed_precisions, autocast, choose_device

Backend: TypeAlias = Literal["eager", "openvino"]
Reader: TypeAlias = Callable[[Batch], list[Tensor]]
"""From a batch to the tensors that are read of it, in fp32 or as the network gives them."""

REPAYS = 4.0
"""Seconds of work from which converting the network, which takes one or two, is tried."""

CONVERTED = 0.9999
"""What the cosine between what a network gives and what its conversion gives must be for every example."""


@dataclass(frozen=True)
class Execution:
    """One way of running frozen stages.

    Attributes:
        precision: of the products; what is kept and learned from is fp32 or bf16.
        backend: "eager" is PyTorch itself; "openvino" a converted graph.
        cached: whether what comes out is kept on disk.
        seconds: an example takes, as measured; 0 where it was not.
        cosine: between an example's features and those in fp32, on average over the examples measured.
    """

    precision: Precision = "fp32"
    backend: Backend = "eager"
    cached: bool = True
    seconds: float = 0.0
    cosine: float = 1.0

    def for_count(self, n: int) -> Execution:
        """Return the same way for so many examples: few are not worth converting a network for."""
        allowed = allowed_precisions(choose_device())
        precision = self.precision if self.precision in allowed else allowed[0]
        backend = self.backend if n * self.seconds >= REPAYS and has_openvino() else "eager"
        return replace(self, precision=precision, backend=backend)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of it."""
        if (self.precision, self.backend) == ("fp32", "eager"):
            return ()
        return (f"frozen stages run in {self}; features agree with fp32 (cosine {self.cosine:.4f} on average)",)

    def __str__(self) -> str:
        """Say it in words."""
        return self.precision if self.backend == "eager" else f"{self.precision}, OpenVINO"


EXACT = Execution(cached=False)
"""What all other ways are compared with."""


def features_reader(backbone: Backbone, cuts: Sequence[int | None], execution: Execution) -> Reader:
    """Return what runs a batch to its features (n, d) at each cut, in fp32."""

    def read(batch: Batch) -> list[Tensor]:
        return backbone.read_at(batch, *cuts)

    run = _in_its_way(read, backbone, f"features {cuts}", execution)
    of_words = _in_its_way(read, backbone, "", replace(execution, backend="eager"))  # a graph knows whole texts alone
    return lambda batch: [leaf.float() for leaf in (of_words if SPANS in batch else run)(batch)]


def state_reader(backbone: Backbone, cut: int, execution: Execution) -> Reader:
    """Return what runs a batch to the tensors of its state at a cut."""

    def read(batch: Batch) -> list[Tensor]:
        return [leaf for leaf in tree_leaves(backbone.below(batch, cut)) if torch.is_tensor(leaf)]

    return _in_its_way(read, backbone, f"state {cut}", execution)


def through_reader(backbone: Backbone, cut: int, execution: Execution) -> Reader:
    """Return what runs a batch to the tensors of its state at a cut and on, the last one its features (n, d)."""

    def read(batch: Batch) -> list[Tensor]:
        state, features = backbone.through(batch, cut)
        return [*(leaf for leaf in tree_leaves(state) if torch.is_tensor(leaf)), features]

    return _in_its_way(read, backbone, f"through {cut}", execution)


def has_openvino() -> bool:
    """Tell whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def _in_its_way(read: Reader, backbone: Backbone, key: str, execution: Execution) -> Reader:
    """Return a reader that runs as an execution says; `key` tells it from the network's other readers."""

    def eager(batch: Batch) -> list[Tensor]:
        device = next(iter(batch.values())).device
        with torch.no_grad(), autocast(device, execution.precision):
            return read(batch)

    if execution.backend == "eager":
        return eager
    return _converted(read, backbone, key, execution.precision) or eager


class _Positional(nn.Module):
    """A reader as a module of positional tensors, which is what a conversion takes."""

    def __init__(self, trunk: nn.Module, read: Reader, names: Sequence[str]) -> None:
        super().__init__()
        self.trunk = trunk
        self.read = read
        self.names = names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.read(dict(zip(self.names, tensors, strict=True))))


_READERS: WeakKeyDictionary[nn.Module, dict[Any, Any]] = WeakKeyDictionary()
"""What was converted in this process, by network: converting takes a second or two."""


def _converted(read: Reader, backbone: Backbone, key: str, precision: str) -> Reader | None:
    """Return a reader converted to OpenVINO; None where the network cannot be, or answers otherwise then."""
    own = _READERS.setdefault(backbone.trunk, {})
    weights = quick_hash(backbone.trunk)
    if own.get("weights") != weights:
        own.clear()
        own["weights"] = weights
    threads = torch.get_num_threads()
    if key not in own:
        try:
            own[key], own[f"{key} fp32 {threads}"] = _graph(read, backbone)
        except Exception:  # noqa: BLE001  a converter may fail in any way on a network that somebody else wrote
            own[key] = None
    if own[key] is None:
        return None
    compiled = f"{key} {precision} {threads}"
    if compiled not in own:
        own[compiled] = _compiled(own[key], list(backbone.example_batch()), precision)
    return cast(Reader, own[compiled])


def _graph(read: Reader, backbone: Backbone) -> tuple[Any, Reader | None]:
    """Return a reader as OpenVINO's graph, and the graph made ready for fp32.

    There is no graph where it answers otherwise than the network itself in fp32.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = backbone.example_batch()
    inputs = tuple(example.values())
    with torch.no_grad():
        expected = read(example)  # also notes the shapes below a cut, which must not be noted while tracing
    with warnings.catch_warnings(), torch.no_grad(), backbone.prepare.quietly():
        warnings.simplefilter("ignore")  # tracing is noted as deprecated, and warns of every shape it follows
        module = _Positional(backbone.trunk, read, list(example))
        traced = torch.jit.trace(module, inputs, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
        frontend = FrontEndManager().load_by_framework("pytorch")  # `convert_model` would report on its user
        decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
        graph = frontend.convert(frontend.load(decoder))
    run = _compiled(graph, list(example), "fp32")
    found = run(example)
    agrees = len(found) == len(expected) and all(
        one.shape == other.shape and float(cosines(one, other).min()) >= CONVERTED
        for one, other in zip(found, expected, strict=True)
    )
    return (graph, run) if agrees else (None, None)


def _compiled(graph: Any, names: Sequence[str], precision: str) -> Reader:
    import openvino

    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = openvino.compile_model(graph, "CPU", settings)

    def run(batch: Batch) -> list[Tensor]:
        found = compiled([batch[name].numpy() for name in names])
        return [torch.from_numpy(found[place]) for place in range(len(compiled.outputs))]

    return run


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Return the cosine (n,) between the rows of two tensors: 1 where they are the same, 0 where one is no number."""
    mine, theirs = (tensor.detach().float().cpu().reshape(len(tensor), -1) for tensor in (one, other))
    same = (mine == theirs).all(1)
    found = torch.where(same, torch.ones(()), nn.functional.cosine_similarity(mine, theirs))
    return torch.nan_to_num(found, nan=0.0)
