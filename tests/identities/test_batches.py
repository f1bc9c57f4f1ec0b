"""What a training step is given: each item once a pass, its targets, collisions side by side."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

import worlds
from sidmint.errors import BadInput
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.batches import PairedItems, SingleItems, check_pairs
from sidmint.types import Pairs

NUM_ITEMS = 12
TRAINING = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])  # 8 to 11 are held out
PAIRS = Pairs(
    np.array([5, 0, 0, 0, 1, 2, 9, 3], dtype=np.int32),
    np.array([1, 1, 2, 9, 9, 0, 0, 3], dtype=np.int32),
    np.array([1, 3, 1, 50, 1, 1, 1, 1], dtype=np.float32),
)
TARGETS = {0: {1, 2}, 1: {1}, 2: {0}, 3: {3}, 4: {4}, 5: {1}, 6: {6}, 7: {7}}
"""By hand: 0's strongest pair and 1's only one are held out, 3 is paired with itself."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_pass_has_every_item_once_as_trigger_and_targets_from_its_pairs() -> None:
    sampler = PairedItems(TRAINING, PAIRS, NUM_ITEMS)
    triggers: list[int] = []
    for batch in sampler(4, 4, generator()):
        assert batch.num_pairs == 2
        assert len(batch.rows_B) == 4
        for trigger, target in zip(
            batch.rows_B[:2].tolist(), batch.rows_B[2:].tolist(), strict=True
        ):
            assert target in TARGETS[trigger]
            triggers.append(trigger)
    assert sorted(triggers) == TRAINING.tolist()


def test_targets_are_drawn_by_their_scores() -> None:
    sampler = PairedItems(TRAINING, PAIRS, NUM_ITEMS)
    drawn = Counter(
        int(batch.rows_B[batch.num_pairs + at])
        for batch in sampler(3000, 16, generator())
        for at in (batch.rows_B[: batch.num_pairs] == 0).nonzero()[:, 0].tolist()
    )
    assert drawn.keys() == {1, 2}
    assert drawn[1] / drawn.total() == pytest.approx(3 / 4, abs=0.03)  # 3.8 standard errors


def test_items_of_one_group_share_a_batch() -> None:
    groups = torch.arange(60) % 20  # three items each
    sampler = SingleItems(torch.arange(60), lambda rows: groups[rows])
    orders = []
    for batch in sampler(20, 3, generator()):
        assert len(set(groups[batch.rows_B].tolist())) == 1
        orders.append(int(groups[batch.rows_B[0]]))
    assert sorted(orders) == list(range(20))
    assert orders != sorted(orders)


def test_groups_are_asked_for_anew_before_each_pass() -> None:
    asked: list[list[int]] = []

    def groups(rows: torch.Tensor) -> torch.Tensor:
        asked.append(sorted(rows.tolist()))
        return torch.zeros(len(rows), dtype=torch.int64)

    list(SingleItems(torch.arange(10), groups)(6, 5, generator()))
    assert asked == [list(range(10))] * 3


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (None, "got none.*pairs stage"),
        (Pairs(*(np.zeros(0, dtype=t) for t in (np.int32, np.int32, np.float32))), "got none"),
        (
            Pairs(PAIRS.triggers, PAIRS.targets + 8, PAIRS.scores),
            r"pair 3 names target row 17, but",
        ),
        (Pairs(PAIRS.triggers - 1, PAIRS.targets, PAIRS.scores), r"pair 1 names trigger row -1"),
        (Pairs(PAIRS.triggers, PAIRS.targets, PAIRS.scores * np.nan), "positive and finite"),
        (Pairs(PAIRS.triggers, PAIRS.targets, PAIRS.scores * 0), "positive and finite"),
    ],
)
def test_pairs_that_cannot_be_learned_from_are_refused(pairs: Pairs | None, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_pairs(pairs, NUM_ITEMS, "quasid")


def test_a_tokenizer_refuses_pairs_of_unknown_items_before_it_trains() -> None:
    vectors = worlds.smooth_items(50)
    pairs = worlds.neighbour_pairs(worlds.smooth_items(60))
    tokenizer = make_tokenizer("quasid", {"sizes": [4, 4]})
    with pytest.raises(BadInput, match="but there are 50 items"):
        tokenizer.fit(vectors, pairs)
    with pytest.raises(BadInput, match="'quasid' learns from item pairs and got none"):
        tokenizer.fit(vectors)


def test_pairs_among_held_out_items_alone_are_refused() -> None:
    alone = Pairs(np.array([8], np.int32), np.array([9], np.int32), np.ones(1, np.float32))
    with pytest.raises(BadInput, match="no pair joins two items that are trained on"):
        PairedItems(TRAINING, alone, NUM_ITEMS)
