"""What every registered recommender must keep; one that is not listed here fails the last test."""

from __future__ import annotations

import numpy as np
import pytest

from recommender_world import NUM_ITEMS, SETTINGS, a_table, fitted, walks
from sidmint.errors import BadInput
from sidmint.recommenders import RECOMMENDERS, HeldOut, IdTable, Sequences
from sidmint.recommenders.storage import load, make_recommender, save
from sidmint.types import Codes


def of_one_epoch(settings):
    """Settings, those of a recommender inside it too, with a single check to choose from."""
    inner = {
        name: of_one_epoch(value) if isinstance(value, dict) else value
        for name, value in settings.items()
    }
    return inner | ({"epochs": 1} if "epochs" in settings else {})


@pytest.fixture(scope="module")
def train() -> Sequences:
    return walks(np.random.default_rng(1))


@pytest.fixture(scope="module")
def asked() -> Sequences:
    return Sequences.of([[0, 1, 2], [7], [], [39, 0], list(range(30))])


EVERY = pytest.mark.parametrize("name", sorted(SETTINGS))


@EVERY
def test_one_seed_gives_one_list(name, train, asked):
    one, other = (fitted(name, a_table(), train).recommend(asked, 10) for _ in range(2))
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)


@EVERY
def test_permuted_items_give_permuted_lists(name, train, asked):
    table = a_table()
    new_row = np.random.default_rng(5).permutation(NUM_ITEMS).astype(np.int32)
    old_row = np.argsort(new_row)
    permuted = IdTable(Codes(table.codes.values[old_row], table.sizes), table.vectors[old_row])
    before = fitted(name, table, train).recommend(asked, 10)
    after = fitted(name, permuted, train.mapped(new_row)).recommend(asked.mapped(new_row), 10)
    np.testing.assert_array_equal(new_row[before.items], after.items)
    np.testing.assert_array_equal(before.scores, after.scores)


@EVERY
def test_lists_name_existing_items_once_best_first(name, train, asked):
    found = fitted(name, a_table(), train).recommend(asked, NUM_ITEMS)
    for items, scores in zip(found.items, found.scores, strict=True):
        listed = items[items >= 0]
        assert len(np.unique(listed)) == len(listed)
        assert listed.max() < NUM_ITEMS
        assert (np.diff(scores[items >= 0]) <= 0).all()


@EVERY
def test_items_without_history_crash_nothing(name, train):
    recommender = fitted(
        name,
        a_table(),
        train.mapped(
            np.where(np.arange(NUM_ITEMS) < 20, np.arange(NUM_ITEMS), -1).astype(np.int32)
        ),
    )
    found = recommender.recommend(Sequences.of([[35], [35, 36, 37], [1, 35]]), 10)
    assert (found.items[:, 0] >= 0).all()


@EVERY
def test_own_history_can_be_left_out_and_the_list_stays_full(name, train, asked):
    found = fitted(name, a_table(), train).recommend(asked, 10, exclude_history=True)
    for user in range(len(asked)):
        assert not set(found.items[user].tolist()) & set(asked[user].tolist())
        assert (found.items[user] >= 0).all()


@EVERY
def test_nothing_held_out_is_learned(name, train):
    """Validation events may choose a checkpoint, but no number learned from may hold them.

    One fit sees the true validation targets, another sees wrong ones; with checks whose choice
    cannot differ (one epoch) both must learn the same bits. A leak would tell them apart, as
    the planted one below does.
    """
    settings = of_one_epoch(SETTINGS[name])
    histories = walks(np.random.default_rng(2), 30)
    states = []
    for shift in (1, 17):
        last = np.array([histories[u][-1] for u in range(len(histories))])
        targets = ((last + shift) % NUM_ITEMS).astype(np.int32)
        recommender = make_recommender(name, settings, "test")
        recommender.fit(train, a_table(), HeldOut(histories, targets), seed=3)
        states.append(recommender.state())
    for key in states[0]:
        np.testing.assert_array_equal(states[0][key], states[1][key])


@EVERY
def test_a_planted_leak_is_found(name, train):
    """The check above can fail: training on one more event changes what is learned."""
    leaked = Sequences.of([*[train[u] for u in range(len(train))], [3, 19, 3, 19]])
    one, other = (fitted(name, a_table(), s).state() for s in (train, leaked))
    same = [one[k].shape == other[k].shape and np.array_equal(one[k], other[k]) for k in one]
    assert not all(same)


@EVERY
def test_what_was_saved_answers_alike(name, train, asked, tmp_path):
    table = a_table()
    recommender = fitted(name, table, train)
    save(recommender, table, tmp_path)
    again = load(tmp_path, table)
    before, after = recommender.recommend(asked, 10), again.recommend(asked, 10)
    np.testing.assert_array_equal(before.items, after.items)
    np.testing.assert_array_equal(before.scores, after.scores)


@EVERY
def test_a_saved_recommender_refuses_other_ids_and_flipped_bits(name, train, tmp_path):
    table = a_table()
    save(fitted(name, table, train), table, tmp_path)
    with pytest.raises(BadInput, match="another table"):
        load(tmp_path, a_table(seed=9))
    path = tmp_path / "recommender.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BadInput, match="SHA-256"):
        load(tmp_path, table)


@EVERY
def test_predictions_are_distributions(name, train, asked):
    log_probs = fitted(name, a_table(), train).predictions(asked)
    np.testing.assert_allclose(np.exp(log_probs.astype(np.float64)).sum(axis=1), 1, rtol=1e-4)


@EVERY
def test_bad_questions_are_named(name, train):
    recommender = make_recommender(name, SETTINGS[name], "test")
    with pytest.raises(BadInput, match="learned nothing yet"):
        recommender.recommend(train, 5)
    with pytest.raises(BadInput, match="every item of the log wants one"):
        recommender.fit(Sequences.of([[0, NUM_ITEMS]]), a_table(), seed=0)
    recommender.fit(train, a_table(), seed=0)
    with pytest.raises(BadInput, match="k lies between 1"):
        recommender.recommend(train, NUM_ITEMS + 1)
    with pytest.raises(BadInput, match="history event names item row 99"):
        recommender.recommend(Sequences.of([[99]]), 5)


@pytest.mark.parametrize("name", ["sasrec", "causal", "parallel", "last_item"])
def test_a_ring_is_learned(name):
    """Every item is followed by the next one: who learns order knows the answer."""
    settings = dict(SETTINGS[name])
    if "epochs" in settings:
        settings |= {"epochs": 60, "learning_rate": 0.02, "dropout": 0.0, "batch_size": 32}
    recommender = make_recommender(name, settings, "test")
    recommender.fit(walks(np.random.default_rng(1), 400), a_table(), seed=3)
    found = recommender.recommend(Sequences.of([[i] for i in range(NUM_ITEMS)]), 1)
    assert (found.items[:, 0] == (np.arange(NUM_ITEMS) + 1) % NUM_ITEMS).mean() > 0.9


def test_unknown_names_and_settings_are_named():
    with pytest.raises(BadInput, match="unknown recommender 'sasrek'"):
        make_recommender("sasrek", {}, "recommend")
    with pytest.raises(BadInput, match="did you mean width"):
        make_recommender("sasrec", {"widht": 3}, "recommend.settings")


def test_two_items_with_one_id_are_refused():
    with pytest.raises(BadInput, match="share the Semantic ID 1-1"):
        IdTable(Codes(np.array([[1, 1], [0, 0], [1, 1]], dtype=np.int32), (2, 2)))


def test_every_registered_recommender_is_covered():
    assert set(RECOMMENDERS) == set(SETTINGS)
