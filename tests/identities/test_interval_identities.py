"""Intervals of hit rates and of differences to the champion: what they must equal, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from sidmint.evaluation import (
    Interval,
    Ranks,
    bootstrap,
    expected_hits,
    hit_rate,
    paired_difference,
    random_hit_rate,
    retention,
)
from sidmint.evaluation.hit_rate_intervals import (
    NO_DIFFERENCE,
    Answers,
    hit_rate_differences,
    hit_rate_intervals,
    word,
)

CUTOFFS = (5, 20)
NUM_ITEMS = 1000


def seeded() -> np.random.Generator:
    return np.random.default_rng(11)


def answers(seed: int, num_cases: int = 300, num_items: int = NUM_ITEMS, shift: int = 0) -> Answers:
    """Cases of about half as many users; ranks drawn at random, some with ties."""
    rng = np.random.default_rng(seed)
    table = pl.DataFrame(
        {
            "user_id": [f"u{n // 2}" for n in range(num_cases)],
            "query_id": [f"q{n}" for n in range(num_cases)],
            "target_id": [f"t{n % 7}" for n in range(num_cases)],
        }
    )
    for space, reach in (("original", 20), ("reconstructed", 40), ("prefix", 90)):
        better = rng.integers(0, reach, num_cases).astype(np.int32) + shift
        table = table.with_columns(
            pl.Series(f"{space}_better", better),
            pl.Series(f"{space}_tied", rng.integers(0, 4, num_cases).astype(np.int32)),
        )
    return Answers(table, num_items)


def by_hand(users: Sequence[str], ranks: Sequence[int], num_items: int = NUM_ITEMS) -> Answers:
    """Cases without ties whose targets stand at `ranks`, from 0; original vectors find all."""
    table = pl.DataFrame({"user_id": users, "query_id": "q", "target_id": "t"})
    zero = pl.Series([0] * len(users), dtype=pl.Int32)
    found = {f"{space}_{side}": zero for space in ("original", "reconstructed", "prefix")
             for side in ("better", "tied")}  # fmt: skip
    found["reconstructed_better"] = pl.Series(ranks, dtype=pl.Int32)
    return Answers(table.with_columns(**found), num_items)


def ranks(given: Answers, space: str) -> Ranks:
    better, tied = (given.table[f"{space}_{side}"].to_numpy() for side in ("better", "tied"))
    return Ranks(better, tied)


def users(given: Answers) -> np.ndarray:
    return given.table["user_id"].rank("dense").to_numpy().astype(np.int64)


def kept(means: np.ndarray) -> np.ndarray:
    """Retention at 20 of the mean hits of (reconstructed, original)."""
    chance = random_hit_rate(NUM_ITEMS, 20)
    return (means[:, 0] - chance) / (means[:, 1] - chance)


def columns(given: Answers) -> np.ndarray:
    spaces = ("reconstructed", "original")
    return np.stack([expected_hits(ranks(given, space), 20) for space in spaces], axis=1)


def test_estimates_are_the_hit_rates_of_the_evaluation() -> None:
    given = answers(1)
    found = hit_rate_intervals(given, CUTOFFS, seeded())
    for cutoff in CUTOFFS:
        ours, original = (hit_rate(ranks(given, s), cutoff) for s in ("reconstructed", "original"))
        prefix = hit_rate(ranks(given, "prefix"), cutoff)
        assert found[f"hr_at_{cutoff}"].estimate == pytest.approx(ours)
        assert found[f"prefix_hr_at_{cutoff}"].estimate == pytest.approx(prefix)
        assert found[f"retention_at_{cutoff}"].estimate == pytest.approx(
            retention(ours, original, random_hit_rate(NUM_ITEMS, cutoff))
        )


def test_intervals_drawn_together_are_those_of_each_metric_by_itself() -> None:
    given = answers(1)
    found = hit_rate_intervals(given, CUTOFFS, seeded())
    hits = expected_hits(ranks(given, "reconstructed"), 20)
    alone = bootstrap(hits, seeded(), groups=users(given))
    ratio = bootstrap(columns(given), seeded(), statistic=kept, groups=users(given))
    for name, expected in (("hr_at_20", alone), ("retention_at_20", ratio)):
        assert found[name].low == pytest.approx(expected.low)
        assert found[name].high == pytest.approx(expected.high)
        assert found[name].confidence == expected.confidence


def test_differences_drawn_together_are_the_paired_ones_of_each_metric() -> None:
    ours, theirs = answers(1), answers(2)
    found = hit_rate_differences(ours, theirs, CUTOFFS, seeded()).by_metric["retention_at_20"]
    expected = paired_difference(
        columns(ours), columns(theirs), seeded(), statistic=kept, groups=users(ours)
    )
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (expected.estimate, expected.low, expected.high)
    )


def test_a_difference_by_hand() -> None:
    # Within the first 5: candidate 3 of 4, champion 1 of 4.
    candidate = by_hand(["a", "b", "c", "d"], [0, 1, 2, 9])
    champion = by_hand(["a", "b", "c", "d"], [0, 7, 8, 9])
    found = hit_rate_differences(candidate, champion, (5,), seeded())
    assert (found.num_shared, found.num_users) == (4, 4)
    assert found.by_metric["hr_at_5"].estimate == pytest.approx(0.5)
    assert found.by_metric["hr_at_5"].low == pytest.approx(0.0)
    assert found.by_metric["hr_at_5"].high == pytest.approx(1.0)
    assert found.by_metric["prefix_hr_at_5"] == Interval(0.0, 0.0, 0.0, 0.95)


def test_only_cases_that_both_answered_count() -> None:
    candidate = by_hand(["a", "b", "new"], [0, 9, 0])
    champion = by_hand(["gone", "b", "a"], [0, 0, 9])
    found = hit_rate_differences(candidate, champion, (5,), seeded())
    assert (found.num_shared, found.num_users) == (2, 2)
    assert found.by_metric["hr_at_5"].estimate == pytest.approx(0.0)


def test_a_case_that_is_there_twice_is_shared_as_often_as_both_have_it() -> None:
    candidate = by_hand(["a", "a", "a"], [0, 0, 0])
    champion = by_hand(["a", "a"], [0, 0])
    found = hit_rate_differences(candidate, champion, (5,), seeded())
    assert (found.num_shared, found.num_users) == (2, 1)


def test_without_a_shared_case_nothing_is_said() -> None:
    found = hit_rate_differences(by_hand(["a"], [0]), by_hand(["b"], [0]), (5,), seeded())
    assert (found.num_shared, dict(found.by_metric)) == (0, {})


def test_the_order_of_cases_does_not_matter() -> None:
    ours, theirs = answers(1), answers(2)
    shuffled = Answers(theirs.table.sample(fraction=1.0, shuffle=True, seed=3), NUM_ITEMS)
    turned = Answers(ours.table.reverse(), NUM_ITEMS)
    expected = hit_rate_differences(ours, theirs, CUTOFFS, seeded())
    found = hit_rate_differences(turned, shuffled, CUTOFFS, seeded())
    assert found.num_shared == expected.num_shared == 300
    for name, each in expected.by_metric.items():
        got = found.by_metric[name]
        assert (got.estimate, got.low, got.high) == pytest.approx(
            (each.estimate, each.low, each.high)
        )


def test_sides_swapped_turn_every_difference_around() -> None:
    ours, theirs = answers(1), answers(2)
    forth = hit_rate_differences(ours, theirs, CUTOFFS, seeded()).by_metric
    back = hit_rate_differences(theirs, ours, CUTOFFS, seeded()).by_metric
    for name, each in forth.items():
        assert back[name].estimate == pytest.approx(-each.estimate)
        assert (back[name].low, back[name].high) == pytest.approx((-each.high, -each.low))


def test_against_itself_there_is_no_difference_at_all() -> None:
    found = hit_rate_differences(answers(1), answers(1), CUTOFFS, seeded())
    assert len(found.by_metric) == 6
    for name, each in found.by_metric.items():
        assert (each.estimate, each.low, each.high) == (0.0, 0.0, 0.0)
        assert word(name, each) == NO_DIFFERENCE


def test_a_champion_of_another_size_is_held_against_its_own_chance() -> None:
    ours, theirs = answers(1), answers(1, num_items=100)
    found = hit_rate_differences(ours, theirs, (20,), seeded()).by_metric["retention_at_20"]
    hits = columns(ours).mean(axis=0)
    small, large = 20 / 99, 20 / 999
    expected = (hits[0] - large) / (hits[1] - large) - (hits[0] - small) / (hits[1] - small)
    assert found.estimate == pytest.approx(expected)


@pytest.mark.parametrize("num_items", [5, 6, 21])
def test_a_cutoff_that_takes_in_the_whole_catalogue_has_no_retention(num_items: int) -> None:
    found = hit_rate_intervals(answers(1, num_items=num_items), (20,), seeded())
    assert set(found) == {"hr_at_20", "prefix_hr_at_20"}


def test_original_vectors_no_better_than_chance_leave_no_retention() -> None:
    lost = answers(1, shift=500)
    assert set(hit_rate_intervals(lost, (20,), seeded())) == {"hr_at_20", "prefix_hr_at_20"}
    found = hit_rate_differences(answers(1), lost, (20,), seeded())
    assert set(found.by_metric) == {"hr_at_20", "prefix_hr_at_20"}


def test_no_case_has_no_interval() -> None:
    empty = Answers(answers(1).table.head(0), NUM_ITEMS)
    assert hit_rate_intervals(empty, CUTOFFS, seeded()) == {}


@pytest.mark.parametrize(
    ("low", "high", "metric", "said"),
    [
        (0.01, 0.03, "hr_at_20", "better"),
        (-0.03, -0.01, "retention_at_100", "worse"),
        (0.01, 0.03, "conflict_rate", "worse"),
        (-0.01, 0.03, "hr_at_20", NO_DIFFERENCE),
        (0.0, 0.03, "hr_at_20", NO_DIFFERENCE),
        (-0.03, 0.0, "hr_at_20", NO_DIFFERENCE),
    ],
)
def test_a_word_goes_by_the_interval_and_the_way_that_is_better(
    low: float, high: float, metric: str, said: str
) -> None:
    assert word(metric, Interval((low + high) / 2, low, high, 0.95)) == said
