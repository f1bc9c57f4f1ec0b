"""DRQ's Tables 1-5 in its layout, each cell ours with the paper's in brackets."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drq_printed import LABELS, PRINTED, RAW

Row = dict[str, Any]
Samples = Mapping[str, Mapping[str, list[float]]]
"""By tokenizer (or `RAW`), then figure: one value a seed."""

VARIANTS = {"rq_vae_untrained_start": "RQ-VAE, start untrained"}
"""Runs beside the five; they stand under them and take no part in the findings."""
NAMES = (*LABELS, *VARIANTS)
SPACES = ("latent", "quantized")


@dataclass(frozen=True)
class Column:
    """A column of a table: its head, the figure it shows, and how."""

    head: str
    figure: str
    shown: str
    printed_as: str | None = None
    """The figure of the paper that stands beside it, where it has another name."""


TABLE_1 = (
    Column("participation ratio", "participation_ratio", ".2f"),
    Column("effective rank", "effective_rank", ".2f"),
    Column("largest eigenvalue", "top_eigenvalue_share", ".4f"),
    Column("mean abs cosine", "dimension_cosine", ".4f"),
)
TABLE_2 = tuple(
    column
    for level in (1, 2, 3)
    for column in (
        Column(f"OR, level {level - 1}", f"overlap_rate_{level}", ".6f"),
        Column("ECS", f"effective_codebook_size_{level}", ",.2f"),
    )
)
TABLE_3 = {
    f"L{level - 1}": (
        Column("perplexity", f"perplexity_{level}", ",.2f"),
        Column("active codes", f"active_codes_{level}", ",.0f"),
        Column("Gini", f"gini_{level}", ".3f"),
    )
    for level in (1, 3)
}
TABLE_4 = tuple(Column(f"@{k}", f"retention_at_{k}", ".4f") for k in (20, 50, 100, 200))
TABLE_5 = (
    Column("SID embedding AUC", "auc_embedding", ".4f"),
    Column("weighted SID match AUC", "auc_prefix", ".4f"),
    Column("exact SID match AUC", "auc_exact", ".4f"),
)
IN_WORDS = (
    Column("MSE, summed", "squared_error", ".6f"),
    Column("cosine", "cosine", ".6f"),
    Column("collision rate", "collision_rate", ".6f"),
    Column("unique ids", "distinct_codes", ",.0f"),
    Column("largest bucket", "largest_bucket", ",.0f"),
)
UNQUANTIZED = tuple(
    Column(column.head, f"{column.figure}_unquantized", column.shown, column.figure)
    for column in (*TABLE_4, *IN_WORDS[:2])
)
"""Of what the decoder makes of the latent itself."""


def samples(rows: Iterable[Row], space: str = SPACES[0]) -> Samples:
    """The figures of all `rows` by tokenizer; those of Table 1 are of `space`, and of the input."""
    found: dict[str, Any] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda each: each["seed"]):
        metrics: Mapping[str, float] = row["metrics"]
        for figure, value in metrics.items():
            found[row["name"]][figure.removesuffix(f"_{space}")].append(value)
        # The input is the same in every row.
        found[RAW] = {column.figure: [metrics[f"{column.figure}_raw"]] for column in TABLE_1}
    return found


def tabled(columns: Sequence[Column], ours: Samples, with_input: bool = False) -> str:
    """A table of `columns`, one line a tokenizer that has figures."""
    names = [RAW, *NAMES] if with_input else NAMES
    return laid_out(_head(columns), _lines(columns, ours, names))


def utilization_tabled(ours: Samples) -> str:
    """Table 3, whose lines are levels, then tokenizers."""
    lines = [
        [level, *line]
        for level, columns in TABLE_3.items()
        for line in _lines(columns, ours, NAMES)
    ]
    return laid_out(["level", *_head(TABLE_3["L0"])], lines)


def unquantized_tabled(ours: Samples) -> str:
    """`UNQUANTIZED`, of the tokenizers that have it."""
    measured = [name for name in NAMES if UNQUANTIZED[0].figure in ours.get(name, {})]
    return laid_out(_head(UNQUANTIZED), _lines(UNQUANTIZED, ours, measured))


def laid_out(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are as wide as their widest cell: plain text reads it too."""
    widths = [max(len(line[at]) for line in (head, *lines)) for at in range(len(head))]
    ruled = [list(head), ["-" * width for width in widths], *map(list, lines)]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in ruled
    )


def label(name: str) -> str:
    """What a table calls the tokenizer `name`."""
    return str({RAW: "Raw input", **LABELS, **VARIANTS}[name])


def _lines(columns: Sequence[Column], ours: Samples, names: Sequence[str]) -> list[list[str]]:
    return [
        [label(name), *(_cell(ours, name, column) for column in columns)]
        for name in names
        if name in ours
    ]


def _cell(ours: Samples, name: str, column: Column) -> str:
    """Ours, ± the sample standard deviation over seeds, and the paper's in brackets."""
    values = ours[name].get(column.figure)
    printed = PRINTED.get(name, {}).get(column.printed_as or column.figure)
    text = format(statistics.fmean(values), column.shown) if values else "-"
    if values and len(values) > 1:
        text += f" ± {format(statistics.stdev(values), column.shown)}"
    return text if printed is None else f"{text} ({format(printed, column.shown)})"


def _head(columns: Sequence[Column]) -> list[str]:
    return ["tokenizer", *(column.head for column in columns)]
