"""Batches of a recommender's training: everything once, like lengths, like many events."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidmint.recommenders.training import even_batches


def batches(lengths, size, targets=None, seed=0):
    lengths = np.asarray(lengths, dtype=np.int64)
    targets = lengths if targets is None else np.asarray(targets, dtype=np.int64)
    return list(even_batches(lengths, targets, size, np.random.default_rng(seed)))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=300), st.integers(1, 40))
def test_every_example_comes_once_an_epoch_whatever_the_size(lengths, size):
    found = batches(lengths, size)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    assert all(len(batch) for batch in found)


@given(st.lists(st.integers(1, 60), min_size=32, max_size=300), st.integers(2, 16))
def test_batches_of_one_pool_have_equally_many_events_up_to_one_example(lengths, size):
    lengths = np.array(lengths[: size * 16])
    found = [int(lengths[batch].sum()) for batch in batches(lengths, size)]
    even = lengths.sum() / max(1, round(len(lengths) / size))
    assert max(found) < even + 60 + 1
    assert sum(found) == lengths.sum()


def test_long_examples_come_in_few_and_short_ones_in_many():
    lengths = np.array([2] * 800 + [40] * 40)
    found = batches(lengths, 84)
    sizes = {int(lengths[batch].max()): len(batch) for batch in found}
    assert sizes[40] == pytest.approx(8, abs=1)
    assert sizes[2] == pytest.approx(160, abs=1)


def test_where_an_example_has_one_target_all_batches_have_one_size():
    lengths = np.random.default_rng(0).integers(1, 50, 960)
    found = batches(lengths, 60, targets=np.ones(960))
    assert [len(batch) for batch in found] == [60] * 16


def test_lengths_in_a_batch_lie_together_and_batches_come_in_random_order():
    lengths = np.random.default_rng(0).integers(1, 50, 640)
    found = batches(lengths, 40)
    spans = sorted((int(lengths[batch].min()), int(lengths[batch].max())) for batch in found)
    assert all(high <= low for (_, high), (low, _) in pairwise(spans))
    firsts = [int(lengths[batch].min()) for batch in found]
    assert firsts != sorted(firsts)
    assert [b.tolist() for b in found] == [b.tolist() for b in batches(lengths, 40)]
