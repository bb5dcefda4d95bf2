"""Peers as their own documentation uses them: fastai, Hugging Face's Trainer, SetFit and sentence-transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.sets import Rows
from benchmarks.speed.clock import Clock
from benchmarks.speed.weights import LITE, lite_file, minilm

if TYPE_CHECKING:
    from fastai.vision.all import Learner

FASTAI_EPOCHS = 4
TRAINER_EPOCHS = 3
SIDE = 224
LONGEST = 256


def fastai_fine_tune(rows: Rows, seed: int) -> np.ndarray:
    """Return the answers (n,) of `vision_learner(...).fine_tune(4)`: one frozen epoch, then four; its own defaults.

    Channels-last changes its time only.
    """
    learner = _learner(rows, seed, workers=0)
    learner.to_channelslast(use_amp=False)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(FASTAI_EPOCHS)
        return _fastai_answers(learner, rows)


def fastai_frozen(
    rows: Rows,
    seed: int,
    clock: Clock,
    *,
    epochs: int = FASTAI_EPOCHS,
    workers: int | None = None,
    channels_last: bool = False,
    bf16: bool = False,
) -> np.ndarray:
    """Return the answers (n,) of `vision_learner(...).fit_one_cycle(4)` with the body frozen; its own defaults.

    It validates on the test part after every epoch, as it does by default; that is where its accuracy is read, so
    the answers one by one are fetched off the clock. fastai's own `to_bf16` is for CUDA only: bf16 is a callback here
    that does on the CPU what fastai's does there.
    """
    with clock.phase("import"):
        from fastai.vision.all import Callback

    class CpuBf16(Callback):
        """Run the forward pass and the loss in bf16."""

        def before_batch(self) -> None:
            import torch

            self.context = torch.autocast("cpu", torch.bfloat16)
            self.context.__enter__()

        def after_pred(self) -> None:
            self.learn.pred = self.pred.float()

        def after_loss(self) -> None:
            self.context.__exit__(None, None, None)

    with clock.phase("load"):
        learner = _learner(rows, seed, workers=workers)
        if channels_last:
            learner.to_channelslast(use_amp=False)
    learner.freeze()
    with clock.phase("learn"), learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, cbs=[CpuBf16()] if bf16 else [])
    with clock.stopped(), learner.no_bar(), learner.no_logging():
        return _fastai_answers(learner, rows)


def _learner(rows: Rows, seed: int, *, workers: int | None) -> Learner:
    """Return fastai's `vision_learner`; `workers` None leaves their number to fastai.

    fastai cannot fetch the weights here, so the body is filled with the same ones that Headstart uses, and the
    normalisation that fastai would take from timm's record is given by hand.
    """
    import pandas as pd
    from fastai.vision.all import (
        ImageDataLoaders,
        Normalize,
        Resize,
        accuracy,
        aug_transforms,
        set_seed,
        vision_learner,
    )
    from safetensors.torch import load_file

    set_seed(seed, reproducible=True)
    frame = pd.DataFrame(
        {
            "file": [*rows.train[0], *rows.test[0]],
            "label": [*rows.train[1], *rows.test[1]],
            "held": [False] * len(rows.train[0]) + [True] * len(rows.test[0]),
        }
    )
    transforms = [*aug_transforms(), Normalize.from_stats([0.5] * 3, [0.5] * 3)]
    loaders = ImageDataLoaders.from_df(
        frame, path="/", valid_col="held", item_tfms=Resize(SIDE), batch_tfms=transforms, num_workers=workers
    )
    learner = vision_learner(loaders, LITE, pretrained=False, metrics=accuracy)
    learner.model[0].model.load_state_dict(load_file(lite_file()))
    return learner


def _fastai_answers(learner: Learner, rows: Rows) -> np.ndarray:
    outputs, _ = learner.get_preds(dl=learner.dls.test_dl(rows.test[0]))
    return np.array(learner.dls.vocab)[outputs.argmax(1).numpy()]


def trainer(
    rows: Rows, seed: int, *, bf16: bool = False, epochs: int = TRAINER_EPOCHS, clock: Clock | None = None
) -> np.ndarray:
    """Return the answers (n,) of Hugging Face's Trainer, three epochs; its own defaults (5e-5, 8 a batch, linear)."""
    clock = clock or Clock()
    with clock.phase("import"):
        import torch
        import transformers
        from datasets import Dataset, disable_progress_bars

    place = {label: index for index, label in enumerate(rows.labels)}
    with clock.phase("load"):
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        disable_progress_bars()
        transformers.set_seed(seed)
        tokenizer = transformers.AutoTokenizer.from_pretrained(minilm())
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            minilm(), num_labels=len(rows.labels), dtype=torch.float32
        )

    def encoded(part: tuple[list[str], list[str]]) -> Dataset:
        data = Dataset.from_dict({"text": part[0], "label": [place.get(label, 0) for label in part[1]]})
        return data.map(lambda row: tokenizer(row["text"], truncation=True, max_length=LONGEST), batched=True)

    with tempfile.TemporaryDirectory() as out:
        arguments = transformers.TrainingArguments(
            output_dir=str(Path(out)),
            num_train_epochs=epochs,
            seed=seed,
            bf16=bf16,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            logging_strategy="no",
        )
        with clock.phase("learn"):
            trained = transformers.Trainer(
                model, arguments, train_dataset=encoded(rows.train), processing_class=tokenizer
            )
            trained.train()
        with clock.phase("answer"):
            outputs = trained.predict(encoded(rows.test)).predictions
    return np.array(rows.labels)[outputs.argmax(1)]


def setfit(rows: Rows, seed: int, clock: Clock) -> np.ndarray:
    """Return the answers (n,) of SetFit as its quickstart has it: batches of 16, one epoch of contrastive pairs."""
    with clock.phase("import"):
        from datasets import Dataset
        from setfit import SetFitModel, Trainer, TrainingArguments

    with clock.phase("load"):
        model = SetFitModel.from_pretrained(str(minilm()), labels=rows.labels)
        train = Dataset.from_dict({"text": rows.train[0], "label": rows.train[1]})
    with clock.phase("learn"), tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out, batch_size=16, num_epochs=1, seed=seed, report_to=[], show_progress_bar=False
        )
        Trainer(model=model, args=arguments, train_dataset=train).train()
    with clock.phase("answer"):
        return np.array([str(one) for one in model.predict(rows.test[0])])


def sentence_features(
    texts: Sequence[str],
    clock: Clock,
    *,
    batch: int = 32,
    bf16: bool = False,
    backend: str = "torch",
) -> np.ndarray:
    """Return sentence-transformers' embeddings (n, d): `SentenceTransformer(...).encode(texts)`.

    Its page "Speeding up Inference" names what is tried: larger batches, bf16 through `model_kwargs`, the
    OpenVINO backend. That exports the model when it is loaded, which does not count as encoding.
    """
    with clock.phase("import"):
        from sentence_transformers import SentenceTransformer

    with clock.phase("load"):
        arguments: dict[str, Any] = {"dtype": "bfloat16"} if bf16 and backend == "torch" else {}
        if backend == "openvino":
            arguments = {"export": True, "ov_config": {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32"}}
        model = SentenceTransformer(str(minilm()), device="cpu", backend=backend, model_kwargs=arguments)
    with clock.phase("encode"):
        return np.asarray(model.encode(list(texts), batch_size=batch, show_progress_bar=False))
