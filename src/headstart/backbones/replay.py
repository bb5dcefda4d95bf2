"""Run a network below a cut, then above it, by replaying its own forward.

The modules below the cut are stubs while the part above runs: the last frozen module returns the state, earlier
ones a placeholder that carries only shape and type.
Masks, positions, glue between modules and mode flags stay the network's own, so no family needs code of ours.
Which cuts are sound is decided beforehand, by `planning`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from headstart.errors import OptionError

Batch: TypeAlias = Mapping[str, Tensor]
State: TypeAlias = Any
"""A tree of tensors: what the last frozen module returned."""

Hook: TypeAlias = Callable[[nn.Module, Any, Any], None]

REMEMBERED_SHAPES = 512
SPANS = "spans"
"""What marks the words of a batch's texts that features are wanted of."""


@dataclass(frozen=True)
class Shape:
    """What a placeholder is made from."""

    size: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True)
class CutPlan:
    """Where a network can be cut.

    Attributes:
        stages: the names of the modules in each stage, in the order they are called; a cut may follow any stage.
        live: modules that run for real whatever the cut, such as rotary tables and shared modules.
    """

    stages: tuple[tuple[str, ...], ...]
    live: frozenset[str] = frozenset()

    def frozen(self, cut: int) -> list[str]:
        """Return the names of the modules below a cut, in order of call."""
        return [name for stage in self.stages[:cut] for name in stage]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        return {"stages": [list(stage) for stage in self.stages], "live": sorted(self.live)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> CutPlan:
        """Return the plan that `as_json` wrote."""
        return cls(tuple(tuple(stage) for stage in fields["stages"]), frozenset(fields["live"]))


class _CutReached(Exception):  # noqa: N818  it ends the pass; nothing is wrong
    """The forward has come to the cut; carries the state there."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state


@dataclass(eq=False)
class Replay:
    """A network and its plan, with the shapes seen below each cut, which copies of the network may share."""

    trunk: nn.Module
    plan: CutPlan
    shapes: dict[Any, dict[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def n_stages(self) -> int:
        """How many stages there are; cuts run from 0 to this number."""
        return len(self.plan.stages)

    def resolve(self, cut: int) -> int:
        """Return a cut as the number of frozen stages; negative cuts count from the top, as slices do.

        Raises:
            OptionError: there is no such cut.
        """
        frozen = cut + self.n_stages if cut < 0 else cut
        if not 0 <= frozen <= self.n_stages:
            raise OptionError(
                f"there is no cut {cut}.",
                expected=f"{-self.n_stages} to {self.n_stages} stages (negative: from the top)",
                got=str(cut),
            )
        return frozen

    def below(self, batch: Batch, cut: int) -> State:
        """Run the first `cut` stages and return the state there; with no stage frozen the state is empty."""
        cut = self.resolve(cut)
        if cut == 0:
            return ()
        if cut == self.n_stages:
            return self.trunk(**batch)
        return run_below(self.trunk, self.plan, cut, batch)

    def above(self, batch: Batch, state: State, cut: int) -> Tensor:
        """Run the stages after `cut` from a state and return the features (n, d).

        Of the batch only what is not floating point is read: token ids, masks and shapes.
        """
        cut = self.resolve(cut)
        if cut == self.n_stages:
            features: Tensor = state
        elif cut == 0:
            features = self.trunk(**batch)
        else:
            features = run_above(self.trunk, self.plan, cut, batch, state, self._shapes_below(batch, cut))
        return features

    def show(self, batch: Batch, cuts: Sequence[int], see: Callable[[int, State], None]) -> None:
        """Run the network once, and call `see` with each of some cuts, from 1 on, and the state there."""
        show_states(self.trunk, self.plan, cuts, batch, see)

    def _shapes_below(self, batch: Batch, cut: int) -> dict[str, Any]:
        """Return the shapes the stubs stand for.

        Where this kind of batch is new they are noted in a real pass of one row and of two, and scaled to its rows;
        where they do not grow with the rows, in a pass of the batch itself.
        """
        if len(self.shapes) > REMEMBERED_SHAPES:
            self.shapes.clear()
        n, kind = _kind(batch, cut)
        if (n, *kind) not in self.shapes:
            for rows in (1, 2):
                if (rows, *kind) not in self.shapes:
                    self.shapes[rows, *kind] = self._noted(_repeated(batch, rows), cut)
            one, two = (self.shapes[rows, *kind] for rows in (1, 2))
            self.shapes[n, *kind] = _scaled(one, two, n) or self._noted(batch, cut)
        return self.shapes[n, *kind]

    def _noted(self, batch: Batch, cut: int) -> dict[str, Any]:
        """Return the shapes in a real pass, after which what dropout draws next is what it would have been."""
        shapes: dict[str, Any] = {}
        devices = {tensor.device for tensor in batch.values() if tensor.device.type == "cuda"}
        with torch.no_grad(), torch.random.fork_rng(devices):
            run_below(self.trunk, self.plan, cut, batch, shapes)
        return shapes


def run_below(trunk: nn.Module, plan: CutPlan, cut: int, batch: Batch, shapes: dict[str, Any] | None = None) -> State:
    """Run the network up to a cut, noting in `shapes`, where it is given, what each frozen module returned."""
    names, noted = plan.frozen(cut), {} if shapes is None else shapes

    def note(name: str) -> Hook:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            noted[name] = tree_map(_shape_of, output)

        return hook

    def stop(_module: nn.Module, _args: Any, output: Any) -> None:
        raise _CutReached(output)

    hooks = [] if shapes is None else [(name, note(name)) for name in names]
    return _reached(trunk, batch, [*hooks, (names[-1], stop)])


def show_states(
    trunk: nn.Module, plan: CutPlan, cuts: Sequence[int], batch: Batch, see: Callable[[int, State], None]
) -> None:
    """Run the network once, up to the highest of some cuts, and show the state at each of them.

    It is shown before anything above it runs: that may change it in place.
    """
    below = sorted(cut for cut in set(cuts) if cut < len(plan.stages))

    def shown(cut: int) -> Hook:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            see(cut, output)
            if cut == max(cuts):
                raise _CutReached(output)

        return hook

    to_top = max(cuts) == len(plan.stages)
    last = _reached(trunk, batch, [(plan.frozen(cut)[-1], shown(cut)) for cut in below], to_top=to_top)
    if to_top:
        see(max(cuts), last)


def _reached(trunk: nn.Module, batch: Batch, hooks: Sequence[tuple[str, Hook]], *, to_top: bool = False) -> Any:
    """Run the network with hooks on modules; return the state that one of them ends it with, or its features."""
    modules = dict(trunk.named_modules())
    handles = [modules[name].register_forward_hook(hook) for name, hook in hooks]
    try:
        features = trunk(**batch)
    except _CutReached as reached:
        return reached.state
    finally:
        for handle in handles:
            handle.remove()
    if not to_top:
        raise AssertionError(f"the module {hooks[-1][0]} was never called")
    return features


def run_above(
    trunk: nn.Module,
    plan: CutPlan,
    cut: int,
    batch: Batch,
    state: State,
    shapes: dict[str, Any],
    placeholder: Callable[[Any], Any] | None = None,
) -> Any:
    """Run the network with the modules below a cut replaced by stubs."""
    make = placeholder or zeros
    modules = dict(trunk.named_modules())
    names = plan.frozen(cut)
    stubs: dict[nn.Module, Callable[..., Any]] = {}
    for name in names[:-1]:
        if name not in plan.live and name in shapes:
            stubs[modules[name]] = _returning(tree_map(make, shapes[name], is_leaf=_is_shape))
    stubs[modules[names[-1]]] = _returning(state)
    inputs = {
        name: make(_shape_of(value)) if torch.is_tensor(value) and value.is_floating_point() else value
        for name, value in batch.items()
    }
    with _patched(stubs):
        return trunk(**inputs)


def zeros(shape: Any) -> Any:
    """Return a placeholder that takes no memory: one zero, seen at every place."""
    if not isinstance(shape, Shape):
        return shape
    return torch.zeros((), dtype=shape.dtype, device=shape.device).expand(shape.size)


def _shape_of(value: Any) -> Any:
    return Shape(tuple(value.shape), value.dtype, value.device) if torch.is_tensor(value) else value


def _is_shape(value: Any) -> bool:
    return isinstance(value, Shape)


def _returning(value: Any) -> Callable[..., Any]:
    def forward(*_args: Any, **_keywords: Any) -> Any:
        return value

    return forward


def _kind(batch: Batch, cut: int) -> tuple[int, tuple[Any, ...]]:
    """Return a batch's rows, and what else shapes and types below a cut depend on: autocast changes the types."""
    tensors = _whole(batch)
    kinds = {value.device.type for value in tensors.values()}
    casts = tuple(torch.get_autocast_dtype(kind) for kind in sorted(kinds) if torch.is_autocast_enabled(kind))
    own = ((name, tuple(value.shape[1:]), value.dtype, value.device) for name, value in tensors.items())
    return len(next(iter(tensors.values()))), (cut, casts, *own)


def _whole(batch: Batch) -> dict[str, Tensor]:
    """Return a batch's tensors of one row an example; words are marked in rows of their own, and read at the top."""
    return {name: value for name, value in batch.items() if torch.is_tensor(value) and name != SPANS}


def _repeated(batch: Batch, rows: int) -> Batch:
    """Return a batch of so many rows, each the first one."""
    return {**batch, **{name: value[:1].repeat_interleave(rows, 0) for name, value in _whole(batch).items()}}


def _scaled(one: dict[str, Any], two: dict[str, Any], n: int) -> dict[str, Any] | None:
    """Return the shapes in a batch of n rows, from those in one of one row and of two; None where they do not tell."""
    leaves, tree = tree_flatten(one, is_leaf=_is_shape)
    others, other_tree = tree_flatten(two, is_leaf=_is_shape)
    pairs = list(zip(leaves, others, strict=False))
    if tree != other_tree or not all(_grows(*pair) for pair in pairs):
        return None
    found: dict[str, Any] = tree_unflatten([_grown(*pair, n) for pair in pairs], tree)
    return found


def _grows(one: Any, two: Any) -> bool:
    """Tell whether each side is the same in a batch of one row and of two, or twice as long."""
    if not (_is_shape(one) and _is_shape(two)):
        return isinstance(one, bool | int | float | str | None) and one == two
    sides = zip(one.size, two.size, strict=False)
    return one.dtype == two.dtype and len(one.size) == len(two.size) and all(b in (a, 2 * a) for a, b in sides)


def _grown(one: Any, two: Any, n: int) -> Any:
    if not _is_shape(one):
        return one
    sides = zip(one.size, two.size, strict=True)
    return replace(one, size=tuple(side if side == other else side * n for side, other in sides))


@contextlib.contextmanager
def _patched(stubs: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Put other forwards in place; restore what was there, whatever happens."""
    before = {module: module.__dict__.get("forward") for module in stubs}
    for module, forward in stubs.items():
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for module, forward_before in before.items():
            if forward_before is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward_before
