"""A metric over the published versions as a drawing: SVG, or bars of characters."""

from __future__ import annotations

from pathlib import Path

from sidmint.errors import BadInput
from sidmint.publishing.history import History

_BLOCKS = " ▏▎▍▌▋▊▉█"


def bars(values: list[float | None], width: int) -> list[str]:
    """A bar of block characters a value, from 0, in eighths of a character; "" for None.

    All bars share one scale; where a value is negative the bar shows its size only.
    """
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return ["" if value is None else _bar(abs(value), largest, width) for value in values]


def _bar(value: float, largest: float, width: int) -> str:
    eighths = round(8 * width * value / largest) if largest else 0
    whole, rest = divmod(eighths, 8)
    return (_BLOCKS[8] * whole + _BLOCKS[rest].strip()) or _BLOCKS[1]


def draw_history(history: History, path: Path) -> None:
    """Write the line of `history` to `path` (.svg); the same bytes for the same history.

    Text is drawn literally: a dollar sign in a name is no formula, and markup is escaped.
    """
    if path.suffix != ".svg":
        raise BadInput(f"--plot wants a file that ends in .svg, got {path}")
    if not path.parent.is_dir():
        raise BadInput(f"{path.parent} is not a folder: --plot cannot write there")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    measured = [value for value in history.values if value.value is not None]
    heights = [value.value for value in measured if value.value is not None]
    places = range(len(measured))
    with mpl.rc_context(
        {"svg.hashsalt": "sidmint", "svg.fonttype": "none", "text.parse_math": False}
    ):
        figure = Figure(figsize=(max(5.0, 1.2 * len(measured)), 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(places, heights, color="#4a5568", marker="o")
        for place in places:
            if measured[place].champion:
                axes.plot([place], [heights[place]], "o", color="#c05621", markersize=10)
        names = [
            f"{v.version}\n{v.tokenizer}{' (override)' if v.override else ''}" for v in measured
        ]
        axes.set_xticks(places, names)
        better = f", {history.better} is better" if history.better else ""
        axes.set_title(f"{history.metric}{better}", loc="left")
        axes.set_ylabel(history.metric)
        axes.grid(axis="y", alpha=0.3)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "sidmint"})
