"""What every source gives: two raw tables, where they came from, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from sidmint.errors import BadInput
from sidmint.params import IngestParams
from sidmint.progress import Track, silent
from sidmint.registry import Registry


@dataclass(frozen=True)
class SourceFiles:
    """The paths of `ingest.items` and `ingest.interactions`, resolved; None where not given."""

    items: Path | None = None
    interactions: Path | None = None

    @property
    def no_log(self) -> bool:
        """Whether items are given and interactions are not."""
        return self.items is not None and self.interactions is None

    def both(self, source: str) -> tuple[Path, Path]:
        """Items and interactions, or `BadInput` naming the missing key."""
        if self.items is None or self.interactions is None:
            key = "items" if self.items is None else "interactions"
            raise BadInput(
                f"source {source} wants a file in ingest.{key}; "
                "`sidmint init --items ... --interactions ...` fills it in"
            )
        return self.items, self.interactions


@dataclass(frozen=True)
class RawCatalogue:
    """What a source read.

    `items` has `item_id`, `title` and what else the source knows (`categories` as one string,
    `price` as a number). `interactions` has `user_id`, `item_id` and, where known, `position`
    (whole numbers) and `timestamp` (Datetime in UTC: seconds would lose the order of two events
    inside one), in file order; None where the source has no log. The names stand for the tables
    in errors; `left_out` counts what the reader dropped or mended, by reason.
    """

    items: pl.DataFrame
    interactions: pl.DataFrame | None
    items_name: str
    interactions_name: str
    left_out: Mapping[str, int] = field(default_factory=dict)


class Source(Protocol):
    """A reader of one input format, filed under its name in `SOURCES`."""

    def __call__(
        self, params: IngestParams, files: SourceFiles, seed: int, track: Track = silent
    ) -> RawCatalogue:
        """Read `files` as `params` say; `seed` is for sources that make their data up."""
        ...


SOURCES: Registry[Source] = Registry("source")
"""Every input format by the name that `ingest.source` gives it."""
