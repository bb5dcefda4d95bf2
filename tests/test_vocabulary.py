"""Vocabulary: a table that holds only the rows that occur learns what the whole one would."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import headstart as hs
from headstart import adaptation
from headstart.learning import tuning
from headstart.learning.vocabulary import NarrowedTable, tokens_of
from headstart.strategies.schedule import Schedule
from tests import tiny

TABLE = "encoder.embeddings.word_embeddings.weight"
UNDECAYED = Schedule(epochs=2, rate=1e-3, head_rate=1e-3, batch_size=8, weight_decay=0.0)
DECAYED = replace(UNDECAYED, weight_decay=0.1)
LONGER = replace(UNDECAYED, epochs=8, rate=5e-3, head_rate=5e-3)


class Trunk(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.table = table


def learned(data, backbone, strategy):
    model = hs.adapt(data, backbone=backbone, strategy=strategy)
    assert not model.record["diverged"]
    return model.backbone.trunk.state_dict()


@pytest.mark.parametrize("kind", [hs.FineTune, hs.FromScratch])
def test_what_learns_is_what_would_have_learned_in_the_whole_table(monkeypatch, kind):
    data, backbone = tiny.texts(), tiny.text_backbone()
    strategy = kind(cut=0, schedule=UNDECAYED) if kind is hs.FineTune else kind(schedule=LONGER)
    narrow = learned(data, backbone, strategy)
    monkeypatch.setattr(tuning, "tokens_of", lambda *_: None)
    whole = learned(data, backbone, strategy)
    assert narrow.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.allclose(narrow[name], tensor, atol=2e-5), name
    before = strategy.begin(backbone, 0).trunk.state_dict()
    assert not torch.equal(narrow[TABLE], before[TABLE])


def test_the_numbers_that_might_change_are_those_of_the_rows_that_occur():
    data, backbone = tiny.texts(), tiny.text_backbone()
    model = hs.adapt(data, backbone=backbone, strategy=hs.FineTune(cut=0, schedule=UNDECAYED))
    rows = len(tokens_of(backbone, backbone.prepare.encode(data.inputs)))
    whole = sum(one.numel() for one in backbone.trunk.parameters())
    assert model.record["learnable"] == whole - (30522 - rows) * 32


@pytest.mark.parametrize("source", [tiny.text_backbone, lambda: hs.load_backbone("wordllama")])
def test_a_step_is_timed_with_the_tokens_of_many_examples_and_of_its_own(monkeypatch, source):
    monkeypatch.setattr(adaptation, "READ", 3)
    strategy = hs.FromScratch(network="small", epochs=1)
    assert hs.adapt(tiny.texts(), backbone=source(), strategy=[hs.Probe(), strategy]).record["arms"]


def test_a_token_that_no_example_holds_keeps_its_vector_to_the_bit():
    data, backbone = tiny.texts(), tiny.text_backbone()
    before = backbone.trunk.state_dict()[TABLE]
    after = learned(data, backbone, hs.FineTune(cut=0, schedule=DECAYED))[TABLE]
    held = tokens_of(backbone, backbone.prepare.encode(data.inputs))
    assert 10 < len(held) < 100
    changed = np.flatnonzero((before.cpu() != after.cpu()).any(1).numpy())
    assert len(changed) > 10
    assert set(changed.tolist()) <= set(held.tolist())


@pytest.mark.parametrize("padding", [None, 0, 7])
def test_a_narrowed_table_gives_the_same_vectors_and_is_restored(padding):
    torch.manual_seed(0)
    table = nn.Embedding(9, 4, padding_idx=padding)
    before, ids = table.weight.detach().clone(), torch.tensor([[2, 5], [8, 2]])
    vocabulary = NarrowedTable.narrowed(Trunk(table), np.array([2, 5, 8]))
    assert len(table.weight) == 3 + (padding is not None)
    assert torch.equal(table(ids), before[ids])
    assert torch.equal(table(input=ids), before[ids])
    with torch.no_grad():
        table.weight += 1
    vocabulary.restore()
    assert table.padding_idx == padding
    assert torch.equal(table(torch.tensor([2, 3])), torch.stack([before[2] + 1, before[3]]))


def test_a_table_that_stands_in_two_places_or_is_more_than_that_is_left_whole():
    class Scaled(nn.Embedding):
        pass

    twice = Trunk(nn.Embedding(9, 4))
    twice.again = nn.Linear(4, 9)
    twice.again.weight = twice.table.weight
    frozen = Trunk(nn.Embedding(9, 4).requires_grad_(False))
    for trunk in (twice, Trunk(Scaled(9, 4)), Trunk(nn.Embedding(9, 4, max_norm=1.0)), frozen, nn.Linear(2, 2)):
        assert NarrowedTable.narrowed(trunk, np.array([2, 5])) is None
    assert NarrowedTable.narrowed(Trunk(nn.Embedding(9, 4)), None) is None
