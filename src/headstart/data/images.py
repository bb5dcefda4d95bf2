"""Images of every odd kind, read as 8-bit RGB pictures or as arrays of other channel counts."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from headstart.errors import DataError
from headstart.wording import printable

ImageInput: TypeAlias = Path | bytes | Image.Image | np.ndarray
"""A file, the bytes of one, a PIL picture, or an array of shape (h, w) or (h, w, c)."""

_PHOTOGRAPHS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
SUFFIXES = frozenset(_PHOTOGRAPHS | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".npy"})
MAX_PIXELS = 89_478_485
"""Above this many pixels a file is taken for a decompression bomb (Pillow's own warning limit)."""

MOST_CHANNELS = 16
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "TGA", "ICO")
"""What Pillow may decode: pictures, never documents that another program would have to run."""

HASH_SIDE = 8


def looks_like_image(name: str) -> bool:
    """Tell from its suffix whether a file name is an image's."""
    return Path(name).suffix.lower() in SUFFIXES


def open_image(source: ImageInput, *, hint_size: int | None = None) -> Image.Image | np.ndarray:
    """Return an RGB picture, or a float array (h, w, c) in [0, 1] when there are not 3 channels.

    Greyscale, 16-bit, palette, CMYK and transparent pictures become RGB (transparency on white), EXIF
    rotation is applied, and of an animation the first frame is taken.
    With `hint_size` a JPEG may be decoded at a reduced scale not below that many pixels a side.

    Raises:
        DataError: the file is missing, not an image, truncated, or a decompression bomb.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_picture(source)
    if isinstance(source, Path) and source.suffix.lower() == ".npy":
        return _from_array(_load_npy(source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _open_file(source, hint_size)


def content_hash(source: ImageInput) -> str:
    """Return the SHA-256 of a file's bytes, or of a picture's mode, size and pixels."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    array = np.ascontiguousarray(
        source.convert("RGBA") if isinstance(source, Image.Image) and source.mode == "P" else source
    )
    mode = source.mode if isinstance(source, Image.Image) else str(array.dtype)
    return hashlib.sha256(f"{mode}{array.shape}".encode() + array.tobytes()).hexdigest()


def perceptual_hash(picture: Image.Image | np.ndarray) -> int:
    """Return the 64-bit DCT hash of a picture: near pictures differ in few bits."""
    import imagehash

    if isinstance(picture, np.ndarray):
        picture = Image.fromarray((picture.mean(axis=2) * 255).astype(np.uint8))
    return int(str(imagehash.phash(picture, hash_size=HASH_SIDE)), 16)


def channels_of(source: ImageInput) -> int:
    """Return how many channels the picture has once opened: 3, unless an array says otherwise."""
    if isinstance(source, Path) and source.suffix.lower() == ".npy":
        source = _load_npy(source)
    if isinstance(source, np.ndarray) and source.ndim == 3:
        return 3 if source.shape[2] == 1 else int(source.shape[2])
    return 3


def _open_file(source: Path | bytes, hint_size: int | None) -> Image.Image:
    name = printable(source.name) if isinstance(source, Path) else "a picture"
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise DataError(f"{name} is not a file.")
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if hint_size is not None and picture.format == "JPEG":
                picture.draft("RGB", (hint_size, hint_size))
            picture.load()
            return _to_rgb(ImageOps.exif_transpose(picture))
    except Image.DecompressionBombError:
        raise DataError(f"{name} has more than {MAX_PIXELS:,} pixels: refused as a decompression bomb.") from None
    except UnidentifiedImageError:
        is_empty = not source if isinstance(source, bytes) else source.stat().st_size == 0
        raise DataError(f"{name} is empty." if is_empty else f"{name} is not an image.") from None
    except FileNotFoundError:
        raise DataError(f"{name} does not exist.") from None
    except Exception as error:  # noqa: BLE001  a decoder may fail in any way on bytes that somebody else wrote
        reason = "is truncated" if "truncated" in str(error) else f"cannot be read ({_first_line(error)})"
        raise DataError(f"{name} {reason}.") from None


def _from_picture(picture: Image.Image) -> Image.Image:
    if 0 in picture.size:
        raise DataError("a picture has no pixels.")
    try:
        return _to_rgb(ImageOps.exif_transpose(picture))
    except (OSError, ValueError, SyntaxError, AttributeError) as error:
        raise DataError(f"a picture cannot be read ({_first_line(error)}).") from None


def _load_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except Exception as error:  # noqa: BLE001  NumPy's header reader fails in many ways on damaged bytes
        raise DataError(f"{path.name} cannot be read as an array ({_first_line(error)}).") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path.name} cannot be read as an array (it is an archive of several).")
    return array


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _from_array(array: np.ndarray) -> Image.Image | np.ndarray:
    """Scale to 8 bits for 1 or 3 channels, to floats in [0, 1] for any other count."""
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(f"an array of shape {array.shape} is not an image.", expected="shape (h, w) or (h, w, c)")
    if array.dtype.kind not in "biuf":
        raise DataError(f"an array of {array.dtype} is not an image.", expected="real numbers")
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] > MOST_CHANNELS:
        raise DataError(
            f"an array of shape {array.shape} looks channels-first.",
            expected="shape (h, w, c)",
            hint="np.moveaxis(a, 0, -1)",
        )
    unit = _to_unit(np.asarray(array))
    if unit.ndim == 3 and unit.shape[2] not in (1, 3):
        return unit
    pixels = np.rint(unit * 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).convert("RGB")


def _to_unit(array: np.ndarray) -> np.ndarray:
    """Map to [0, 1].

    Integers by the smallest of 8, 12 and 16 bits (then their own maximum) that holds the largest value; floats are
    in [0, 1], in [-1, 1], in [0, 255], or else between their own bounds.
    """
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError("an image array holds NaN or infinity.", expected="finite numbers")
    low, top = float(values.min()), float(values.max())
    if array.dtype.kind == "f":
        bounds = [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]
    else:
        bounds = [(0.0, 1.0)] if array.dtype == bool else [(0.0, 255.0), (0.0, 4095.0), (0.0, 65535.0)]
        bounds = [(-128.0, 127.0)] if array.dtype == np.int8 else bounds
    below, above = next((pair for pair in bounds if pair[0] <= low and top <= pair[1]), (low, max(top, low + 1)))
    return np.asarray((values - below) / (above - below))


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":
        converted = _from_array(np.asarray(picture))
        return converted if isinstance(converted, Image.Image) else picture.convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")
