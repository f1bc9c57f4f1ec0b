"""What is recommended of finalists whose truth is known, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from choose_world import catalogue
from sidmint.choosing.candidates import Candidate
from sidmint.choosing.choice import Choice, choose
from sidmint.choosing.halving import Budget
from sidmint.choosing.measuring import Attempt, Measuring, Tried
from sidmint.choosing.recommendation import Recommendation, Scored, recommend

USERS = 400


class InMemory:
    """Tries that are made once, without a folder."""

    def __init__(self, make: Measuring) -> None:
        self.make = make
        self.known: dict[str, Tried] = {}

    def knows(self, attempt: Attempt) -> bool:
        return self.make.key(attempt) in self.known

    def num_fitted(self, attempt: Attempt) -> int:
        return self.make.num_fitted(attempt)

    def __call__(self, attempt: Attempt) -> Tried:
        key = self.make.key(attempt)
        if key not in self.known:
            self.known[key] = self.make(attempt)
        return self.known[key]


def finalist(name: str, scores, bits=24.0, rate=0.1, seconds=1.0, objections=(), size=256):
    metrics = {"id_bits": bits, "collision_rate": rate}
    candidate = Candidate(name, {"type": "rq_kmeans", "sizes": [size] * 3})
    return Scored(candidate, np.atleast_2d(scores), metrics, seconds, objections)


def world(*means: float, seeds: int = 3, spread: float = 0.01, seed: int = 0):
    """Scores (S, U) about each mean: users differ much and alike for all, seeds a little."""
    drawn = np.random.default_rng(seed)
    taste = drawn.normal(0, 0.2, USERS)
    return [
        mean + taste + drawn.normal(0, spread, (seeds, USERS)) + drawn.normal(0, 0.0005, (seeds, 1))
        for mean in means
    ]


def decide(*finalists: Scored, chance: float = 0.0, span: float = 1.0) -> Recommendation:
    return recommend(finalists, chance, span, np.random.default_rng(5))


def test_the_truly_better_one_is_taken_and_the_loss_of_the_other_is_measured():
    better, worse = world(0.50, 0.48)
    found = decide(finalist("worse", worse), finalist("better", better))
    assert found.chosen is found.leader
    assert found.leader.label == "better 3 x 256"
    assert "every other finalist is worse" in found.reason
    loser = found.standings[1]
    assert loser.outcome == "worse"
    assert loser.low < -0.04 < loser.high < 0  # .02 of .50
    assert "worse 3 x 256 loses 4." in found.uncertainty


def test_two_equals_cannot_be_told_apart_and_the_cheaper_is_taken():
    one, other = world(0.50, 0.50, spread=0.05)
    found = decide(finalist("long", one, bits=27.0), finalist("short", other, bits=24.0))
    assert "cannot be told apart" in found.reason
    assert found.chosen is not None
    assert found.chosen.label == "short 3 x 256"
    assert "shortest ids (24 bits)" in found.reason


@pytest.mark.parametrize(
    ("cheap", "dear", "said"),
    [
        ({"bits": 18.0, "rate": 0.9, "seconds": 9}, {"bits": 24.0}, "shortest ids (18 bits)"),
        ({"rate": 0.05, "seconds": 9}, {"rate": 0.2}, "collides least"),
        ({"seconds": 1.0}, {"seconds": 9.0}, "fitted fastest"),
    ],
)
def test_among_equals_short_ids_then_collisions_then_time_decide(cheap, dear, said):
    one, other = world(0.5, 0.5, spread=0.05)
    found = decide(finalist("dear", one, **dear), finalist("cheap", other, **cheap))
    assert found.chosen is not None
    assert found.chosen.scored.candidate.name == "cheap"
    assert said in found.reason


def test_one_of_which_less_is_known_is_not_taken_for_that():
    """Its interval is wide, so it cannot be told apart; it would have the shortest ids."""
    one, other, third = world(0.5, 0.5, 0.5, spread=0.05)
    found = decide(
        finalist("long", one, bits=30.0),
        finalist("short", other, bits=24.0),
        finalist("shortest, once", third[:1], bits=12.0),
    )
    assert found.chosen is not None
    assert found.chosen.scored.candidate.name == "short"
    assert "of those with as many seeds" in found.reason
    assert "users alone of shortest, once 3 x 256, with one seed" in found.uncertainty


def test_one_that_the_gate_would_refuse_is_not_taken_however_good():
    best, second = world(0.6, 0.5)
    found = decide(
        finalist("best", best, objections=("collision_rate is 0.4, above the 0.3 allowed",)),
        finalist("second", second),
    )
    assert found.chosen is not None
    assert found.chosen.label == "second 3 x 256"
    assert found.standings[0].outcome == "better"
    assert "would be refused by the gate" in found.reason


def test_where_the_gate_would_refuse_all_none_is_taken_and_the_reasons_are_told():
    one, other = world(0.6, 0.5)
    found = decide(
        finalist("one", one, objections=("n_eff_share is 0.1, below the 0.5 required",)),
        finalist("other", other, objections=("conflict_rate is 0.9, above the 0.4 allowed",)),
    )
    assert found.chosen is None
    assert "n_eff_share is 0.1" in found.reason
    assert "conflict_rate is 0.9" in found.reason


def test_differences_are_shares_of_what_the_leader_has_above_chance():
    """Hit rates .5 and .4 over a chance of .1: qualities 1 and .75 of .4, so a quarter is lost."""
    one, other = world(0.5, 0.4, spread=1e-6)
    one, other = one - one.mean() + 0.5, other - other.mean() + 0.4
    found = decide(finalist("one", one), finalist("other", other), chance=0.1, span=0.4)
    assert [each.quality for each in found.standings] == pytest.approx([1.0, 0.75])
    assert found.standings[1].difference == pytest.approx(-0.25)


def test_many_finalists_make_every_interval_wider():
    two = world(0.5, 0.495, spread=0.05)
    pair = decide(*(finalist(f"t{n}", scores) for n, scores in enumerate(two)))
    five = decide(*(finalist(f"t{n}", s) for n, s in enumerate([*two, *world(0.3, 0.3, 0.3)])))
    widths = [
        next(s.high - s.low for s in each.standings if s.label == "t1 3 x 256")
        for each in (pair, five)
    ]
    assert widths[0] < widths[1]


def test_few_users_tell_nothing():
    better, worse = (scores[:, :20] for scores in world(0.9, 0.1))
    found = decide(finalist("better", better), finalist("worse", worse))
    assert {each.outcome for each in found.standings} == {"within", "cannot tell"}
    assert "20 users are too few" in found.uncertainty


def test_one_seed_says_that_its_interval_holds_users_alone():
    one, other = world(0.5, 0.4, seeds=1)
    assert "users alone" in decide(finalist("a", one), finalist("b", other)).uncertainty


def chosen_among(own: dict[str, dict[str, object]], num_seeds: int = 3) -> Choice:
    tries = InMemory(Measuring(catalogue(), root=7))
    names = tuple(own)
    return choose(
        catalogue(), tries, names, Budget(600), own=own, own_sizes=(16,) * 3, num_seeds=num_seeds
    )


def test_on_real_fits_k_means_beats_random_codes():
    found = chosen_among({"random": {}, "rq_kmeans": {}})
    chosen = found.recommendation.chosen
    assert chosen is not None
    assert chosen.scored.candidate.name == "rq_kmeans"
    # Random codes answer by chance, to a few hits of 400.
    lost = [s for s in found.recommendation.standings if s.scored.candidate.name == "random"]
    assert all(each.outcome == "worse" and each.difference < -0.9 for each in lost)


def test_on_real_fits_one_tokenizer_under_two_names_cannot_be_told_apart():
    twins = {name: {"type": "rq_kmeans"} for name in ("one", "other")}
    found = chosen_among(twins)
    said = found.recommendation
    sizes = {each.scored.candidate.sizes for each in said.standings}
    for size in sizes:
        pair = [each for each in said.standings if each.scored.candidate.sizes == size]
        assert len({each.scored.candidate.name for each in pair}) == 2
    same = [
        each
        for each in said.standings
        if each is not said.leader
        and each.scored.candidate.sizes == said.leader.scored.candidate.sizes
    ]
    assert [each.outcome for each in same] == ["cannot tell"]
    assert "cannot be told apart" in said.reason
