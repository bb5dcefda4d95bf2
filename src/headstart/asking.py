"""Asking: what a source with a decoder of its own answers, without anything being learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.decoders import has_decoder
from headstart.backbones.writers import Writer, likelihoods, texts_of
from headstart.errors import OptionError
from headstart.progress import Progress, silent
from headstart.tasks import Task


def asker(backbone: Backbone, task: Task, values: Sequence[object] = ()) -> Writer:
    """Return what a source answers a task with, as it is; texts no longer than references are.

    Raises:
        OptionError: it has nothing of the kind.
        BackboneError: what it has lacks weights.
    """
    is_causal = bool(getattr(backbone.trunk, "positions", False))
    if not has_decoder(backbone) or not (is_causal if task.form == "label" else task.form == "text"):
        raise OptionError(
            f"{backbone.name} cannot be asked for {task.target!r} as it is.",
            expected="for a summary a model with a decoder, such as T5 or GPT-2; for one label a causal one",
            got=f"{backbone.name}, {task.kind}",
            hint="leave zeroshot out",
        )
    writer = Writer.above(backbone)
    if task.form == "text":
        writer = writer.suited([str(one) for one in values])
    return writer.requires_grad_(False)


def answered_as_it_is(
    backbone: Backbone, writer: Writer, task: Task, inputs: Sequence[str], progress: Progress = silent
) -> np.ndarray:
    """Return what is written (n,) about texts, or how likely each label is (n, c), as probabilities."""
    if task.form == "text":
        return texts_of(backbone, writer, inputs, progress)
    return task.outputs(likelihoods(backbone, writer, inputs, task.labels, question(task), progress))


def question(task: Task) -> str:
    """Return what asks for a label after a text."""
    return f"\n\n{task.target}:"
