"""One table of codes in every form that other systems write it, and what may stand beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

import worlds
from sidmint.types import Floats, Ints

NUM_ITEMS, SIZE, NUM_LEVELS = 300, 8, 3
IDS = [str(row) for row in range(NUM_ITEMS)]


def make_codes(seed: int = 0) -> Ints:
    """Codes (N, L) of which every level uses its first and its last, and some rows collide."""
    codes = np.random.default_rng(seed).integers(0, SIZE, (NUM_ITEMS, NUM_LEVELS))
    codes[:2] = [[0] * NUM_LEVELS, [SIZE - 1] * NUM_LEVELS]
    return codes.astype(np.int32)


def with_suffix(codes: Ints) -> Ints:
    """TIGER's table: a last number 0, 1, 2 ... for the items of one code, in the order of rows."""
    seen: dict[tuple[int, ...], int] = {}
    suffixes = []
    for row in map(tuple, codes.tolist()):
        suffixes.append(seen.get(row, 0))
        seen[row] = suffixes[-1] + 1
    return np.column_stack([codes, suffixes]).astype(np.int32)


def columns(codes: Ints, names: str, first: int = 1) -> pl.DataFrame:
    """A table with `item_id` and a column a level, e.g. names="code_{}"."""
    numbered = {names.format(first + at): codes[:, at] for at in range(codes.shape[1])}
    return pl.DataFrame({"item_id": IDS[: len(codes)], **numbered})


def texts(codes: Ints) -> list[str]:
    return ["-".join(map(str, row)) for row in codes.tolist()]


def tokens(codes: Ints) -> list[list[str]]:
    """["<a_12>", "<b_7>", ...], as LETTER writes it."""
    return [[f"<{'abcdef'[at]}_{code}>" for at, code in enumerate(row)] for row in codes.tolist()]


def one_column(values: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": IDS[: len(values)], "semantic_id": values})


def save_npz(path: Path, codes: Ints) -> None:
    np.savez(path, codes=codes)


def write_index(path: Path, entries: list[object]) -> None:
    path.write_text(json.dumps(dict(zip(IDS, entries, strict=True))), encoding="utf-8")


FORMS: dict[str, Callable[[Path, Ints], object]] = {
    "code.parquet": lambda path, codes: columns(codes, "code_{}").write_parquet(path),
    "c0.csv": lambda path, codes: columns(codes, "c{}", first=0).write_csv(path),
    "sid.tsv": lambda path, codes: columns(codes, "sid_{}", 0).write_csv(path, separator="\t"),
    "level.jsonl": lambda path, codes: columns(codes, "Level-{}").write_ndjson(path),
    "other_names.parquet": lambda path, codes: columns(codes, "rq.{}").write_parquet(path),
    "lists.parquet": lambda path, codes: one_column(codes.tolist()).write_parquet(path),
    "token_lists.parquet": lambda path, codes: one_column(tokens(codes)).write_parquet(path),
    "texts.csv": lambda path, codes: one_column(texts(codes)).write_csv(path),
    "token_texts.csv": lambda path, codes: one_column(
        ["".join(row) for row in tokens(codes)]
    ).write_csv(path),
    "written_lists.csv": lambda path, codes: one_column(
        [str(row) for row in codes.tolist()]
    ).write_csv(path),
    "tokens.json": lambda path, codes: write_index(path, tokens(codes)),
    "numbers.json": lambda path, codes: write_index(path, codes.tolist()),
    "texts.json": lambda path, codes: write_index(path, texts(codes)),
    "lines.json": lambda path, codes: columns(codes, "code_{}").write_ndjson(path),
    "rows.npy": lambda path, codes: np.save(path, codes),
    "rows.npz": save_npz,
}
"""File name -> how to write codes (N, L) into it; items are "0", "1", ... in all of them."""


def make_vectors() -> Floats:
    """Vectors of the items of `make_codes`: smooth, so codes at random explain little of them."""
    return worlds.smooth_items(NUM_ITEMS)


def make_log(num_users: int = 120, seed: int = 0) -> pl.DataFrame:
    """Six events a user on items of one neighbourhood, oldest first."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, NUM_ITEMS, num_users)
    items = starts[:, None] + rng.permuted(np.tile(np.arange(12), (num_users, 1)), axis=1)[:, :6]
    return pl.DataFrame(
        {
            "user_id": np.repeat([f"u{user}" for user in range(num_users)], 6),
            "item_id": [str(item) for item in (items % NUM_ITEMS).ravel()],
            "timestamp": np.arange(items.size) + 1_600_000_000,
        }
    )
