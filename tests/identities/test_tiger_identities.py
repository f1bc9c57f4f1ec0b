"""tiger: its cache, its beam, its padding, its seeds, and a world that it must learn."""

import numpy as np
import pytest
import torch

from sidmint.errors import BadInput
from sidmint.recommenders import HeldOut, IdTable, Sequences
from sidmint.recommenders import tiger as tiger_file
from sidmint.recommenders.beam import beam_search
from sidmint.recommenders.cases import TEST, TRAIN, VALIDATION, split_sequences
from sidmint.recommenders.encoder_decoder import Memory
from sidmint.recommenders.tiger import (
    QUASID_BACKBONE,
    FirstLook,
    Tiger,
    TigerConfig,
    TigerScorer,
)
from sidmint.types import Codes

SIZES = (4, 5, 6)
NUM_ITEMS = 24


def settings(**changed):
    small = {
        "width": 16, "layers": 2, "heads": 3, "head_width": 4, "feed_forward": 32,
        "epochs": 1, "batch_size": 32, "max_length": 5, "user_tokens": 7, "beam": 10,
    }  # fmt: skip
    return TigerConfig(**{**small, **changed})


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    every = np.stack(np.unravel_index(np.arange(np.prod(SIZES)), SIZES), axis=1)
    chosen = rng.permutation(len(every))[:NUM_ITEMS]
    return IdTable(Codes(every[chosen].astype(np.int32), SIZES))


@pytest.fixture(scope="module")
def log():
    rng = np.random.default_rng(4)
    lists = [rng.integers(0, NUM_ITEMS, length) for length in rng.integers(1, 9, 40)]
    some = Sequences.of(lists)
    return Sequences(some.items, some.offsets, np.arange(40, dtype=np.int32))


@pytest.fixture(scope="module")
def fitted(table, log):
    model = Tiger(settings())
    model.fit(log, table, seed=5)
    with torch.no_grad():  # weights far from their small start, so that differences show
        for parameter in model.module.parameters():
            parameter.mul_(3)
    return model


def every_score(model, memory):
    """Scores (B, N) of all items in the order of ids, each teacher-forced."""
    module, columns = model.module, []
    for row in range(model.num_items):
        targets = torch.full((len(memory),), row)
        levels = module.log_probabilities(memory, targets)
        firsts = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
        columns.append(
            sum(one[:, int(module.codes[row, n]) - firsts[n]] for n, one in enumerate(levels))
        )
    return torch.stack(columns, dim=1)


@torch.no_grad()
def test_a_step_with_the_cache_says_what_the_whole_decoder_says(fitted, log):
    memory = fitted.known_after(log)
    rows = torch.arange(len(log)) % NUM_ITEMS
    codes = fitted.module.codes[rows] - torch.tensor([0, 4, 9])
    scorer = TigerScorer(fitted.module, memory)
    found = [scorer.first()]
    alone = torch.zeros((len(log), 1), dtype=torch.long)
    found += [scorer.following(level, alone, codes[:, level - 1, None])[:, 0] for level in (1, 2)]
    for one, whole in zip(found, fitted.module.log_probabilities(memory, rows), strict=True):
        torch.testing.assert_close(one, whole, atol=1e-5, rtol=1e-5)
        assert whole.std() > 0.1


@torch.no_grad()
def test_a_beam_takes_its_parents_cache(fitted, log):
    memory = fitted.known_after(log)
    module, batch = fitted.module, len(log)
    scorer = TigerScorer(module, memory)
    scorer.first()
    scorer.following(
        1, torch.zeros((batch, 3), dtype=torch.long), torch.tensor([[2, 0, 3]] * batch)
    )
    crossed = scorer.following(
        2, torch.tensor([[2, 0, 0]] * batch), torch.tensor([[1, 4, 0]] * batch)
    )
    for beam, prefix in enumerate([(3, 1), (2, 4), (2, 0)]):
        alone = TigerScorer(module, memory)
        alone.first()
        only = torch.zeros((batch, 1), dtype=torch.long)
        alone.following(1, only, only + prefix[0])
        wanted = alone.following(2, only, only + prefix[1])[:, 0]
        torch.testing.assert_close(crossed[:, beam], wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_beam_as_wide_as_the_catalogue_scores_every_item(fitted, log):
    memory = fitted.known_after(log)
    rows, scores = fitted.best(memory, NUM_ITEMS)
    wanted = every_score(fitted, memory)
    assert sorted(rows[0].tolist()) == list(range(NUM_ITEMS))
    torch.testing.assert_close(scores, wanted.gather(1, rows), atol=1e-4, rtol=1e-5)
    assert (scores.diff(dim=1) <= 0).all()


def test_the_histories_beside_it_do_not_change_a_list(fitted, log):
    together = fitted.recommend(log, 10)
    for user in (0, 7, 21, 39):
        alone = fitted.recommend(log.take(np.array([user])), 10)
        np.testing.assert_array_equal(alone.items[0], together.items[user])
        np.testing.assert_allclose(alone.scores[0], together.scores[user], rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("width", [3, 10, NUM_ITEMS])
def test_a_first_look_once_a_prefix_finds_what_each_beam_finds(fitted, log, width):
    memory = fitted.known_after(log)
    look = FirstLook(fitted.module, fitted._trie)
    rows, scores = beam_search(fitted._trie, TigerScorer(fitted.module, memory, look), width)
    wanted_rows, wanted = beam_search(fitted._trie, TigerScorer(fitted.module, memory), width)
    assert torch.equal(rows, wanted_rows)
    torch.testing.assert_close(scores, wanted, atol=1e-5, rtol=1e-5)


def test_a_first_look_ends_with_the_lists_it_was_for(fitted, log, monkeypatch):
    made = []
    monkeypatch.setattr(tiger_file, "FirstLook", lambda *of: made.append(1) or FirstLook(*of))
    several = fitted.recommend(log, 10)
    assert (len(made), fitted._first_look) == (1, None)
    alone = fitted.recommend(log.take(np.array([3])), 10)
    assert len(made) == 1  # more prefixes than beams
    np.testing.assert_array_equal(alone.items[0], several.items[3])


@torch.no_grad()
def test_what_padding_holds_is_never_read(fitted):
    module = fitted.module
    rows, users = torch.tensor([[3, 9]]), torch.tensor([1])
    short = module.encode(users, rows)
    padded = module.encode(users, torch.tensor([[3, 9, -1, -1, -1]]))
    is_token = padded.is_token
    noisy = Memory(torch.where(is_token.unsqueeze(2), padded.states, 1e3), is_token)
    wanted = every_score(fitted, short)
    torch.testing.assert_close(every_score(fitted, noisy), wanted, atol=1e-4, rtol=1e-5)
    rows, scores = fitted.best(noisy, NUM_ITEMS)
    torch.testing.assert_close(scores, wanted.gather(1, rows), atol=1e-4, rtol=1e-5)


def test_every_event_is_a_target_once_after_what_came_before_it():
    model = Tiger(settings(max_length=2, user_tokens=3))
    users = np.array([4, 5], dtype=np.int32)
    lists = Sequences.of([[7, 8, 9, 6], [1]])
    found = model.examples(Sequences(lists.items, lists.offsets, users))
    assert [found[n].tolist() for n in range(len(found))] == [
        [1, 7], [1, 7, 8], [1, 7, 8, 9], [1, 8, 9, 6], [2, 1],
    ]  # fmt: skip


def test_the_loss_is_what_the_targets_codes_cost(fitted, log):
    rows = torch.from_numpy(fitted.examples(log.mapped(fitted._rank)).padded(7)).long()[:20]
    with torch.no_grad():
        loss = fitted.loss(rows)
        cost = []
        for row in rows:
            filled = row[row >= 0]
            memory = fitted.module.encode(filled[:1], filled[None, 1:-1])
            cost.append(-every_score(fitted, memory)[0, filled[-1]])
    torch.testing.assert_close(loss, torch.stack(cost).mean(), atol=1e-4, rtol=1e-5)


def test_one_seed_gives_one_list_and_another_another(table, log):
    lists = []
    for seed in (5, 5, 6):
        model = Tiger(settings())
        model.fit(log, table, seed=seed)
        lists.append(model.recommend(log, 10))
    np.testing.assert_array_equal(lists[0].scores, lists[1].scores)
    np.testing.assert_array_equal(lists[0].items, lists[1].items)
    assert (lists[0].items != lists[2].items).any()


def test_permuted_items_give_permuted_lists(table, log):
    rng = np.random.default_rng(9)
    order = rng.permutation(NUM_ITEMS)  # new row n is the old row order[n]
    moved = IdTable(Codes(table.codes.values[order], SIZES))
    new_row = np.argsort(order).astype(np.int32)
    one, other = Tiger(settings()), Tiger(settings())
    one.fit(log, table, seed=5)
    other.fit(log.mapped(new_row), moved, seed=5)
    before, after = one.recommend(log, 10), other.recommend(log.mapped(new_row), 10)
    np.testing.assert_array_equal(new_row[before.items], after.items)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_a_loaded_state_gives_the_same_lists(fitted, table, log):
    again = Tiger(settings())
    again.load_state(fitted.state(), table)
    np.testing.assert_array_equal(again.recommend(log, 10).scores, fitted.recommend(log, 10).scores)


def test_users_have_tokens_only_where_sequences_name_them(fitted, log):
    nameless = Sequences(log.items, log.offsets)
    first = Sequences(log.items, log.offsets, np.full(len(log), 7, dtype=np.int32))
    everybody = fitted.recommend(nameless, 5).scores
    np.testing.assert_array_equal(everybody, fitted.recommend(first, 5).scores)  # 7 modulo 7
    assert (everybody != fitted.recommend(log, 5).scores).any()


def test_a_users_number_is_the_same_in_training_and_when_asked():
    users = np.array([0, 0, 1, 1, 1, 2, 2])
    parts = np.array([TRAIN, TEST, TRAIN, VALIDATION, TEST, TRAIN, TRAIN], dtype=np.int8)
    split = split_sequences(users, np.arange(7, dtype=np.int32), parts)
    assert split.train.users.tolist() == [0, 1, 2]
    assert split.validation.histories.users.tolist() == [1]
    assert split.test.histories.users.tolist() == [0, 1]


def test_a_user_number_below_zero_is_refused():
    with pytest.raises(BadInput, match="user numbers from 0"):
        Sequences(np.array([1]), np.array([0, 1]), np.array([-1]))


def test_an_empty_history_is_served(fitted):
    found = fitted.recommend(Sequences.of([[]]), 5)
    assert len(set(found.items[0].tolist())) == 5


def test_it_learns_what_follows_what(table):
    """Item n is followed by n + 1; nothing else ever happens."""
    starts = np.arange(NUM_ITEMS)
    cycle = Sequences.of([(start + np.arange(8)) % NUM_ITEMS for start in starts])
    asked = Sequences.of([[(start - 1) % NUM_ITEMS, start] for start in starts])
    held_out = HeldOut(asked, ((starts + 1) % NUM_ITEMS).astype(np.int32))
    model = Tiger(settings(epochs=40, width=32, learning_rate=3e-3, dropout=0))
    report = model.fit(cycle, table, held_out, seed=1)
    hits = model.recommend(asked, 1).items[:, 0] == held_out.targets
    assert hits.mean() > 0.95
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]


def test_quasids_backbone_has_the_papers_shape():
    shape = QUASID_BACKBONE
    assert (2 * shape.layers, shape.heads, shape.width, shape.feed_forward) == (8, 8, 128, 512)
    assert shape.heads * shape.head_width == shape.width
