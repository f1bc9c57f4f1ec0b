"""Tables for people: what the figures of a table of codes are, level by level and as a whole.

`sidmint inspect` and `sidmint diagnose --show` print the same ones. Text that comes from
somebody's file enters as plain text on one line, without control characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import polars as pl

_LEVEL_FIGURES = {
    "size": "codes in the codebook",
    "active_codes": "in use",
    "dead_codes": "dead",
    "perplexity": "perplexity",
    "perplexity_share": "perplexity / size",
    "gini": "Gini",
    "branching": "branching",
    "num_prefixes": "prefixes of this length",
    "information": "bits it adds",
    "possible_information": "bits it could add",
    "top_code_share": "share of its top code",
    "overlap_rate": "overlap rate, kappa = 1",
    "effective_codebook_size": "effective codebook size",
    "relative_mse": "relative error after it",
    "cosine": "cosine after it",
    "changed_code_share": "codes changed by noise",
    "changed_prefix_share": "prefixes changed by noise",
}
"""Figure of a level -> what it is called; one that was not measured has no row."""
_LEVELS_A_TABLE = 8
_ITEMS_A_BUCKET = 5
_TITLE_LENGTH = 60


def plain(text: str, longest: int = 1000) -> Text:
    """Text of a file as a cell or a line: no markup, no control characters, one line."""
    from sidmint.reporting.titles import one_line

    return Text(one_line(text, longest))


def number(value: float | None) -> str:
    """A figure as a person reads it: whole numbers with commas, others with four digits or so."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value) or 0 < abs(value) < 1e-3:
        return f"{value:.4g}"
    return f"{value:,.{2 if abs(value) >= 10 else 4}f}"


def level_views(levels: pl.DataFrame, metrics: Mapping[str, float]) -> Iterable[Table]:
    """One row a figure, one column a level; of many levels eight a table.

    `levels` has one row a level and any of the figures; others are looked up in `metrics`, where
    they end in the number of the level.
    """
    columns = [_level_column(row, metrics) for row in levels.iter_rows(named=True)]
    names = [name for name in _LEVEL_FIGURES if any(name in column for column in columns)]
    for first in range(0, len(columns), _LEVELS_A_TABLE):
        shown = columns[first : first + _LEVELS_A_TABLE]
        table = Table("level", box=None, header_style="bold")
        for column in shown:
            table.add_column(str(column["level"]), justify="right", no_wrap=True)
        for name in names:
            table.add_row(_LEVEL_FIGURES[name], *(number(column.get(name)) for column in shown))
        yield table


def metric_view(metrics: Mapping[str, float]) -> Table:
    """One row a figure of the whole table: value, which way is better, what it means."""
    from sidmint.contracts import METRICS, Metric, describe_metric
    from sidmint.errors import BadInput

    by_level = tuple(name.removesuffix("{level}") for name in METRICS if name.endswith("{level}"))
    table = Table(box=None, header_style="bold")
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("better")
    table.add_column("meaning")
    for name, value in metrics.items():
        if name.startswith(by_level) and name.rpartition("_")[2].isdigit():
            continue
        try:
            described = describe_metric(name)
        except BadInput:  # written by another version of sidmint
            described = Metric(None, "")
        table.add_row(Text(name), number(value), described.better or "-", described.meaning)
    return table


def noise_view(robustness: pl.DataFrame) -> Table:
    """Share of items whose codes and prefixes change under noise: one row a kappa."""
    kinds = {"changed_code_share": "code", "changed_prefix_share": "prefix"}
    numbers = sorted(robustness["level"].unique().to_list())
    table = Table("changed by noise of kappa", box=None, header_style="bold")
    for kind in kinds.values():
        for level in numbers:
            table.add_column(f"{kind} {level}", justify="right")
    for kappa in sorted(robustness["kappa"].unique().to_list()):
        rows = robustness.filter(robustness["kappa"] == kappa)
        by_level = {row["level"]: row for row in rows.iter_rows(named=True)}
        shares = (by_level.get(level, {}).get(kind) for kind in kinds for level in numbers)
        table.add_row(number(kappa), *map(number, shares))
    return table


def bucket_view(buckets: pl.DataFrame) -> Table:
    """The first items of each bucket, the worst bucket first."""
    table = Table(box=None, header_style="bold")
    for heading in ("bucket", "items", "", "item", "title"):
        table.add_column(heading, overflow="fold")
    shown = dict.fromkeys(buckets["bucket"].to_list(), 0)
    for row in buckets.iter_rows(named=True):
        shown[row["bucket"]] += 1
        place = shown[row["bucket"]]
        if place > _ITEMS_A_BUCKET:
            continue
        size = number(row["size"]) if place == 1 else ""
        table.add_row(
            str(row["bucket"]) if place == 1 else "",
            size,
            row["kind"] or "",
            plain(row["item_id"], _TITLE_LENGTH),
            plain(row["title"], _TITLE_LENGTH),
        )
        if place == _ITEMS_A_BUCKET and row["size"] > place:
            table.add_row("", "", "", f"and {row['size'] - place:,} more")
    return table


def _level_column(row: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, Any]:
    """The figures of one level, from its row and from the metrics that end in its number."""
    level = row["level"]
    from_metrics = {
        name: metrics[f"{name}_{level}"] for name in _LEVEL_FIGURES if f"{name}_{level}" in metrics
    }
    column = from_metrics | {name: row[name] for name in ("level", *_LEVEL_FIGURES) if name in row}
    if "size" in column and "dead_codes" in column:
        column["active_codes"] = column["size"] - column["dead_codes"]
    return column
