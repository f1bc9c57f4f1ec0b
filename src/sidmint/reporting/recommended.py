"""What the ids are worth to a recommender: by segment, and user by user beside the champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from sidmint.evaluation.user_split import BROKEN_SPLIT
from sidmint.reporting.drawing import HEIGHT, INK, TOKENIZER, Chart, panel, plain_ticks
from sidmint.reporting.forest import difference_in_words
from sidmint.reporting.svg import PLACEHOLDERS
from sidmint.reporting.tables import MINUS, NOTHING, Table, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sidmint.reporting.run import Candidate

_METRIC = "ndcg_at_10"
_ROW_INCHES, _ROOM_INCHES = 0.22, 0.7


@dataclass(frozen=True)
class RecommendedView:
    """Sentences, the candidate's own figures, and what differs from the champion's."""

    words: tuple[str, ...]
    by_segment: Table
    comparison: Table | None
    split: Table | None
    forest: Chart | None


def recommended_view(candidate: Candidate, anchor: str) -> RecommendedView | None:
    """The view of one candidate; None where no recommender was trained."""
    if candidate.recommended is None:
        return None
    compared = candidate.comparison
    return RecommendedView(
        words=(_in_general(candidate), *(_detectable(compared) if compared is not None else ())),
        by_segment=_by_segment(candidate.recommended),
        comparison=None if compared is None else _comparison(compared),
        split=None if compared is None else _split(compared),
        forest=None if compared is None else _forest(compared, anchor),
    )


def _in_general(candidate: Candidate) -> str:
    metrics = candidate.metrics
    spread = metrics.get("recommend_ndcg_spread")
    over = f" (± {number(spread)} over seeds)" if spread is not None else ""
    said = (
        f"Trained on these ids, the recommender finds {metrics['recommend_hr_at_10']:.1%} of "
        f"{number(metrics['num_recommend_cases'])} held-out events among its first ten items; "
        f"NDCG@10 {number(metrics['recommend_ndcg_at_10'])}{over}."
    )
    if "recommend_history_effect" in metrics:
        effect = number(metrics["recommend_history_effect"])
        said += (
            f" What a user did moves its predictions by {effect}"
            f" nats; 2,000 users get {number(metrics['recommend_distinct_items'])} different items."
        )
    return said


def _by_segment(table: pl.DataFrame) -> Table:
    """Empty segments too, with their n = 0."""
    heads = ["segment", "items", "cases", "HR@10", "NDCG@10"]
    names = ("num_items", "num_cases", "hr_at_10", "ndcg_at_10")
    rows = [
        [row["segment"].replace("_", " "), *(number(row[name]) for name in names)]
        for row in table.iter_rows(named=True)
    ]
    return Table(heads, rows)


def _comparison(compared: pl.DataFrame) -> Table:
    heads = ["segment", "users", "champion", "candidate", "difference", "95 % interval", "outcome"]
    rows = [
        [
            row["segment"].replace("_", " "),
            number(row["num_users"]),
            number(row["champion"]),
            number(row["candidate"]),
            _signed(row["difference"]),
            _range(row["low"], row["high"]),
            row["outcome"] if row["num_users"] else "no case",
        ]
        for row in _of_metric(compared)
    ]
    return Table(heads, rows)


def _split(compared: pl.DataFrame) -> Table:
    heads = ["segment", "uplift of a split", "95 % interval", "p after Holm", "least it can see"]
    rows = [
        [
            row["segment"].replace("_", " "),
            _signed(row["split_difference"]),
            _range(row["split_low"], row["split_high"]),
            NOTHING if row["split_p_value"] is None else f"{row['split_p_value']:.3f}",
            _relative(row["detectable_split"], row["champion"]),
        ]
        for row in _of_metric(compared)
    ]
    return Table(heads, rows)


def _detectable(compared: pl.DataFrame) -> tuple[str, ...]:
    """What a test online could have shown of the same users, and what it could not."""
    row = next(iter(_of_metric(compared)))
    if not row["champion"]:
        return ()
    split = _relative(row["detectable_split"], row["champion"])
    paired = _relative(row["detectable_paired"], row["champion"])
    uplift = _relative_range(row["split_relative_low"], row["split_relative_high"])
    found = f" and found a change of {uplift}" if uplift != NOTHING else ""
    is_even = row["sample_ratio_p_value"] >= BROKEN_SPLIT
    sides = "are even" if is_even else "differ in number by more than chance, which breaks it"
    return (
        f"A split of these {number(row['num_users'])} users in two halves can see a change of "
        f"{split} in NDCG@10, not less; the paired comparison of the same users sees {paired}. "
        f"The split shown gave one half of them the candidate{found}; its sides {sides} "
        f"(chi-square, p = {number(row['sample_ratio_p_value'])}). "
        f"Intervals hold the variance of {row['holds']}.",
    )


def _forest(compared: pl.DataFrame, anchor: str) -> Chart | None:
    rows = [row for row in _of_metric(compared) if row["num_users"]]
    if not rows:
        return None

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=INK, linewidth=1.0)
        for place, row in enumerate(rows):
            sure = row["outcome"] in ("better", "worse")
            axes.plot([row["low"], row["high"]], [place, place], color=TOKENIZER, linewidth=1.4)
            face = TOKENIZER if sure else PLACEHOLDERS["page"]
            axes.plot(
                [row["difference"]],
                [place],
                color=TOKENIZER,
                marker="o",
                markersize=4.5,
                markerfacecolor=face,
            )
        axes.set_yticks(range(len(rows)), [row["segment"].replace("_", " ") for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.margins(x=0.08)
        axes.set_xlabel(f"candidate {MINUS} champion")
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.locator_params(axis="x", nbins=4)
        plain_ticks(axes.xaxis)

    label = "NDCG@10 of the recommender, candidate minus champion: " + "; ".join(
        f"{row['segment']} {_signed(row['difference'])} ({_range(row['low'], row['high'])}), "
        f"{row['outcome']}"
        for row in rows
    )
    height = max(HEIGHT, _ROOM_INCHES + _ROW_INCHES * len(rows))
    drawn = panel("NDCG@10, candidate minus champion", f"{anchor}-worth", label, draw, height)
    return Chart((drawn,), ())


def _of_metric(compared: pl.DataFrame) -> list[dict[str, Any]]:
    return compared.filter(pl.col("metric") == _METRIC).to_dicts()


def _signed(value: float | None) -> str:
    return NOTHING if value is None else difference_in_words(value)


def _range(low: float | None, high: float | None) -> str:
    return NOTHING if low is None or high is None else f"{_signed(low)} to {_signed(high)}"


def _relative_range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return NOTHING
    return f"{low:+.0%} to {high:+.0%}".replace("-", MINUS)


def _relative(value: float | None, base: float | None) -> str:
    return NOTHING if value is None or not base else f"+{value / base:.0%}"
