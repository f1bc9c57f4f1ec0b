"""The synthetic industrial world of `make paper-drq`: what it says of itself is so."""

from dataclasses import replace

import drq_world
import numpy as np
import pytest
from drq_printed import PRINTED, RAW
from drq_surface import NUM_DIMENSIONS, spectrum
from drq_users import Groups
from drq_world import NUM_INTRINSIC, ZIPF, make_world, theme_sizes

from sidmint.diagnostics import geometry
from sidmint.errors import BadInput

NUM_ITEMS = 8_000


@pytest.fixture(scope="module")
def world():
    return make_world(NUM_ITEMS, seed=3)


@pytest.fixture(scope="module")
def cases(world):
    return world.cases


def cosines(world, left, right):
    return np.einsum("nd,nd->n", world.vectors[left], world.vectors[right])


def test_vectors_have_unit_norm(world):
    assert world.vectors.shape == (NUM_ITEMS, NUM_DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(world.vectors, axis=1), 1, atol=1e-5)


def test_the_spectrum_has_the_geometry_that_drq_prints_of_its_raw_input():
    shares, printed = spectrum(), PRINTED[RAW]
    assert 1 / (shares**2).sum() == pytest.approx(printed["participation_ratio"], rel=1e-3)
    rank = np.exp(-(shares * np.log(shares)).sum())
    assert rank == pytest.approx(printed["effective_rank"], rel=1e-3)
    assert shares[0] == pytest.approx(printed["top_eigenvalue_share"], rel=0.01)


def test_vectors_come_near_that_geometry(world):
    cloud, printed = geometry(world.vectors), PRINTED[RAW]
    assert cloud.participation_ratio == pytest.approx(printed["participation_ratio"], rel=0.1)
    assert cloud.effective_rank == pytest.approx(printed["effective_rank"], rel=0.1)
    assert cloud.top_eigenvalue_share == pytest.approx(printed["top_eigenvalue_share"], rel=0.2)


def test_the_surface_is_curved(world):
    """It has as many directions as intrinsic dimensions at any one place, as a whole many more."""
    rng = np.random.default_rng(0)
    for item in (0, NUM_ITEMS // 2, NUM_ITEMS - 1):
        nearby = world.positions[item] + 1e-2 * rng.normal(size=(400, NUM_INTRINSIC))
        shares = geometry(world.surface.embed(nearby.astype(np.float32))).eigenvalue_shares
        assert shares[:NUM_INTRINSIC].sum() > 0.99
    assert geometry(world.vectors).participation_ratio > 5 * NUM_INTRINSIC


def test_theme_sizes_fall_as_a_power_of_their_rank():
    sizes = theme_sizes(400_000)
    assert sizes.sum() == 400_000
    ranks = np.arange(1, len(sizes) + 1)
    slope = np.polyfit(np.log(ranks), np.log(sizes), 1)[0]
    assert slope == pytest.approx(-ZIPF, abs=0.02)
    assert (np.diff(sizes) <= 1).all()  # falling, but for the rounding


def test_what_is_seen_has_a_long_tail(world):
    seen = np.sort(np.bincount(world.sequences.ravel(), minlength=NUM_ITEMS))[::-1]
    assert seen[: NUM_ITEMS // 100].sum() > 0.2 * seen.sum()
    assert (seen == 0).mean() > 0.1


def test_popularity_does_not_depend_on_where_an_item_lies(world):
    ranks = np.argsort(np.argsort(world.popularity))
    for coordinate in world.positions.T:
        assert abs(np.corrcoef(ranks, coordinate)[0, 1]) < 0.06


def test_a_repost_lies_beside_its_original_and_is_as_popular(world):
    reposts = np.flatnonzero(world.original_of != np.arange(NUM_ITEMS))
    assert 0.05 < len(reposts) / NUM_ITEMS < 0.1
    originals = world.original_of[reposts]
    assert (world.original_of[originals] == originals).all()
    assert (world.theme_of[originals] == world.theme_of[reposts]).all()
    assert (world.popularity[originals] == world.popularity[reposts]).all()
    assert np.quantile(cosines(world, originals, reposts), 0.01) > 0.97


def test_co_viewed_items_are_nearer_than_random_ones(world, cases):
    rng = np.random.default_rng(0)
    together = cosines(world, cases.queries, cases.targets)
    apart = cosines(world, cases.queries, rng.permutation(cases.targets))
    assert together.mean() > apart.mean() + 0.4


def test_audiences_join_items_that_content_keeps_apart(world, cases):
    """Where two neighbours of a sequence look unlike, they share an audience far above chance,
    and yet not their theme."""
    unlike = cosines(world, cases.queries, cases.targets) < 0.2
    queries, targets = world.theme_of[cases.queries[unlike]], world.theme_of[cases.targets[unlike]]
    same = world.audience_of[queries] == world.audience_of[targets]
    shuffled = np.random.default_rng(0).permutation(targets)
    by_chance = world.audience_of[queries] == world.audience_of[shuffled]
    assert unlike.mean() > 0.1
    assert same.mean() > 2 * by_chance.mean()
    assert (queries == targets).mean() < 0.1


def test_cases_ask_for_the_newest_event_and_pairs_never_read_it(world, cases):
    newest, second = world.sequences[:, 0], world.sequences[:, 1]
    apart = newest != second
    assert (cases.targets == newest[apart]).all()
    assert (cases.queries == second[apart]).all()
    other = np.roll(newest, 1)[:, None]
    elsewhere = replace(world, sequences=np.hstack([other, world.sequences[:, 1:]]))
    assert (elsewhere.co_viewed.triggers == world.co_viewed.triggers).all()
    assert (elsewhere.co_viewed.targets == world.co_viewed.targets).all()
    assert (elsewhere.co_viewed.scores == world.co_viewed.scores).all()


def test_pairs_go_both_ways(world):
    pairs = world.co_viewed
    there = {*zip(pairs.triggers.tolist(), pairs.targets.tolist(), strict=True)}
    assert there == {(target, trigger) for trigger, target in there}
    assert all(trigger != target for trigger, target in there)


def test_a_world_depends_on_its_seed_and_size_alone(monkeypatch):
    monkeypatch.setattr(drq_world, "PROBES", 1_000)  # quicker, and no rounder
    first, again, other = (make_world(1_000, seed) for seed in (3, 3, 4))
    assert again.vectors.tobytes() == first.vectors.tobytes()
    assert again.sequences.tobytes() == first.sequences.tobytes()
    assert not np.allclose(other.vectors, first.vectors)


def test_too_small_a_world_says_what_it_wants():
    with pytest.raises(BadInput, match="raise --items"):
        make_world(300, seed=0)


def test_another_member_is_never_the_member_itself_unless_it_is_alone():
    group = np.array([0, 1, 0, 2, 1, 0, 2, 2, 3], dtype=np.int32)
    groups, rng = Groups.of(group), np.random.default_rng(0)
    members = np.tile(np.arange(9), 200)
    others = groups.another(members, rng)
    assert (group[others] == group[members]).all()
    assert ((others == members) == (members == 8)).all()
    for member in range(8):
        mates = set(np.flatnonzero(group == group[member])) - {member}
        assert set(others[members == member].tolist()) == mates
