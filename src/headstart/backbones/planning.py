"""Find the cuts of a network: propose each, run it, keep those whose result is the whole network's.

Once per architecture; the plans of the catalogue are shipped.
A cut is proposed after every module that the network calls in sequence.
It is kept when no placeholder reaches the output and the output agrees with the uncut network's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_leaves

from headstart.backbones.replay import Batch, CutPlan, Shape, run_above, run_below

AGREEMENT = 1e-5
DEPTH = 8
LIVE_TRIES = 4
FAILURES = 2


def plan_cuts(trunk: nn.Module, batch: Batch) -> CutPlan:
    """Return the cuts of a network that are sound, tried on one batch of two or more unlike examples.

    A network that cannot be cut has one stage: it works whole.
    """
    with _evaluating(trunk), torch.no_grad():
        search = _Search(trunk, batch, _Calls.of(trunk, batch))
        proposals = search.expand([], search.calls.inside(""), 0)
        return CutPlan(_merge(search, proposals), frozenset(search.live | search.calls.repeated))


@dataclass(frozen=True)
class _Calls:
    """Which modules a forward calls, inside which, how often, and what the network returns."""

    parents: dict[str, str]
    counts: Counter[str]
    output: Any

    @classmethod
    def of(cls, trunk: nn.Module, batch: Batch) -> _Calls:
        parents: dict[str, str] = {}
        counts: Counter[str] = Counter()
        stack: list[str] = []
        hooks = []
        for name, module in trunk.named_modules():

            def enter(_module: nn.Module, _args: Any, name: str = name) -> None:
                parents.setdefault(name, stack[-1] if stack else "\0")
                counts[name] += 1
                stack.append(name)

            def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
                stack.pop()

            hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
        try:
            return cls(parents, counts, trunk(**batch))
        finally:
            for hook in hooks:
                hook.remove()

    @property
    def repeated(self) -> set[str]:
        """Modules called more than once: never a cut, always live."""
        return {name for name, count in self.counts.items() if count > 1}

    def inside(self, parent: str) -> list[str]:
        """Return the modules called directly inside another, in order of first call."""
        return [name for name, above in self.parents.items() if above == parent]


@dataclass
class _Search:
    trunk: nn.Module
    batch: Batch
    calls: _Calls
    live: set[str] = field(default_factory=set)
    sound: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.modules = dict(self.trunk.named_modules())
        self.expected = _tensors(self.calls.output)
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)

    def size(self, name: str) -> int:
        return sum(parameter.numel() for parameter in self.modules[name].parameters())

    def expand(self, before: list[str], names: list[str], depth: int) -> list[tuple[str, bool]]:
        """Return the modules called in sequence with whether a cut after each is sound."""
        found: list[tuple[str, bool]] = []
        failures = 0
        for name in names:
            earlier = [*before, *(module for module, _ in found)]
            hopeless = depth > 1 and failures >= FAILURES and not any(sound for _, sound in found)
            if hopeless or name in self.calls.repeated:
                found.append((name, False))
                continue
            inner = self._open(earlier, name, depth)
            if inner:
                found += inner
                continue
            sound = self.is_sound([*earlier, name])
            found.append((name, sound))
            failures += not sound and self.size(name) > 0
        return found

    def _open(self, earlier: list[str], name: str, depth: int) -> list[tuple[str, bool]]:
        """Return the cuts inside a container, closed by one after it; nothing where it is better kept whole."""
        if depth >= DEPTH or not self._is_container(name):
            return []
        inner = self.expand(earlier, self.calls.inside(name), depth + 1)
        if not any(sound for _, sound in inner):
            return []
        if not inner[-1][1] and self.is_sound([*earlier, *(module for module, _ in inner), name]):
            inner.append((name, True))
        return inner

    def _is_container(self, name: str) -> bool:
        children = self.calls.inside(name)
        if not children or any(self.calls.counts[child] > 1 and self.size(child) for child in children):
            return False
        if len(children) == 1 or isinstance(self.modules[name], nn.Sequential) or 2 * self.size(name) > self.size(""):
            return True
        composite = [type(self.modules[child]) for child in children if self._is_composite(child)]
        return len(composite) != len(set(composite))

    def _is_composite(self, name: str) -> bool:
        children = self.calls.inside(name)
        deep = any(self.calls.inside(child) and self.size(child) for child in children)
        return deep or sum(self.size(child) > 0 for child in children) >= 2

    def is_sound(self, frozen: list[str]) -> bool:
        """Try a cut; where it fails, try again with one of the last rejected modules live."""
        sound = self._agrees(frozen, self.live)
        if not sound:
            for name in self._suspects(frozen):
                if self._agrees(frozen, self.live | {name}):
                    self.live.add(name)
                    sound = True
                    break
        self.sound[frozen[-1]] = sound
        return sound

    def _suspects(self, frozen: list[str]) -> list[str]:
        rejected: list[str] = []
        for name in reversed(frozen[:-1]):
            if self.sound.get(name):
                break
            if name not in self.live and name not in self.calls.repeated:
                rejected.append(name)
        return rejected[:LIVE_TRIES]

    def _agrees(self, frozen: list[str], live: set[str]) -> bool:
        plan = CutPlan((tuple(frozen),), frozenset(live | self.calls.repeated))
        shapes: dict[str, Any] = {}
        try:
            state = run_below(self.trunk, plan, 1, self.batch, shapes)
            outputs = _tensors(run_above(self.trunk, plan, 1, self.batch, state, shapes, self._placeholder))
        except Exception:  # noqa: BLE001  any failure of a network we did not write means: not here
            return False
        if any(isinstance(output, FakeTensor) for output in outputs) or len(outputs) != len(self.expected):
            return False
        return all(_close(one, other) for one, other in zip(outputs, self.expected, strict=True))

    def _placeholder(self, shape: Any) -> Any:
        """A tensor without values: it draws no random number, and an output that depends on it is one too."""
        if not isinstance(shape, Shape):
            return shape
        with self.fake:
            return torch.empty(shape.size, dtype=shape.dtype, device=shape.device)


def _merge(search: _Search, proposals: list[tuple[str, bool]]) -> tuple[tuple[str, ...], ...]:
    """Join modules up to each sound cut into a stage; stages without parameters join the one before."""
    stages: list[tuple[str, ...]] = []
    current: list[str] = []
    for place, (name, sound) in enumerate(proposals):
        current.append(name)
        if not sound and place < len(proposals) - 1:
            continue
        if stages and not any(search.size(module) for module in current):
            stages[-1] = (*stages[-1], *current)
        else:
            stages.append(tuple(current))
        current = []
    return tuple(stages)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if torch.is_tensor(leaf)]


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool((one - other).abs().max() <= AGREEMENT * max(1.0, float(other.abs().max())))


@contextmanager
def _evaluating(trunk: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in trunk.modules()}
    trunk.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
