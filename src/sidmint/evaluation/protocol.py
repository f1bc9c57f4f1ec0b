"""What is asked in the item-to-item evaluation: test cases and random negatives (DRQ 5.5).

Everything that the paper leaves open about the question is decided in this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.types import Ints


@dataclass(frozen=True)
class Cases:
    """Test cases as row numbers into the catalogue: from `queries` (T,), find `targets` (T,).

    `users` (T,) are the numbers of those who asked, None where that is not known: cases of one
    user are no independent draws (`bootstrap`).
    """

    queries: Ints
    targets: Ints
    users: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: npt.NDArray[np.int64]) -> Cases:
        """The cases with these numbers."""
        users = None if self.users is None else self.users[rows]
        return Cases(self.queries[rows], self.targets[rows], users)


def joined(parts: Sequence[Cases]) -> Cases:
    """All cases of `parts`, whose users are known and numbered across all of them."""
    queries, targets, users = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("queries", "targets", "users")
    )
    return Cases(queries, targets, users)


def held_out_cases(
    users: npt.NDArray[np.int64],
    positions: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
    held_out: npt.NDArray[np.bool_],
) -> Cases:
    """Test cases from events: neighbours in a user's sequence, the later of which is held out.

    Every array has one entry an event: the user's number, the place in the user's full sequence
    (0, 1, ... oldest first), the item's row or -1 where it is not in the pool, and whether
    training was kept from the event. Two events make a case if their positions differ by one
    and both items are in the pool; otherwise the pair is skipped, with no gap jumping (DRQ 5.5).
    A repeated item makes no case, since the query is taken out of the ranking.

    Our reading, where DRQ gives the pair but not its direction: the query is the earlier item
    and the target the later one. So the answer is what training has not seen, and a case on a
    withheld item counts for the cold segment. Cases come by user and position, and carry the
    user's number.
    """
    order = np.lexsort((positions, users))
    users, positions, items = users[order], positions[order], items[order]
    neighbours = (users[1:] == users[:-1]) & (positions[1:] == positions[:-1] + 1)
    in_pool = (items[1:] >= 0) & (items[:-1] >= 0) & (items[1:] != items[:-1])
    chosen = np.flatnonzero(neighbours & in_pool & held_out[order][1:])
    queries, targets = (items[at].astype(np.int32) for at in (chosen, chosen + 1))
    return Cases(queries, targets, users[chosen])


def random_negatives(
    cases: Cases, num_items: int, per_case: int, generator: np.random.Generator
) -> Cases:
    """`per_case` wrong cases for each of `cases`: its query, with a random item as target.

    Items are drawn evenly from all but the query and the true target. Draw them once from a
    named seed: every tokenizer is then asked against the same negatives.
    """
    if num_items < 3:
        raise BadInput(f"random negatives want at least 3 items, got {num_items}")
    queries, targets = (np.repeat(side, per_case) for side in (cases.queries, cases.targets))
    drawn = generator.integers(0, num_items - 2, size=len(queries), dtype=np.int32)
    # Two numbers were left out of the draw; step over the query and the target, lower one first.
    drawn += drawn >= np.minimum(queries, targets)
    drawn += drawn >= np.maximum(queries, targets)
    return Cases(queries, drawn)
