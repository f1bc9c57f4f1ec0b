"""What a trained recommender knows over another table of ids: as much as the codes still mean."""

from __future__ import annotations

import numpy as np
import pytest

from recommender_world import NUM_ITEMS, SETTINGS, a_table, fitted, walks
from sidmint.diagnostics.alignment import alignment, renamed
from sidmint.errors import BadInput
from sidmint.recommenders import RECOMMENDERS, IdTable, Sequences
from sidmint.types import Codes

KNOWS_CODES = sorted(name for name in SETTINGS if RECOMMENDERS[name].reads_codes)
BY_CODE = pytest.mark.parametrize("name", KNOWS_CODES)
ASKED = Sequences.of([[0, 1, 2], [7], [], [39, 0], list(range(30))])


def with_more(table: IdTable, more: list[list[int]], sizes: tuple[int, ...]) -> IdTable:
    return IdTable(Codes(np.concatenate([table.codes.values, np.int32(more)]), sizes))


@pytest.fixture(scope="module")
def trained():
    train = walks(np.random.default_rng(1))
    return {name: fitted(name, a_table(), train) for name in KNOWS_CODES}


def scores_by_item(recommender, num_items: int):
    """(histories, items): every item asked for, so that nothing is cut off."""
    found = recommender.recommend(ASKED, num_items)
    scores = np.empty(found.scores.shape)
    np.put_along_axis(scores, found.items.astype(np.int64), found.scores, axis=1)
    return scores


@BY_CODE
def test_over_its_own_table_it_is_itself(name, trained):
    before, after = trained[name].recommend(ASKED, 10), None
    after = trained[name].moved_to(a_table()).recommend(ASKED, 10)
    np.testing.assert_array_equal(before.items, after.items)
    np.testing.assert_array_equal(before.scores, after.scores)


@BY_CODE
def test_new_items_change_no_score_of_known_ones(name, trained):
    table = a_table()
    every = {(a, b, c) for a in range(4) for b in range(5) for c in range(4)}
    free = sorted(every - set(map(tuple, table.codes.values.tolist())))
    more = [list(each) for each in free[:7]]
    moved = trained[name].moved_to(with_more(table, more, table.sizes))
    grown = scores_by_item(moved, NUM_ITEMS + 7)
    assert np.isfinite(grown).all()  # new items have a score, by their codes alone
    known = scores_by_item(trained[name], NUM_ITEMS)
    np.testing.assert_allclose(grown[:, :NUM_ITEMS], known, rtol=0, atol=1e-5)


def test_a_code_that_nobody_met_is_never_the_best_of_its_siblings(trained):
    """`causal` gives it the least bias of its level, so that no history is taken for a reason."""
    table = a_table()
    first, second, _ = table.codes.values[0].tolist()
    siblings = np.flatnonzero((table.codes.values[:, :2] == [first, second]).all(axis=1))
    moved = trained["causal"].moved_to(with_more(table, [[first, second, 4]], (4, 5, 5)))
    scores = scores_by_item(moved, NUM_ITEMS + 1)
    assert (scores[:, NUM_ITEMS] < scores[:, siblings].max(axis=1)).all()


@BY_CODE
def test_a_level_more_orders_no_known_item_anew(name, trained):
    """As when the first two items come to share their codes, and suffixes must be given."""
    table = a_table()
    codes = np.concatenate([table.codes.values, np.zeros((NUM_ITEMS, 1), np.int32)], axis=1)
    twin = np.append(table.codes.values[3], 1)
    grown = IdTable(Codes(np.vstack([codes, twin]).astype(np.int32), (*table.sizes, 2)))
    if name == "tiger":  # reads codes one by one: a level more is another sentence
        trained[name].moved_to(grown).recommend(ASKED, 10)
        return
    scores = scores_by_item(trained[name].moved_to(grown), NUM_ITEMS + 1)
    assert np.allclose(scores[:, NUM_ITEMS], scores[:, 3], atol=1e-5)  # the twin is as good


@BY_CODE
def test_renamed_codes_are_noise_and_aligned_ones_are_not(name, trained):
    table = a_table()
    generator = np.random.default_rng(8)
    names = [generator.permutation(size).astype(np.int32) for size in table.sizes]
    raw = Codes(renamed(table.codes.values, tuple(names)), table.sizes)
    aligned = renamed(raw.values, alignment(table.codes.values, raw.values, table.sizes))
    own = trained[name].recommend(ASKED, 10)
    again = trained[name].moved_to(IdTable(Codes(aligned, table.sizes))).recommend(ASKED, 10)
    lost = trained[name].moved_to(IdTable(raw)).recommend(ASKED, 10)
    np.testing.assert_array_equal(own.items, again.items)
    assert (own.items == lost.items).mean() < 0.5


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - set(KNOWS_CODES)))
def test_who_knows_items_and_no_codes_says_so(name):
    recommender = fitted(name, a_table(), walks(np.random.default_rng(1), 20))
    with pytest.raises(BadInput, match="fit it on the new table"):
        recommender.moved_to(a_table())


def test_those_of_semantic_ids_do():
    assert KNOWS_CODES == ["causal", "parallel", "tiger"]
