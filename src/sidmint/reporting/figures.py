"""The figures of a tokenizer's section but for its levels, and those of all tokenizers together.

Colours mean the same everywhere: a tokenizer has its own, the original vectors are ink,
a random ranking and every reference line are grey.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    plain_ticks,
    series_role,
)
from sidmint.reporting.svg import PLACEHOLDERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("solid", "dashed", "dotted", "dashdot")


def spectrum(eigenvalues: pl.DataFrame, name: str) -> Chart:
    """Share of variance by principal direction for raw, latent and quantized vectors."""
    styles = {
        "raw": (INK, "ink", "solid"),
        "latent": (TOKENIZER, "tokenizer", "dashed"),
        "quantized": (TOKENIZER, "tokenizer", "solid"),
    }
    present = set(eigenvalues["space"])
    shown = [space for space in styles if space in present]

    def draw(axes: Axes) -> None:
        for space in shown:
            part = eigenvalues.filter(
                (pl.col("space") == space) & (pl.col("eigenvalue_share") > 1e-6)
            ).sort("rank")
            color, _, dash = styles[space]
            axes.plot(part["rank"], part["eigenvalue_share"], color=color, linestyle=dash)
        axes.set_yscale("log")
        axes.set_xlabel("principal direction")
        plain_axes(axes)

    label = "Share of variance by principal direction, " + ", ".join(shown)
    keys = tuple(Key(f"{space} vectors", *styles[space][1:]) for space in shown)
    return Chart((panel("Share of variance by direction", f"{name}-spectrum", label, draw),), keys)


def hit_rates(rates: pl.DataFrame, name: str) -> Chart:
    """Item-to-item hit rate by cutoff: original vectors, reconstructions, prefix, random."""
    styles = {
        "original": (INK, "ink", "solid", "original vectors"),
        "reconstructed": (TOKENIZER, "tokenizer", "solid", "vectors rebuilt from the ids"),
        "prefix": (TOKENIZER, "tokenizer", "dashed", "common prefix alone"),
        "random": (MUTED, "muted", "dotted", "random ranking"),
    }
    present = set(rates["space"])
    shown = [space for space in styles if space in present]

    def draw(axes: Axes) -> None:
        for space in shown:
            part = rates.filter(pl.col("space") == space).sort("k")
            color, _, dash, _ = styles[space]
            axes.plot(part["k"], part["hit_rate"], color=color, linestyle=dash, marker="o", ms=3.5)
        _cutoff_axis(axes, rates)

    label = "Hit rate by cutoff: " + "; ".join(
        f"{styles[space][3]} {_last(rates, space):.3f} at the largest cutoff" for space in shown
    )
    keys = tuple(Key(styles[s][3], styles[s][1], styles[s][2]) for s in shown)
    return Chart((panel("By cutoff", f"{name}-hits", label, draw),), keys)


def hit_rates_together(rates: Mapping[str, pl.DataFrame]) -> Chart:
    """Hit rate of the reconstructed vectors of every tokenizer, beside the original ones."""
    first = next(iter(rates.values()))

    def draw(axes: Axes) -> None:
        for space, color, dash in (("original", INK, "solid"), ("random", MUTED, "dotted")):
            part = first.filter(pl.col("space") == space).sort("k")
            axes.plot(part["k"], part["hit_rate"], color=color, linestyle=dash)
        for index, frame in enumerate(rates.values()):
            part = frame.filter(pl.col("space") == "reconstructed").sort("k")
            color = PLACEHOLDERS[series_role(index)]
            axes.plot(part["k"], part["hit_rate"], color=color, marker="o", ms=3.5)
        _cutoff_axis(axes, first)

    keys = [Key("original vectors", "ink")]
    keys += [Key(name, series_role(index)) for index, name in enumerate(rates)]
    keys.append(Key("random ranking", "muted", "dotted"))
    label = "Hit rate by cutoff of every tokenizer: " + "; ".join(
        f"{name} {_last(frame, 'reconstructed'):.3f}" for name, frame in rates.items()
    )
    return Chart((panel("Item-to-item hit rate", "all-hits", label, draw),), tuple(keys))


def levels_together(levels: Mapping[str, pl.DataFrame], column: str, title: str) -> Chart:
    """One column of levels.parquet for every tokenizer, over the levels."""

    def draw(axes: Axes) -> None:
        for index, frame in enumerate(levels.values()):
            color = PLACEHOLDERS[series_role(index)]
            axes.plot(frame["level"], frame[column], color=color, marker="o", ms=4)
        deepest = max(int(frame["level"].max()) for frame in levels.values())  # type: ignore[arg-type]
        axes.set_xticks(range(1, deepest + 1))
        axes.set_xlim(0.8, deepest + 0.2)
        from_zero(axes)
        axes.set_xlabel("level")
        plain_axes(axes)

    label = f"{title}: " + "; ".join(
        f"{name} {', '.join(f'{value:,.3g}' for value in frame[column])}"
        for name, frame in levels.items()
    )
    keys = tuple(Key(name, series_role(index)) for index, name in enumerate(levels))
    return Chart((panel(title, f"all-{column.replace('_', '-')}", label, draw),), keys)


def segment_bars(segments: pl.DataFrame, cutoff: int, name: str) -> Chart:
    """Hit rate at `cutoff` of original and reconstructed vectors, segment by segment."""
    shown = segments.filter(pl.col("num_cases") > 0)
    where = np.arange(len(shown))

    def draw(axes: Axes) -> None:
        for offset, column, color in (
            (-0.19, f"hr_original_at_{cutoff}", INK),
            (0.19, f"hr_at_{cutoff}", TOKENIZER),
        ):
            axes.bar(where + offset, shown[column].fill_null(0.0), width=0.34, color=color)
        axes.set_xticks(where, shown["segment"].to_list())
        axes.set_ylabel(f"hit rate @ {cutoff}")
        from_zero(axes)
        plain_ticks(axes.yaxis)

    label = f"Hit rate at {cutoff} by segment: " + "; ".join(
        f"{row['segment']} {row[f'hr_at_{cutoff}'] or 0:.3f}" for row in shown.iter_rows(named=True)
    )
    keys = (Key("original vectors", "ink"), Key("vectors rebuilt from the ids", "tokenizer"))
    return Chart((panel(f"By segment, cutoff {cutoff}", f"{name}-segments", label, draw),), keys)


def training_curves(curve: pl.DataFrame, name: str) -> Chart:
    """What training wrote by step, one panel a quantity, its levels as dash styles."""
    families: dict[str, list[str]] = {}
    for metric in sorted(curve["metric"].unique()):
        families.setdefault(re.sub(r"_\d+$", "", metric), []).append(metric)
    panels = tuple(
        _training_panel(curve, family, members, name) for family, members in families.items()
    )
    deepest = max((len(members) for members in families.values()), default=1)
    keys = tuple(
        Key(f"level {level + 1}", "tokenizer", _DASHES[level % len(_DASHES)])
        for level in range(deepest)
        if deepest > 1
    )
    return Chart(panels, keys)


def _training_panel(curve: pl.DataFrame, family: str, members: Sequence[str], name: str) -> Panel:
    lines = [curve.filter(pl.col("metric") == member).sort("step") for member in members]

    def draw(axes: Axes) -> None:
        for index, line in enumerate(lines):
            marker = "o" if len(line) == 1 else None
            axes.plot(
                line["step"],
                line["value"],
                color=TOKENIZER,
                linestyle=_DASHES[index % len(_DASHES)],
                linewidth=1.5,
                marker=marker,
            )
        axes.set_xlabel("step")
        if axes.dataLim.height == 0:  # a constant: no range to zoom into
            from_zero(axes)
        plain_axes(axes)

    ends = ", ".join(f"{line['value'][-1]:.4g}" for line in lines)
    label = f"{family} by training step, ending at {ends}"
    safe = re.sub(r"[^a-z0-9]+", "-", family.lower())
    return panel(family.replace("_", " "), f"{name}-training-{safe}", label, draw)


def _cutoff_axis(axes: Axes, rates: pl.DataFrame) -> None:
    cutoffs = rates["k"].unique().sort().to_list()
    axes.set_xscale("log")
    axes.set_xticks(cutoffs)
    from_zero(axes)
    axes.set_xlabel("cutoff K")
    axes.set_ylabel("hit rate @ K")
    plain_axes(axes)


def _last(rates: pl.DataFrame, space: str) -> float:
    return float(rates.filter(pl.col("space") == space).sort("k")["hit_rate"][-1])
