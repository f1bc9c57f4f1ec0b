"""The tables of the page, cell by cell: which numbers, how they are written, which is best."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from sidmint.contracts import METRICS, describe_metric
from sidmint.evaluation.hit_rate_intervals import NO_DIFFERENCE, Certainty
from sidmint.gate.rules import Champion
from sidmint.reporting.run import Candidate
from sidmint.reporting.titles import one_line

NOTHING = "\N{EN DASH}"
"""What a table says where there is no value."""
MINUS = "\N{MINUS SIGN}"

KEY_METRICS: dict[str, tuple[str, ...]] = {
    "One id an item": ("collision_rate", "conflict_rate", "largest_bucket", "n_eff_share"),
    "Codebooks in use": (
        "perplexity_share_{level}",
        "dead_code_share_{level}",
        "information_share_{level}",
    ),
    "Faithful to the vectors": ("relative_mse", "reconstruction_cosine"),
    "Finds what people take next": (
        "hr_at_{k}",
        "retention_at_{k}",
        "prefix_hr_at_{k}",
        "auc_embedding",
        "auc_prefix",
    ),
    "Cold items": ("cold_coverage", "cold_new_prefix_share", "cold_relative_mse"),
}
"""The comparison that leads the page; every other metric is in the full list below it."""


@dataclass(frozen=True)
class Cell:
    """One number: as text, whether no other column is better, and against the champion.

    `change` is the signed difference to the champion; `effect` says whether it is for the
    better, the worse, or neither. `interval` is where the figure lies in 95 % of repetitions.
    """

    text: str
    best: bool = False
    change: str = ""
    effect: str = ""
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """A metric, what it means, and its value in each column; `champion` is empty if unknown."""

    metric: str
    meaning: str
    better: str
    cells: tuple[Cell, ...]
    champion: str = ""


@dataclass(frozen=True)
class Table:
    """Column heads and rows of text."""

    heads: list[str]
    rows: list[list[str]]


def number(value: float | int | None) -> str:
    """`value` as people read it: 12,101; 87.3; 0.0407; 3.1e-05; a dash where there is none."""
    if value is None:
        return NOTHING
    size = abs(value)
    if float(value).is_integer() and size < 1e15:
        return f"{int(value):,}"
    for least, form in ((1000, ",.0f"), (10, ",.1f"), (1, ".2f"), (0.001, ".4f")):
        if size >= least:
            return format(value, form)
    return f"{value:.1e}"


def signed(difference: float) -> str:
    """A difference as people read it: +0.0114, a true minus sign, ±0."""
    if difference == 0:
        return "±0"
    return ("+" if difference > 0 else MINUS) + number(abs(difference))


def comparison(
    candidates: Sequence[Candidate],
    champion: Champion | None,
    cutoff: int | None,
    certainty: Mapping[str, Certainty] | None = None,
) -> list[tuple[str, list[Row]]]:
    """The key metrics by group, one cell a candidate. Metrics nobody measured are left out.

    `cutoff` is the K at which hit rates are shown, None where there are none. Levels expand to one
    row each. `certainty` is by name of the candidate: a difference that it does not bear out is
    neither better nor worse.
    """
    known = sorted({name for candidate in candidates for name in candidate.metrics}, key=_order)
    groups = []
    for title, patterns in KEY_METRICS.items():
        rows: list[Row] = []
        for pattern in patterns:
            names = [name for name in known if _matches(pattern.replace("{k}", str(cutoff)), name)]
            family = [_row(name, candidates, champion, certainty or {}) for name in names]
            # Said once: the levels under it mean the same.
            rows += family[:1] + [replace(row, meaning="", better="") for row in family[1:]]
        if rows:
            groups.append((title, rows))
    return groups


def every_metric(
    candidates: Sequence[Candidate],
    champion: Champion | None,
    certainty: Mapping[str, Certainty] | None = None,
) -> list[Row]:
    """All metrics of the run in the order of `contracts.METRICS`; `certainty` as above."""
    known = sorted({name for candidate in candidates for name in candidate.metrics}, key=_order)
    return [_row(name, candidates, champion, certainty or {}) for name in known]


def _row(
    name: str,
    candidates: Sequence[Candidate],
    champion: Champion | None,
    certainty: Mapping[str, Certainty],
) -> Row:
    metric = describe_metric(name)
    values = [candidate.metrics.get(name) for candidate in candidates]
    reference = None if champion is None else champion.metrics.get(name)
    best = _best(values, metric.better)
    cells = tuple(
        _cell(name, value, reference, value == best, certainty.get(candidate.name))
        for candidate, value in zip(candidates, values, strict=True)
    )
    return Row(name, metric.meaning, metric.better or "", cells, number(reference))


def _cell(
    name: str,
    value: float | None,
    reference: float | None,
    is_best: bool,
    certainty: Certainty | None,
) -> Cell:
    if value is None:
        return Cell(NOTHING)
    interval = certainty.intervals.get(name) if certainty else None
    shown = f"{number(interval.low)} to {number(interval.high)}" if interval else ""
    if reference is None:
        return Cell(number(value), is_best, interval=shown)
    known = certainty.word(name) if certainty else None
    effect = "" if known == NO_DIFFERENCE else _effect(value - reference, name)
    return Cell(number(value), is_best, signed(value - reference), effect, shown)


def _best(values: Sequence[float | None], better: str | None) -> float | None:
    """The value to mark; None where neither way is better or all columns say the same."""
    present = [value for value in values if value is not None]
    if better is None or len(set(present)) < 2:
        return None
    return max(present) if better == "higher" else min(present)


def _effect(difference: float, name: str) -> str:
    better = describe_metric(name).better
    if difference == 0 or better is None:
        return ""
    return "better" if (difference > 0) == (better == "higher") else "worse"


def _order(name: str) -> tuple[int, int, str]:
    """Place of a metric: as in METRICS, then by the number it ends in, then by name."""
    metric = describe_metric(name)
    place = next(i for i, known in enumerate(METRICS.values()) if known is metric)
    last = re.findall(r"\d+", name)
    return place, int(last[-1]) if last else 0, name


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\{level\}", r"\d+"), name) is not None


@dataclass(frozen=True)
class Bucket:
    """Items that share all their codes: the shared code, and the first of them by title."""

    code: str
    size: int
    items: tuple[tuple[str, str], ...]
    """(title, kind): "conflict" where the item shares its code with an unrelated one."""

    @property
    def kind(self) -> str:
        """`conflict` as soon as one of the items listed is in conflict."""
        return "conflict" if any(kind == "conflict" for _, kind in self.items) else "benign"

    @property
    def num_more(self) -> int:
        """Items of the bucket whose titles are not shown."""
        return self.size - len(self.items)


def worst_buckets(buckets: pl.DataFrame, codes: pl.DataFrame, num_titles: int) -> list[Bucket]:
    """The buckets in the order of `buckets`, items in conflict first, `num_titles` of each.

    `codes` is the codes.parquet that the buckets were found in: it names the shared code.
    """
    code_of = codes.select(
        "item_id", pl.concat_str(pl.exclude("item_id"), separator="-").alias("code")
    )
    listed = buckets.join(code_of, on="item_id", how="left", maintain_order="left")
    shown = []
    for _, rows in listed.group_by("bucket", maintain_order=True):
        first = rows.sort("kind", descending=True, maintain_order=True).head(num_titles)
        items = tuple(
            (one_line(title), kind) for title, kind in first.select("title", "kind").iter_rows()
        )
        shown.append(Bucket(str(rows["code"][0]), int(rows["size"][0]), items))
    return shown


def plain_table(frame: pl.DataFrame, columns: Iterable[str]) -> list[list[str]]:
    """Rows of `frame` as text, numbers as `number` writes them."""
    return [
        [value if isinstance(value, str) else number(value) for value in row]
        for row in frame.select(*columns).iter_rows()
    ]


def facts(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested JSON document as label and text pairs, in its order: 'splits: test' -> '4,905'."""
    rows: list[tuple[str, str]] = []
    for key, part in value.items():
        label = f"{prefix}{key}".replace("_", " ")
        if isinstance(part, Mapping):
            rows += facts(part, f"{label}: ")
        elif isinstance(part, list):
            rows.append((label, ", ".join(str(entry) for entry in part) or NOTHING))
        elif isinstance(part, int | float) and not isinstance(part, bool):
            rows.append((label, number(part)))
        else:
            rows.append((label, NOTHING if part is None else one_line(str(part))))
    return rows
