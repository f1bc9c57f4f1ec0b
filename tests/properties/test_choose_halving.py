"""Successive halving on a budget: the time, who goes on, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from choose_world import FakeClock, FakeTries, candidate
from sidmint.choosing.candidates import Candidate
from sidmint.choosing.halving import MOST_FINALISTS, SHARES, Budget, Race, halve
from sidmint.choosing.worth import worth
from sidmint.types import Codes

NAMES = [f"t{number}" for number in range(8)]


def race(
    seconds: float,
    costs: dict[str, float],
    listed: list[Candidate] | None = None,
    tries: FakeTries | None = None,
    **more,
) -> tuple[Race, FakeTries]:
    clock = FakeClock()
    tries = tries or FakeTries(clock, costs, {name: 0.9 - 0.1 * n for n, name in enumerate(costs)})
    listed = listed or [candidate(name) for name in costs]
    return halve(listed, tries, Budget(seconds, tries.clock), **more), tries


@given(
    st.dictionaries(st.sampled_from(NAMES), st.floats(0.1, 300), min_size=1),
    st.floats(1, 5000),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_the_budget_is_overdrawn_by_one_unforeseen_try_at_most(costs, seconds, num_seeds):
    """A try of a tokenizer that was never tried has no forecast; any other is forecast."""
    found, tries = race(seconds, costs, num_seeds=num_seeds)
    dearest = max(costs.values()) * SHARES[0] + 1.0
    # The best may enter the finals for fewer seeds than wanted; every try of it still fits.
    assert found.seconds <= seconds + dearest + 1e-6
    assert len(tries.made) == len({(a.candidate.label, a.share, a.seed) for a in tries.made})


@given(st.floats(1, 2000))
@settings(max_examples=40, deadline=None)
def test_every_candidate_is_a_finalist_left_out_or_beaten(seconds):
    costs = {name: 10.0 * (n + 1) for n, name in enumerate(NAMES)}
    found, tries = race(seconds, costs)
    tried = {attempt.candidate.label for attempt in tries.made}
    named = {each.label for each in found.left_out} | tried
    assert named == {candidate(name).label for name in NAMES}
    assert all(each.reason for each in found.left_out)


def test_with_time_enough_the_better_half_goes_on_and_finalists_get_every_seed():
    found, tries = race(1e6, dict.fromkeys(NAMES, 8.0))
    assert [len(rung) for rung in found.rungs] == [8, 4]
    assert [each.candidate.name for each in found.finalists] == NAMES[:2]
    assert [len(each.tries) for each in found.finalists] == [3, 3]
    shares = [attempt.share for attempt in tries.made]
    assert [shares.count(share) for share in (*SHARES, 1.0)] == [8, 4, 6]
    assert not found.left_out


def test_sizes_do_not_race_each_other():
    """The quality of the larger codes is the best of all, and the smaller keep their place."""
    listed = [candidate(name, size) for size in (64, 16) for name in ("a", "b", "c", "d")]
    clock = FakeClock()
    quality = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    tries = FakeTries(clock, dict.fromkeys(quality, 1.0), quality)
    found = halve(listed, tries, Budget(1e6, clock))
    assert sorted(each.candidate.label for each in found.finalists) == [
        "a 3 x 16",
        "a 3 x 64",
        "b 3 x 16",
        "b 3 x 64",
    ]


def test_what_the_gate_would_refuse_goes_last_from_the_second_rung_on():
    costs = dict.fromkeys(NAMES[:4], 1.0)
    found, _ = race(1e6, costs, refuses=lambda row: row.name == "t0")
    assert [row.name for row in found.rungs[1]] == ["t0", "t1"]
    assert [each.candidate.name for each in found.finalists] == ["t1", "t0"]


def test_a_slow_tokenizer_is_left_out_with_its_forecast_and_does_not_stop_the_quick():
    found, _ = race(100.0, {"quick": 1.0, "slow": 200.0})
    assert {each.label for each in found.left_out} == {"slow 3 x 16"}
    first, last = (each.reason for each in found.left_out)
    assert first.startswith("rung 2: it would take about 68 s")  # 200 / 3 and one to measure
    assert last.startswith("finals: with it they would take about 207 s")  # and three quick ones
    assert [each.candidate.name for each in found.finalists] == ["quick"]
    assert len(found.finalists[0].tries) == 3


def test_time_that_is_left_goes_to_finalists_with_fewer_seeds():
    """Of 333 s after the rungs, three fits of 131 s have no room, two beside quick ones do."""
    found, _ = race(400.0, {"slow": 130.0, "quick": 1.0})
    assert {each.candidate.name: len(each.tries) for each in found.finalists} == {
        "quick": 3,
        "slow": 2,
    }
    assert not found.left_out


def test_the_forecast_of_another_size_is_that_of_the_size_that_was_tried():
    listed = [candidate("slow", 16), candidate("slow", 32), candidate("quick", 16)]
    found, _ = race(200.0, {"quick": 1.0, "slow": 400.0}, listed)
    reasons = {each.label: each.reason for each in reversed(found.left_out)}
    assert reasons["slow 3 x 32"].startswith("rung 1: it would take about 51 s")


def test_what_fails_is_named_and_the_others_go_on():
    clock = FakeClock()
    quality = {"good": 0.5, "bad": 0.9}
    tries = FakeTries(clock, dict.fromkeys(quality, 1.0), quality, failing=frozenset({"bad"}))
    found = halve([candidate("bad"), candidate("good")], tries, Budget(1e6, clock))
    assert [(each.label, each.reason) for each in found.left_out] == [
        ("bad 3 x 16", "it does not fit")
    ]
    assert [each.candidate.name for each in found.finalists] == ["good"]


def test_a_second_run_makes_nothing_again_and_goes_further():
    costs = dict.fromkeys(NAMES, 40.0)
    first, tries = race(150.0, costs)
    before = list(tries.made)
    second, _ = race(150.0, costs, tries=tries)
    again = [(a.candidate.label, a.share, a.seed) for a in tries.made]
    assert len(again) == len(set(again))
    assert len(again) > len(before)
    assert len(second.left_out) < len(first.left_out)
    third, _ = race(1e6, costs, tries=tries)
    made = len(tries.made)
    fourth, _ = race(1e6, costs, tries=tries)
    assert len(tries.made) == made
    assert [each.candidate for each in third.finalists] == [
        each.candidate for each in fourth.finalists
    ]


def test_where_a_rung_fits_nobody_its_candidates_stand_for_the_finals():
    """Rung 1 ends after 29.5 s of 100, and a third of a fit has no room before 50; a fit has."""
    found, _ = race(100.0, {"a": 60.0, "z": 160.0}, num_seeds=1)
    assert [len(rung) for rung in found.rungs] == [2, 0]
    assert [each.candidate.name for each in found.finalists] == ["a"]


@pytest.mark.parametrize("num_sizes", [5])
def test_there_are_so_many_finalists_and_the_others_are_told_so(num_sizes: int):
    listed = [candidate(name, 8 * n) for n in range(1, num_sizes + 1) for name in ("a", "b")]
    clock = FakeClock()
    tries = FakeTries(clock, {"a": 1.0, "b": 1.0}, {"a": 0.9, "b": 0.8})
    found = halve(listed, tries, Budget(1e6, clock))
    assert len(found.finalists) == MOST_FINALISTS
    assert {each.reason for each in found.left_out} == {f"finals: {MOST_FINALISTS} are enough"}
    # The best of every size is among them.
    assert {each.candidate.sizes for each in found.finalists} == {each.sizes for each in listed}


@given(st.floats(1, 400), st.floats(1, 100), st.integers(1, 3))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_recommenders_are_trained_within_what_is_left_and_equally_often(
    tmp_path: Path, seconds: float, each: float, num_seeds: int
):
    """The first training cannot be forecast; no other one starts that would not fit."""
    clock, asked = FakeClock(), []

    def ask(codes: Codes, seed: int) -> np.ndarray:
        clock.now += each
        asked.append(seed)
        return np.full(5, float(seed))

    found, _ = race(1e6, {"a": 1.0, "b": 1.0}, num_seeds=num_seeds)
    budget = Budget(seconds, clock)
    folder = tmp_path / f"{seconds}-{each}-{num_seeds}"
    values, out = worth(found.finalists, ask, {}, budget, folder)
    assert budget.spent <= max(each, seconds) + 1e-6
    assert len(values) + len(out) == len(found.finalists)
    assert len({len(one.gains) for one in values}) == 1
    assert all(one.gains[:, 0].tolist() == list(range(len(one.gains))) for one in values)
    made = len(asked)
    worth(found.finalists, ask, {}, Budget(1e6, clock), folder)
    assert len(asked) == max(made, sum(len(one.tries) for one in found.finalists))
