"""How many levels, of how many codes: balls in bins over the duplicate floor (METHODS 9)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sidmint.errors import BadInput

TARGET = 0.02
"""Share of distinct items that may collide beyond what duplicates force. The best tables of
Amazon Beauty have .004 to .08 at 3 x 256."""

USUAL_BITS_SHARE = 2 / 3
"""Of the bits of a code, what a fitted residual tokenizer makes use of, where no pilot has
measured it: `rq_kmeans` at 3 x 256 on Beauty collides as evenly drawn codes of 15.5 of 24 bits."""

ITEMS_A_CODE = 8
"""A codebook has at most one code for so many items: it is learned from them."""

_LEAST, _MOST = 4, 65_536
_BROADEST = 400.0  # bits; every float holds 2^400

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Proposal:
    """Sizes to try, and why."""

    sizes: Sizes
    reason: str


def collision_rate(num_items: int, capacity: float) -> float:
    """Expected 1 - distinct / items of `num_items` codes drawn evenly from `capacity` of them.

    Balls in bins: C (1 - (1 - 1/C)^N) of C bins hold a ball. It is the best case: a fitted
    tokenizer uses its codes unevenly. `capacity` may be a fraction (`effective_capacity`).
    """
    if num_items < 1 or not capacity >= 1:
        raise BadInput(
            f"balls in bins want at least one item and one code, got {num_items} and {capacity}"
        )
    if capacity == 1:
        return 1 - 1 / num_items
    distinct = -capacity * math.expm1(num_items * math.log1p(-1 / capacity))
    return max(0.0, 1 - distinct / num_items)


def effective_capacity(num_items: int, rate: float) -> float:
    """The capacity at which evenly drawn codes would collide at `rate`: balls in bins, inverted.

    Of a measured rate it is how many codes the tokenizer really offers; of a target, how many
    are needed. Infinite for a rate of 0. Raises `BadInput` for a rate that no capacity gives.
    """
    worst = collision_rate(num_items, 1)
    if not 0 <= rate <= worst:
        raise BadInput(
            f"a collision rate of {num_items} items lies between 0 and {worst}, got {rate}"
        )
    if rate == 0:
        return math.inf
    low, high = 0.0, _BROADEST
    for _ in range(100):  # halves 400 bits down to the last digit of a float
        middle = (low + high) / 2
        if collision_rate(num_items, 2**middle) > rate:
            low = middle
        else:
            high = middle
    return float(2**high)


def rate_above_floor(rate: float, floor: float) -> float:
    """Collision rate of the distinct items alone: what the tokenizer adds to the duplicates.

    `rate` and `floor` are over all items: rate = floor + (1 - floor) x this.
    """
    if not 0 <= floor < 1:
        raise BadInput(f"a duplicate floor lies from 0 to below 1, got {floor}")
    return max(0.0, (rate - floor) / (1 - floor))


def bits_share(rate: float, num_distinct: int, sizes: Sizes) -> float:
    """Share of the bits of `sizes` that a fit uses which collides at `rate` above the floor.

    log(effective capacity) / log(capacity), from 0 to 1; 1 where it collides no more than
    evenly drawn codes. `num_distinct` are the items without copies.
    """
    capacity = math.prod(sizes)
    if rate <= collision_rate(num_distinct, capacity):
        return 1.0
    most = 1 - 1 / num_distinct  # what was worked out from a floor may round to above it
    return math.log(effective_capacity(num_distinct, min(rate, most))) / math.log(capacity)


def propose_sizes(
    num_distinct: int, own: Sizes | None = None, used: float = USUAL_BITS_SHARE, most: int = 3
) -> tuple[Proposal, ...]:
    """At most `most` sizes worth a try for `num_distinct` items without copies.

    `own` (of params.yaml) comes first. Then the smallest power of two at three and at four levels
    that meets `TARGET` where a fit uses the share `used` of its bits, and the smallest at
    three levels for codes drawn evenly, below which no tokenizer can meet it. No codebook has
    more than one code for `ITEMS_A_CODE` items.
    """
    if not 0 < used <= 1:
        raise BadInput(f"the share of bits in use lies between 0 and 1, got {used}")
    room = math.log2(effective_capacity(num_distinct, min(TARGET, 1 - 1 / num_distinct)))
    percent = f"{used:.0%} of the bits in use"
    proposals = [
        Proposal(_alike(3, room / (3 * used), num_distinct), f"three levels with {percent}"),
        Proposal(_alike(4, room / (4 * used), num_distinct), f"four levels with {percent}"),
        Proposal(_alike(3, room / 3, num_distinct), "the least for codes drawn evenly"),
    ]
    if own is not None:
        proposals.insert(0, Proposal(own, "yours, of params.yaml"))
    distinct: dict[Sizes, Proposal] = {}
    for proposal in proposals:
        distinct.setdefault(proposal.sizes, proposal)
    return tuple(distinct.values())[:most]


def in_words(sizes: Sizes) -> str:
    """3 x 256, or 64-32-16 where levels differ."""
    if len(set(sizes)) == 1:
        return f"{len(sizes)} x {sizes[0]:,}"
    return "-".join(map(str, sizes))


def _alike(num_levels: int, bits: float, num_distinct: int) -> Sizes:
    """Levels of one size: the least power of two with `bits`, as far as the items allow."""
    allowed = max(_LEAST, num_distinct // ITEMS_A_CODE)
    most = min(_MOST, 1 << (allowed.bit_length() - 1))
    wanted = 1 << max(0, math.ceil(bits - 1e-9))
    return (max(_LEAST, min(wanted, most)),) * num_levels
