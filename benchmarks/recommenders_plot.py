"""docs/recommenders.svg: NDCG@10 of every row of the file-order tables, a panel a catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

Group = tuple[str, str, list[float]]
"""What the row is called, its kind, NDCG@10 by seed."""

KINDS = {
    "learned": ("#1f5fa8", "ids of a learned tokenizer"),
    "control": ("#b0793a", "ids of a control"),
    "no ids": ("#7a7a7a", "no ids"),
}


def write_plot(
    groups: Mapping[str, Sequence[Group]], printed: Mapping[str, float], path: Path
) -> None:
    """A point a seed, a ring at their mean, the best on top; the same groups, the same bytes.

    `groups` by catalogue, `printed` what TIGER's paper reaches there.
    """
    found = [value for members in groups.values() for group in members for value in group[2]]
    most = 1.05 * max(*found, *printed.values())
    heights = [len(members) for members in groups.values()]
    style = {"svg.hashsalt": "sidmint", "svg.fonttype": "none", "font.size": 9}
    with plt.style.context(["default", style]):
        figure, panels = plt.subplots(
            1,
            len(groups),
            figsize=(4.6 * len(groups), 0.9 + 0.24 * max(heights)),
            sharex=True,
            squeeze=False,
            layout="constrained",
        )
        for axes, (catalogue, members) in zip(panels[0], groups.items(), strict=True):
            _draw(axes, catalogue, members, printed.get(catalogue), most)
        marks = [
            Line2D([], [], marker="o", linestyle="", color=colour, label=label)
            for colour, label in KINDS.values()
        ]
        marks.append(Line2D([], [], linestyle="--", color="#444444", label="TIGER's paper"))
        figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)


def _draw(
    axes: Axes, catalogue: str, members: Sequence[Group], printed: float | None, most: float
) -> None:
    ranked = sorted(members, key=lambda group: (float(np.mean(group[2])), group[0]))
    for place, (_, kind, values) in enumerate(ranked):
        colour = KINDS[kind][0]
        axes.plot([0, np.mean(values)], [place, place], color=colour, linewidth=1, alpha=0.35)
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=3)
        axes.plot(np.mean(values), place, "o", markersize=7, markerfacecolor="none", color=colour)
    if printed is not None:
        axes.axvline(printed, linestyle="--", linewidth=1, color="#444444")
    axes.set_yticks(range(len(ranked)), [name for name, _, _ in ranked])
    axes.set_xlim(0, most)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("NDCG@10")
    axes.set_title(catalogue.capitalize(), loc="left", fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
