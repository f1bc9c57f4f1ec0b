"""What a level adds in bits: known worlds, and the two tables that dead codes call sound."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import worlds
from sidmint.diagnostics import branching
from sidmint.gate.rules import rules_for
from sidmint.gate.thresholds import GateParams
from sidmint.information import effective_children, information
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.base import describe_fit

SIZES = (256, 256, 256)


def of(codes: np.ndarray, sizes: tuple[int, ...]):
    return information(effective_children(codes), sizes, len(codes))


def test_a_full_grid_adds_all_that_each_level_could():
    grid = np.array(list(itertools.product(range(4), range(8), range(2))), dtype=np.int32)
    levels = of(grid, (4, 8, 2))
    assert [level.bits for level in levels] == pytest.approx([2, 3, 1])
    assert [level.possible for level in levels] == pytest.approx([2, 3, 1])
    assert [level.share for level in levels] == pytest.approx([1, 1, 1])


def test_what_is_left_to_say_bounds_what_a_level_could_say():
    unique = np.stack([np.arange(64) // 2, np.arange(64) % 2], axis=1).astype(np.int32)
    first, second = of(unique, (32, 256))
    assert (first.bits, second.bits) == pytest.approx((5, 1))
    assert second.possible == pytest.approx(1)  # not log2 256 = 8
    assert second.share == pytest.approx(1)


def test_a_level_that_repeats_the_one_before_it_uses_every_code_and_adds_nothing():
    first = np.arange(640, dtype=np.int32) % 16
    repeated = np.stack([first, first], axis=1)
    levels = of(repeated, (16, 16))
    assert levels[1].bits == pytest.approx(0, abs=1e-9)
    assert levels[1].share == pytest.approx(0, abs=1e-9)
    log = describe_fit(repeated, (16, 16), (), 1)
    assert log.num_dead == (0, 0)
    assert log.perplexities == pytest.approx((16, 16))
    assert log.collapsed == ("level 2 collapsed: it adds 0.00 of the 4.00 bits that it could",)


def test_where_ids_are_whole_already_a_further_level_owes_nothing():
    whole = np.stack([np.arange(64), np.zeros(64)], axis=1).astype(np.int32)
    assert of(whole, (64, 4))[1].share == 1.0


def test_codes_spent_on_single_points_are_told_and_refused():
    """k-means on vectors without structure: one code for nearly all, the others for outliers."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 16, 4000)
    second = np.where(rng.random(4000) < 0.985, 0, rng.integers(1, 64, 4000))
    codes = np.stack([first, second], axis=1).astype(np.int32)
    assert len(np.unique(second)) > 0.5 * 64
    share = of(codes, (16, 64))[1].share
    assert 0 < share < 0.1
    (rule,) = [r for r in rules_for(GateParams(), 2, None) if r.name == "information_share_2"]
    assert rule.severity == "critical"
    assert not rule.holds({"information_share_2": share})


def test_catalogues_of_few_items_a_code_are_told_and_refused_though_every_code_is_in_use():
    """As seen on 4,300 products: perplexities 217, 36 and 14 of 256, N_eff .66, no dead code."""
    model = make_tokenizer("rq_kmeans", {"sizes": SIZES})
    log = model.fit(worlds.long_tails(), device="cpu")
    assert log.num_dead == (0, 0, 0)
    assert log.perplexities[0] > 200
    assert all(perplexity < 36 for perplexity in log.perplexities[1:])
    assert [reason[:17] for reason in log.collapsed] == ["level 2 collapsed", "level 3 collapsed"]
    measured = {
        f"{name}_{level + 1}": value
        for level in range(3)
        for name, value in (
            ("perplexity_share", log.perplexities[level] / 256),
            ("dead_code_share", 0.0),
        )
    }
    failed = {
        rule.metric
        for rule in rules_for(GateParams(), 3, None)
        if rule.metric in measured and rule.severity == "critical" and not rule.holds(measured)
    }
    assert failed == {"perplexity_share_2", "perplexity_share_3"}


def test_bounded_codes_make_every_level_of_that_catalogue_carry_information():
    model = make_tokenizer("rq_kmeans", {"sizes": SIZES, "balance": 1.5})
    vectors = worlds.long_tails()
    log = model.fit(vectors, device="cpu")
    assert log.collapsed == ()
    levels = of(model.encode(vectors), SIZES)
    assert all(level.share > 0.5 for level in levels)


def test_vectors_without_structure_leave_a_level_that_training_calls_collapsed():
    vectors = directions()
    model = make_tokenizer("rq_kmeans", {"sizes": [2048, 64]})
    log = model.fit(vectors, device="cpu")
    assert log.num_dead == (0, 0)
    assert log.perplexities[1] < 2
    assert [reason[:17] for reason in log.collapsed] == ["level 2 collapsed"]
    (_, second) = of(model.encode(vectors), (2048, 64))
    assert second.share < 0.1
    assert second.possible == pytest.approx(0.7, abs=0.05)


@pytest.mark.slow
def test_bounded_codes_say_all_that_was_left_to_say_of_vectors_without_structure():
    model = make_tokenizer("rq_kmeans", {"sizes": [2048, 64], "balance": 1.5})
    vectors = directions()
    model.fit(vectors, device="cpu")
    assert of(model.encode(vectors), (2048, 64))[1].share > 0.9


def directions() -> np.ndarray:
    """3,000 unit vectors that have no cluster."""
    vectors = np.random.default_rng(0).normal(size=(3000, 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.integers(0, 5)
    )
)
def test_bits_add_up_to_the_entropy_of_whole_codes_and_never_beyond_what_was_possible(codes):
    sizes = (6,) * codes.shape[1]
    levels = of(codes, sizes)
    _, counts = np.unique(codes, axis=0, return_counts=True)
    shares = counts / counts.sum()
    entropy = -(shares * np.log2(shares)).sum()
    assert sum(level.bits for level in levels) == pytest.approx(entropy, abs=1e-9)
    assert all(level.bits <= level.possible + 1e-9 for level in levels)
    assert all(0 <= level.share <= 1 for level in levels)
    assert effective_children(codes) == pytest.approx(branching(codes).effective)
