"""Ranking against the truth: what `rank` says of sources on a part of a set, and what they come to on the rest.

Run `python -m benchmarks.truth`: every (set, trial) that `results/truth.jsonl` lacks is run and appended; with
`--tuned` fine-tuning too. A trial holds out a fifth of a set at random and ranks sources on the other examples; the
truth is how often a probe on these, or a network fine-tuned on them, answers what was held out. Two sources differ in
truth where their mean answers to each example, over all trials that held it out, do (a paired t test over units).
"""

from __future__ import annotations

import argparse
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import headstart as hs
from benchmarks import ours
from benchmarks.sets import root, rows
from benchmarks.speed import weights
from headstart.adaptation import adapt_to
from headstart.backbones.backbone import Backbone
from headstart.backbones.sources import load_backbone
from headstart.baselines import classical, majority
from headstart.checkpoints import Checkpoints
from headstart.data import Dataset
from headstart.frozen.execution import EXACT
from headstart.frozen.features import features_at
from headstart.ground import begin
from headstart.paired import difference_of_means
from headstart.progress import silent
from headstart.ranking.contenders import Read, at_speed, begun, lightest, rank_of, read_at, standing, without_transfer
from headstart.ranking.judgement import TRANSFER, UNCLEAR, Overlap, advise
from headstart.ranking.outlook import outlook
from headstart.ranking.pools import Variant
from headstart.ranking.standings import gain_over, optimism, told_apart
from headstart.strategies import FineTune, FromScratch, Probe
from headstart.strategies.probe import fit_probe

RESULTS = Path(__file__).parent / "results" / "truth.jsonl"
TRIALS, TUNINGS, SEED = 10, 3, 0
HELD_OUT = 0.2
POOL = 2_000
RESAMPLES = 10_000
SETS = {
    "image": ("cifar10_small", "flowers5", "weather4", "chest_xray", "hymenoptera"),
    "text": ("customer_reviews", "sst2", "trec", "sms_spam", "medical_abstracts", "airline_tweets"),
}
SOURCES = {
    "image": (
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
        "efficientnet_lite0@6",
        "efficientnet_lite0/128px",
        "taught flowers5",
        "taught weather4",
    ),
    "text": ("minilm_l6", "minilm_l6_sre", "wordllama", "minilm_l6@2", "taught sst2", "taught trec"),
}
TUNED = {"image": ("efficientnet_lite0", "efficientnet_lite1"), "text": ("minilm_l6", "minilm_l6_sre")}
RANDOM = "random weights"
TARGET = {"airline_tweets": "sentiment"}


@dataclass(frozen=True, eq=False)
class Trial:
    """What is learned from, and what is held out."""

    learned: Dataset
    rest: Dataset


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--sets", nargs="*", default=[name for names in SETS.values() for name in names])
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--tuned", action="store_true", help="fine-tune too")
    parser.add_argument("--report", action="store_true", help="only say what the results show")
    chosen = parser.parse_args()
    if not chosen.report:
        for name in chosen.sets:
            _run(chosen.results, name, chosen.trials)
            if chosen.tuned:
                _tune(chosen.results, name)
    report(chosen.results)


@cache
def pool(name: str) -> Dataset:
    """Return all examples of a set, or two thousand of them."""
    folder = root() / name
    if (folder / "train").is_dir():
        given = rows(name, 0)
        pairs = [*zip(*given.train, strict=True), *zip(*given.test, strict=True)]
        whole = hs.read(pairs, task="classification")
    else:
        whole = hs.read(next((root() / name).glob("*.csv")), input="text", target=TARGET.get(name, "label"))
    order = np.random.default_rng(0).permutation(len(whole))[:POOL]
    taken = whole.take(np.sort(order))
    return replace(taken, given=None, names=tuple(map(str, range(len(taken)))))


def trial(name: str, number: int) -> Trial:
    """Hold out a part of a set, copies and near-duplicates whole."""
    return Trial(*pool(name).split(test=HELD_OUT, seed=1000 + number))


@cache
def source(name: str) -> Backbone:
    """Return a source: by its name, or taught on another set here, once."""
    if not name.startswith("taught "):
        return load_backbone(name)
    other = name.removeprefix("taught ")
    saved = weights.place() / f"{other}.headstart"
    if not saved.exists():
        given = rows(other, 0)
        hs.adapt(ours.read(given).given_part("train"), strategy=FineTune()).save(saved)
    loaded = load_backbone(str(saved))
    return replace(loaded, card=replace(loaded.card, name=name))


def sources(name: str) -> list[Variant]:
    """Return the sources for a set: none that was taught on it."""
    found = [Variant.of(one) for one in SOURCES[pool(name).modality] if one != f"taught {name}"]
    return [Variant(source(str(one.source)), one.cut) for one in found]


def _run(results: Path, name: str, trials: int) -> None:
    done = {(one["set"], one["trial"]) for one in _lines(results) if one["kind"] == "rank"}
    if not any(one["kind"] == "pool" and one["set"] == name for one in _lines(results)):
        _append(results, {"kind": "pool", "set": name, "units": pool(name).units.tolist()})
    for number in range(trials):
        if (name, number) not in done:
            line = _ranked(name, number)
            _append(results, {"kind": "rank", "set": name, "trial": number, **line})
            print(name, number, line["first"], line["advice"], flush=True)


def _ranked(name: str, number: int) -> dict[str, Any]:
    """Return what is said of the sources on the labels of a trial, and how they do on the rest."""
    drawn = trial(name, number)
    seen: list[Read] = []
    for one in sources(name):
        seen += read_at(at_speed(begun(drawn.learned, one.source, SEED, silent, [one.cut])), [one.cut], [])
    blank = lightest([one.ground for one in seen])
    rivals = without_transfer(blank, [])
    found = standing([*(one.contender for one in seen), *rivals])
    right = [_probed(one, drawn) for one in seen]
    right += [_blank(blank.backbone, drawn), _classical(drawn), _commonest(drawn)]
    best, rival = (min((one for one in found if one.transfers is side), key=rank_of) for side in (True, False))
    own, other = found.index(best), found.index(rival)
    gain = gain_over(np.stack([one.errors for one in found]), best.units, own, other)
    said = advise(gain, len(np.unique(best.units)), source="", without="", metric="", overlap=Overlap("unknown"))
    told = [outlook(one.ground, one.fitted, one.contender.errors, one.cut, len(drawn.rest)) for one in seen]
    chosen = next(one for one in seen if one.contender.label == best.label)
    lucky = optimism(np.stack([one.contender.errors for one in seen]), best.units)
    first = outlook(chosen.ground, chosen.fitted, best.errors, chosen.cut, len(drawn.rest), lucky)
    surely = told_apart(np.stack([one.errors for one in found]), found[0].units)
    claims = [
        [one, other, int(surely[one, other]) - int(surely[other, one])]
        for one, other in combinations(range(len(found)), 2)
    ]
    return {
        "names": [one.label for one in found],
        "transfers": [one.transfers for one in found],
        "errors": [round(float(one.errors.mean()), 5) for one in found],
        "truth": [round(float(one.mean()), 5) for one in right],
        "held": _packed(_among(drawn.rest, np.ones(len(drawn.rest), dtype=bool), len(pool(name)))),
        "right": [_packed(_among(drawn.rest, one, len(pool(name)))) for one in right],
        "claims": claims,
        "first": best.label,
        "tied": [one.label for one in found if one.standing is not None and one.standing.ties],
        "advice": said.word,
        "first outlook": [first.probe.low, first.probe.value, first.probe.high],
        "outlooks": [[one.probe.low, one.probe.value, one.probe.high] for one in told],
        "tuned outlooks": [None if (own := one.tuned) is None else [own.low, own.value, own.high] for one in told],
    }


def _among(rest: Dataset, is_so: np.ndarray, n: int) -> np.ndarray:
    """Return (n,) of a whole pool where something is so of what was held out."""
    found = np.zeros(n, dtype=bool)
    found[np.array(rest.names, dtype=np.int64)] = is_so
    return found


def _packed(bits: np.ndarray) -> str:
    return b64encode(np.packbits(bits).tobytes()).decode()


def _unpacked(word: str, n: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(b64decode(word), dtype=np.uint8))[:n].astype(bool)


def _probed(one: Read, drawn: Trial) -> np.ndarray:
    """Tell (n,) which of the rest a source's probe answers rightly."""
    (features,) = features_at(
        one.ground.backbone, drawn.rest.inputs, [one.cut], execution=one.ground.execution, contents=drawn.rest.contents
    )
    return _right(one.ground.task, one.ground.task.outputs(one.fitted.head.logits(features)), drawn)


def _blank(backbone: Backbone, drawn: Trial) -> np.ndarray:
    random = FromScratch().begin(backbone, SEED)
    kept = replace(EXACT, cached=True)
    learned, rest = (
        features_at(random, part.inputs, [None], execution=kept, contents=part.contents)[0]
        for part in (drawn.learned, drawn.rest)
    )
    task = begin(drawn.learned, None, random, SEED, Checkpoints(), silent).task
    fitted = fit_probe(Probe(), learned, drawn.learned, None, task, seed=SEED)
    return _right(task, task.outputs(fitted.head.logits(rest)), drawn)


def _classical(drawn: Trial) -> np.ndarray:
    task = drawn.learned.task
    return _right(task, classical(drawn.learned, drawn.rest, task), drawn)


def _commonest(drawn: Trial) -> np.ndarray:
    task = drawn.learned.task
    return _right(task, majority(drawn.learned, task, len(drawn.rest)), drawn)


def _right(task: Any, outputs: np.ndarray, drawn: Trial) -> np.ndarray:
    return np.asarray(task.decide(outputs) == task.encode(drawn.rest.values))


def _tune(results: Path, name: str) -> None:
    """Fine-tune a third of the sources on the labels of the first trials."""
    done = {(one["set"], one["source"], one["trial"]) for one in _lines(results) if one["kind"] == "tuned"}
    for which in TUNED[pool(name).modality]:
        for number in range(TUNINGS):
            if (name, which, number) in done:
                continue
            drawn = trial(name, number)
            (seen,) = read_at(at_speed(begun(drawn.learned, source(which), SEED, silent)), [None], [])
            ours = begin(drawn.learned, None, source(which), number, Checkpoints(), silent)
            model = adapt_to(ours, [FineTune()]).model
            outputs = model.outputs(drawn.rest.inputs, contents=drawn.rest.contents)
            line = {
                "set": name,
                "source": which,
                "trial": number,
                "probe": round(float(_probed(seen, drawn).mean()), 5),
            }
            line |= {"n": len(drawn.rest), "tuned": round(float(_right(model.task, outputs, drawn).mean()), 5)}
            _append(results, {"kind": "tuned", **line})
            print(line, flush=True)


def report(results: Path) -> None:
    """Print what was said beside what is true, with bootstrap intervals over sets."""
    lines = _lines(results)
    units = {one["set"]: np.array(one["units"]) for one in lines if one["kind"] == "pool"}
    ranked = [
        _judged([one for one in lines if one["kind"] == "rank" and one["set"] == name], units[name])
        for name in _sets(lines)
    ]
    for name, one in zip(_sets(lines), ranked, strict=True):
        print(f"{name:18} {one}")
    print("over sets, with 95 % bootstrap intervals over sets:")
    _print("pairs that differ: ordered rightly", ranked, "right", "differing")
    _print("pairs that differ: ordered wrongly", ranked, "wrong", "differing")
    _print("pairs not told apart by the truth: a difference claimed", ranked, "claimed", "level")
    _print("advice right, where it is given", ranked, "advised rightly", "advised")
    _print("advice unclear", ranked, "unclear", "trials")
    _print("probe within its interval", ranked, "covered", "outlooks")
    _print("probe of the first within its interval", ranked, "first covered", "trials")
    _print("regret of the first, in points", ranked, "regret", "trials")
    for modality, names in SETS.items():
        _report_tuned(lines, modality, names)


def _report_tuned(lines: list[dict[str, Any]], modality: str, names: Sequence[str]) -> None:
    """Print what became of the error by fine-tuning, and how often that lay in its interval."""
    own = [one for one in lines if one["kind"] == "tuned" and one["set"] in names]
    if len(own) < 2:
        return
    told = {
        (one["set"], one["trial"], name): ends
        for one in lines
        if one["kind"] == "rank"
        for name, ends in zip(one["names"], one["tuned outlooks"], strict=False)
    }
    ends = [(one["tuned"], told.get((one["set"], one["trial"], one["source"]))) for one in own]
    inside = [low <= tuned <= high for tuned, found in ends if found for low, _, high in [found]]
    ratios = [np.log((1 - one["tuned"] + 0.5 / one["n"]) / (1 - one["probe"] + 0.5 / one["n"])) for one in own]
    print(f"{modality}: log of the error tuned over the probe's: {np.mean(ratios):+.3f} ± {np.std(ratios, ddof=1):.3f}")
    print(f"{modality}: fine-tuning within its interval: {np.mean(inside):.1%} of {len(inside)}")


def _sets(lines: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(one["set"] for one in lines if one["kind"] == "rank"))


def _apart(lines: list[dict[str, Any]], units: np.ndarray) -> dict[tuple[int, int], int]:
    """Return by pair of contenders 1 where the first is better in truth, -1 where the other is, 0 where none is."""
    n = len(units)
    times = np.sum([_unpacked(one["held"], n) for one in lines], axis=0)
    known = times > 0
    right = np.sum([[_unpacked(word, n) for word in one["right"]] for one in lines], axis=0)[:, known] / times[known]
    found = {}
    for one, other in combinations(range(len(right)), 2):
        gap = difference_of_means(right[one], right[other], units[known])
        found[one, other] = int(gap.low > 0) - int(gap.high < 0)
    return found


def _judged(lines: list[dict[str, Any]], units: np.ndarray) -> dict[str, float]:
    """Return the counts of one set, over its trials."""
    truth = np.array([one["truth"] for one in lines])
    transfers = np.array(lines[0]["transfers"])
    found = dict.fromkeys(("right", "wrong", "claimed", "differing", "level", "advised", "advised rightly"), 0.0)
    for (one, other), sign in _apart(lines, units).items():
        said = [claim for line in lines for a, b, claim in line["claims"] if (a, b) == (one, other)]
        if sign:
            found["differing"] += len(said)
            found["right"] += said.count(sign)
            found["wrong"] += said.count(-sign)
        else:
            found["level"] += len(said)
            found["claimed"] += len(said) - said.count(0)
    means = truth.mean(0)
    helps = means[transfers].max() > means[~transfers].max()
    for line in lines:
        if line["advice"] != UNCLEAR:
            found["advised"] += 1
            found["advised rightly"] += (line["advice"] == TRANSFER) == helps
    firsts = [line["names"].index(line["first"]) for line in lines]
    inside = [
        low <= value <= high
        for line in lines
        for (low, _, high), value in zip(line["outlooks"], line["truth"], strict=False)
    ]
    found["trials"], found["unclear"] = len(lines), len(lines) - found["advised"]
    found["first covered"] = sum(
        line["first outlook"][0] <= line["truth"][first] <= line["first outlook"][2]
        for line, first in zip(lines, firsts, strict=True)
    )
    found["outlooks"], found["covered"] = len(inside), sum(inside)
    found["regret"] = sum(_regret(truth, transfers, place, first) for place, first in enumerate(firsts))
    return {name: round(float(value), 2) for name, value in found.items()}


def _regret(truth: np.ndarray, transfers: np.ndarray, place: int, first: int) -> float:
    """Return the points that the first of a trial is behind the best: chosen on half of the other trials, seen on half.

    The best of several noisy means looks better than it is; on trials it was not chosen by it does not.
    """
    others = np.delete(truth, place, axis=0)
    own = np.flatnonzero(transfers)
    halves = others[::2], others[1::2]
    gaps = [
        seen[:, own[chosen[:, own].mean(0).argmax()]].mean() - seen[:, first].mean()
        for chosen, seen in (halves, halves[::-1])
    ]
    return 100 * float(np.mean(gaps))


def _print(words: str, sets: list[dict[str, float]], above: str, below: str) -> None:
    """Print a ratio of sums over sets, with its interval when sets are drawn again."""
    dice = np.random.default_rng(0)
    tops, bottoms = (np.array([one[name] for one in sets]) for name in (above, below))
    drawn = dice.integers(0, len(sets), (RESAMPLES, len(sets)))
    ratios = tops[drawn].sum(1) / np.maximum(bottoms[drawn].sum(1), 1e-9)
    low, high = np.quantile(ratios, [0.025, 0.975])
    scale, unit = (1, "") if above == "regret" else (100, " %")
    value = scale * tops.sum() / max(bottoms.sum(), 1e-9)
    print(f"  {words}: {value:.1f}{unit} [{scale * low:.1f}, {scale * high:.1f}] of {bottoms.sum():.0f}")


def _lines(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()] if results.is_file() else []


def _append(results: Path, line: dict[str, Any]) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
