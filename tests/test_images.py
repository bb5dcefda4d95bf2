from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.images import MAX_PIXELS, channels_of, content_hash, open_image, perceptual_hash
from headstart.errors import DataError

RAMP = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))


def rgb(array: np.ndarray) -> Image.Image:
    return Image.fromarray(np.stack([array, array // 2, 255 - array], 2))


def pixels(path: Path) -> np.ndarray:
    opened = open_image(path)
    assert isinstance(opened, Image.Image)
    assert opened.mode == "RGB"
    return np.asarray(opened)


def test_greyscale_and_one_bit_pictures_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "grey.png")
    assert np.array_equal(pixels(tmp_path / "grey.png"), np.stack([RAMP] * 3, 2))
    Image.fromarray(RAMP > 127).save(tmp_path / "bit.png")
    assert set(np.unique(pixels(tmp_path / "bit.png"))) == {0, 255}


def test_sixteen_bit_pictures_are_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(pixels(tmp_path / "deep.png")[..., 0], RAMP)


def test_twelve_bits_inside_sixteen_are_seen(tmp_path: Path) -> None:
    Image.fromarray((RAMP.astype(np.float64) * 4095 / 255).astype(np.uint16)).save(tmp_path / "xray.png")
    assert np.abs(pixels(tmp_path / "xray.png")[..., 0].astype(int) - RAMP).max() <= 1


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    layer = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    layer.save(tmp_path / "clear.png")
    assert (pixels(tmp_path / "clear.png") == 255).all()
    layer.convert("LA").save(tmp_path / "la.png")
    assert (pixels(tmp_path / "la.png") == 255).all()


def test_palettes_with_transparency_lie_on_white(tmp_path: Path) -> None:
    small = rgb(RAMP).quantize(8)
    small.save(tmp_path / "palette.png", transparency=0)
    assert pixels(tmp_path / "palette.png").shape == (64, 64, 3)


def test_cmyk_pictures_keep_their_colours(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (250, 10, 10)).convert("CMYK").save(tmp_path / "print.jpg")
    red, green, blue = pixels(tmp_path / "print.jpg").reshape(-1, 3).mean(0)
    assert red > 200
    assert green < 60
    assert blue < 60


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb(RAMP[:32]).save(tmp_path / "turned.jpg", exif=exif)
    assert pixels(tmp_path / "turned.jpg").shape == (64, 32, 3)


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert tuple(pixels(tmp_path / "moving.gif")[0, 0]) == (255, 0, 0)


def test_non_ascii_names_are_read(tmp_path: Path) -> None:
    rgb(RAMP).save(tmp_path / "Ünïcødé ☃ [1].png")
    assert pixels(tmp_path / "Ünïcødé ☃ [1].png").shape == (64, 64, 3)


def test_a_truncated_picture_says_so(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for size in (None, 16):
        with pytest.raises(DataError, match=r"cut\.jpg is truncated"):
            open_image(tmp_path / "cut.jpg", hint_size=size)


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"hello", "is not an image")])
def test_what_is_no_picture_says_so(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "odd.jpg").write_bytes(content)
    with pytest.raises(DataError, match=words):
        open_image(tmp_path / "odd.jpg")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    side = 60_000
    assert side * side > MAX_PIXELS
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(png)
    with pytest.raises(DataError, match="decompression bomb"):
        open_image(tmp_path / "bomb.png")


def test_arrays_of_other_channel_counts_stay_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "bands.npy", np.random.default_rng(0).integers(0, 256, (9, 7, 5), dtype=np.uint8))
    opened = open_image(tmp_path / "bands.npy")
    assert isinstance(opened, np.ndarray)
    assert opened.shape == (9, 7, 5)
    assert 0 <= opened.min() < opened.max() <= 1
    assert channels_of(tmp_path / "bands.npy") == 5


def test_a_pickle_called_npy_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as an array"):
        open_image(tmp_path / "evil.npy")


def test_copies_have_one_content_and_near_copies_a_near_hash(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    original = Image.fromarray(noise).resize((128, 128))
    original.save(tmp_path / "a.png")
    original.save(tmp_path / "b.png")
    original.resize((100, 100)).save(tmp_path / "c.jpg")
    assert content_hash(tmp_path / "a.png") == content_hash(tmp_path / "b.png") != content_hash(tmp_path / "c.jpg")
    hashes = [perceptual_hash(open_image(tmp_path / name)) for name in ("a.png", "c.jpg")]
    other = perceptual_hash(Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    assert (hashes[0] ^ hashes[1]).bit_count() <= 4 < (hashes[0] ^ other).bit_count()
