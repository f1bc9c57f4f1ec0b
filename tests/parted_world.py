"""One table published twice: in one file, and in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from releases import BARE, FACTS, Built, build_workspace
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import split
from sidmint.publishing.by_id import write_by_id
from sidmint.publishing.store import VersionStore
from sidmint.publishing.versions import IdLayout, Release

SIZES = (4, 8)
"""Of the codebooks of `releases.Built`."""
Codes = dict[str, tuple[int, ...]]


def some_codes(seed: int, num_items: int = 60, share: float = 0.8) -> Codes:
    """Codes of about that share of the items, low ones more often; ids sort by their bytes."""
    rng = np.random.default_rng(seed)
    letters = "aZ\u00e9\u6f22\U0001f600"
    names = [f"{letters[number % 5]}-{number:03d}" for number in range(num_items)]
    return {
        name: tuple(int(size * rng.random() ** 2) for size in SIZES)
        for name in names
        if rng.random() < share
    }


def put_in_parts(built: Built, tokenizer: str, shard_rows: int) -> Shards:
    """The table of `tokenizer` as assign writes it above `execution.shard_rows`; judged again."""
    file = built.table(tokenizer)
    table = pl.read_parquet(file)
    file.unlink()
    shards = split(table, file.with_suffix(""), "item_id", "codes", shard_rows)
    built.judge(tokenizer)
    return shards


@dataclass(frozen=True)
class BothForms:
    """Two tables, `old` and `new`; each is a version in one file and the next one in parts."""

    built: Built
    shard_rows: int

    def release(self, which: str, form: str) -> Release:
        number = 1 + 2 * (which == "new") + (form == "parts")
        return self.built.store.release(f"v{number:04d}")

    def both(self, which: str = "old") -> tuple[Release, Release]:
        return self.release(which, "file"), self.release(which, "parts")


def publish_in_both_forms(
    root: Path, shard_rows: int, suffixed: bool = True, seeds: tuple[int, int] = (1, 2)
) -> BothForms:
    built = build_workspace(root)
    for seed in seeds:
        codes = some_codes(seed)
        if not suffixed:  # distinct codes, so that ids are unique
            pairs = ((a, b) for a in range(SIZES[0]) for b in range(SIZES[1]))
            codes = dict(zip(sorted(codes), pairs, strict=False))
        built.build("one", codes, suffixed=suffixed)
        built.publish("one")
        built.build("one", codes, suffixed=suffixed)
        put_in_parts(built, "one", shard_rows)
        built.publish("one")
    return BothForms(built, shard_rows)


def prefixes(release: Release) -> Iterator[str]:
    """Every prefix of every id there could be."""
    sizes = release.ids.part_sizes
    texts = [""]
    for size in sizes:
        texts = [f"{text}-{part}".lstrip("-") for text in texts for part in range(size)]
        yield from texts


def publish_ids(
    store: VersionStore, frames: Iterable[pl.DataFrame], sizes: tuple[int, ...], shard_rows: int
) -> str:
    """A table of ids alone, in parts, as the store takes it; returns its version.

    `frames`: `item_id` by rising id, `code_1` ..., `semantic_id`; ids have no suffix.
    """
    champion = store.champion()
    columns = [f"code_{level}" for level in range(1, len(sizes) + 1)]
    ids = {"levels": len(sizes), "sizes": sizes, "suffix_size": 0, "columns": columns}
    layout = IdLayout.parse(ids)
    assert layout is not None

    def assemble(folder: Path) -> dict[str, Any]:
        shards = split(frames, folder / "sids", "item_id", "ids", shard_rows)
        write_by_id(shards, layout, folder / "by_id", folder.parent / "scratch")
        return {**BARE, "num_items": shards.num_rows, "semantic_ids": ids}

    return store.publish(assemble, champion.version if champion else None, FACTS).version


def publish_many(store: VersionStore, num_items: int, shard_rows: int, seed: int) -> str:
    """`publish_ids` of many: of `num_items` names of 40 letters 99 % are in it, and 1 % have other
    codes for every `seed`."""
    rng = np.random.default_rng(seed)
    starts = range(0, num_items, shard_rows)
    frames = (_many(rng, range(start, min(start + shard_rows, num_items))) for start in starts)
    return publish_ids(store, frames, (256,) * 3, shard_rows)


def _many(rng: np.random.Generator, rows: range) -> pl.DataFrame:
    kept = np.array(rows)[rng.random(len(rows)) < 0.99]
    moved = np.where(rng.random(len(kept)) < 0.01, rng.integers(1, 1 << 20, len(kept)), 0)
    codes = np.stack([(kept * 7919 + moved) // 256**level % 256 for level in range(3)], axis=1)
    return id_frame([f"item-{number:035d}" for number in kept], codes)


def id_frame(item_ids: list[str], codes: np.ndarray) -> pl.DataFrame:
    """Columns of a table of ids without suffixes; `codes` (n, L)."""
    named = {f"code_{level}": each.astype(np.int32) for level, each in enumerate(codes.T, start=1)}
    frame = pl.DataFrame({"item_id": item_ids, **named})
    return frame.with_columns(semantic_id=pl.concat_str(*named, separator="-"))
