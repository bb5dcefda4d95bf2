"""Everything that writes: a cut changes no states, padding changes nothing, what is kept is what is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.backbones.backbone import Backbone
from headstart.backbones.decoders import by_token, has_decoder, pooled
from headstart.backbones.writers import Writer, losses_of, texts_of
from headstart.frozen.states import states_at

from ..test_summaries import OF_HUB, folder_of
from ..tiny import text_backbone

TEXTS = ["A short text.", "A longer text, of several clauses, that goes on for a while.", "Something else entirely"]
NAMES = ["bert", *OF_HUB]


@pytest.fixture(scope="module", params=NAMES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    if request.param == "bert":
        return text_backbone()
    return folder_of(OF_HUB[request.param](), tmp_path_factory.mktemp(request.param))


def test_above_what_is_below_is_the_whole(source: Backbone) -> None:
    own = by_token(source)
    batch = own.prepare(TEXTS)
    with torch.no_grad():
        whole = own.whole(batch)
        assert whole.shape[:2] == batch["attention_mask"].shape
        assert bool((whole[..., -1] == batch["attention_mask"]).all())
        for cut in range(own.n_stages + 1):
            assert torch.allclose(own.above(batch, own.below(batch, cut), cut), whole, atol=1e-5), cut


def test_what_is_kept_at_a_cut_is_what_is_computed(source: Backbone) -> None:
    own, places = by_token(source), [0, 1, 2]
    for cut in (1, own.n_stages):
        kept, computed = (states_at(own, TEXTS, cut, storage=storage) for storage in ("whole", "none"))
        with torch.no_grad():
            one, other = (own.above(*states.batch(places), cut) for states in (kept, computed))
        assert torch.allclose(one[..., -1], other[..., -1])
        assert torch.allclose(one * one[..., -1:], other * other[..., -1:], atol=1e-5)


def test_a_text_is_written_alike_alone_and_beside_others(source: Backbone) -> None:
    writer = Writer.above(by_token(source)).suited(["a summary of a few words"])
    together = texts_of(source, writer, TEXTS).tolist()
    assert [texts_of(source, writer, [text]).tolist()[0] for text in TEXTS] == together
    assert np.allclose(
        losses_of(source, writer, TEXTS), [losses_of(source, writer, [text])[0] for text in TEXTS], atol=1e-5
    )


def test_asking_token_by_token_changes_no_source(source: Backbone, tmp_path: Path) -> None:
    back = pooled(by_token(source))
    assert back.architecture == source.architecture
    assert back.prepare.encode(TEXTS) == source.prepare.encode(TEXTS)
    assert has_decoder(source) is (source.origin is not None)
