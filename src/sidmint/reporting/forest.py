"""The forest plot: differences to the champion with their intervals, about a line at zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sidmint.evaluation import Interval
from sidmint.evaluation.hit_rate_intervals import NO_DIFFERENCE, Differences, word
from sidmint.reporting.drawing import (
    HEIGHT,
    INK,
    Chart,
    Key,
    Panel,
    panel,
    plain_ticks,
    series_role,
)
from sidmint.reporting.svg import PLACEHOLDERS
from sidmint.reporting.tables import MINUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAMILIES = {
    "hr": "Vectors rebuilt from the ids",
    "prefix_hr": "Common prefix alone",
    "retention": "Retention",
}
"""Metrics with an interval, hr_at_K and so on, and what each ranks by."""

_ROW_INCHES, _ROOM_INCHES = 0.13, 0.8


def forest(known: Mapping[str, Differences], cutoffs: Sequence[int]) -> Chart:
    """Difference and interval by cutoff, one panel a family, one colour a candidate.

    Right of the zero line the candidate is better: all three families are better when higher.
    """
    panels = []
    for family, title in FAMILIES.items():
        names = [f"{family}_at_{cutoff}" for cutoff in cutoffs]
        if any(name in each.by_metric for name in names for each in known.values()):
            panels.append(_forest_panel(family, f"{title}: {family}_at_K", names, cutoffs, known))
    keys = [Key(name, series_role(index)) for index, name in enumerate(known)]
    said = {word(n, d) for each in known.values() for n, d in each.by_metric.items()}
    if NO_DIFFERENCE in said:
        keys.append(Key(f"the interval holds 0: {NO_DIFFERENCE}", "muted", mark="○"))
    return Chart(tuple(panels), tuple(keys))


def _forest_panel(
    family: str,
    title: str,
    names: Sequence[str],
    cutoffs: Sequence[int],
    known: Mapping[str, Differences],
) -> Panel:
    spread = 0.56 / max(len(known), 2)

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=INK, linewidth=1.0)
        for index, each in enumerate(known.values()):
            color = PLACEHOLDERS[series_role(index)]
            shift = (index - (len(known) - 1) / 2) * spread
            for place, name in enumerate(names):
                if (found := each.by_metric.get(name)) is not None:
                    hollow = word(name, found) == NO_DIFFERENCE
                    _whisker(axes, found, place + shift, color, hollow)
        axes.set_yticks(range(len(cutoffs)), [str(cutoff) for cutoff in cutoffs])
        axes.set_ylim(len(cutoffs) - 0.5, -0.5)
        axes.margins(x=0.08)
        axes.set_ylabel("cutoff K")
        axes.set_xlabel(f"candidate {MINUS} champion")
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.locator_params(axis="x", nbins=5)
        plain_ticks(axes.xaxis)

    height = max(HEIGHT, _ROOM_INCHES + _ROW_INCHES * len(cutoffs) * len(known))
    label = f"{title}, candidate minus champion: " + "; ".join(
        f"{name} {_in_words(each.by_metric.get(names[-1]))} at {cutoffs[-1]}"
        for name, each in known.items()
    )
    return panel(title, f"forest-{family.replace('_', '-')}", label, draw, height)


def _whisker(axes: Axes, found: Interval, where: float, color: str, hollow: bool) -> None:
    axes.plot([found.low, found.high], [where, where], color=color, linewidth=1.4)
    axes.plot(
        [found.estimate],
        [where],
        color=color,
        marker="o",
        markersize=4.5,
        markerfacecolor=PLACEHOLDERS["page"] if hollow else color,
    )


def difference_in_words(difference: float) -> str:
    """A difference of rates to four decimals, signed: +0.0009; 0.0000 where it rounds to none."""
    rounded = round(difference, 4)
    if rounded == 0:
        return "0.0000" if difference else "0"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):.4f}"


def range_of(found: Interval) -> str:
    """The ends of a difference's interval."""
    return f"{difference_in_words(found.low)} to {difference_in_words(found.high)}"


def _in_words(found: Interval | None) -> str:
    if found is None:
        return "not measured"
    return f"{difference_in_words(found.estimate)} ({range_of(found)})"
