"""How several losses become one gradient: each rule beside what its paper says, and in a run that is killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import headstart as hs
from headstart.checkpoints import Checkpoints
from headstart.frozen.features import features_of
from headstart.learning.balance import BALANCES, FAMO, RATE, GradNorm, PCGrad, Rule, Step, Sum, Uncertainty, projected
from headstart.learning.tuning import Tuning, begin_tuning
from headstart.tasks import Kind, Several
from tests import tiny
from tests.test_together import LEARN, records

KINDS: list[Kind] = ["classification", "classification", "regression"]


class StopError(Exception):
    """Work is interrupted."""


def world() -> tuple[torch.Tensor, nn.Parameter, torch.Tensor]:
    """Three losses that pull one layer's features, the layer, and the features."""
    torch.manual_seed(0)
    layer = nn.Parameter(torch.randn(4, 5))
    features = torch.randn(6, 4) @ layer
    losses = torch.stack([((features @ torch.randn(5)) - one).pow(2).mean() for one in (0.5, 2.0, -1.0)])
    return losses, layer, features


def gradient_of(balance: Sum, losses: torch.Tensor, layer: nn.Parameter, features: torch.Tensor) -> torch.Tensor:
    balance.backward(Step(losses, (losses.detach() != 0).float(), torch.zeros(()), features, [layer], 0))
    assert layer.grad is not None
    return layer.grad.clone()


def test_the_sum_is_the_gradient_of_the_sum() -> None:
    losses, layer, features = world()
    (wanted,) = torch.autograd.grad(losses.sum(), layer, retain_graph=True)
    assert torch.equal(gradient_of(Sum(), losses, layer, features), wanted)


def test_uncertainty_settles_where_each_variance_is_its_loss() -> None:
    """Of L/2σ² + log σ the minimum is at σ² = L; of L/σ² + log σ at σ² = 2L."""
    balance, losses = Uncertainty(KINDS), torch.tensor([0.3, 1.2, 5.0])
    optimizer = torch.optim.LBFGS(balance.parameters(), max_iter=100)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        total = balance.total(Step(losses, torch.ones(3), torch.zeros(()), torch.zeros(0), [], 0))
        total.backward()
        return total

    optimizer.step(step)
    assert balance.log_variance.exp().tolist() == pytest.approx([0.6, 2.4, 5.0], rel=1e-3)


def test_gradnorm_takes_the_step_of_its_own_loss() -> None:
    losses, _, features = world()
    balance = GradNorm(KINDS)
    balance.first.copy_(losses.detach() * torch.tensor([2.0, 1.0, 4.0]))
    weights = torch.ones(3, requires_grad=True)
    norms = torch.stack([torch.autograd.grad(one, features, retain_graph=True)[0].norm() for one in losses])
    rates = torch.tensor([1 / 2, 1.0, 1 / 4])
    wanted = (norms.mean() * (rates / rates.mean()) ** 1.5).detach()
    (weights * norms - wanted).abs().sum().backward()
    assert weights.grad is not None
    stepped = (weights.detach() - RATE * weights.grad).clamp(min=1e-8)
    balance.total(Step(losses, torch.ones(3), torch.zeros(()), features, [], 0))
    assert balance.weights.tolist() == pytest.approx((3 * stepped / stepped.sum()).tolist(), rel=1e-5)


def test_famo_weighs_as_its_authors_do() -> None:
    """The weights' gradient by autograd and their steps by torch's own Adam, over three steps."""
    balance = FAMO(KINDS)
    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=RATE, weight_decay=1e-3)
    dice = np.random.default_rng(0)
    for _ in range(3):
        before, after = (torch.tensor(dice.uniform(0.1, 2.0, 3), dtype=torch.float32) for _ in range(2))
        balance.follow(before, lambda now=after: now)
        fell = before.log() - after.log()
        (logits.grad,) = torch.autograd.grad(functional.softmax(logits, -1), logits, grad_outputs=fell)
        optimizer.step()
    assert balance.logits.tolist() == pytest.approx(logits.tolist(), abs=1e-6)


def test_famos_gradient_is_that_of_the_weighed_logarithms() -> None:
    losses, layer, features = world()
    balance = FAMO(KINDS)
    balance.logits.copy_(torch.tensor([0.3, -0.2, 0.5]))
    shares = functional.softmax(balance.logits, -1)
    rows = [torch.autograd.grad(one, layer, retain_graph=True)[0] / one.detach() for one in losses]
    scale = (shares / losses.detach()).sum()
    wanted = sum(share * row for share, row in zip(shares, rows, strict=True)) / scale
    assert torch.allclose(gradient_of(balance, losses, layer, features), torch.as_tensor(wanted), rtol=1e-4, atol=1e-6)


def test_pcgrad_frees_each_gradient_of_what_opposes_another() -> None:
    """(1, 0) and (-1, 1) lose their opposing halves: (0.5, 0.5) and (0, 1)."""
    rows = [torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])]
    assert projected(rows, np.random.default_rng(0)).tolist() == pytest.approx([0.5, 1.5])
    agreeing = [torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])]
    assert projected(agreeing, np.random.default_rng(0)).tolist() == pytest.approx([2.0, 1.0])


def test_pcgrad_gives_what_is_shared_the_projected_sum() -> None:
    losses, layer, features = world()
    rows = [torch.autograd.grad(one, layer, retain_graph=True)[0].reshape(-1) for one in losses]
    wanted = projected(rows, np.random.default_rng((0, 0)))
    found = gradient_of(PCGrad(KINDS), losses, layer, features).reshape(-1)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found, torch.stack(rows).sum(0), rtol=1e-2)


@pytest.mark.parametrize("name", BALANCES)
def test_a_target_that_no_example_of_a_batch_has_counts_for_nothing(name: Rule) -> None:
    losses, layer, features = world()
    lacking = torch.stack([losses[0], losses[1] * 0.0, losses[2]])
    balance = BALANCES[name](KINDS)
    before = {key: one.clone() for key, one in balance.state_dict().items()}
    gradient = gradient_of(balance, lacking, layer, features)
    balance.follow(lacking, lambda: lacking * torch.tensor([0.9, 0.0, 0.7]))
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient.abs().sum()) > 0
    if isinstance(balance, FAMO):
        assert balance.logits[1] == before["logits"][1]
        assert balance.logits[0] != before["logits"][0]
    if isinstance(balance, GradNorm):
        assert balance.first[1] == 0
    if isinstance(balance, Uncertainty):
        assert balance.log_variance.grad is not None
        assert balance.log_variance.grad[1] == 0


def tuning(balance: Rule, keeper: Checkpoints | None = None) -> Tuning:
    data = hs.read(records(48), target=["mood", "animal", "size"])
    backbone = tiny.text_backbone()
    strategy = hs.FineTune(cut=1, schedule=LEARN)
    own = begin_tuning(
        strategy,
        backbone,
        data,
        Several(data.tasks),
        features=features_of(backbone, data.inputs),
        strength=[1.0] * 3,
        balanced=[False] * 3,
        keeper=keeper,
    )
    return replace(own, balance=balance)


@pytest.mark.parametrize("name", BALANCES)
def test_a_run_that_is_interrupted_goes_on_to_the_same_bits(name: Rule, tmp_path: Path) -> None:
    every = np.arange(48)
    fitted, held = every[:36], every[36:]
    lesson, whole = tuning(name).train(fitted, held, "t")
    stopped = Checkpoints(tmp_path, interval=0.0)

    def interrupt(phase: str, done: int, total: int) -> None:
        if done == 7:
            raise StopError

    with pytest.raises(StopError):
        tuning(name, stopped).train(fitted, held, "t", progress=interrupt)
    again, resumed = tuning(name, stopped).train(fitted, held, "t")
    assert all(np.array_equal(one, other) for one, other in zip(whole.outputs, resumed.outputs, strict=True))
    state, other = lesson.balance.state_dict(), again.balance.state_dict()
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert whole.curve[-1]["fitted"] < whole.curve[1]["fitted"]


def test_rules_differ_and_move() -> None:
    every = np.arange(48)
    ended = {}
    for name in BALANCES:
        lesson, trained = tuning(name).train(every[:36], every[36:], "t")
        ended[name] = trained.outputs[-1]
        moved = {key: one for key, one in lesson.balance.state_dict().items() if key not in ("halves", "first")}
        fresh = BALANCES[name](KINDS).state_dict()
        assert all(not torch.equal(one, fresh[key]) for key, one in moved.items())
    assert len({one.tobytes() for one in ended.values()}) == len(BALANCES)


def test_a_rare_target_is_drawn_more_often() -> None:
    own = tuning("sampled")
    every = np.arange(48)
    lesson = own.lesson(every, every[:0])
    drawn = np.concatenate([place for epoch in range(3) for place in lesson.batches(epoch)])
    has_animal = own.task.of(own.truth, 1)[0]  # type: ignore[union-attr]
    assert len(drawn) == 3 * 48
    expected = (2 + np.sqrt(1.5)) * has_animal.sum() / ((2 + np.sqrt(1.5)) * has_animal.sum() + 2 * (~has_animal).sum())
    assert has_animal[drawn].mean() == pytest.approx(expected, abs=0.08)


def test_the_balance_that_is_best_out_of_fold_is_taken() -> None:
    arms = [hs.Probe(), hs.FineTune(cut=0, schedule=LEARN)]
    result = hs.fit_together(
        records(), target=["mood", "size"], backbone=tiny.text_backbone(), strategy=arms, balance=["sum", "famo"]
    )
    tried = result.together.balances
    assert set(tried) == {"sum", "famo"}
    assert result.together.balance == min(tried, key=tried.__getitem__)
    with pytest.raises(hs.OptionError, match="no balance 'best'"):
        hs.fit_together(records(), target=["mood", "size"], balance="best")  # type: ignore[arg-type]
