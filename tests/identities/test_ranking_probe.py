"""Six representations of items in one click model, in a world whose answers are known."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from ranking_world import NUM_ITEMS, NUM_TOPICS, SETTINGS, topic_world
from sidmint.errors import BadInput
from sidmint.evaluation import SEGMENTS
from sidmint.ranking import REPRESENTATIONS, ItemTable, probe_world, ranking_probe
from sidmint.ranking.click_model import (
    ClickSettings,
    build_click_model,
    click_probabilities,
    num_parameters,
    rows_within,
)
from sidmint.ranking.copies import copied_pairs, strangers
from sidmint.ranking.subwords import subword_pieces
from sidmint.types import Codes

OF_CODES = ("level_sum", "prefix_ngrams", "subwords")
ALL = ("content_vector", "hashed_id", "id_and_semantic_id", *OF_CODES)


@pytest.fixture(scope="module")
def found():
    return ranking_probe(*topic_world(), SETTINGS, seed=5)


@pytest.fixture(scope="module")
def scores(found):
    return {score.name: score for score in found.scores}


def test_every_representation_is_known_here(scores):
    assert set(REPRESENTATIONS) == set(ALL) == set(scores)


@pytest.mark.parametrize("name", ["content_vector", "level_sum", "prefix_ngrams"])
def test_what_is_shared_serves_items_that_training_has_not_seen(scores, name):
    # Topics are all there is to know: a negative is of the user's own topic once in NUM_TOPICS,
    # and then it stands as high as the click in half the cases.
    best = 1 - 1 / NUM_TOPICS / 2
    unseen = scores[name].by_age["unseen"].auc
    assert 0.75 < unseen < best + 0.03
    assert unseen > scores["hashed_id"].by_age["unseen"].auc + 0.2


def test_an_id_knows_nothing_of_an_item_that_training_has_not_seen(scores):
    assert scores["hashed_id"].by_age["unseen"].auc == pytest.approx(0.5, abs=0.06)
    assert scores["hashed_id"].same_click["unseen"] == pytest.approx(0.5, abs=0.06)
    assert scores["hashed_id"].by_age["old"].auc > 0.6


def test_ages_and_frequencies_part_the_examples(scores):
    for score in scores.values():
        for groups in (score.by_age, score.by_frequency):
            for count in ("num_examples", "num_clicks"):
                total = sum(getattr(one, count) for one in groups.values())
                assert total == getattr(score.overall, count)
        assert score.by_age["unseen"] == score.by_frequency["cold"]


def test_bounds_by_clicks_take_the_place_of_shares():
    world = topic_world(num_users=80)
    settings = SETTINGS.model_copy(update={"counts": (4, 9)})
    asked = probe_world(*world, settings, seed=5)
    counts = asked.items.num_train
    for name, low, high in (("cold", 0, 1), ("tail", 1, 4), ("torso", 4, 9), ("head", 9, 10**6)):
        is_between = (counts >= low) & (counts < high)
        assert ((asked.frequencies == SEGMENTS.index(name)) == is_between).all()


def test_copies_of_one_code_are_one_item_to_a_model_of_codes(found, scores):
    assert found.num_copies == NUM_ITEMS // 2
    assert found.copies_of_one_code == 1
    for name in OF_CODES:
        assert scores[name].copy_gap == 0
        assert scores[name].stranger_gap > 0.05
    assert scores["content_vector"].copy_gap < 1e-6
    for name in ("hashed_id", "id_and_semantic_id"):
        assert scores[name].copy_gap > 0.01


def test_nobody_has_more_parameters_than_the_budget_nor_many_fewer(found, scores):
    for score in scores.values():
        assert 0.9 * found.num_parameters < score.num_parameters <= found.num_parameters


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("budget", [2_000, 20_000, 200_000])
def test_one_number_a_row_or_one_hidden_unit_more_would_not_fit(name, budget):
    codes, vectors, _ = topic_world()
    settings = ClickSettings()
    table = ItemTable(codes, vectors, np.ones(NUM_ITEMS, dtype=np.int64))
    items = REPRESENTATIONS[name](table, rows_within(budget, settings), 0)
    model = build_click_model(items, budget, settings, 0)
    if name == "content_vector":
        step = vectors.shape[1] + 1 + settings.width + 1
    else:
        step = items.num_rows + 3 * settings.hidden
    assert budget - step < num_parameters(model) <= budget


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    world = topic_world(num_users=80)
    names = ("hashed_id", "subwords", "content_vector")
    one, same, other = (
        ranking_probe(*world, SETTINGS, seed=seed, names=names) for seed in (5, 5, 6)
    )
    assert asdict(one) == asdict(same)
    assert one.scores[0].overall.auc != other.scores[0].overall.auc


def test_prefixes_and_levels_share_what_they_should():
    codes = Codes(np.array([[0, 1], [0, 2], [1, 1]], dtype=np.int32), (2, 3))
    table = ItemTable(codes, np.eye(3, dtype=np.float32), np.ones(3, dtype=np.int64))

    def shared(name: str) -> list[int]:
        rows = REPRESENTATIONS[name](table, 50, 0).features.reshape(3, -1)
        return [len(set(rows[a]) & set(rows[b])) for a, b in ((0, 1), (0, 2), (1, 2))]

    assert shared("level_sum") == [1, 1, 0]
    assert shared("prefix_ngrams") == [1, 0, 0]
    assert shared("id_and_semantic_id") == [1, 0, 0]
    assert shared("hashed_id") == [0, 0, 0]


def test_frequent_runs_become_one_piece_and_every_item_can_be_spelled():
    codes = Codes(np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 0, 0]], dtype=np.int32), (2, 2, 2))
    pieces = subword_pieces(codes, np.array([9, 9, 1, 0]), 7)
    # Six codes are in use; the seventh piece is the run (0, 0), which 18 of 19 clicks begin with.
    assert [len(one) for one in pieces] == [2, 2, 3, 3]
    assert pieces[0][0] == pieces[1][0]
    assert len({tuple(one) for one in pieces}) == 4


def test_more_codes_than_rows_are_hashed_into_them():
    codes, vectors, _ = topic_world()
    table = ItemTable(codes, vectors, np.ones(NUM_ITEMS, dtype=np.int64))
    for name in set(ALL) - {"content_vector"}:
        bags = REPRESENTATIONS[name](table, 10, 0)
        assert bags.num_rows <= 10
        assert 0 <= bags.features.min() <= bags.features.max() < bags.num_rows


def test_log_odds_grow_with_what_user_and_item_share():
    vectors = np.array([[2.0, 0], [2.0, 0], [-2.0, 0]], dtype=np.float32)
    table = ItemTable(Codes(np.zeros((3, 1), dtype=np.int32), (1,)), vectors, np.ones(3, int))
    settings = ClickSettings(width=2, hidden=1)
    items = REPRESENTATIONS["hashed_id"](table, 3, 0)
    model = build_click_model(items, 19, settings, 0)
    with_rows = np.concatenate([vectors, np.zeros((3, 1), dtype=np.float32)], axis=1)
    with torch.no_grad():
        model.tower.rows.copy_(torch.from_numpy(with_rows))
        for parameter in model.cross.parameters():
            parameter.zero_()
    asked = np.array([[1, 2]], dtype=np.int32)
    odds = np.exp(4 / 2**0.5)  # <u, v> / sqrt(w)
    expected = [odds / (1 + odds), 1 / (1 + odds)]
    found = click_probabilities(model, np.array([[0, -1]], dtype=np.int32), asked)
    assert found[0] == pytest.approx(expected, rel=1e-6)
    nobody = click_probabilities(model, np.array([[-1, -1]], dtype=np.int32), asked)
    assert nobody[0] == pytest.approx([0.5, 0.5])


def test_copies_are_equal_or_nearest_and_near_enough():
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.05, 1], [-1, 0.0], [1, 0]], dtype=np.float32)
    pairs = copied_pairs(vectors, 0.95, 0).tolist()
    assert [1, 3] in pairs
    assert {frozenset(p) for p in pairs} >= {frozenset((0, 2)), frozenset((2, 5))}
    assert all(4 not in pair for pair in pairs)
    others = strangers(np.array(pairs), len(vectors), 0)
    assert (others[:, 0] != others[:, 1]).all()


def test_too_few_parameters_are_refused_with_the_number_that_would_do():
    with pytest.raises(BadInput, match=r"10 parameters are too few .* give 836 or more"):
        rows_within(10, ClickSettings())
    assert rows_within(836, ClickSettings()) == 2
