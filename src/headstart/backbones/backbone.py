"""A backbone: a pretrained network as ordered stages, with its own preprocessing and its card."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import xxhash
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from headstart.backbones.card import Card
from headstart.backbones.replay import Batch, CutPlan, Replay, State
from headstart.backbones.typical import Typical
from headstart.errors import BackboneError, OptionError

NO_PUSH = 1e-8


class Preparer(Protocol):
    """How a modality's inputs become a batch; with how a state of its networks is averaged, the whole difference."""

    @property
    def padding(self) -> dict[str, int]:
        """What fills up each of the batch's tensors that are as long as their text."""

    @property
    def identity(self) -> str:
        """What decides what an input becomes, beside the architecture's own words; the same whatever was prepared."""

    def __call__(self, inputs: Sequence[Any]) -> Batch:
        """Return a batch of inputs: `collate` of what `encode` returns.

        Raises:
            DataError: one cannot be read.
        """

    def encode(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Return the cheap first step for many inputs at once: the token ids of texts, pictures as they are."""

    def collate(self, encoded: Sequence[Any]) -> Batch:
        """Return a batch of encoded inputs.

        Raises:
            DataError: one cannot be read.
        """

    def outline(self, encoded: Sequence[Any]) -> Batch:
        """Return what is still read of a batch above a cut: token ids and masks; of pictures the shape alone."""

    def augmented(self, inputs: Sequence[Any], seed: Sequence[int], *, flip: bool) -> Batch:
        """Return a batch of inputs as one would see them at another time; the same seed gives the same."""

    def truncated(self, inputs: Sequence[Any]) -> list[int]:
        """Return the places of the inputs that are too long to be read whole."""

    def examples(self) -> list[Any]:
        """Return two unlike synthetic inputs, to plan cuts with and to check a saved model by."""

    def read(self, state: Sequence[Tensor], trunk: nn.Module, batch: Batch) -> Tensor | None:
        """Reduce the floating-point tensors of a state to features (n, d); None where they hold none."""

    def describe(self) -> str:
        """Say what goes in, in words."""

    def quietly(self) -> AbstractContextManager[None]:
        """Keep the library's own talk off the user's screen."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pretrained network that can be cut.

    Attributes:
        card: what is known of it.
        architecture: how to build it again, as JSON holds it.
        trunk: the network: a batch to features (n, d).
        prepare: inputs to a batch.
        known_plan: the cuts, where they are known beforehand; otherwise they are planned when first needed.
        seen: (n,) fingerprints of the examples it was taught here, so that they are never taken for new ones.
        typical: what its features are like on those; None where it is not known.
        origin: the folder of transformers, or the saved model, where a decoder of its own may lie; None otherwise.

    Example:
        >>> import headstart as hs
        >>> backbone = hs.load_backbone("wordllama")
        >>> batch = backbone.prepare(["a text", "another text"])
        >>> state = backbone.below(batch, cut=1)
        >>> tuple(backbone.above(batch, state, cut=1).shape)
        (2, 256)
    """

    card: Card
    architecture: dict[str, Any]
    trunk: nn.Module
    prepare: Preparer
    known_plan: CutPlan | None = None
    seen: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    typical: Typical | None = field(default=None, repr=False)
    origin: Path | None = field(default=None, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def name(self) -> str:
        """As it is written after `--backbone`."""
        return self.card.name

    @property
    def library(self) -> str:
        """Which kind of network it is; with another one beside it, that of the source."""
        return str(self.architecture.get("source", self.architecture)["library"])

    @property
    def writes(self) -> bool:
        """Whether it gives the states of tokens, which a text is written from."""
        return self.architecture.get("pooling") == "tokens"

    @cached_property
    def replay(self) -> Replay:
        """The network's stages; planned at first use where no plan is shipped."""
        if self.known_plan is not None:
            return Replay(self.trunk, self.known_plan)
        from headstart.backbones.planning import plan_cuts

        return Replay(self.trunk, plan_cuts(self.trunk, self.example_batch()))

    @property
    def n_stages(self) -> int:
        """How many stages there are."""
        return self.replay.n_stages

    def below(self, batch: Batch, cut: int) -> State:
        """Run the stages below a cut and return the state there.

        Raises:
            OptionError: there is no such cut.
        """
        with self._lock:
            return self.replay.below(batch, cut)

    def above(self, batch: Batch, state: State, cut: int) -> Tensor:
        """Run the stages above a cut from a state and return the features (n, d).

        Raises:
            OptionError: there is no such cut.
        """
        with self._lock:
            return self.replay.above(batch, state, cut)

    def whole(self, batch: Batch) -> Tensor:
        """Run the network from input to features (n, d)."""
        with self._lock:
            features: Tensor = self.trunk(**batch)
        return features

    def through(self, batch: Batch, cut: int) -> tuple[State, Tensor]:
        """Run the network once, and return a copy of the state at a cut, from 1 on, and the features (n, d).

        Raises:
            OptionError: there is no such cut.
        """
        seen: list[State] = []

        def see(_cut: int, state: State) -> None:
            seen.append(tree_map(lambda leaf: leaf.clone() if torch.is_tensor(leaf) else leaf, state))

        with self._lock:
            self.replay.show(batch, [self.replay.resolve(cut), self.n_stages], see)
        return seen[0], seen[-1]

    def read_at(self, batch: Batch, *cuts: int | None) -> list[Tensor]:
        """Return the features (n, d) that a probe reads at each cut: the state there, averaged over its places.

        The network runs once, as far as the highest cut.
        At the top, which None stands for too, these are the network's own pooled features.

        Raises:
            OptionError: there is no such cut, or nothing below it.
            BackboneError: the state at a cut cannot be read as features.
        """
        if set(cuts) == {None}:
            return [self.whole(batch)] * len(cuts)
        frozen = [self.n_stages if cut is None else self.replay.resolve(cut) for cut in cuts]
        if 0 in frozen:
            raise OptionError(
                "nothing lies below cut 0 to be read.", expected=f"a cut from 1 to {self.n_stages}", got="0"
            )
        features: dict[int, Tensor] = {}

        def see(cut: int, state: State) -> None:
            features[cut] = state if cut == self.n_stages else self._read(batch, cut, state)

        with self._lock:
            self.replay.show(batch, frozen, see)
        return [features[cut] for cut in frozen]

    def _read(self, batch: Batch, cut: int, state: State) -> Tensor:
        tensors = [leaf for leaf in tree_leaves(state) if torch.is_tensor(leaf)]
        features = self.prepare.read([one for one in tensors if one.is_floating_point()], self.trunk, batch)
        if features is None:
            raise BackboneError(
                f"nothing can be read at cut {cut} of {self.name}: its state there has no places to average over.",
                hint="choose another --cut, or leave it out to read at the top",
            )
        return features

    def example_batch(self) -> Batch:
        """Return a batch of two unlike synthetic examples on the network's device."""
        batch = self.prepare(self.prepare.examples())
        device = next(self.trunk.parameters()).device
        return {name: tensor.to(device) for name, tensor in batch.items()}


def weights_hash(trunk: nn.Module) -> str:
    """Return the SHA-256 of all tensors of a network, by name, type, shape and value."""
    return digest_of_tensors(trunk.state_dict())


def quick_hash(trunk: nn.Module) -> str:
    """Return the XXH3 of all tensors of a network: to tell networks apart on this machine, ten times as fast."""
    return digest_of_tensors(trunk.state_dict(), xxhash.xxh3_128)


def digest_of_tensors(tensors: Mapping[str, Tensor], algorithm: Callable[[], Any] = hashlib.sha256) -> str:
    """Return the hash of tensors, by name, type, shape and value; SHA-256 where nothing else is asked for."""
    digest = algorithm()
    for name, tensor in sorted(tensors.items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return str(digest.hexdigest())


def learnable_by_stage(backbone: Backbone) -> list[list[nn.Parameter]]:
    """Return the parameters that require a gradient, by stage; those of no stage count with the first."""
    modules = dict(backbone.trunk.named_modules())
    taken: set[int] = set()
    stages: list[list[nn.Parameter]] = []
    for names in backbone.replay.plan.stages:
        own = []
        for name in names:
            own += [p for p in modules[name].parameters() if p.requires_grad and id(p) not in taken]
            taken |= {id(parameter) for parameter in own}
        stages.append(own)
    stages[0] += [p for p in backbone.trunk.parameters() if p.requires_grad and id(p) not in taken]
    return stages


def are_pushed(parameters: Sequence[nn.Parameter]) -> bool:
    """Tell whether a gradient has come to any of some parameters that AdamW makes a step of, beside its ε of 1e-8."""
    return any(one.grad is not None and bool((one.grad.abs() > NO_PUSH).any()) for one in parameters)
