"""A catalogue of any size in files, made part by part: items, vectors and a log.

Items have ids that are not in the order of the files, a title, and a vector of a mixture: 4,096
centres in three steps (16 x 16 x 16), each step smaller than the one before, and noise. Every
fiftieth item has the vector of the item before it. An item belongs to the leaf of its centre.

Users have 4 + a geometric number of events (10 on average), half as many users as items. A user
stays in one leaf four times in five; inside a leaf the r-th item is taken as often as r^-0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

PART_ROWS = 250_000
"""Of a file of items and of one of users."""
LEAVES = 4096
_SEED = 7
_FIRST_DAY = 1_600_000_000

Numbers = npt.NDArray[np.int64]


def write_world(
    folder: Path, num_items: int, num_dimensions: int = 128, part_rows: int = PART_ROWS
) -> None:
    """Write `items/`, `vectors/` and `interactions/` below `folder`, folders of Parquet files."""
    for name in ("items", "vectors", "interactions"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    centres = _centres(num_dimensions)
    for part, first in enumerate(range(0, num_items, part_rows)):
        numbers = np.arange(first, min(first + part_rows, num_items))
        items, vectors = _items(numbers, centres, part)
        items.write_parquet(folder / "items" / f"{part:05d}.parquet")
        vectors.write_parquet(folder / "vectors" / f"{part:05d}.parquet")
    for part, (users, numbers, times) in enumerate(events_in_numbers(num_items, part_rows)):
        log = pl.DataFrame(
            {
                "user_id": pl.Series(users).cast(pl.String).str.zfill(9),
                "item_id": item_ids(numbers),
                "timestamp": times,
            }
        )
        log.write_parquet(folder / "interactions" / f"{part:05d}.parquet")


def events_in_numbers(
    num_items: int, part_rows: int = PART_ROWS
) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Users, items and times (n,) of the log, a block a file."""
    num_users = num_items // 2
    for part, first in enumerate(range(0, num_users, part_rows // 4)):
        users = np.arange(first, min(first + part_rows // 4, num_users))
        yield _events(users, num_items, part)


def item_ids(numbers: Numbers) -> pl.Series:
    """Ids that no neighbouring numbers share the beginning of."""
    spread = numbers.astype(np.uint64) * np.uint64(2_654_435_761) % np.uint64(1 << 32)
    return pl.Series("item_id", spread).cast(pl.String).str.zfill(10)


def _centres(num_dimensions: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng([_SEED, 0])
    steps = [rng.standard_normal((16, num_dimensions)) * size for size in (1.0, 0.6, 0.4)]
    coarse, middle, fine = np.meshgrid(*[np.arange(16)] * 3, indexing="ij")
    whole = steps[0][coarse.ravel()] + steps[1][middle.ravel()] + steps[2][fine.ravel()]
    return whole.astype(np.float32)


def _items(
    numbers: Numbers, centres: npt.NDArray[np.float32], part: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng([_SEED, 1, part])
    leaves = numbers % LEAVES
    noise = rng.standard_normal((len(numbers), centres.shape[1]), dtype=np.float32)
    vectors = centres[leaves] + np.float32(0.3) * noise
    copies = np.flatnonzero(numbers % 50 == 49)
    copies = copies[copies > 0]
    vectors[copies] = vectors[copies - 1]
    ids = item_ids(numbers)
    titles = pl.select(
        pl.format("Thing {} of shelf {}", pl.Series(numbers // LEAVES), pl.Series(leaves)).alias(
            "title"
        )
    )
    table = pl.DataFrame({"item_id": ids, "title": titles["title"]})
    width = centres.shape[1]
    return table, pl.DataFrame(
        {"item_id": ids, "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, width))}
    )


def _events(users: Numbers, num_items: int, part: int) -> tuple[Numbers, Numbers, Numbers]:
    rng = np.random.default_rng([_SEED, 2, part])
    counts = 4 + rng.geometric(1 / 6, len(users))
    of_event = np.repeat(users, counts)
    home = np.repeat(rng.integers(LEAVES, size=len(users)), counts)
    leaf = np.where(rng.random(len(home)) < 0.8, home, rng.integers(LEAVES, size=len(home)))
    leaf %= min(LEAVES, num_items)
    on_shelf = (num_items - leaf + LEAVES - 1) // LEAVES
    rank = (on_shelf * rng.random(len(home)) ** 2).astype(np.int64)
    times = _FIRST_DAY + rng.integers(0, 86_400 * 900, len(home))
    return of_event, rank * LEAVES + leaf, times
