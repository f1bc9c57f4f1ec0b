"""Two tables whose every codebook is fully used; the gate must tell them apart all the same."""

import numpy as np
import pytest

from sidmint.diagnostics import count_codes, duplicate_floor, qualified_collisions
from sidmint.gate.rules import rules_for
from sidmint.gate.thresholds import GateParams
from sidmint.types import Pairs

NUM_ITEMS, SIZE, NUM_LEVELS = 496, 16, 3
RULES = rules_for(GateParams(), NUM_LEVELS, champion=None)
NOBODY = Pairs(*np.zeros((2, 0), dtype=np.int32), np.zeros(0, dtype=np.float32))


def tables():
    """A table whose last level says little beside the first two, and one whose levels are free.

    N items that fall at random on M ids use (M / N) (1 - exp(-N / M)) of an id each: .94 of one
    where all M = 16^3 ids are free, .64 where 16^2 prefixes have two last codes each.
    """
    rng = np.random.default_rng(4)
    even = np.repeat(np.arange(SIZE), NUM_ITEMS // SIZE)
    free = np.stack([rng.permutation(even) for _ in range(NUM_LEVELS)], axis=1)
    tied = free.copy()
    tied[:, 2] = (free[:, 0] + free[:, 1] + rng.integers(0, 2, NUM_ITEMS)) % SIZE
    return tied.astype(np.int32), free.astype(np.int32)


def measurements(codes):
    """What diagnostics measure of `codes`, items being unrelated, by the names of the gate."""
    vectors = np.random.default_rng(1).standard_normal((NUM_ITEMS, 32)).astype(np.float32)
    counted = count_codes(codes, (SIZE,) * NUM_LEVELS)
    qualified = qualified_collisions(codes, vectors, NOBODY, cosine=0.95)
    found = {
        "num_items": counted.collisions.num_items,
        "collision_rate": counted.collisions.collision_rate,
        "collided_item_rate": counted.collisions.collided_item_rate,
        "conflict_rate": qualified.conflict_rate,
        "duplicate_floor": duplicate_floor(vectors),
        "n_eff_share": counted.collisions.n_eff_share,
    }
    for level, used in enumerate(counted.usage, start=1):
        found[f"perplexity_share_{level}"] = used.perplexity / used.size
        found[f"dead_code_share_{level}"] = used.num_dead / used.size
    return found


TIED, FREE = (measurements(codes) for codes in tables())


def failed(found):
    """The critical rules on what was measured that do not hold."""
    measured = [rule for rule in RULES if rule.metric in found]
    return [r.name for r in measured if r.severity == "critical" and not r.holds(found)]


def test_sixty_five_percent_distinct_is_refused_and_ninety_four_passes_every_rule():
    assert 1 - TIED["collision_rate"] == pytest.approx(0.65, abs=0.01)
    assert 1 - FREE["collision_rate"] == pytest.approx(0.94, abs=0.01)
    assert "collision_rate" in failed(TIED)
    assert all(rule.holds(FREE) for rule in RULES if rule.metric in FREE)


def test_usage_of_every_level_cannot_tell_them_apart():
    usage = [rule for rule in RULES if rule.metric.startswith(("perplexity_", "dead_code_"))]
    assert len(usage) == 2 * NUM_LEVELS
    assert all(rule.holds(found) for rule in usage for found in (TIED, FREE))
    for level in range(1, NUM_LEVELS + 1):
        assert TIED[f"dead_code_share_{level}"] == FREE[f"dead_code_share_{level}"] == 0
        assert TIED[f"perplexity_share_{level}"] > 0.97
        assert FREE[f"perplexity_share_{level}"] == pytest.approx(1)


def test_branching_names_the_level_that_says_little():
    tied, free = (count_codes(codes, (SIZE,) * NUM_LEVELS).branching for codes in tables())
    assert tied.effective[:2] == free.effective[:2]
    assert tied.effective[2] < 1.6  # two codes a prefix at most, as chance leaves them
    assert free.n_eff > 1.4 * tied.n_eff


def test_the_rules_that_judge_are_those_of_the_default_gate():
    judged = {rule.metric for rule in RULES} & set(TIED)
    assert {"collision_rate", "conflict_rate", "n_eff_share", "num_items"} < judged
    assert "conflict_rate" in failed(TIED)  # nobody is related here, so collisions are conflicts
