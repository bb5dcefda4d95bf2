"""The cache at a cut: nothing is computed twice, nothing torn is trusted, nothing is in anybody's way."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.cache import Cache, Shelf, folders, the_cache
from headstart.cache import shelf as shelf_room
from headstart.cache.chunks import SUFFIX
from headstart.cache.folders import files_in, folders_in
from headstart.cache.shelves import read_size
from headstart.errors import OptionError

from .conftest import Said

DTYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.float8_e4m3fn,
    torch.complex64,
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
]
ABOUT = {"backbone": "wordllama", "cut": 1, "precision": "fp32"}
WIDTH = 300
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "headstart.cache"])


def names(count: int, first: int = 0) -> list[str]:
    return [f"content {number}" for number in range(first, first + count)]


def rows_of(count: int, first: int = 0) -> torch.Tensor:
    """Return rows that say which they are."""
    return torch.arange(first, first + count, dtype=torch.float32)[:, None] + torch.arange(WIDTH) / 1000


def filled(cache: Cache, count: int = 5, first: int = 0, **about: object) -> Shelf:
    shelf = cache.shelf({**ABOUT, **about})
    shelf.add_many(names(count, first), rows_of(count, first))
    shelf.write()
    return shelf


def blocks(cache: Cache) -> list[Path]:
    assert cache.folder is not None
    return [file for folder in folders_in(cache.folder) for _, _, file in sorted(files_in(folder))]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def some(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    size = torch.Size(shape).numel() * dtype.itemsize
    values = torch.randint(0, 2, (size,), dtype=torch.uint8, generator=torch.Generator().manual_seed(size))
    return values.view(dtype).view(shape)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ragged_rows_come_back_bit_by_bit(cache: Cache, dtype: torch.dtype) -> None:
    rows = [
        (some(dtype, number % 4, 3), torch.tensor(number).to(dtype), some(dtype, 2, 1 + number % 2), some(dtype, 0))
        for number in range(9)
    ]
    shelf = cache.shelf(ABOUT)
    for name, row in zip(names(9), rows, strict=True):
        shelf.add(name, row)
    shelf.write()
    again = cache.shelf(ABOUT)
    for place, row in zip(again.find(names(9)), rows, strict=True):
        for found, leaf in zip(again.row(place), row, strict=True):
            assert (found.dtype, found.shape) == (leaf.dtype, leaf.shape)
            assert found.reshape(-1).view(torch.uint8).tolist() == leaf.reshape(-1).view(torch.uint8).tolist()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_of_one_shape_are_stacked_in_any_order_from_several_blocks(cache: Cache, dtype: torch.dtype) -> None:
    shelf = cache.shelf(ABOUT)
    rows = [(some(dtype, 1 + number % 3, 5), torch.tensor(number % 2).to(dtype)) for number in range(30)]
    for name, row in zip(names(30), rows, strict=True):
        shelf.add(name, row)
        if name.endswith("9"):
            shelf.write()
    shelf.write()
    order = np.random.default_rng(0).permutation(30)
    alike = [number for number in order if number % 3 == 1]
    places = shelf.find(names(30))
    assert len(np.unique(places[:, 0])) == 3
    for leaf, chosen in ((0, alike), (1, list(order))):
        stacked = shelf.stacked(places[chosen], leaf)
        expected = torch.stack([rows[number][leaf] for number in chosen])
        assert stacked.dtype == dtype
        assert stacked.shape == expected.shape
        assert torch.equal(
            stacked.view(len(chosen), -1).view(torch.uint8), expected.view(len(chosen), -1).view(torch.uint8)
        )


def test_stacking_rows_of_several_shapes_is_our_mistake(cache: Cache) -> None:
    shelf = cache.shelf(ABOUT)
    shelf.add("a", (torch.zeros(1, 2),))
    shelf.add("b", (torch.zeros(2, 2),))
    shelf.write()
    with pytest.raises(AssertionError, match="one shape"):
        shelf.stacked(shelf.find(["a", "b"]))


def test_nothing_stacks_to_nothing(cache: Cache) -> None:
    shelf = filled(cache)
    assert len(shelf.stacked(shelf.find([]))) == 0


def test_a_kept_row_does_not_follow_what_it_was_copied_from(cache: Cache) -> None:
    shelf, batch = cache.shelf(ABOUT), torch.ones(2, 3)
    shelf.add("a", (batch[0],))
    shelf.add_many(["b"], batch[1:])
    batch.zero_()
    shelf.write()
    assert shelf.stacked(shelf.find(["a", "b"])).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_rows_of_several_kinds_may_be_added_in_turns(cache: Cache) -> None:
    shelf = cache.shelf(ABOUT)
    shelf.add("a", (torch.ones(2),))
    shelf.add("b", (torch.ones(2, 2), torch.tensor(1)))
    shelf.add("c", (torch.zeros(3),))
    shelf.write()
    places = shelf.find(["a", "b", "c"])
    assert [[tuple(leaf.shape) for leaf in shelf.row(place)] for place in places] == [[(2,)], [(2, 2), ()], [(3,)]]


def test_an_example_is_found_by_its_content_whatever_it_is_called(cache: Cache) -> None:
    filled(cache)
    places = cache.shelf(ABOUT).find(["content 3", "content 3 changed", "content 0"])
    assert (places[[0, 2]] >= 0).all()
    assert (places[1] == -1).all()


@pytest.mark.parametrize("change", [{"cut": 2}, {"cut": "1"}, {"cut": True}, {"view": 0}, {"precision": None}])
def test_any_difference_in_what_is_computed_is_another_shelf(cache: Cache, change: dict[str, object]) -> None:
    filled(cache)
    assert (cache.shelf({**ABOUT, **change}).find(names(5)) == -1).all()
    assert (cache.shelf(dict(reversed(ABOUT.items()))).find(names(5)) >= 0).all()


def test_what_waits_is_not_found_until_it_is_written(cache: Cache) -> None:
    shelf = cache.shelf(ABOUT)
    shelf.add("a", (torch.ones(2),))
    assert (shelf.find(["a"]) == -1).all()
    shelf.write()
    assert (shelf.find(["a"]) >= 0).all()


def test_a_shelf_sees_what_others_have_added(cache: Cache) -> None:
    early = cache.shelf(ABOUT)
    assert (early.find(names(5)) == -1).all()
    filled(cache)
    assert (early.find(names(5)) >= 0).all()


def test_a_waiting_row_is_written_after_a_while(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_room, "INTERVAL", 0.0)
    shelf = cache.shelf(ABOUT)
    shelf.add("a", (torch.ones(2),))
    assert (shelf.find(["a"]) >= 0).all()


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda file: file.write_bytes(b""),
    "cut short": lambda file: os.truncate(file, file.stat().st_size - 1),
    "cut within its head": lambda file: os.truncate(file, 100),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "flipped in its magic": lambda file: flip(file, 0),
    "flipped in its length": lambda file: flip(file, 8),
    "of endless length": lambda file: flip(file, 15),
    "flipped in its words": lambda file: flip(file, 20),
    "flipped in its keys": lambda file: flip(file, 250),
    "flipped in its rows": lambda file: flip(file, file.stat().st_size // 2),
    "flipped at its end": lambda file: flip(file, -1),
    "renamed": lambda file: file.rename(file.with_stem(file.stem[::-1])),
    "of another make": lambda file: file.write_bytes(b"headrow1" + (2).to_bytes(8, "little") + b"{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_block_is_thrown_away_and_made_again(cache: Cache, damage: str) -> None:
    shelf = filled(cache)
    assert (shelf.find(names(5)) >= 0).all()
    DAMAGES[damage](blocks(cache)[0])
    again = cache.shelf(ABOUT)
    assert (again.find(names(5)) == -1).all()
    assert not blocks(cache)
    filled(cache)
    assert torch.equal(again.stacked(again.find(names(5))), rows_of(5))


def test_every_single_flipped_byte_is_noticed(cache: Cache) -> None:
    shelf = cache.shelf(ABOUT)
    shelf.add("a", (torch.arange(3), torch.tensor(1.0)))
    shelf.write()
    [file] = blocks(cache)
    content = file.read_bytes()
    for at in range(len(content)):
        flip(file, at)
        assert (cache.shelf(ABOUT).find(["a"]) == -1).all(), at
        file.write_bytes(content)


def test_a_block_is_trusted_on_its_own_shelf_only(cache: Cache) -> None:
    filled(cache)
    other = cache.shelf({**ABOUT, "cut": 2})
    assert other.folder is not None
    file = blocks(cache)[0]
    (other.folder / file.name).write_bytes(file.read_bytes())
    assert (other.find(names(5)) == -1).all()
    assert blocks(cache) == [file]


def test_a_damaged_block_costs_only_its_own_rows(cache: Cache) -> None:
    filled(cache)
    broken = blocks(cache)[0]
    filled(cache, first=5)
    flip(broken, -1)
    shelf = cache.shelf(ABOUT)
    assert (shelf.find(names(10))[:, 0] >= 0).tolist() == [False] * 5 + [True] * 5
    assert torch.equal(shelf.stacked(shelf.find(names(5, 5))), rows_of(5, 5))


def test_a_block_is_checked_once_in_a_process(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    import xxhash

    filled(cache)
    assert (cache.shelf(ABOUT).find(names(5)) >= 0).all()
    lengths: list[int] = []
    real = xxhash.xxh3_128_hexdigest
    monkeypatch.setattr(xxhash, "xxh3_128_hexdigest", lambda data: lengths.append(len(data)) or real(data))
    assert (cache.shelf(ABOUT).find(names(5)) >= 0).all()
    assert max(lengths) < rows_of(5).nbytes


def test_what_was_found_stays_readable_when_others_remove_it(cache: Cache) -> None:
    shelf = filled(cache)
    places = shelf.find(names(5))
    cache.clear()
    assert torch.equal(shelf.stacked(places), rows_of(5))
    assert torch.equal(shelf.row(places[3])[0], rows_of(5)[3])
    assert (shelf.find(names(5)) == -1).all()
    shelf.add_many(names(5), rows_of(5))
    shelf.write()
    assert (shelf.find(names(5)) >= 0).all()
    assert torch.equal(shelf.stacked(places), rows_of(5))


def test_many_small_blocks_become_one_and_places_go_on_holding(cache: Cache) -> None:
    shelf = filled(cache)
    places = shelf.find(names(5))
    for number in range(1, shelf_room.MANY + 1):
        filled(cache, first=5 * number)
    assert len(blocks(cache)) == 1
    count = 5 * (shelf_room.MANY + 1)
    assert torch.equal(shelf.stacked(places), rows_of(5))
    assert torch.equal(shelf.stacked(shelf.find(names(count))), rows_of(count))


def test_ragged_rows_are_merged_too(cache: Cache) -> None:
    shelf = cache.shelf(ABOUT)
    for number in range(shelf_room.MANY + 1):
        shelf.add(f"a{number}", (torch.full((number % 3, 2), number, dtype=torch.bfloat16),))
        shelf.write()
    assert len(blocks(cache)) == 1
    for number in range(shelf_room.MANY + 1):
        [leaf] = shelf.row(shelf.find([f"a{number}"])[0])
        assert leaf.tolist() == [[number, number]] * (number % 3)


def test_what_was_not_used_for_longest_is_removed_first(cache: Cache) -> None:
    for cut in range(3):
        filled(cache, cut=cut)
        time.sleep(0.02)
    size = blocks(cache)[0].stat().st_size
    cache.shelf({**ABOUT, "cut": 0}).find(names(1))
    assert cache.folder is not None
    filled(Cache(cache.folder, 3 * size), 1, cut=3)
    assert {shelf["about"]["cut"] for shelf in cache.shelves()} == {0, 2, 3}


def test_the_bound_holds_and_the_newest_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100_000)
    shelf = cache.shelf(ABOUT)
    for first in range(0, 300, 10):
        shelf.add_many(names(10, first), rows_of(10, first))
        assert sum(file.stat().st_size for file in blocks(cache)) <= cache.bound
    shelf.write()
    assert (shelf.find(names(1, 299)) >= 0).all()
    assert (shelf.find(names(1)) == -1).all()


def test_a_row_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1_000)
    shelf = filled(cache)
    assert not blocks(cache)
    assert (shelf.find(names(5)) == -1).all()


def test_room_is_left_on_the_disk(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_room, "SPARE", 1 << 62)
    filled(cache)
    assert not blocks(cache)


def test_a_large_addition_becomes_several_blocks(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_room, "BLOCK", 20_000)
    shelf = filled(cache, 100)
    assert len(blocks(cache)) > 5
    assert all(file.stat().st_size < 25_000 for file in blocks(cache))
    assert torch.equal(shelf.stacked(shelf.find(names(100))), rows_of(100))


def test_only_the_owner_can_read_it(cache: Cache) -> None:
    filled(cache)
    assert cache.folder is not None
    for path in [cache.folder, *cache.folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_cache_that_is_off_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", "OFF")
    shelf = filled(the_cache())
    assert not shelf.keeps
    assert (shelf.find(names(5)) == -1).all()
    assert the_cache().shelves() == []
    assert the_cache().clear() == 0


def test_a_folder_that_cannot_be_made_keeps_nothing_quietly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache")
    shelf = filled(cache)
    assert not shelf.keeps
    assert (shelf.find(names(5)) == -1).all()
    assert cache.shelves() == []
    assert cache.clear() == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_keeps_nothing_quietly(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not filled(Cache(tmp_path)).keeps


def test_a_disk_that_refuses_ends_the_keeping_and_nothing_else(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = filled(cache)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    shelf.add_many(names(5, 5), rows_of(5, 5))
    shelf.write()
    assert not shelf.keeps
    assert cache.folder is not None
    assert not list(cache.folder.glob("*/*.part"))
    assert (shelf.find(names(10))[:, 0] >= 0).tolist() == [True] * 5 + [False] * 5


def test_clear_removes_what_is_ours_and_nothing_else(cache: Cache) -> None:
    filled(cache)
    assert cache.folder is not None
    (cache.folder / "photos").mkdir()
    (cache.folder / "photos" / f"mine{SUFFIX}").write_text("not ours")
    next(cache.folder.glob("*/about.json")).with_name("left.part").write_text("by a killed writer")
    assert cache.clear() > rows_of(5).nbytes
    assert [path.relative_to(cache.folder).as_posix() for path in sorted(cache.folder.rglob("*"))] == [
        "photos",
        f"photos/mine{SUFFIX}",
    ]


def test_what_a_killed_writer_left_is_removed_when_it_is_old(cache: Cache) -> None:
    filled(cache)
    old, new = (blocks(cache)[0].with_name(name) for name in ("old.part", "new.part"))
    for part in (old, new):
        part.write_text("half")
    os.utime(old, (0, time.time() - folders.FRESH - 1))
    filled(cache, first=5)
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20_000_000_000), ("500 mb", 500_000_000), ("1.5k", 1500), ("7", 7), ("0", 0)]
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["much", "-1GB", "20 PB", "GB", "1e9", "nan", "٣GB"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(OptionError, match="HEADSTART_CACHE_SIZE is no size"):
        read_size(text)


def test_the_environment_says_where_and_how_much(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    monkeypatch.setenv("HEADSTART_CACHE_SIZE", "3GB")
    assert the_cache() == Cache(tmp_path, 3_000_000_000)
    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.delenv("HEADSTART_CACHE_SIZE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert the_cache() == Cache(tmp_path / "headstart", 10_000_000_000)


def test_the_command_shows_and_clears(
    headstart: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    filled(the_cache(), 1234)
    said = headstart("cache")
    assert said.code == 0
    for words in ("wordllama", "fp32", "1,234", "1.5 MB of at most 10 GB", str(tmp_path)):
        assert words in said.out
    answer = headstart("cache", "--json").json
    assert answer["schema"] == "headstart.cache/1"
    assert answer["folder"] == str(tmp_path)
    assert answer["cleared"] == 0
    [shelf] = answer["shelves"]
    assert (shelf["about"], shelf["examples"], shelf["blocks"]) == (ABOUT, 1234, 1)
    assert shelf["bytes"] == answer["bytes"] > 1_000_000
    cleared = headstart("cache", "--clear", "--json").json
    assert (cleared["cleared"], cleared["bytes"], cleared["shelves"]) == (answer["bytes"], 0, [])
    assert "removed 0 B" in headstart("cache", "--clear").out
    assert not list(tmp_path.iterdir())


def test_the_command_says_when_it_is_off(headstart: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", "off")
    assert "the cache is off" in headstart("cache").out
    assert headstart("cache", "--json").json["folder"] is None


def test_the_command_says_what_is_no_size(headstart: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE_SIZE", "plenty")
    said = headstart("cache", "--json")
    assert said.code == 2
    assert said.json["problem"] == "HEADSTART_CACHE_SIZE is no size."
    assert said.json["got"] == "plenty"


def test_the_command_and_an_empty_search_load_no_torch(tmp_path: Path) -> None:
    filled(Cache(tmp_path))
    code = (
        "import sys\nfrom headstart.cli import app\n"
        "try:\n    app(['cache'])\nexcept SystemExit:\n    pass\n"
        "from headstart.cache import the_cache\n"
        "the_cache().shelf({'cut': 5}).find(['a'])\n"
        "print('torch' in sys.modules)"
    )
    told = {**os.environ, "HEADSTART_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=told)
    assert done.stdout.splitlines()[-1] == "False"
    assert "wordllama" in done.stdout


def write_for_ever(folder: Path, first: int, count: int) -> None:
    """Add rows, a block of five at a time; merging comes early, so that it is killed too."""
    shelf_room.MANY = 6
    shelf = Cache(folder).shelf(ABOUT)
    for start in range(first, first + count, 5):
        shelf.add_many(names(5, start), rows_of(5, start))
        shelf.write()


def found_right(folder: Path, count: int) -> int:
    """Check that whatever is found is right; return how much is found."""
    shelf = Cache(folder).shelf(ABOUT)
    places = shelf.find(names(count))
    found = np.flatnonzero(places[:, 0] >= 0)
    if len(found):
        assert torch.equal(shelf.stacked(places[found]), rows_of(count)[found])
    return len(found)


def whole_and_right(folder: Path, count: int) -> int:
    """Check also that no block was torn; return how much is found."""
    files = blocks(Cache(folder))
    number = found_right(folder, count)
    assert set(files) == set(blocks(Cache(folder))), "a block was torn"
    return number


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    writers = [FORKS.Process(target=write_for_ever, args=(tmp_path, first, 200)) for first in (0, 200)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found_right(tmp_path, 400)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert whole_and_right(tmp_path, 400) == 400
    assert not list(tmp_path.glob("*/*.part"))


@pytest.mark.parametrize("count", [1, 2], ids=["one writer", "two writers"])
def test_writers_killed_at_any_moment_leave_nothing_torn(tmp_path: Path, count: int) -> None:
    chance = random.Random(count)
    before = 0
    for _ in range(5):
        files = set(blocks(Cache(tmp_path)))
        spans = [(tmp_path, 50_000 * number, 50_000) for number in range(count)]
        writers = [FORKS.Process(target=write_for_ever, args=span) for span in spans]
        for writer in writers:
            writer.start()
        while set(blocks(Cache(tmp_path))) == files:
            assert any(writer.is_alive() for writer in writers)
            time.sleep(0.005)
        time.sleep(0.2 * chance.random())
        for writer in writers:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        now = whole_and_right(tmp_path, 50_000 * count)
        assert now >= before
        before = now
    assert before > 0


def test_a_large_shelf_takes_little_memory(tmp_path: Path) -> None:
    """50,000 rows of 2,560 bytes: 128 MB on the disk, of which next to nothing is held."""
    code = (
        "import torch\nfrom pathlib import Path\nfrom headstart.cache import Cache\n"
        "def anonymous():\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('RssAnon')) / 1000\n"
        "names, rows = [str(n) for n in range(50_000)], torch.ones(1_000, 1_280, dtype=torch.bfloat16)\n"
        f"shelf = Cache(Path({str(tmp_path)!r})).shelf({{}})\n"
        "for start in range(0, 50_000, 1_000):\n    shelf.add_many(names[start : start + 1_000], rows)\n"
        "shelf.write()\n"
        "del shelf\n"
        "before = anonymous()\n"
        f"shelf = Cache(Path({str(tmp_path)!r})).shelf({{}})\n"
        "places = shelf.find(names)\n"
        "assert (places >= 0).all()\n"
        "parts = (shelf.stacked(places[start : start + 500]) for start in range(0, 50_000, 500))\n"
        "total = sum(part.float().sum().item() for part in parts)\n"
        "assert total == 64_000_000\n"
        "print(anonymous() - before)\n"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux says what memory is anonymous")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 40
