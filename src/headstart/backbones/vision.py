"""Image backbones: timm's networks, with the preprocessing their checkpoints were trained with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import timm
import timm.data
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from headstart.data.images import ImageInput, open_image
from headstart.errors import BackboneError

RGB = 3
DRAWN_AREA = (0.5, 1.0)
DRAWN_RATIO = math.log(4 / 3)
SPARE = 2
"""How many times larger than needed a picture stays that is decoded at a reduced scale."""

EXTREME_RATIO = 8.0
"""Beyond this aspect ratio the middle is cut out before resizing, so that a thin strip does not grow to gigabytes."""


def build_trunk(name: str, channels: int, /, *, pretrained: bool = False, **arguments: Any) -> nn.Module:
    """Return a timm network without its classifier: pictures (n, c, h, w) to pooled features (n, d).

    With another channel count than 3, pretrained first-layer weights are summed (1) or repeated and rescaled, as
    timm does.

    Raises:
        BackboneError: timm knows no such network, or its weights cannot be had.
    """
    try:
        trunk: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=channels, **arguments)
    except RuntimeError as error:
        if "Unknown model" not in str(error):
            raise BackboneError(f"timm cannot build {name}.", got=str(error)) from None
        close = timm.list_models(f"*{name.split('.', maxsplit=1)[0].split('_', maxsplit=1)[0]}*")[:3]
        hint = f"did you mean timm/{close[0]}?" if close else "headstart backbones lists what is available"
        raise BackboneError(f"timm knows no network {name!r}.", hint=hint) from None
    return trunk.eval()


def preprocessing_of(trunk: nn.Module) -> dict[str, Any]:
    """Return the checkpoint's own input size, interpolation, crop, mean and standard deviation, as JSON holds them."""
    config = timm.data.resolve_model_data_config(trunk)
    kept = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
    return {name: list(config[name]) if isinstance(config[name], tuple) else config[name] for name in kept}


@dataclass(frozen=True)
class ImagePreparer:
    """Turn pictures into a batch, as `preprocessing` says.

    Attributes:
        preprocessing: what `preprocessing_of` returned.
        channels: that the network takes.
    """

    preprocessing: dict[str, Any]
    channels: int = RGB
    identity = ""

    @cached_property
    def framing(self) -> Sequence[Callable[[Image.Image], Image.Image]]:
        """Timm's own evaluation transform for this preprocessing, as far as pictures stay pictures."""
        values = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.preprocessing.items()
        }
        transform = timm.data.create_transform(**values, is_training=False, use_prefetcher=True)
        return list(transform.transforms[:-1])

    @property
    def side(self) -> int:
        """The height of the pictures the network takes, in pixels."""
        return int(self.preprocessing["input_size"][1])

    @property
    def scaled(self) -> int:
        """The length in pixels that a picture's short side is brought to before the middle is cut out."""
        return int(self.side / float(self.preprocessing["crop_pct"]))

    def __call__(self, inputs: Sequence[ImageInput]) -> dict[str, Tensor]:
        """Return {"x": (n, c, h, w)}.

        A JPEG of more than twice the size needed is decoded at a reduced scale.

        Raises:
            DataError: one cannot be read.
        """
        return self.collate(inputs)

    def encode(self, inputs: Sequence[ImageInput]) -> Sequence[ImageInput]:
        """Return the pictures as they are: they are opened when their batch is made."""
        return inputs

    def collate(self, encoded: Sequence[ImageInput]) -> dict[str, Tensor]:
        """Return {"x": (n, c, h, w)}."""
        return {"x": self._batch([open_image(source, hint_size=SPARE * self.scaled) for source in encoded])}

    def augmented(self, inputs: Sequence[ImageInput], seed: Sequence[int], *, flip: bool) -> dict[str, Tensor]:
        """Return {"x": (n, c, h, w)} of a part of each picture, drawn anew, mirrored or not (Szegedy et al. 2015)."""
        dice = np.random.default_rng(list(seed))
        hint = math.ceil(SPARE * self.scaled / math.sqrt(DRAWN_AREA[0]))
        return {"x": self._batch([_drawn(open_image(source, hint_size=hint), dice, flip) for source in inputs])}

    def outline(self, encoded: Sequence[ImageInput]) -> dict[str, Tensor]:
        """Return {"x": (n, c, h, w)} of zeros that take no memory: no picture is read above a cut."""
        _, height, width = self.preprocessing["input_size"]
        return {"x": torch.zeros(()).expand(len(encoded), self.channels, height, width)}

    def _batch(self, pictures: Sequence[Image.Image | np.ndarray]) -> Tensor:
        """Return pictures as (n, c, h, w), normalised; those of 3 channels together, laid out pixel by pixel."""
        if self.channels != RGB or not all(isinstance(one, Image.Image) for one in pictures):
            return torch.stack([self._many_channels(_as_array(one, self.channels)) for one in pictures])
        pixels = np.stack([np.asarray(self._framed(cast(Image.Image, one))) for one in pictures])
        unit = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
        mean, std = (torch.tensor(self.preprocessing[name]).view(1, RGB, 1, 1) for name in ("mean", "std"))
        return unit.sub_(mean).div_(std)

    def _framed(self, picture: Image.Image) -> Image.Image:
        picture = _without_extremes(picture)
        for step in self.framing:
            picture = step(picture)
        return picture

    def _many_channels(self, array: np.ndarray) -> Tensor:
        """Resize the short side, crop the middle and normalise an array (h, w, c) of any channel count."""
        if array.shape[2] != self.channels:
            raise BackboneError(
                "a picture has another channel count than the backbone was built for.",
                expected=f"{self.channels} channels",
                got=str(array.shape[2]),
            )
        array = _without_extremes(array)
        size, scaled = self.side, self.scaled
        factor = scaled / min(array.shape[:2])
        shape = [max(scaled, round(side * factor)) for side in array.shape[:2]]
        tensor = torch.from_numpy(array).permute(2, 0, 1)[None]
        tensor = functional.interpolate(tensor, size=shape, mode="bicubic", antialias=True, align_corners=False)
        top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
        mean, std = (float(np.mean(self.preprocessing[name])) for name in ("mean", "std"))
        return (tensor[0, :, top : top + size, left : left + size] - mean) / std

    def examples(self) -> list[ImageInput]:
        """Return two unlike synthetic pictures, to plan cuts with and to check a saved model by."""
        noise = np.random.default_rng(0)
        side = self.side
        slope = np.linspace(0, 255, side)[:, None, None] * np.ones((side, side, self.channels))
        coarse = noise.integers(0, 256, (8, 8, self.channels)).repeat(-(-side // 8), 0).repeat(-(-side // 8), 1)
        return [slope.astype(np.uint8), coarse[:side, :side].astype(np.uint8)]

    @property
    def padding(self) -> dict[str, int]:
        """Nothing: pictures of a batch are of one size."""
        return {}

    def truncated(self, inputs: Sequence[ImageInput]) -> list[int]:
        """Return no places: pictures are resized, never cut off."""
        return []

    def read(self, state: Sequence[Tensor], trunk: nn.Module, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Average (n, c, h, w), (n, h, w, c) or (n, l, d) over its places; several tensors side by side."""
        n, places = batch["x"].shape[0], (2, 3)
        if str(getattr(trunk, "output_fmt", "NCHW")).endswith("NHWC"):
            places = (1, 2)
        means = {4: lambda one: one.mean(places), 3: lambda one: one.mean(1), 2: lambda one: one}
        read = [means[one.ndim](one) for one in state if one.ndim in means and one.shape[0] == n]
        return torch.cat(read, dim=1) if read else None

    def describe(self) -> str:
        """Say what goes in, in words."""
        return f"{self.side} × {int(self.preprocessing['input_size'][2])} pixels"

    def quietly(self) -> AbstractContextManager[None]:
        """Do nothing: timm does not talk."""
        return nullcontext()


def _as_array(picture: Image.Image | np.ndarray, channels: int) -> np.ndarray:
    """Return a picture as an array (h, w, c) in [0, 1]."""
    if isinstance(picture, np.ndarray):
        return picture
    grey = picture.convert("L") if channels == 1 else picture
    return np.atleast_3d(np.asarray(grey, dtype=np.float32) / 255)


def _drawn(picture: Any, dice: np.random.Generator, flip: bool) -> Any:
    """Return a part of a picture or array (h, w, c): a share of its area, with sides somewhat longer or shorter."""
    picture = _without_extremes(picture)
    is_array = isinstance(picture, np.ndarray)
    width, height = (picture.shape[1], picture.shape[0]) if is_array else picture.size
    area, ratio = dice.uniform(*DRAWN_AREA), math.exp(dice.uniform(-DRAWN_RATIO, DRAWN_RATIO))
    wide = max(1, min(width, round(width * math.sqrt(area * ratio))))
    high = max(1, min(height, round(height * math.sqrt(area / ratio))))
    left, top = int(dice.integers(0, width - wide + 1)), int(dice.integers(0, height - high + 1))
    mirrored = flip and dice.random() < 0.5
    if is_array:
        part = picture[top : top + high, left : left + wide]
        return part[:, ::-1].copy() if mirrored else part
    part = picture.crop((left, top, left + wide, top + high))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else part


def _without_extremes(picture: Any) -> Any:
    """Return the middle of a picture or array (h, w, c) whose sides differ by more than the extreme ratio."""
    is_array = isinstance(picture, np.ndarray)
    width, height = (picture.shape[1], picture.shape[0]) if is_array else picture.size
    longest = int(min(width, height) * EXTREME_RATIO)
    if max(width, height) <= longest:
        return picture
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    right, bottom = left + min(width, longest), top + min(height, longest)
    return picture[top:bottom, left:right] if is_array else picture.crop((left, top, right, bottom))
