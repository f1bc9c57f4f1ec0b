"""Which tokenizer to take, as one self-contained HTML page: the answer, the trade-offs, every try.

As the report's page, it loads nothing: its Content Security Policy forbids every request and
every script. Jinja escapes all values. It holds no time but the seconds that tries took.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from sidmint.reporting.drawing import Key, Panel, panel, plain_axes, series_role
from sidmint.reporting.page import own_file, template
from sidmint.reporting.svg import NUM_SERIES, PLACEHOLDERS
from sidmint.reporting.tables import NOTHING, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CHART_INCHES = 2.7


@dataclass(frozen=True)
class Final:
    """A finalist: figures are means over its seeds."""

    label: str
    name: str
    quality: float
    """The score that decided."""
    difference: str
    """To the leader, with its interval, in words; "" for the leader itself."""
    word: str
    """"leads", "worse", "cannot be told apart"."""
    low: float
    """Ends of the interval about `quality`; both equal it for the leader."""
    high: float
    retention: float
    """The score that every try has."""
    seconds: float
    num_seeds: int
    metrics: dict[str, float]
    objections: tuple[str, ...]
    is_chosen: bool = False
    is_on_front: bool = False
    """Whether no finalist is at least as good in quality, id length and collisions and better in
    one of them."""


@dataclass(frozen=True)
class TryLine:
    """One try of a rung."""

    label: str
    name: str
    rung: str
    num_fitted: int
    quality: float | None
    collision_rate: float | None
    id_bits: float | None
    seconds: float
    failed: str
    objection: str = ""
    """The gate's first; "" where it has none."""


@dataclass(frozen=True)
class ChoicePage:
    """Everything that the page shows."""

    title: str
    sentence: str
    reason: str
    uncertainty: str
    quality: str
    """What the score is."""
    retention: str
    """What the score of every try is; equal to `quality` where no recommender was asked."""
    is_refused: bool
    command: str
    """How the choice gets into params.yaml; "" where there is none."""
    num_items: int
    floor: float
    sizing: str
    sizes: tuple[tuple[str, str, float], ...]
    """Sizes, why they were tried, and the collision rate of codes drawn evenly."""
    finals: tuple[Final, ...]
    tries: tuple[TryLine, ...]
    left_out: tuple[tuple[str, tuple[str, ...]], ...]
    """Reasons, each with what was left out for it."""
    has_champion: bool
    budget: str


def render_choice(page: ChoicePage) -> str:
    """The page; the same values give the same bytes."""
    names = list(dict.fromkeys([*(f.name for f in page.finals), *(t.name for t in page.tries)]))
    return template("choice.html").render(
        page=page,
        charts=_charts(page, names),
        keys=[
            Key(name, series_role(place), mark="●■▲"[place // NUM_SERIES % 3])
            for place, name in enumerate(names)
        ],
        number=number,
        nothing=NOTHING,
        percent=lambda share: NOTHING if share is None else f"{share:.1%}",
        role=lambda name: series_role(names.index(name)),
        style=Markup(own_file("page.css") + own_file("choice.css")),  # noqa: S704 - our own files
        svg=lambda drawn: Markup(drawn.svg),  # noqa: S704 - drawn and escaped by svg.inline_svg
    )


def front(figures: Sequence[tuple[float, float, float]]) -> list[bool]:
    """Which of (quality, id bits, collision rate) no other one dominates: the Pareto front.

    More quality, fewer bits and fewer collisions are better; equal ones do not dominate.
    """
    signed = [(-quality, bits, rate) for quality, bits, rate in figures]
    return [
        not any(
            all(a <= b for a, b in zip(other, own, strict=True)) and other != own
            for other in signed
        )
        for own in signed
    ]


def _mark(names: Sequence[str], name: str) -> str:
    """A ninth tokenizer has the colour of the first, and another shape."""
    return "os^"[names.index(name) // NUM_SERIES % 3]


def _charts(page: ChoicePage, names: Sequence[str]) -> list[Panel]:
    """Retention against what it costs; finalists full, earlier tries hollow."""
    wanted: tuple[tuple[str, str, str, Callable[[Final], float], Callable[[TryLine], float]], ...]
    wanted = (
        (
            "bits",
            "Quality by length of the id",
            "bits of an id",
            lambda one: one.metrics["id_bits"],
            lambda one: one.id_bits or 0.0,
        ),
        (
            "collisions",
            "Quality by collisions",
            "collision rate before resolution",
            lambda one: one.metrics["collision_rate"],
            lambda one: one.collision_rate or 0.0,
        ),
        (
            "seconds",
            "Quality by time of a fit",
            "seconds of a fit on all items",
            lambda one: one.seconds,
            lambda one: 0.0,
        ),
    )
    return [_chart(page, names, *each) for each in wanted]


def _chart(
    page: ChoicePage,
    names: Sequence[str],
    kind: str,
    title: str,
    across: str,
    of_final: Callable[[Final], float],
    of_try: Callable[[TryLine], float],
) -> Panel:
    earlier = [one for one in page.tries if one.quality is not None and not one.failed]

    def draw(axes: Axes) -> None:
        if kind != "seconds":
            for line in earlier:
                axes.plot(
                    [of_try(line)],
                    [line.quality or 0.0],
                    marker=_mark(names, line.name),
                    markersize=4,
                    linestyle="none",
                    color=PLACEHOLDERS[series_role(names.index(line.name))],
                    markerfacecolor=PLACEHOLDERS["page"],
                    alpha=0.55,
                )
        for one in page.finals:
            axes.plot(
                [of_final(one)],
                [one.retention],
                marker="D" if one.is_chosen else _mark(names, one.name),
                markersize=8 if one.is_chosen else 6,
                linestyle="none",
                color=PLACEHOLDERS[series_role(names.index(one.name))],
            )
        axes.margins(x=0.1, y=0.12)
        axes.set_xlabel(across)
        axes.set_ylabel("quality")
        plain_axes(axes)

    said = "; ".join(
        f"{one.label} {one.retention:.3f} at {of_final(one):.4g}" for one in page.finals
    )
    return panel(title, f"choice-{kind}", f"{title}: {said}", draw, _CHART_INCHES)
