"""Vectors that stay in their file are measured to the last bit like those in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidmint.diagnostics.collisions import vector_numbers
from sidmint.diagnostics.diagnosis import Subject, diagnose_subject
from sidmint.rows import Rows, mean_of, rows_made
from sidmint.stages.diagnose import latent_encoder
from sidmint.tokenizers import Tokenizer, make_tokenizer
from sidmint.types import Floats, Pairs

NUM_ITEMS = 70_000
"""More than are read at once."""
NOBODY = Pairs(*(np.empty(0, dtype=kind) for kind in (np.int32, np.int32, np.float32)))
SETTINGS = {
    "rq_kmeans": {"sizes": [16, 16, 16], "iterations": 3},
    "drq_vae": {"sizes": [16, 16, 16], "latent_dim": 4, "hidden": [8], "steps": 5},
}


def as_float32(stored: np.ndarray) -> Floats:
    return stored.astype(np.float32)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """float16 vectors in a file, a tenth of them twice, one of them zero."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(NUM_ITEMS, 6)).astype(np.float16)
    vectors[:7000] = vectors[60_000:67_000]
    vectors[5] = 0
    path = Path(tmp_path_factory.mktemp("vectors"), "embeddings.npy")
    np.save(path, vectors)
    return np.load(path, mmap_mode="r")


def diagnosed(tokenizer: Tokenizer, vectors: Rows, latent: Rows) -> dict[str, float]:
    subject = Subject(
        vectors=vectors,
        latent=latent,
        codes=tokenizer.encode(vectors[:]),
        codebooks=tokenizer.codebooks(),
        reconstruct=tokenizer.reconstruct,
        encode=latent_encoder(tokenizer),
        noise_seed=3,
    )
    return diagnose_subject(subject, NOBODY, [1.0], 0.95, np.arange(0, NUM_ITEMS, 70)).metrics()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_diagnosis_does_not_ask_where_its_vectors_are(name: str, stored: np.ndarray) -> None:
    tokenizer = make_tokenizer(name, SETTINGS[name])
    whole = stored.astype(np.float32)
    tokenizer.fit(whole, seed=1, device="cpu")
    in_file = rows_made(stored, as_float32, most_bytes=0)
    assert not isinstance(in_file, np.ndarray)
    latent = rows_made(in_file, tokenizer.latent, most_bytes=0)
    assert latent.shape == tokenizer.latent(whole).shape
    expected = diagnosed(tokenizer, whole, tokenizer.latent(whole))
    assert diagnosed(tokenizer, in_file, latent) == expected
    assert expected["duplicate_floor"] == pytest.approx(7000 / NUM_ITEMS, abs=2e-5)


def test_few_rows_are_made_once(stored: np.ndarray) -> None:
    asked: list[int] = []

    def make(rows: np.ndarray) -> Floats:
        asked.append(len(rows))
        return as_float32(rows)

    rows = rows_made(stored[:100], make)
    assert isinstance(rows, np.ndarray)
    assert asked == [1, 100]
    lazily = rows_made(stored[:100], make, most_bytes=100 * 6 * 4 - 1)
    assert np.array_equal(lazily[40:60], rows[40:60])
    assert asked == [1, 100, 1, 20]


@given(num_rows=st.integers(1, 200), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_mean_has_the_bits_of_that_of_an_array(num_rows: int, width: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(3, 100, (num_rows, width)).astype(np.float32)
    assert np.array_equal(mean_of(rows), rows.mean(axis=0, dtype=np.float64))


def test_the_mean_of_rows_in_a_file_too(stored: np.ndarray) -> None:
    in_file = rows_made(stored, as_float32, most_bytes=0)
    assert np.array_equal(mean_of(in_file), stored.astype(np.float32).mean(axis=0, dtype=float))


@given(rows=st.lists(st.tuples(st.sampled_from([0.0, -0.0, 1.5, -2.0]), st.integers(0, 3))))
def test_equal_rows_and_no_others_share_a_number(rows: list[tuple[float, int]]) -> None:
    vectors = np.array(rows, dtype=np.float32).reshape(-1, 2)
    if len(vectors):
        numbers = vector_numbers(vectors)
        same = (vectors[:, None] == vectors[None]).all(axis=2)
        assert np.array_equal(numbers[:, None] == numbers[None], same)
        assert sorted(set(numbers.tolist())) == list(range(numbers.max() + 1))
