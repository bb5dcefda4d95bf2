"""The figures of speed in README.md, made from `results/speed.jsonl`.

Run `python -m benchmarks.figures`: it writes what stands between the two marks; a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.races import RACES
from benchmarks.speed.summary import RESULTS, Spread, ratio, read, standings

README = Path(__file__).parents[1] / "README.md"
HEAD = "## How fast\n\n"
FOOT = "How it is measured, and with which settings of the peers: [benchmarks](benchmarks/README.md).\n\n"
BEGIN, END = "<!-- figures of speed -->", "<!-- end of the figures -->"
LEAST = 5
"""Runs of a contender from which on it is shown: a race may not be at its end yet."""

ISAS = {"native": "", "avx2": ", kept to AVX2 and fp32 as on an older machine"}


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        words: what is done.
        race, case: where it is measured.
        ours: our contender.
        theirs: the peers, as named in the race.
    """

    words: str
    race: str
    case: dict[str, Any]
    ours: str
    theirs: tuple[str, ...]


HYMENOPTERA, SST2 = {"set": "hymenoptera"}, {"set": "sst2"}
FROZEN = ("fastai", "fastai at its best", "plain PyTorch", "plain PyTorch at its best")
PHOTOGRAPHS = {"what": "photographs"}
MANY_TEXTS = {"what": "texts", "set": "sst2", "rows": 5000}
ENCODERS = (
    "sentence-transformers",
    "sentence-transformers at its best",
    "sentence-transformers, openvino",
)
ROWS = (
    Row("397 photographs to a saved, measured probe", "probe", HYMENOPTERA, "headstart", FROZEN),
    Row("the same command again", "probe", HYMENOPTERA, "headstart, second time", FROZEN),
    Row(
        "the upper third fine-tuned, 10 epochs",
        "partial",
        HYMENOPTERA,
        "headstart",
        ("plain PyTorch", "plain PyTorch, bf16"),
    ),
    Row("1,000 texts, 3 epochs, upper half", "texts", SST2, "headstart, upper half", ("Trainer", "Trainer, bf16")),
    Row("1,000 texts, 3 epochs, all of it", "texts", SST2, "headstart, all of it", ("Trainer", "Trainer, bf16")),
    Row("features of photographs", "encode", PHOTOGRAPHS, "headstart", ("timm, fp32", "timm, bf16 channels-last")),
    Row("features of 5,000 texts", "encode", MANY_TEXTS, "headstart", ENCODERS),
)


def main() -> None:
    """Write the figures into the README."""
    before, _, after = parts(README.read_text(encoding="utf-8"))
    README.write_text(f"{before}{BEGIN}\n{block(RESULTS)}{END}{after}", encoding="utf-8")


def parts(words: str) -> tuple[str, str, str]:
    """Return what stands before the first mark, between the marks, and after the second."""
    before, _, rest = words.partition(f"{BEGIN}\n")
    block, _, after = rest.partition(END)
    return before, block, after


def block(results: Path) -> str:
    """Return the section with the tables of every instruction set that was measured, in Markdown; or nothing."""
    tables = "".join(table(read(results, isa), words) for isa, words in ISAS.items()) if results.is_file() else ""
    return f"{HEAD}{tables}{FOOT}" if tables else ""


def table(lines: list[dict[str, Any]], words: str) -> str:
    """Return a table of the runs of one machine, in Markdown; nothing where there are none."""
    rows = [line for row in ROWS for line in _lines(row, lines)]
    if not rows:
        return ""
    where = lines[-1]["machine"]
    head = [
        f"On {where['cores']} cores of {where['cpu']}{words}: medians of {LEAST} or more fresh processes [lowest, "
        "highest], imports included.",
        "",
        "| what | Headstart | a peer | theirs | their time over ours |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, "", ""])


def _lines(row: Row, lines: list[dict[str, Any]]) -> list[str]:
    race = next(one for one in RACES if (one.name, one.case) == (row.race, row.case))
    found = {one.contender: one for one in standings(race, lines) if one.seconds.n >= LEAST}
    if row.ours not in found:
        return []
    written = []
    for name in (name for name in row.theirs if name in found):
        times = ratio(race, lines, row.ours, name)
        ours, theirs = (
            _measure(found[one].others.get("a second"), found[one].seconds, found[one].others.get("accuracy"))
            for one in (row.ours, name)
        )
        written.append(f"| {row.words} | {ours} | {name} | {theirs} | {times} |")
    return written


def _measure(rate: Spread | None, seconds: Spread, accuracy: Spread | None) -> str:
    words = f"{rate.median:,.0f} a second [{rate.low:,.0f}, {rate.high:,.0f}]" if rate else f"{seconds} s"
    return words + (f", {100 * accuracy.median:.1f} % right" if accuracy else "")


if __name__ == "__main__":
    main()
