"""Each candidate beside the champion, case by case: what differs, and how surely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidmint.contracts import NO_LOG, describe_metric
from sidmint.evaluation import Interval
from sidmint.evaluation.hit_rate_intervals import NO_DIFFERENCE, Certainty, Differences, word
from sidmint.reporting.drawing import Chart
from sidmint.reporting.forest import FAMILIES, difference_in_words, forest, range_of
from sidmint.reporting.run import Candidate, PastVersion, Run
from sidmint.reporting.tables import NOTHING, Cell, Row, number


@dataclass(frozen=True)
class Against:
    """Sentences, a table of differences (a row a metric, a cell a candidate) and a forest plot.

    Table and plot are empty and None where nothing can be compared; the sentences say why.
    """

    words: tuple[str, ...]
    rows: list[Row]
    at_cutoff: list[Row]
    """Those of the one K that the page's tables show."""
    forest: Chart | None


def against(
    run: Run, cutoffs: Sequence[int], cutoff: int | None, certainty: Mapping[str, Certainty]
) -> Against | None:
    """How the run stands to its champion; None where there is none."""
    if run.champion is None:
        return None
    version = run.champion.version
    moves = _churn(version, run.candidates)
    if not run.has_log:
        return Against(
            (f"No test case is shared with version {version}: {NO_LOG}.", *moves), [], [], None
        )
    if run.champion_answers is None:
        return Against((_why_unknown(version, run.history), *moves), [], [], None)
    known = {name: each.differences for name, each in certainty.items() if each.differences}
    if not any(each.num_shared for each in known.values()):
        nothing = (
            f"Not one test case is shared with version {version}: it answered for another "
            "catalogue or other users, and no difference can be told from chance."
        )
        return Against((nothing, *moves), [], [], None)
    metrics = [f"{family}_at_{each}" for family in FAMILIES for each in cutoffs]
    shown = [name for name in metrics if any(name in each.by_metric for each in known.values())]
    rows = [_row(name, [each.by_metric.get(name) for each in known.values()]) for name in shown]
    # The candidates of a run answer the same cases: the counts are those of all of them.
    words = _words(
        version, next(iter(known.values())), run.champion_answers.num_items, len(run.items)
    )
    words += tuple(
        f"{name} answered all of them as the champion did."
        for name, each in known.items()
        if each.by_metric and all((d.low, d.high) == (0, 0) for d in each.by_metric.values())
    )
    at_cutoff = [row for row in rows if row.metric.endswith(f"_at_{cutoff}")]
    return Against(words + moves, rows, at_cutoff, forest(known, cutoffs))


def _churn(version: str, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """How many items each candidate gives other codes, and how many were its numbers alone."""
    return tuple(
        f"Of the items that version {version} has too, {each.name} gives other codes to "
        f"{each.metrics['churn']:.1%}; to {each.metrics['aligned_churn']:.1%} if its codes had the "
        "champion's names."
        for each in candidates
        if "churn" in each.metrics
    )


def _row(metric: str, found: Sequence[Interval | None]) -> Row:
    cells = tuple(Cell(NOTHING) if each is None else _cell(metric, each) for each in found)
    return Row(metric, describe_metric(metric).meaning, "", cells)


def _cell(metric: str, found: Interval) -> Cell:
    said = word(metric, found)
    return Cell(
        difference_in_words(found.estimate),
        change=said,
        effect="" if said == NO_DIFFERENCE else said,
        interval=range_of(found),
    )


def _words(version: str, shared: Differences, before: int, now: int) -> tuple[str, ...]:
    """What was compared; `before` and `now` are the items that champion and run searched."""
    said = [
        f"Over the {number(shared.num_shared)} test cases of {number(shared.num_users)} users that "
        f"this run and version {version} both answered: candidate minus champion, with its 95 % "
        "interval over users. At that level one difference in twenty looks real by chance alone."
    ]
    if before != now:
        said.append(
            f"The champion searched {number(before)} items, this run {number(now)}: more items "
            "make every search harder."
        )
    return tuple(said)


def _why_unknown(version: str, history: tuple[PastVersion, ...] | None) -> str:
    if history is not None and version in {past.version for past in history}:
        return (
            f"Version {version} was published without its test cases, by an older release of "
            "sidmint: its differences have no intervals. The next version will have them."
        )
    return (
        f"How version {version} answered each test case is not in this workspace, so its "
        "differences have no intervals; `sidmint run` brings it from the registry."
    )
