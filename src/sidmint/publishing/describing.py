"""What the manifest of a release says of its table and its index: read from them, not told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import Items, SemanticIds, require_columns
from sidmint.errors import BadInput
from sidmint.execution.shards import PARTS, Shards, read_manifest
from sidmint.publishing.files import NEIGHBOURS


def describe_table(table: Path, tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of sids.parquet, or of its parts in the folder `table`, needs to know.

    And what its columns do not say: `columns` are the parts of a Semantic ID in their order,
    `sizes[l]` how many codes level l + 1 may take, and `suffix_size` how many values the last part
    has (0: no such part). Parts are read one after another.
    """
    where = f"the table of {table.parent.name}"
    names, num_items, pieces = _opened(table)
    require_columns(
        pl.DataFrame(schema=names),
        [SemanticIds.ITEM_ID, SemanticIds.SUFFIX, SemanticIds.SEMANTIC_ID],
        where,
    )
    levels = sum(column.startswith("code_") for column in names)
    columns = [SemanticIds.code(level) for level in range(1, levels + 1)]
    require_columns(pl.DataFrame(schema=names), columns, where)
    sizes = list(tokenizer.get("sizes") or tokenizer.get("config", {}).get("sizes") or ())
    if not levels or len(sizes) != levels:
        raise BadInput(f"sids.parquet has {levels} levels, but tokenizer.json names sizes {sizes}")
    highest, counts = 0, set[int]()
    for piece in pieces([SemanticIds.SUFFIX, SemanticIds.SEMANTIC_ID]):
        highest = max(highest, int(piece[SemanticIds.SUFFIX].max() or 0))  # type: ignore[arg-type]
        counts |= _num_parts(piece[SemanticIds.SEMANTIC_ID])
    suffixed = _is_suffixed(counts, levels)
    return {
        "num_items": num_items,
        "semantic_ids": {
            "levels": levels,
            "sizes": sizes,
            "suffix_size": highest + 1 if suffixed else 0,
            "columns": [*columns, SemanticIds.SUFFIX] if suffixed else columns,
            "separator": "-",
        },
    }


Pieces = Callable[[list[str]], Iterator[pl.DataFrame]]


def _opened(table: Path) -> tuple[list[str], int, Pieces]:
    """Its columns, how many rows it has, and some of its columns a piece at a time."""
    if table.is_dir():
        shards = Shards(table, read_manifest(table / PARTS))
        return [name for name, _ in shards.form.columns], shards.num_rows, shards.frames
    frame = pl.read_parquet(table)
    return frame.columns, frame.height, lambda columns: iter([frame.select(columns)])


def describe_neighbours(embedding: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of the index needs: `embedding` is what embed.json says of its vectors.

    Row n is row n of sids.parquet. Vectors have unit norm, so that inner products with a query
    of unit norm are cosines. `encoder` makes the vector of a new item: `model` reads the text
    that `template` makes of its columns; of vectors that were joined, `sources` says it of each,
    and sources.safetensors holds what was fitted.
    """
    keys = ["model", "template", "unit_norm", "second"]
    keys += ["sources"] if "sources" in embedding else []
    return {
        "file": NEIGHBOURS,
        "metric": "cosine",
        "dimensions": embedding["dim"],
        "num_items": embedding["num_items"],
        "encoder": {"name": embedding["encoder"], **{key: embedding[key] for key in keys}},
    }


def same_neighbours(table: Path, artifacts: Artifacts) -> dict[str, Any]:
    """`describe_neighbours` of the index that the stages made.

    `BadInput` where `table`, the catalogue and the index do not list the same items.
    """
    described = describe_neighbours(artifacts.json("embed", "embed"))
    catalogue = artifacts.scan("ingest", "items").select(Items.ITEM_ID)
    _, num_listed, pieces = _opened(table)
    same = artifacts.num_items() == num_listed == described["num_items"]
    start = 0
    for piece in pieces([SemanticIds.ITEM_ID]) if same else ():
        indexed = catalogue.slice(start, piece.height).collect()
        same &= piece[SemanticIds.ITEM_ID].equals(indexed[Items.ITEM_ID])
        start += piece.height
    if not same:
        raise BadInput(
            "sids.parquet, the catalogue and the index of neighbours list other items than each "
            "other; `sidmint run` brings every stage up to date"
        )
    return described


def _num_parts(ids: pl.Series) -> set[int]:
    parts = ids.drop_nulls().str.count_matches("-", literal=True) + 1
    return set(parts.unique().to_list())


def _is_suffixed(counts: set[int], levels: int) -> bool:
    """Whether ids of so many parts have a suffix behind their codes."""
    if not counts <= {levels} and not counts <= {levels + 1}:
        raise BadInput(
            f"semantic_id wants {levels} parts, or {levels + 1} with a suffix, the same in every "
            f"row; the table has {sorted(counts)}"
        )
    return counts == {levels + 1}
