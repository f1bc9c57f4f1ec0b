"""The trie and the beam: against a dict of prefixes, and against scoring every item."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.recommenders import IdTable, Sequences
from sidmint.recommenders.beam import beam_search
from sidmint.recommenders.causal import Causal, CausalConfig
from sidmint.recommenders.sampled import sampled_products
from sidmint.recommenders.trie import Trie
from sidmint.types import Codes

SIZES = (4, 5, 6)


class Fixed:
    """Log-probabilities that depend on the level and the prefix, drawn from a seed."""

    def __init__(self, batch, sizes, seed=0):
        rng = np.random.default_rng(seed)
        self.tables = []
        for level in range(len(sizes)):
            logits = torch.from_numpy(rng.normal(size=(batch, *sizes[: level + 1])))
            self.tables.append(torch.log_softmax(logits, dim=-1))
        self.prefixes = None

    def first(self):
        return self.tables[0]

    def following(self, level, parents, codes, nodes):
        batch = torch.arange(len(parents)).unsqueeze(1)
        before = () if level == 1 else tuple(one[batch, parents] for one in self.prefixes)
        self.prefixes = (*before, codes)
        return self.tables[level][(batch, *self.prefixes)]

    def of_items(self, codes):
        """(B, N) by looking every item up."""
        codes = torch.from_numpy(codes).long()
        return sum(
            table[(slice(None), *codes[:, : level + 1].T)]
            for level, table in enumerate(self.tables)
        )


class Constant:
    """Every code as likely as any other."""

    def __init__(self, batch, sizes):
        self.batch, self.sizes = batch, sizes

    def first(self):
        return torch.full((self.batch, self.sizes[0]), -1.0)

    def following(self, level, parents, codes, nodes):
        return torch.full((*codes.shape, self.sizes[level]), -1.0)


def some_ids(num_items, seed=0, sizes=SIZES):
    every = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    rows = np.random.default_rng(seed).permutation(len(every))[:num_items]
    return every[np.sort(rows)].astype(np.int32)


def best_by_sorting(scores, width):
    return np.argsort(-scores, axis=1, kind="stable")[:, :width]


@given(st.sets(st.tuples(*[st.integers(0, 3)] * 3), min_size=1))
@settings(deadline=None)
def test_the_trie_is_the_dict_of_prefixes(ids):
    ids = sorted(ids)
    trie = Trie.of(np.array(ids, dtype=np.int32))
    assert (trie.num_items, trie.num_levels) == (len(ids), 3)
    for level in range(3):
        prefixes = sorted({one[: level + 1] for one in ids})
        assert trie.codes[level].tolist() == [prefix[-1] for prefix in prefixes]
        above = sorted({one[:level] for one in ids})
        nodes, exists = trie.children(level, torch.arange(len(above)))
        for row, prefix in enumerate(above):
            wanted = [n for n, longer in enumerate(prefixes) if longer[:level] == prefix]
            assert nodes[row][exists[row]].tolist() == wanted
        assert [prefixes[n] for n in trie.paths()[:, level]] == [one[: level + 1] for one in ids]
        if level:
            starts, below = trie.child_rows(level, torch.arange(len(above)))
            assert below.tolist() == nodes[exists].tolist()
            assert starts.diff().tolist() == exists.sum(dim=1).tolist()


@pytest.mark.parametrize("num_items", [1, 3, 37, 120])
def test_a_beam_as_wide_as_the_catalogue_is_exhaustive(num_items):
    ids = some_ids(num_items)
    scorer = Fixed(5, SIZES)
    rows, scores = beam_search(Trie.of(ids), scorer, num_items)
    wanted = scorer.of_items(ids).numpy()
    np.testing.assert_array_equal(rows.numpy(), best_by_sorting(wanted, num_items))
    np.testing.assert_allclose(scores.numpy(), -np.sort(-wanted, axis=1), rtol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 7, 500])
def test_a_narrow_beam_keeps_the_best_prefixes_of_each_level(width):
    ids = some_ids(60, seed=2)
    scorer = Fixed(4, SIZES, seed=3)
    rows, _ = beam_search(Trie.of(ids), scorer, width)
    for user in range(4):
        beams = [()]
        for level in range(3):
            longer = sorted(
                {tuple(map(int, i[: level + 1])) for i in ids if tuple(i[:level]) in beams}
            )
            cost = [
                -sum(float(scorer.tables[n][(user, *prefix[: n + 1])]) for n in range(level + 1))
                for prefix in longer
            ]
            beams = [longer[n] for n in np.argsort(cost, kind="stable")[:width]]
        assert [tuple(ids[row]) for row in rows[user]] == beams


def test_every_returned_item_exists_and_none_comes_twice():
    ids = some_ids(50)
    rows, scores = beam_search(Trie.of(ids), Fixed(6, SIZES), 20)
    for found in rows.tolist():
        assert len(set(found)) == 20
        assert set(found) <= set(range(50))
    assert (scores.diff(dim=1) <= 0).all()


def test_fewer_first_codes_than_beams_is_no_obstacle():
    ids = np.array([[2, a, b] for a in range(5) for b in range(6)], dtype=np.int32)
    scorer = Fixed(3, SIZES)
    rows, _ = beam_search(Trie.of(ids), scorer, 30)
    np.testing.assert_array_equal(rows.numpy(), best_by_sorting(scorer.of_items(ids).numpy(), 30))


def test_beams_that_find_no_item_are_minus_one_and_last():
    ids = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1]], dtype=np.int32)

    class Never(Constant):
        def first(self):
            return torch.tensor([[-torch.inf, -0.5, -1.0, -1.0]])

    rows, scores = beam_search(Trie.of(ids), Never(1, SIZES), 3)
    assert rows.tolist() == [[1, 2, -1]]
    assert scores.tolist() == [[-2.5, -2.5, -torch.inf]]


@pytest.mark.parametrize("width", [1, 3, 4, 11, 50])
def test_ties_go_to_the_smaller_id(width):
    ids = some_ids(50, seed=1)
    rows, _ = beam_search(Trie.of(ids), Constant(2, SIZES), width)
    # A beam never looks behind prefixes that it left: those it keeps are the smallest.
    assert rows.tolist() == [list(range(width))] * 2


def test_ids_of_one_code_and_of_one_item_are_found():
    rows, _ = beam_search(Trie.of(np.array([[3]], dtype=np.int32)), Fixed(2, (4,)), 5)
    assert rows.tolist() == [[0], [0]]


@pytest.mark.parametrize("prefix_memory", [True, False])
def test_causal_by_a_full_beam_is_causal_scored_item_by_item(prefix_memory):
    ids = some_ids(40, seed=4)
    log = Sequences.of([np.random.default_rng(n).integers(0, 40, 6) for n in range(20)])
    settings = CausalConfig(width=16, heads=2, hidden=16, epochs=2, prefix_memory=prefix_memory)
    model = Causal(settings)
    model.fit(log, IdTable(Codes(ids, SIZES)), seed=1)
    module, known = model.module, model.known_after(log)
    prefixes = [sorted({tuple(one[: level + 1]) for one in ids}) for level in range(3)]
    wanted = np.zeros((20, 40))
    for row, item in enumerate(ids):
        so_far = None
        for level, code in enumerate(item):
            head = module.heads[level]
            hidden = head.from_history(known)
            if so_far is not None:
                hidden = hidden + so_far @ head.from_codes.weight.T
            hidden = torch.nn.functional.gelu(hidden)
            logits = head.to_codes(hidden)
            if level and prefix_memory:
                query = known + module.to_queries[level - 1](hidden)
                for node, prefix in enumerate(prefixes[level]):
                    if prefix[:level] == tuple(item[:level]):
                        key = module.memory.written[level - 1][node]
                        logits[:, prefix[-1]] += query @ key
            wanted[:, row] += torch.log_softmax(logits, dim=1)[:, code].detach().numpy()
            table = module.embeddings[level][code]
            so_far = table if so_far is None else so_far + table
    found = model.recommend(log, 40)
    assert (np.sort(found.items, axis=1) == np.arange(40)).all()
    np.testing.assert_allclose(
        found.scores, np.take_along_axis(wanted, found.items, axis=1), atol=1e-5
    )


def test_ids_of_one_code_have_no_prefixes_and_are_learned_all_the_same():
    ids = np.arange(12, dtype=np.int32)[:, None]
    log = Sequences.of([[(n + step) % 12 for step in range(5)] for n in range(60)])
    settings = CausalConfig(
        width=16, heads=2, hidden=16, epochs=40, batch_size=8, dropout=0, learning_rate=0.01
    )
    model = Causal(settings)
    model.fit(log, IdTable(Codes(ids, (12,))), seed=1)
    found = model.recommend(Sequences.of([[3, 4], [7, 8]]), 1)
    assert found.items[:, 0].tolist() == [5, 9]


def test_memory_of_a_prefix_that_training_never_saw_stays_nothing():
    ids = some_ids(40, seed=4)
    log = Sequences.of([[n % 20, (n + 1) % 20, (n + 2) % 20] for n in range(40)])
    model = Causal(CausalConfig(width=16, heads=2, hidden=16, epochs=3))
    model.fit(log, IdTable(Codes(ids, SIZES)), seed=1)
    memory = model.module.memory
    for level, table in enumerate(memory.read, start=1):
        seen = set(memory.paths[:20, level].tolist())
        is_seen = torch.tensor([n in seen for n in range(len(table))])
        assert not table[~is_seen].any()
        assert table[is_seen].any(dim=1).all()


def test_sampled_products_are_the_dense_ones_and_so_are_their_gradients():
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([3, 0, 5, 1])
    starts = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    columns = torch.cat([torch.randperm(7, generator=generator)[:n].sort().values for n in counts])
    owners = torch.repeat_interleave(torch.arange(4), counts)
    queries = torch.randn(4, 6, generator=generator, requires_grad=True)
    keys = torch.randn(7, 6, generator=generator, requires_grad=True)
    weights = torch.randn(9, generator=generator)
    found = sampled_products(queries, keys, starts, columns)
    wanted = (queries @ keys.T)[owners, columns]
    torch.testing.assert_close(found, wanted)
    by_ours = torch.autograd.grad((found * weights).sum(), (queries, keys))
    by_torch = torch.autograd.grad((wanted * weights).sum(), (queries, keys))
    torch.testing.assert_close(by_ours, by_torch)
