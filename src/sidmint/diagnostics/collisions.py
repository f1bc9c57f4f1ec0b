"""Items that share a whole code: how many, and the least there can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sidmint.diagnostics.buckets import BucketSizes, bucket_sizes
from sidmint.errors import BadInput
from sidmint.packing import CodeArray
from sidmint.rows import Rows, digests_of, num_distinct
from sidmint.types import Ints


@dataclass(frozen=True)
class Collisions:
    """How whole codes are shared: `buckets` are the items of each distinct code."""

    buckets: BucketSizes

    @property
    def num_items(self) -> int:
        """N."""
        return self.buckets.num_items

    @property
    def num_distinct(self) -> int:
        """Distinct whole codes."""
        return self.buckets.num_distinct

    @property
    def collision_rate(self) -> float:
        """1 - distinct codes / N. Not the share of items that collide: see the next one."""
        return 1 - self.num_distinct / self.num_items

    @property
    def collided_item_rate(self) -> float:
        """Share of items that do not stand alone in their code."""
        shared = self.buckets.sizes > 1
        num_collided = self.buckets.sizes[shared] @ self.buckets.num_buckets[shared]
        return float(num_collided / self.num_items)

    @property
    def largest_bucket(self) -> int:
        """Items in the fullest code."""
        return int(self.buckets.sizes[-1])

    @property
    def num_collided_pairs(self) -> int:
        """Unordered pairs of items with the same code."""
        sizes = self.buckets.sizes
        return int((sizes * (sizes - 1) // 2) @ self.buckets.num_buckets)

    @property
    def composition_entropy(self) -> float:
        """H(S) of whole codes in nats (QuaSID 5.1.3); at most ln N, where all are distinct."""
        return self.buckets.entropy

    @property
    def n_eff(self) -> float:
        """exp(H(S)): the number of equally used codes with the same entropy."""
        return float(np.exp(self.composition_entropy))

    @property
    def n_eff_share(self) -> float:
        """exp(H(S)) / N: 1 where every item stands alone."""
        return self.n_eff / self.num_items


def collisions(codes: CodeArray) -> Collisions:
    """`Collisions` of `codes` (N, L), taken before any disambiguation.

    Two rates with similar names differ: with buckets of 3, 1, 1 items the collision rate is
    1 - 3/5 = 0.4 while 3/5 = 0.6 of the items are collided.
    """
    return Collisions(bucket_sizes(codes)[-1])


def duplicate_floor(embeddings: Rows) -> float:
    """Least collision rate that any tokenizer can reach: 1 - distinct vectors / N.

    Equal rows of `embeddings` (N, D) get equal codes from every tokenizer that sees the vector
    alone. Near-duplicates force nothing (a finer codebook can part them), so only exact
    equality counts here.
    """
    if len(embeddings) == 0:
        raise BadInput("the duplicate floor of no items is not defined; the catalogue is empty")
    return 1 - num_distinct(embeddings) / len(embeddings)


def vector_numbers(vectors: Rows) -> Ints:
    """Give each row of `vectors` (N, D) a number from 0; equal rows share one.

    Rows are told apart by `digests_of`, 16 bytes a row.
    """
    digests = digests_of(vectors)
    return np.unique(digests, axis=0, return_inverse=True)[1].ravel().astype(np.int32)
