"""The works whose memory `traced.traced_peak` looks at: each function prepares one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from log_pieces import Drawn
from sidmint.catalogue import build_in_pieces
from sidmint.diagnostics import CodeCounts, Overlap, count_code_blocks, count_codes, overlap
from sidmint.event_log import build_event_log
from sidmint.publishing.lookup import lookup
from sidmint.publishing.published_rows import open_rows
from sidmint.publishing.store import VersionStore
from sidmint.publishing.table_changes import code_stability, pairs_of, table_changes
from sidmint.sharded_ids import resolve_shards_by_suffix
from sidmint.spill_files import spilling
from sidmint.types import Ints


def blocks_of_codes() -> list[Ints]:
    """600,000 rows of four levels, low codes more often."""
    rng = np.random.default_rng(0)
    return [(300 * rng.random((50_000, 4)) ** 2).astype(np.int32) for _ in range(12)]


def counting_in_files(folder: Path, memory: int) -> Callable[[], CodeCounts]:
    """Those, counted block by block."""
    blocks = blocks_of_codes()

    def work() -> CodeCounts:
        with spilling(folder) as spill:
            return count_code_blocks(blocks, (300,) * 4, spill=spill, memory=memory)

    return work


def shards_of_codes() -> list[Ints]:
    """400,000 rows of three levels in ten shards."""
    rng = np.random.default_rng(0)
    return [(64 * rng.random((40_000, 3)) ** 2).astype(np.int32) for _ in range(10)]


def suffixes_in_files(folder: Path, memory: int) -> Callable[[], int]:
    """The largest suffix of those."""
    shards = shards_of_codes()

    def work() -> int:
        with spilling(folder) as spill:
            found = resolve_shards_by_suffix(shards, (64,) * 3, spill=spill, memory=memory)
            return max(int(found.shard(number).suffixes.max()) for number in range(len(shards)))

    return work


def some_events(seed: int, num_events: int, num_users: int = 30, num_items: int = 12) -> np.ndarray:
    """(2, E): users and items, some twice; low numbers are popular, some never occur."""
    shares = np.random.default_rng(seed).random((2, num_events)) ** 2
    return (shares * [[num_users], [num_items]]).astype(np.int64)


def log_in_files(folder: Path, memory: int, num_users: int, num_items: int) -> Callable[[], int]:
    """How many events a log of 500,000 keeps."""
    blocks = [tuple(some_events(seed, 50_000, num_users, num_items)) for seed in range(10)]

    def work() -> int:
        with spilling(folder) as spill:
            log = build_event_log(
                blocks,
                num_users=num_users,
                num_items=num_items,
                most_users=100,
                seed=0,
                spill=spill,
                memory=memory,
            )
            return len(log.items)

    return work


def catalogue_in_files(folder: Path, num_pieces: int) -> Callable[[], int]:
    """How many events a catalogue of pieces of 25,000 has, made 10,000 events at a time."""
    item_ids = pl.Series([f"{number:06d}" for number in range(2_000)])
    log = Drawn(num_pieces, num_users=4_000, num_items=2_000)

    def work() -> int:
        with spilling(folder) as spill:
            made = build_in_pieces(
                item_ids,
                log,
                min_interactions=3,
                cold_share=0.1,
                seed=0,
                spill=spill,
                events_at_once=10_000,
            )
            return sum(block.height for block in made.events())

    return work


def counting_codes_that_come_twice(num_items: int, num_levels: int) -> Callable[[], CodeCounts]:
    """Every code of the first half once more in the second."""
    rng = np.random.default_rng(9)
    codes = rng.integers(0, 65_536, (num_items, num_levels), dtype=np.uint16)
    codes[num_items // 2 :] = codes[: num_items // 2]
    return lambda: count_codes(codes, (65_536,) * num_levels)


def counting_a_file(path: Path, sizes: tuple[int, ...]) -> Callable[[], CodeCounts]:
    """Codes that lie in an .npy file."""
    codes = np.load(path, mmap_mode="r")
    return lambda: count_codes(codes, sizes)


def books_and_priors() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Four books of 16 codewords."""
    rng = np.random.default_rng(0)
    books = [rng.standard_normal((16, 16)).astype(np.float32) for _ in range(4)]
    return books, [rng.dirichlet(np.ones(16)) for _ in range(4)]


def overlap_of_all_sums(sigmas: tuple[float, ...]) -> Callable[[], tuple[Overlap, ...]]:
    """Of the 65,536 codewords that are one of each book side by side."""
    books, priors = books_and_priors()
    digits = np.indices((16,) * 4).reshape(4, -1)
    codewords = np.hstack([book[digit] for book, digit in zip(books, digits, strict=True)])
    prior = np.prod([p[digit] for p, digit in zip(priors, digits, strict=True)], axis=0)
    return lambda: overlap(codewords, prior, sigmas)


def comparing_releases(root: Path, before: str, after: str) -> Callable[[], tuple[int, ...]]:
    """How many items came, went and moved from one version to another."""
    import scipy.optimize  # noqa: F401 - not part of the work

    store = VersionStore(root)
    old, new = (open_rows(store.release(version)) for version in (before, after))

    def work() -> tuple[int, ...]:
        found = table_changes(pairs_of(old, new)).items
        levels = old.code_columns
        code_stability(pairs_of(old, new, ("item_id", *levels)), levels)
        return found.num_added, found.num_removed, found.num_moved

    return work


def looking_up(root: Path, version: str, item: str) -> Callable[[], str | None]:
    """The id of an item."""
    release = VersionStore(root).release(version)
    return lambda: lookup(release, item).semantic_id
