"""The section of docs/SCALE.md that `scale.py` measures, and docs/scale.svg.

python benchmarks/scale_page.py        # written anew from docs/results/scale_chain.jsonl
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot as plt
from row_files import read_lines

from sidmint.contracts import STAGES

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROWS, PAGE, PLOT = DOCS / "results" / "scale_chain.jsonl", DOCS / "SCALE.md", DOCS / "scale.svg"
BEGIN, END = "<!-- chain: written by benchmarks/scale_page.py -->", "<!-- end of chain -->"
BEYOND = (100_000_000, 1_000_000_000)
"""Items that nobody measured."""

_STAGES = (*(stage for stage in STAGES if stage != "recommend"), "publish", "verify", "lookup")

Row = Mapping[str, Any]
Chain = dict[int, dict[str, Row]]
"""By number of items, then by stage."""


def main() -> None:
    """Write the section and the picture."""
    rows = read_lines(ROWS)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    local = chain_of(rows, "local")
    text = "\n".join([table(local), *beyond(local), *ray(local, chain_of(rows, "ray"))])
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    draw(local, PLOT)
    print(PAGE)


def chain_of(rows: Sequence[Row], engine: str) -> Chain:
    """Rows of one engine, whole chains alone."""
    found: Chain = {}
    for row in rows:
        if row["engine"] == engine:
            found.setdefault(row["num_items"], {})[row["stage"].split()[0]] = row
    return {n: stages for n, stages in sorted(found.items()) if set(_STAGES) <= set(stages)}


def table(chain: Chain) -> str:
    """A row a stage: CPU, wall and memory at each size, and how time grows from least to most."""
    sizes = list(chain)
    head = ["stage", *(f"{n / 1e6:g} million" for n in sizes)]
    lines = [_line([*head, "exponent"] if len(sizes) > 1 else head)]
    lines.append(_line(["---"] * (len(head) + (len(sizes) > 1))))
    for stage in _STAGES:
        cells = [_cell(chain[n][stage]) for n in sizes]
        lines.append(_line([stage, *cells, *_slope(chain, stage)]))
    totals = [_cell(_total(chain[n])) for n in sizes]
    lines.append(_line(["all", *totals, *_slope(chain, None)]))
    return "\n".join(lines)


def _cell(row: Row) -> str:
    peak = row["peak_without_mapped_files_mib"]
    return f"{row['cpu_s']:.0f} / {row['wall_s']:.0f} s, {peak:.0f}"


def _total(stages: Mapping[str, Row]) -> Row:
    of = [stages[stage] for stage in _STAGES]
    return {
        "cpu_s": sum(row["cpu_s"] for row in of),
        "wall_s": sum(row["wall_s"] for row in of),
        "peak_without_mapped_files_mib": max(row["peak_without_mapped_files_mib"] for row in of),
    }


def _slope(chain: Chain, stage: str | None) -> list[str]:
    slope = exponent(chain, stage)
    return [] if slope is None else [f"{slope:.2f}"]


def exponent(chain: Chain, stage: str | None) -> float | None:
    """Of CPU seconds over items, from the least to the most; None with one size alone."""
    least, most = min(chain), max(chain)
    if least == most:
        return None
    cost = [(chain[n][stage] if stage else _total(chain[n]))["cpu_s"] for n in (least, most)]
    return math.log(cost[1] / cost[0]) / math.log(most / least)


def beyond(chain: Chain) -> list[str]:
    """Core-hours and bytes at sizes that were not measured, each from its stage's largest row."""
    most = max(chain)
    if exponent(chain, None) is None:
        return []
    weighed = max((n for n in chain if _has_bytes(chain[n])), default=None)
    lines = [
        "",
        f"From the row at {most / 1e6:g} million and each stage's exponent (1 where it is less),",
        f"hours of one core{_and_bytes(weighed)}; **not measured**:",
        "",
        _line(["stage", *(f"{n / 1e6:,.0f} million" for n in BEYOND)]),
        _line(["---"] * (1 + len(BEYOND))),
    ]
    costs = [_beyond(chain, stage, weighed) for stage in _STAGES[:-1]]
    for stage, cost in zip(_STAGES, costs, strict=False):
        lines.append(_line([stage, *map(_cost_words, cost)]))
    totals = [tuple(map(sum, zip(*column, strict=True))) for column in zip(*costs, strict=True)]
    lines.append(_line(["all", *map(_cost_words, totals)]))
    return lines


def _beyond(chain: Chain, stage: str, weighed: int | None) -> list[tuple[float, ...]]:
    """Hours at each size of `BEYOND`, and bytes where rows of `weighed` items have them."""
    most, grows = max(chain), max(1.0, exponent(chain, stage) or 1.0)
    hours = [chain[most][stage]["cpu_s"] * (n / most) ** grows / 3600 for n in BEYOND]
    if weighed is None:
        return [(each,) for each in hours]
    kept = [chain[weighed][stage]["kept_bytes"] * n / weighed for n in BEYOND]
    return list(zip(hours, kept, strict=True))


def _cost_words(cost: Sequence[float]) -> str:
    hours, *kept = cost
    return f"{hours:,.1f}" + "".join(f" h, {each / 1e9:,.1f} GB" for each in kept)


def _has_bytes(stages: Mapping[str, Row]) -> bool:
    return all("kept_bytes" in stages[stage] for stage in _STAGES)


def _and_bytes(weighed: int | None) -> str:
    return "" if weighed is None else f" and GB kept (by the item, from {weighed / 1e6:g} million)"


def ray(local: Chain, other: Chain) -> list[str]:
    """What each stage takes on either engine, at each size that both were measured at."""
    both = sorted(set(local) & set(other))
    if not both:
        return []
    lines = [
        "",
        "The same chain with `engine: ray` beside `local`, wall / CPU seconds:",
        "",
        _line(["stage", *(f"{n / 1e6:g} million, {on}" for n in both for on in ("local", "ray"))]),
        _line(["---"] * (1 + 2 * len(both))),
    ]
    for stage in _STAGES:
        rows = [chain[n][stage] for n in both for chain in (local, other)]
        lines.append(_line([stage, *(f"{row['wall_s']:.0f} / {row['cpu_s']:.0f}" for row in rows)]))
    return lines


def draw(chain: Chain, path: Path) -> None:
    """CPU seconds over items, a line a stage."""
    style = {"svg.hashsalt": "sidmint", "svg.fonttype": "none", "font.size": 9}
    with plt.style.context(["default", style]):
        figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
        sizes = list(chain)
        for stage in _STAGES[:-1]:
            seconds = [chain[n][stage]["cpu_s"] for n in sizes]
            axes.plot(sizes, seconds, "o-", linewidth=1, markersize=3, label=stage)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("items")
        axes.set_ylabel("CPU seconds")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right center", frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
