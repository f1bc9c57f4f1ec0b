"""One small drawing: axes in the page's style, lines in the page's colours, out as SVG.

Figures are small multiples, one SVG a panel, so that the page can lay them side by side
or under each other and the text stays readable at every width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidmint.reporting.svg import NUM_SERIES, PLACEHOLDERS, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, LINE, TOKENIZER = (PLACEHOLDERS[role] for role in ("ink", "muted", "line", "tokenizer"))

_WIDTH, HEIGHT = 3.5, 2.2
# Fixed margins rather than a layout engine: panels side by side line up, and drawing takes half
# as long. On the left they leave room for a label of six characters and the axis' name.
_LEFT, _RIGHT, _BOTTOM_INCHES, _TOP_INCHES = 0.19, 0.97, 0.42, 0.07
_Y_NAME = (-0.17, 0.5)
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it follows the page's font and can be searched
    "svg.hashsalt": "sidmint",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Panel:
    """One drawing and the words over it."""

    title: str
    svg: str


@dataclass(frozen=True)
class Key:
    """One entry of a legend: `role` is a colour of svg.PLACEHOLDERS, `dash` a class of page.css.

    `mark` is a character to show in place of a line, such as a diamond.
    """

    label: str
    role: str
    dash: str = "solid"
    mark: str = ""


@dataclass(frozen=True)
class Chart:
    """Panels under one legend."""

    panels: tuple[Panel, ...]
    keys: tuple[Key, ...] = ()


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib as it comes, then our style: what a user's own matplotlibrc says is left out."""
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]):
        yield


def panel(
    title: str, name: str, label: str, draw: Callable[[Axes], None], height: float = HEIGHT
) -> Panel:
    """A panel, `height` inches high, whose axes `draw` fills.

    `name` and `label` are those of `svg.inline_svg`.
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(_WIDTH, height))
        figure.subplots_adjust(
            left=_LEFT,
            right=_RIGHT,
            bottom=_BOTTOM_INCHES / height,
            top=1 - _TOP_INCHES / height,
        )
        axes = figure.add_subplot()
        axes.yaxis.set_label_coords(*_Y_NAME)
        draw(axes)
        return Panel(title, inline_svg(figure, name, label))


def series_role(index: int) -> str:
    """The colour role of the `index`-th tokenizer of the run, counted from 0."""
    return f"series-{index % NUM_SERIES + 1}"


def plain_ticks(axis: Any) -> None:
    """Tick labels as people write numbers (0.05, 1,250, 12k), on linear and log axes alike."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.set_minor_locator(NullLocator())


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e6 if letter == 'M' else 1e3):g}{letter}"
    return f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")


def from_zero(axes: Axes) -> None:
    """Start at zero, so that heights can be compared, and leave room over the highest mark."""
    axes.set_ylim(min(0, axes.dataLim.ymin * 1.08), axes.dataLim.ymax * 1.08 or 1.0)


def plain_axes(axes: Axes) -> None:
    """`plain_ticks` on both axes."""
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)


def whole_number_ticks(axis: Any) -> None:
    """Ticks at whole numbers only: there is no code 2.5."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
