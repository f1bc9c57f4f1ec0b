"""What was measured on a table, and why the rest was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from sidmint.diagnostics import QualifiedCollisions


@dataclass
class Figures:
    """Grows part by part: `metrics` by their names in `contracts.METRICS`.

    `unmeasured` has the reason for a metric that the inputs would allow; `levels` are columns
    with one entry a level; `qualified` is there where there are vectors; `notes` say
    what the figures cannot, or what looks wrong with the files.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    levels: dict[str, Sequence[float]] = field(default_factory=dict)
    qualified: QualifiedCollisions | None = None
    notes: list[str] = field(default_factory=list)

    def levels_table(self) -> pl.DataFrame:
        """One row a level, from 1."""
        num_levels = len(next(iter(self.levels.values())))
        return pl.DataFrame({"level": range(1, num_levels + 1), **self.levels})
