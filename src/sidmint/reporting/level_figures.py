"""What each level does, in figures: codes used, told apart, kept under noise; error left; prefixes.

All take levels.parquet of diagnose, one row a level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sidmint.reporting.drawing import (
    INK,
    MUTED,
    TOKENIZER,
    Chart,
    Key,
    Panel,
    from_zero,
    panel,
    plain_axes,
    whole_number_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sidmint.types import Floats

_CURVE_POINTS = 160
"""A usage curve of 65,536 codes is drawn through this many of them, evenly spaced."""


def usage_curves(usage: pl.DataFrame, levels: pl.DataFrame, name: str) -> Chart:
    """Items a code, codes sorted from fullest to emptiest, one panel a level.

    A flat curve on the dashed line is an even codebook; a spike at the left with a long
    floor is a collapsed one. Codes without any item count as zeros (levels.size of them).
    """
    panels = []
    for level, size in levels.select("level", "size").iter_rows():
        counts = _sorted_counts(usage.filter(pl.col("level") == level), size)
        panels.append(_usage_panel(counts, int(level), f"{name}-usage-{level}"))
    return Chart(
        tuple(panels),
        (Key("items a code, fullest first", "tokenizer"), Key("even share", "muted", "dashed")),
    )


def _sorted_counts(usage: pl.DataFrame, size: int) -> Floats:
    counts = np.zeros(size, dtype=np.float32)
    found = np.sort(usage["num_items"].to_numpy())[::-1][:size]
    counts[: len(found)] = found
    return counts


def _usage_panel(counts: Floats, level: int, name: str) -> Panel:
    chosen = np.unique(np.linspace(0, len(counts) - 1, _CURVE_POINTS).round().astype(int))

    def draw(axes: Axes) -> None:
        axes.fill_between(chosen + 1, counts[chosen], color=TOKENIZER, alpha=0.18, linewidth=0)
        axes.plot(chosen + 1, counts[chosen], color=TOKENIZER)
        axes.axhline(float(counts.mean()), color=MUTED, linestyle="dashed", linewidth=1.0)
        axes.set_xlim(1, len(counts))
        axes.set_ylim(0, max(float(counts.max()) * 1.08, 1.0))
        axes.set_xlabel("codes, fullest first")
        axes.set_ylabel("items")
        plain_axes(axes)
        whole_number_ticks(axes.xaxis)

    label = (
        f"Level {level}: the fullest of {len(counts):,} codes holds {counts.max():,.0f} items, "
        f"an even share would be {counts.mean():,.1f}"
    )
    return panel(f"Level {level}", name, label, draw)


def effective_size_curves(overlap: pl.DataFrame, levels: pl.DataFrame, name: str) -> Chart:
    """Effective codebook size against noise kappa, one panel a level (DRQ eq. 1 and 10).

    The dashed line is the most that usage allows: 1 / sum p^2, the inverse of the floor of
    the overlap rate. What lies between it and the curve is lost to codewords that stand
    too near each other.
    """
    panels = tuple(
        _effective_size_panel(
            overlap.filter(pl.col("level") == level).sort("kappa"), int(level), int(size), name
        )
        for level, size in levels.select("level", "size").iter_rows()
    )
    keys = (
        Key("codes told apart under noise", "tokenizer"),
        Key("most that usage allows (overlap floor)", "muted", "dashed"),
    )
    return Chart(panels, keys)


def _effective_size_panel(sweep: pl.DataFrame, level: int, size: int, name: str) -> Panel:
    kappa, effective = sweep["kappa"].to_numpy(), sweep["effective_codebook_size"].to_numpy()
    ceiling = 1 / float(sweep["distribution_penalty"][0])

    def draw(axes: Axes) -> None:
        axes.axhline(ceiling, color=MUTED, linestyle="dashed", linewidth=1.2)
        axes.plot(kappa, effective, color=TOKENIZER, marker="o", markersize=4)
        axes.set_xscale("log")
        axes.set_xticks(kappa)
        axes.set_ylim(0, max(ceiling, float(effective.max())) * 1.12)
        axes.set_xlabel("noise, kappa")
        axes.set_ylabel("effective codes")
        plain_axes(axes)

    label = (
        f"Level {level}: effective codebook size falls from {effective[0]:,.1f} at kappa "
        f"{kappa[0]:g} to {effective[-1]:,.1f} at kappa {kappa[-1]:g}; usage allows {ceiling:,.1f} "
        f"of {size:,}"
    )
    return panel(f"Level {level}, {size:,} codes", f"{name}-effective-{level}", label, draw)


def robustness_curves(robustness: pl.DataFrame, name: str) -> Chart:
    """Share of items whose codes change under noise kappa, one panel a level.

    `robustness` has a row a level and kappa: changed_code_share is of the code at that level
    alone, changed_prefix_share of all codes up to it.
    """
    panels = tuple(
        _robustness_panel(robustness.filter(pl.col("level") == level).sort("kappa"), level, name)
        for level in robustness["level"].unique().sort().to_list()
    )
    keys = (
        Key("code of this level changed", "tokenizer"),
        Key("prefix up to this level changed", "tokenizer", "dashed"),
    )
    return Chart(panels, keys)


def _robustness_panel(sweep: pl.DataFrame, level: int, name: str) -> Panel:
    kappa, codes = sweep["kappa"].to_list(), sweep["changed_code_share"].to_list()
    prefixes = sweep["changed_prefix_share"].to_list()

    def draw(axes: Axes) -> None:
        axes.plot(kappa, codes, color=TOKENIZER, marker="o", markersize=4)
        axes.plot(kappa, prefixes, color=TOKENIZER, linestyle="dashed", linewidth=1.2)
        axes.set_xscale("log")
        axes.set_xticks(kappa)
        axes.set_ylim(0, 1.04)
        axes.set_xlabel("noise, kappa")
        axes.set_ylabel("share of items")
        plain_axes(axes)

    label = (
        f"Level {level}: the code changes for {codes[0]:.1%} of the items at kappa {kappa[0]:g} "
        f"and for {codes[-1]:.1%} at kappa {kappa[-1]:g}; the prefix for {prefixes[0]:.1%} and "
        f"{prefixes[-1]:.1%}"
    )
    return panel(f"Level {level}", f"{name}-robustness-{level}", label, draw)


def what_levels_add(levels: pl.DataFrame, num_items: int, name: str) -> tuple[Chart, Chart]:
    """Error left after each level, in input and latent space; and prefixes by their length."""
    return _errors(levels, name), _prefixes(levels, num_items, name)


def _errors(levels: pl.DataFrame, name: str) -> Chart:
    panels = []
    for title, ours, latent in (
        ("Relative error", "relative_mse", "latent_relative_mse"),
        ("Cosine with the original", "cosine", "latent_cosine"),
    ):
        label = f"{title} after each level, input vectors " + ", ".join(
            f"{value:.3f}" for value in levels[ours]
        )
        draw = _level_lines(levels, ((ours, INK, "solid"), (latent, TOKENIZER, "dashed")))
        panels.append(panel(title, f"{name}-{ours.replace('_', '-')}", label, draw))
    keys = (Key("input vectors", "ink"), Key("latent vectors", "tokenizer", "dashed"))
    return Chart(tuple(panels), keys)


def _prefixes(levels: pl.DataFrame, num_items: int, name: str) -> Chart:
    # Branchings multiply: exp H(S_1..l) = product of exp H(S_j | S_<j).
    shown = levels.with_columns(pl.col("branching").cum_prod().alias("effective"))
    lines = _level_lines(
        shown, (("num_prefixes", TOKENIZER, "solid"), ("effective", TOKENIZER, "dashed"))
    )

    def draw(axes: Axes) -> None:
        axes.axhline(num_items, color=MUTED, linestyle="dotted", linewidth=1.2)
        lines(axes)
        axes.set_yscale("log")
        axes.set_ylim(1, num_items * 1.6)
        axes.set_xlabel("length of the prefix")
        plain_axes(axes)

    label = f"Prefixes in use by length, of {num_items:,} items: " + ", ".join(
        f"{count:,}" for count in levels["num_prefixes"]
    )
    keys = (
        Key("in use", "tokenizer"),
        Key("effective", "tokenizer", "dashed"),
        Key("items", "muted", "dotted"),
    )
    return Chart((panel("Prefixes by length", f"{name}-prefixes", label, draw),), keys)


def _level_lines(
    levels: pl.DataFrame, lines: tuple[tuple[str, str, str], ...]
) -> Callable[[Axes], None]:
    """Draws columns of `levels` over the levels: (column, colour, dash) each."""

    def draw(axes: Axes) -> None:
        for column, color, dash in lines:
            axes.plot(
                levels["level"], levels[column], color=color, linestyle=dash, marker="o", ms=4
            )
        axes.set_xticks(levels["level"])
        axes.set_xlim(0.8, len(levels) + 0.2)
        from_zero(axes)
        axes.set_xlabel("level")
        plain_axes(axes)

    return draw
