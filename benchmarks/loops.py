"""The loop that a PyTorch user writes: the official transfer-learning tutorial's, with its own settings."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.sets import Rows
from benchmarks.speed.clock import Clock
from benchmarks.speed.weights import LITE, lite_file

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

TUTORIAL_BATCH = 4
TUTORIAL_RATE = 1e-3
MOMENTUM = 0.9
STEP, GAMMA = 7, 0.1


@dataclass(frozen=True)
class Loop:
    """How the loop runs.

    Attributes:
        epochs: passes over the training part.
        learned: names of the modules that learn beside the new classifier; everything else is frozen.
        batch: examples a step; the rate is the tutorial's, scaled with it (Goyal et al. 2017).
        workers: of the DataLoader.
        bf16: bf16 autocast and channels-last, as PyTorch's CPU tuning guide recommends.
        validate: "each" epoch, as the tutorial does, or only the "last".
    """

    epochs: int = 4
    learned: tuple[str, ...] = ()
    batch: int = TUTORIAL_BATCH
    workers: int = 0
    bf16: bool = False
    validate: str = "each"

    @property
    def precision(self) -> AbstractContextManager[object]:
        """The context in which the network runs."""
        import torch

        return torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext()

    def laid(self, pictures: Tensor) -> Tensor:
        """Return pictures (n, 3, h, w) in the loop's memory layout."""
        import torch

        return pictures.to(memory_format=torch.channels_last) if self.bf16 else pictures


def plain_loop(rows: Rows, seed: int, loop: Loop, clock: Clock) -> np.ndarray:
    """Return the answers (n,) on the test part after the last epoch.

    As "Transfer Learning for Computer Vision Tutorial" (pytorch.org) has it: RandomResizedCrop and a flip to learn,
    Resize 256 and CenterCrop 224 to validate, SGD with momentum, steps of 0.1 every 7 epochs. It differs in two ways:
    the weights are EfficientNet-Lite0's and its normalisation theirs, and the last epoch counts, not the one that was
    best on the test part.
    """
    with clock.phase("import"):
        import torch
        from torch import nn

    with clock.phase("load"):
        torch.manual_seed(seed)
        model = lite(len(rows.labels))
        parameters = _opened(model, loop.learned)
        if loop.bf16:
            model = model.to(memory_format=torch.channels_last)
        train, test = _loaders(rows, loop)
    optimiser = torch.optim.SGD(parameters, lr=TUTORIAL_RATE * loop.batch / TUTORIAL_BATCH, momentum=MOMENTUM)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, STEP, GAMMA)
    criterion = nn.CrossEntropyLoss()
    answers = np.zeros(0)
    for epoch in range(loop.epochs):
        with clock.phase("learn"):
            model.train()
            for pictures, labels in train:
                optimiser.zero_grad()
                with loop.precision:
                    loss = criterion(model(loop.laid(pictures)), labels)
                loss.backward()
                optimiser.step()
            schedule.step()
        if loop.validate == "each" or epoch == loop.epochs - 1:
            with clock.phase("answer"):
                answers = _answers(model, test, loop)
    return np.array(rows.labels)[answers]


def lite(classes: int) -> nn.Module:
    """Return timm's EfficientNet-Lite0 with the weights that everyone gets, and a new classifier; 0 has none."""
    import timm
    from safetensors.torch import load_file

    model: nn.Module = timm.create_model(LITE, num_classes=classes)
    missing, unexpected = model.load_state_dict(load_file(lite_file()), strict=False)
    assert not unexpected
    assert all(name.startswith("classifier") for name in missing)
    return model


def eager_features(files: list[str], loop: Loop, clock: Clock) -> np.ndarray:
    """Return features (n, d) of pictures: timm's network, timm's transform, a DataLoader, no gradients."""
    with clock.phase("import"):
        import timm
        import torch

    with clock.phase("load"):
        model = lite(0).eval()
        if loop.bf16:
            model = model.to(memory_format=torch.channels_last)
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with clock.phase("encode"), torch.inference_mode(), loop.precision:
        loader = torch.utils.data.DataLoader(
            _Pictures(files, [0] * len(files), transform), batch_size=loop.batch, num_workers=loop.workers
        )
        parts = [model(loop.laid(pictures)).float() for pictures, _ in loader]
    return torch.cat(parts).numpy()


def _opened(model: nn.Module, learned: tuple[str, ...]) -> list[nn.Parameter]:
    """Freeze everything but some modules and the classifier, and return what learns."""
    modules = dict(model.named_modules())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in (*(one for one in learned if one in modules), "classifier"):
        for parameter in modules[name].parameters():
            parameter.requires_grad_(True)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _loaders(rows: Rows, loop: Loop) -> tuple[Iterable, Iterable]:
    import torch
    from torchvision import transforms

    normalise = [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    drawn = transforms.Compose([transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *normalise])
    middle = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), *normalise])
    place = {label: index for index, label in enumerate(rows.labels)}

    def loader(part: tuple[list[str], list[str]], transform: object, shuffle: bool) -> torch.utils.data.DataLoader:
        data = _Pictures(part[0], [place[label] for label in part[1]], transform)
        return torch.utils.data.DataLoader(data, batch_size=loop.batch, shuffle=shuffle, num_workers=loop.workers)

    return loader(rows.train, drawn, True), loader(rows.test, middle, False)


def _answers(model: nn.Module, test: Iterable, loop: Loop) -> np.ndarray:
    import torch

    model.eval()
    with torch.no_grad(), loop.precision:
        return np.concatenate([model(loop.laid(pictures)).argmax(1).numpy() for pictures, _ in test])


class _Pictures:
    """Files and labels, as torchvision's ImageFolder reads them."""

    def __init__(self, files: list[str], labels: list[int], transform: object) -> None:
        self.files, self.labels, self.transform = files, labels, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        from PIL import Image

        with Image.open(self.files[place]) as picture:
            return self.transform(picture.convert("RGB")), self.labels[place]
