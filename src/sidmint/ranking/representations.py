"""How an item enters a ranking model: six ways, by name.

Each turns an item table into features that are looked up and summed, or into vectors. They
differ in what items share: nothing, a row by chance, a code, a prefix, a piece of code, content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.ranking.subwords import subword_pieces
from sidmint.registry import Registry
from sidmint.seeds import seed_for
from sidmint.types import Codes, Floats, Ints


@dataclass(frozen=True)
class ItemTable:
    """N items: `codes` as the tokenizer gave them (they may collide), `vectors` (N, D) before it.

    `num_train` (N,) counts clicks before the cut: pieces of code are learned from them.
    """

    codes: Codes
    vectors: Floats
    num_train: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.codes.num_items == len(self.vectors) == len(self.num_train):
            raise BadInput(
                f"an item table wants one row an item, got {self.codes.num_items} rows of codes, "
                f"{len(self.vectors)} vectors and {len(self.num_train)} counts"
            )

    def __len__(self) -> int:
        return self.codes.num_items


@dataclass(frozen=True)
class Bags:
    """`features[offsets[i]:offsets[i + 1]]` are the rows, below `num_rows`, summed for item i."""

    features: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    num_rows: int


Represent = Callable[[ItemTable, int, int], Bags | Floats]
"""From the items, the rows that there may be at most and a seed to bags of rows or to vectors.

The seed decides which features share a row where they are hashed."""

REPRESENTATIONS: Registry[Represent] = Registry("representation")


@REPRESENTATIONS.register("hashed_id")
def hashed_id(items: ItemTable, num_rows: int, seed: int) -> Bags:
    """The item's number, hashed: items share a row by chance. One row an item where all fit."""
    return _id_bags(items, num_rows, seed)


@REPRESENTATIONS.register("level_sum")
def level_sum(items: ItemTable, num_rows: int, seed: int) -> Bags:
    """The sum of one row a level and code: items of one code are one item to the model."""
    return _table_bags(_numbered(items.codes.values, whole_prefix=False), num_rows, seed)


@REPRESENTATIONS.register("prefix_ngrams")
def prefix_ngrams(items: ItemTable, num_rows: int, seed: int) -> Bags:
    """The sum of one row a prefix: (c_1), (c_1, c_2), ... (arXiv 2504.02137, "Prefix-ngram").

    What Meta found best: each row adds to what the coarser ones know. Hashed where there are
    more prefixes than rows.
    """
    return _prefix_bags(items, num_rows, seed)


@REPRESENTATIONS.register("subwords")
def subwords(items: ItemTable, num_rows: int, seed: int) -> Bags:
    """The sum of one row a piece of code, pieces as SentencePiece learns them (arXiv 2306.08121).

    What YouTube found best: frequent runs of codes get a row of their own, rare ones are
    spelled by their codes. Hashed where codes alone are more than rows.
    """
    pieces = subword_pieces(items.codes, items.num_train, num_rows)
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in pieces])])
    return _hashed(np.concatenate(pieces), offsets, num_rows, seed)


@REPRESENTATIONS.register("content_vector")
def content_vector(items: ItemTable, num_rows: int, seed: int) -> Floats:
    """The vector that codes were made of, scaled to a mean square of 1 an entry."""
    scale = np.sqrt(np.mean(np.square(items.vectors), dtype=np.float64))
    return (items.vectors / (scale if scale > 0 else 1.0)).astype(np.float32)


@REPRESENTATIONS.register("id_and_semantic_id")
def id_and_semantic_id(items: ItemTable, num_rows: int, seed: int) -> Bags:
    """A row of the item's own beside its prefixes: what is shared and what is particular.

    Half the rows are for ids; those that prefixes leave free go to ids as well.
    """
    prefixes = _prefix_bags(items, num_rows // 2, seed)
    ids = _id_bags(items, num_rows - prefixes.num_rows, seed)
    shared = prefixes.features.reshape(len(items), -1)
    own = ids.features[:, None] + prefixes.num_rows
    both = np.concatenate([shared, own], axis=1)
    return _table_bags(both, prefixes.num_rows + ids.num_rows, seed)


def _id_bags(items: ItemTable, num_rows: int, seed: int) -> Bags:
    return _table_bags(np.arange(len(items))[:, None], num_rows, seed)


def _prefix_bags(items: ItemTable, num_rows: int, seed: int) -> Bags:
    return _table_bags(_numbered(items.codes.values, whole_prefix=True), num_rows, seed)


def _numbered(codes: Ints, whole_prefix: bool) -> npt.NDArray[np.int64]:
    """Features (N, L): numbers of the code at each level, or of the prefix down to it.

    Counted over those in use, level after level: what no item has wants no parameter.
    """
    columns, taken = [], 0
    for level in range(codes.shape[1]):
        part = codes[:, : level + 1] if whole_prefix else codes[:, level : level + 1]
        distinct, number = np.unique(part, axis=0, return_inverse=True)
        columns.append(number.ravel() + taken)
        taken += len(distinct)
    return np.stack(columns, axis=1)


def _table_bags(features: npt.NDArray[np.integer], num_rows: int, seed: int) -> Bags:
    """Bags of as many features an item: `features` (N, F)."""
    offsets = np.arange(len(features) + 1) * features.shape[1]
    return _hashed(features.ravel(), offsets, num_rows, seed)


def _hashed(
    features: npt.NDArray[np.integer], offsets: npt.NDArray[np.int64], num_rows: int, seed: int
) -> Bags:
    """Features as they are where they fit into `num_rows`, else mixed and cut down to them."""
    num_features = int(features.max()) + 1
    if num_features <= num_rows:
        return Bags(features.astype(np.int64), offsets, num_features)
    rows = (_mixed(features, seed) % np.uint64(num_rows)).astype(np.int64)
    return Bags(rows, offsets, num_rows)


def _mixed(numbers: npt.NDArray[np.integer], seed: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea, Flood 2014): neighbours in, unrelated numbers out."""
    start = np.uint64(seed_for(seed, "ranking", "hash"))
    mixed = start + (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
