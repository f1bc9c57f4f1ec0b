"""Facts of vectors: scale, combination, duplicates, and an encoder that keeps its rows."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embed_world import random_vectors
from sidmint.embedding import (
    ENCODERS,
    align_rows,
    check_vectors,
    encode_texts,
    stored,
    summarise,
    unit_norm,
)
from sidmint.embedding.settings import EmbedParams
from sidmint.errors import BadInput

IDS = ["a", "b", "c", "d"]


class HashEncoder:
    """A fixed vector a text, and a note of what was asked."""

    model = "hash"

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked.append(list(texts))
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        return np.array([list(digest) for digest in digests], dtype=np.float32)


class PaddingEncoder(HashEncoder):
    """The mean over the longest text of the batch: padding leaks into every vector."""

    def encode(self, texts):
        longest = max(len(text) for text in texts)
        return super().encode(texts) / longest


class MixingEncoder(HashEncoder):
    """Rows come back sorted, as from a library that batches by length and does not undo it."""

    def encode(self, texts):
        return super().encode(sorted(texts))


def cosines(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_unit_norm_keeps_directions_and_gives_norm_one():
    vectors = random_vectors() * np.array([[1e-3], [1], [10], [1e4]], dtype=np.float32)
    unit = unit_norm(vectors, IDS)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        np.sum(unit * vectors, axis=1), np.linalg.norm(vectors, axis=1), rtol=1e-5
    )


def test_unit_norm_of_very_small_and_very_large_numbers():
    unit = unit_norm(np.array([[3e-30, 4e-30], [3e30, 4e30]], dtype=np.float32), IDS)
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)


def test_a_vector_without_direction_is_named():
    vectors = random_vectors()
    vectors[2] = 0
    with pytest.raises(BadInput, match="item c has a vector of norm 0"):
        unit_norm(vectors, IDS)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=20),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
def test_row_n_is_the_vector_of_text_n_in_any_order_and_batch(texts, batch_size, random):
    vectors = encode_texts(HashEncoder(), texts, batch_size)
    np.testing.assert_array_equal(vectors, HashEncoder().encode(texts))
    order = random.sample(range(len(texts)), len(texts))
    shuffled = encode_texts(HashEncoder(), [texts[n] for n in order])
    np.testing.assert_array_equal(shuffled, vectors[order])


def test_each_distinct_text_is_encoded_once_in_batches():
    encoder = HashEncoder()
    encode_texts(encoder, ["x", "yy", "x", "zzz", "yy"], batch_size=2)
    assert encoder.asked[:2] == [["x", "yy"], ["zzz"]]


def test_progress_counts_distinct_texts_whatever_the_batches():
    seen = []

    def track(steps, label, total=None):
        for num_done, step in enumerate(steps, start=1):
            seen.append((num_done, total))
            yield step

    encode_texts(HashEncoder(), list("abcdeab"), 2, track)
    assert seen == [(n, 5) for n in range(1, 6)]


class PaddedEncoder(PaddingEncoder):
    """Padding leaks into its vectors, and it says what it pads to."""

    def num_tokens(self, texts):
        return [len(text) for text in texts]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=20), st.integers(1, 7))
def test_an_encoder_that_pads_gets_texts_of_one_length_and_each_its_vector_alone(texts, size):
    encoder = PaddedEncoder()
    vectors = encode_texts(encoder, texts, size)
    assert all(len({len(text) for text in batch}) == 1 for batch in encoder.asked)
    alone = np.concatenate([PaddedEncoder().encode([text]) for text in texts])
    np.testing.assert_array_equal(vectors, alone)


def test_batches_of_an_encoder_that_pads_are_as_full_as_its_lengths_allow():
    encoder = PaddedEncoder()
    encode_texts(encoder, ["ab", "x", "cd", "y", "ef", "z"], 2)
    made = [batch for batch in encoder.asked if len(batch) > 1]
    assert made == [["x", "y"], ["ab", "cd"]]


@pytest.mark.slow
def test_minilm_gives_a_text_the_same_bits_in_any_company_and_on_any_threads():
    encoder = ENCODERS["sentence_transformer"]("all-MiniLM-L6-v2")
    words = [
        "oak",
        "desk",
        "with",
        "a",
        "red",
        "steel",
        "lamp",
        "and",
        "two",
        "tall",
        "blue",
        "chairs",
        "for",
        "the",
        "office",
    ]
    texts = [" ".join(words[i:j]) for i in range(2) for j in range(i + 1, len(words), 2)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = np.concatenate([encoder.encode([text]) for text in texts])
        torch.set_num_threads(2)
        np.testing.assert_array_equal(encoder.encode(texts), alone)
        np.testing.assert_array_equal(encode_texts(encoder, texts, 7), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("encoder", [PaddingEncoder, MixingEncoder])
def test_an_encoder_whose_rows_depend_on_their_batch_is_found(encoder):
    with pytest.raises(BadInput, match="another vector alone than in a batch"):
        encode_texts(encoder(), ["b", "aa", "ccc"])


def test_an_encoder_that_gives_too_few_rows_is_found():
    encoder = HashEncoder()
    encoder.encode = lambda texts: np.ones((1, 3))
    with pytest.raises(BadInput, match=r"shape \(1, 3\) for 2 texts"):
        encode_texts(encoder, ["a", "b"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_named(value):
    vectors = random_vectors()
    vectors[1, 3] = value
    with pytest.raises(BadInput, match="item b holds NaN or infinity"):
        check_vectors(vectors, IDS, "vectors.npy")


def test_vectors_that_are_all_the_same_are_refused():
    same = np.repeat(random_vectors(1), 4, axis=0)
    with pytest.raises(BadInput, match="all 4 items have the same vector"):
        check_vectors(same, IDS, "x")
    same[0, 0] *= 1 + 1e-7  # rounding noise is no difference
    with pytest.raises(BadInput, match="the same vector"):
        check_vectors(same, IDS, "x")
    check_vectors(same[:1], IDS, "x")  # a single item cannot differ from another


def test_a_constant_offset_is_not_constancy():
    check_vectors(1000 + random_vectors(), IDS, "x")


def test_duplicates_count_items_that_repeat_an_earlier_vector():
    vectors = random_vectors()
    vectors[[1, 3]] = vectors[0]
    vectors[2] = 0.0
    negative_zero = np.vstack([vectors, -vectors[2:3]])
    halves = stored(negative_zero, [*IDS, "e"])
    assert summarise(halves, np.ones(5), None)["num_exact_duplicates"] == 3


def test_float16_cannot_hold_what_is_over_65504():
    vectors = random_vectors()
    vectors[3, 0] = 70_000
    with pytest.raises(BadInput, match=r"item d has values over 65504.*embed\.unit_norm"):
        stored(vectors, IDS)


def test_a_dimension_that_hardly_varies_is_counted():
    vectors = random_vectors(dim=8)
    vectors[:, 2] = 0.5
    summary = summarise(stored(vectors, IDS), np.ones(4), None)
    assert summary["near_constant_dimension_share"] == 1 / 8


def test_norms_that_follow_text_length_are_seen():
    halves = stored(random_vectors(), IDS)
    texts = ["x" * n for n in (1, 5, 20, 80)]
    falling = summarise(halves, np.array([4.0, 3.0, 2.0, 1.0]), texts)
    assert falling["norm_length_correlation"] == pytest.approx(-1)
    rising = summarise(halves, np.array([1.0, 2.0, 3.0, 4.0]), texts)
    assert rising["norm_length_correlation"] == pytest.approx(1)
    equal = summarise(halves, 1 + 1e-7 * np.arange(4), texts)
    assert equal["norm_length_correlation"] is None


def test_rows_are_found_by_id_whatever_their_order():
    vectors = random_vectors(5)
    aligned = align_rows(vectors, ["d", "x", "b", "a", "c"], IDS, "v")
    np.testing.assert_array_equal(aligned, vectors[[3, 2, 4, 0]])


def test_every_encoder_that_params_can_name_is_there():
    named = EmbedParams.model_fields["encoder"].annotation.__args__
    assert {*ENCODERS, "precomputed"} == set(named)


def test_wordllama_gives_a_text_one_vector_in_any_company():
    encoder = ENCODERS["wordllama"]("")
    long = "a chair with a very long description " * 20
    alone, together = encoder.encode(["oak desk"]), encoder.encode(["oak desk", long])
    np.testing.assert_allclose(alone[0], together[0], rtol=1e-6)
    assert together.shape == (2, 256)


def test_wordllama_puts_like_things_nearer():
    desk, table, shampoo = cosines(
        ENCODERS["wordllama"]("").encode(["wooden desk", "wooden table", "hair shampoo"])
    )[0]
    assert desk > table > shampoo
