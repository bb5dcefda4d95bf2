"""Peers as their own documentation uses them: fastai's `fine_tune` and Hugging Face's Trainer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.sets import Rows

FASTAI_EPOCHS = 4
TRAINER_EPOCHS = 3
SIDE = 224
LONGEST = 256


def fastai_fine_tune(rows: Rows, seed: int) -> np.ndarray:
    """Return the answers (n,) of `vision_learner(...).fine_tune(4)`: one frozen epoch, then four; its own defaults.

    fastai cannot fetch the weights here, so the backbone is filled with the same ones that Headstart uses, and the
    normalisation that fastai would take from timm's record is given by hand. Channels-last changes its time only.
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

    import headstart as hs

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
        frame, path="/", valid_col="held", item_tfms=Resize(SIDE), batch_tfms=transforms, num_workers=0
    )
    learner = vision_learner(loaders, "tf_efficientnet_lite0", pretrained=False, metrics=accuracy)
    trunk = hs.load_backbone("efficientnet_lite0").trunk
    learner.model[0].model.load_state_dict(trunk.state_dict())
    learner.to_channelslast(use_amp=False)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(FASTAI_EPOCHS)
        outputs, _ = learner.get_preds(dl=loaders.test_dl(rows.test[0]))
    return np.array(loaders.vocab)[outputs.argmax(1).numpy()]


def trainer(rows: Rows, seed: int, *, bf16: bool = False) -> np.ndarray:
    """Return the answers (n,) of Hugging Face's Trainer, three epochs; its own defaults (5e-5, 8 a batch, linear)."""
    import torch
    import transformers
    from datasets import Dataset, disable_progress_bars

    from headstart.backbones.catalogue import CATALOGUE, verified

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    disable_progress_bars()
    transformers.set_seed(seed)
    folder = verified(CATALOGUE["minilm_l6"]).parent
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(rows.labels), dtype=torch.float32
    )
    place = {label: index for index, label in enumerate(rows.labels)}

    def encoded(part: tuple[list[str], list[str]]) -> Dataset:
        data = Dataset.from_dict({"text": part[0], "label": [place.get(label, 0) for label in part[1]]})
        return data.map(lambda row: tokenizer(row["text"], truncation=True, max_length=LONGEST), batched=True)

    with tempfile.TemporaryDirectory() as out:
        arguments = transformers.TrainingArguments(
            output_dir=str(Path(out)),
            num_train_epochs=TRAINER_EPOCHS,
            seed=seed,
            bf16=bf16,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            logging_strategy="no",
        )
        trained = transformers.Trainer(model, arguments, train_dataset=encoded(rows.train), processing_class=tokenizer)
        trained.train()
        outputs = trained.predict(encoded(rows.test)).predictions
    return np.array(rows.labels)[outputs.argmax(1)]
