"""Sources as a person compares them: those there are, how they stand on a target, and what each takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from headstart.screen.terminal import OUT, show_findings, show_notes, table_of
from headstart.tasks import called
from headstart.telling import TITLES, measure_in_words
from headstart.wording import plural

if TYPE_CHECKING:
    from headstart.backbones.listing import Listed
    from headstart.ranking.contenders import Contender
    from headstart.ranking.several import JointRanking
    from headstart.ranking.sources import Ranking
    from headstart.ranking.standings import Standing

ACCURACY, TOP = "accuracy", "top"
SHOWN_WEIGHT = 0.05
"""The weight of a cut from which it is shown."""


def show_backbones(listed: Sequence[Listed]) -> None:
    """Print the catalogue as a table."""
    table = table_of("backbones that install as packages")
    for column in ("name", "reads", "size", "licence", "here"):
        table.add_column(column, no_wrap=True, justify="right" if column == "size" else "left")
    table.add_column("trained on", overflow="fold")
    for one in listed:
        card = one.card
        name = Text(card.name, style="bold" if one.default else "")
        size = f"{card.parameters / 1e6:.1f} M"
        here = "yes" if one.installed else "no"
        origin = f"{card.trained_on} (from {' from '.join(card.lineage)})" if card.lineage else card.trained_on
        table.add_row(name, plural(card.modality), size, Text(card.licence), here, Text(origin))
    OUT.print(table)
    defaults = " and ".join(f"{one.card.name} for {plural(one.card.modality)}" for one in listed if one.default)
    OUT.print(f"default: {defaults}; size in parameters")
    OUT.print("--backbone also takes timm/NAME, hf-hub:ORG/NAME, a local folder, or a model made here (.headstart)")


def show_ranking(ranking: Ranking) -> None:
    """Print how sources stand, where the best one is read best, and whether transfer is worth it."""
    n = f"{ranking.n:,} training examples" + (f" ({ranking.units:,} units)" if ranking.units < ranking.n else "")
    OUT.print()
    OUT.print(Text(ranking.data, style="bold") + Text(f": {ranking.kind} of {ranking.target!r}, {_called(n, ranking)}"))
    show_notes([_called(note, ranking) for note in ranking.notes])
    show_findings(ranking.findings)
    show_contenders(
        ranking, ranking.contenders, "sources, by a linear probe out of fold; = cannot be told from the best"
    )
    if ranking.cuts:
        title = f"{ranking.cuts[0].name} at every cut it can be read at"
        show_contenders(ranking, ranking.cuts, title, by_cut=True)
    OUT.print(Text(f"advice: {ranking.advice.word}", style="bold"))
    for reason in (*ranking.advice.reasons, *ranking.outlook.words):
        OUT.print(f"  {_called(reason, ranking)}")
    if ranking.best_cut is not None:
        weighed = ", ".join(f"{cut} {weight:.0%}" for cut, weight in ranking.weights.items() if weight >= SHOWN_WEIGHT)
        level, more = ranking.deepest_cut, ""
        if level != ranking.best_cut:
            more = f", and as well, as far as can be told, at {_place(level)}"
        elif level != TOP:
            more = ", and surely worse above"
        words = f"a probe reads best at {_place(ranking.best_cut)}{more}"
        OUT.print(f"  {words}; what learning above would bring is not asked")
        OUT.print(Text(f"  of all cuts together they weigh: {weighed}", style="dim"))
    _show_scores(ranking.contenders)
    _show_prices([one for one in ranking.contenders if one.card is not None])


def _called(text: str, ranking: Ranking) -> str:
    return called(text, ranking.kind)


def _place(cut: int | str | None) -> str:
    return "the top" if cut == TOP else f"cut {cut}"


def _behind(standing: Standing, times: int) -> str:
    """Say how far a contender is behind the best, which is none behind itself."""
    value, low, high = (times * end for end in (standing.behind, standing.behind_low, standing.behind_high))
    if low == high:
        return "–"
    return f"{value:.3g} [{low:.2g}, {high:.2g}]" if math.isfinite(low) else f"{value:.3g}"


def _show_scores(contenders: Sequence[Contender]) -> None:
    table = table_of("transferability scores, which decide nothing; larger is better")
    table.add_column("source", overflow="fold")
    table.add_column("score")
    table.add_column("value", justify="right")
    for one in contenders:
        for place, (name, score) in enumerate(one.scores.items()):
            ends = "" if score is None or score.low is None else f" [{score.low:.3f}, {score.high:.3f}]"
            shown = "does not apply" if score is None else f"{score.value:.3f}{ends}"
            table.add_row("" if place else one.label, name, shown)
    if table.row_count:
        OUT.print(table)


def _show_prices(sources: Sequence[Contender]) -> None:
    table = table_of("what the sources are, and what they take: weights, and features of all inputs")
    table.add_column("source", overflow="fold")
    for column in ("parameters", "memory"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("licence", "trained on"):
        table.add_column(column, overflow="fold")
    for one in sources:
        assert one.card is not None
        size = f"{one.card.parameters / 1e6:.1f} M"
        table.add_row(one.label, size, f"{one.memory / 1e6:.0f} MB", Text(one.card.licence), Text(one.card.trained_on))
    OUT.print(table)


def show_rankings(ranking: JointRanking) -> None:
    """Print how sources stand for several targets at once, and for each."""
    OUT.print()
    OUT.print(Text(ranking.data, style="bold") + Text(f": {', '.join(ranking.rankings)}"))
    show_notes(ranking.notes)
    table = table_of("sources, by a linear probe out of fold; the error beside that of guessing, by weight")
    table.add_column("source", overflow="fold")
    for column in ("error", *(f"{target} ×{ranking.weights[target]:g}" for target in ranking.rankings)):
        table.add_column(column, justify="right")
    for place, (name, error) in enumerate(ranking.errors.items()):
        shown = []
        for one in ranking.rankings.values():
            own = next(contender for contender in one.contenders if contender.name == name)
            shown.append(measure_in_words(one.headline, own.measures.get(one.headline)))
        table.add_row(name, f"{error:.3f}", *shown, style="bold" if not place else "")
    OUT.print(table)
    for target, one in ranking.rankings.items():
        OUT.print(f"{target}: {one.advice.word}; {one.advice.reasons[0]}" if one.advice.reasons else target)


def show_contenders(ranking: Ranking, contenders: Sequence[Contender], title: str, *, by_cut: bool = False) -> None:
    """Print how contenders stand, the best first; by cut, those of one source from below."""
    table = table_of(title)
    table.add_column("cut" if by_cut else "source", justify="right" if by_cut else "left", overflow="fold")
    behind = "points behind" if ranking.headline == ACCURACY else "error behind"
    for column in ("rank", TITLES.get(ranking.headline, ranking.headline), behind, "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in contenders:
        assert one.standing is not None
        low, high = one.standing.low, one.standing.high
        place = f"{one.standing.rank}" + (f" [{low}–{high}]" if low < high else "")
        words = [
            place,
            measure_in_words(ranking.headline, one.measures.get(ranking.headline)),
            _behind(one.standing, 100 if ranking.headline == ACCURACY else 1),
            f"{one.seconds:.1f}",
        ]
        name = str(one.cut) if by_cut else one.label
        table.add_row(f"{name} =" if one.standing.ties else name, *words, style="bold" if one.standing.ties else "")
    OUT.print(table)
