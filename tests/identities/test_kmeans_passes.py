"""k-means of points that are read a piece at a time is k-means of those points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

import worlds
from processes import in_processes
from shared_fits import (
    fit,
    fit_in_passes,
    from_one_point,
    reseeded_in_passes,
    with_duplicates,
)
from sidmint.errors import BadInput
from sidmint.quantization import kmeans, passes
from sidmint.quantization.kmeans import KMeans, TooFewPoints, residual_kmeans
from sidmint.quantization.passes import residual_kmeans_in_passes
from sidmint.rows import Rows, as_float32, rows_made
from sidmint.tokenizers import make_tokenizer
from sidmint.types import Floats

SIZES = (33, 17, 7)


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def in_file(vectors: Floats) -> Rows:
    return rows_made(vectors, as_float32, most_bytes=0)


def same(one: list[KMeans], other: list[KMeans], rtol: float = 1e-5) -> None:
    for mine, theirs in zip(one, other, strict=True):
        scale = float(theirs.codewords_Kd.abs().max())
        np.testing.assert_allclose(mine.codewords_Kd, theirs.codewords_Kd, rtol, rtol * scale)
        np.testing.assert_array_equal(mine.codes_N, theirs.codes_N)
        np.testing.assert_allclose(mine.inertia, theirs.inertia, rtol=1e-6)
        assert mine.num_reseeded == theirs.num_reseeded


@pytest.fixture(params=[5, 7, 64, 400, 10_000])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(passes, "ROWS_AT_ONCE", request.param)
    return int(request.param)


def test_pieces_of_any_size_give_the_codebooks_of_the_whole(piece: int) -> None:
    vectors = worlds.smooth_items()
    whole = residual_kmeans(torch.from_numpy(vectors), SIZES, generator())
    same(residual_kmeans_in_passes(in_file(vectors), SIZES, generator()), whole)


def test_empty_codes_get_the_same_far_points(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = with_duplicates()
    monkeypatch.setattr(kmeans, "started", from_one_point)
    monkeypatch.setattr(passes, "started", from_one_point)
    whole = residual_kmeans(torch.from_numpy(vectors), (30, 8), generator())
    same(residual_kmeans_in_passes(in_file(vectors), (30, 8), generator()), whole)
    assert [level.num_reseeded >= 7 for level in whole] == [True, True]


def test_a_far_offset_is_taken_off_and_put_back() -> None:
    vectors = worlds.smooth_items() + np.float32(4096)
    whole = residual_kmeans(torch.from_numpy(vectors), (16, 8), generator())
    same(residual_kmeans_in_passes(in_file(vectors), (16, 8), generator()), whole)


@pytest.mark.parametrize(("sizes", "level"), [((41, 2), 0), ((40, 3), 1)])
def test_too_few_points_are_named_by_level(sizes: tuple[int, ...], level: int) -> None:
    vectors = np.repeat(worlds.smooth_items(40), 10, axis=0)
    with pytest.raises(TooFewPoints) as raised:
        residual_kmeans_in_passes(in_file(vectors), sizes, generator())
    assert (raised.value.level, raised.value.num_codes) == (level, sizes[level])


def test_from_a_draw_every_point_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = worlds.smooth_items(4000)
    monkeypatch.setattr(passes, "SAMPLE_BYTES", 1000 * 24 * 4)
    fitted, again = (
        residual_kmeans_in_passes(in_file(vectors), (16, 16), generator(), 500, tolerance=0.0)
        for _ in range(2)
    )
    same(fitted, again, rtol=0.0)
    left = vectors.astype(np.float64)
    for level in fitted:
        codewords = level.codewords_Kd.numpy()
        distances = np.square(left[:, None] - codewords).sum(axis=2)
        np.testing.assert_array_equal(level.codes_N, distances.argmin(axis=1))
        means = [left[level.codes_N.numpy() == code].mean(axis=0) for code in range(16)]
        np.testing.assert_allclose(codewords, means, atol=1e-6)
        assert (np.diff(level.inertia) <= 0).all()
        left = left - codewords[level.codes_N.numpy()]
    whole = residual_kmeans(torch.from_numpy(vectors), (16, 16), generator())
    assert fitted[-1].inertia[-1] < 1.05 * whole[-1].inertia[-1]


@dataclass
class Watched:
    """Rows that note how many were asked for at a time."""

    vectors: Floats
    asked: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.vectors.shape

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: Any, /) -> Floats:
        found = self.vectors[rows]
        self.asked.append(len(found))
        return found


def test_no_reading_asks_for_more_than_a_draw_or_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "ROWS_AT_ONCE", 128)
    monkeypatch.setattr(passes, "SAMPLE_BYTES", 500 * 24 * 4)
    watched = Watched(worlds.smooth_items(4000))
    residual_kmeans_in_passes(watched, (16, 16), generator())
    assert sorted(set(watched.asked)) == [4000 % 128, 128, 500]


SETTINGS: dict[str, Any] = {"sizes": SIZES}


def test_a_tokenizer_does_not_ask_where_its_vectors_are() -> None:
    state, curve, perplexities = fit("rq_kmeans", SETTINGS)
    passed = fit_in_passes(SETTINGS)
    for key, value in state.items():
        np.testing.assert_allclose(passed[0][key], value, rtol=1e-5, atol=1e-6)
    assert [point[:2] for point in passed[1]] == [point[:2] for point in curve]
    assert passed[2] == perplexities


def test_two_processes_that_read_a_share_each_end_alike_and_as_one_does() -> None:
    tasks = [(fit_in_passes, (SETTINGS,)), (reseeded_in_passes, ())]
    (first, second), reseeded = in_processes(2, tasks)
    assert reseeded == [reseeded_in_passes()] * 2
    alone = fit_in_passes(SETTINGS)
    for key, value in alone[0].items():
        np.testing.assert_array_equal(first[0][key], second[0][key])
        np.testing.assert_allclose(first[0][key], value, rtol=1e-5, atol=1e-6)
    assert first[1:] == second[1:]
    assert first[2] == pytest.approx(alone[2])


@pytest.mark.parametrize("settings", [{"swap_rounds": 2}, {"balance": 1.1}, {"align": {}}])
def test_what_wants_all_vectors_at_once_says_so(settings: dict[str, Any]) -> None:
    assert not make_tokenizer("rq_kmeans", settings).fits_in_passes
    assert make_tokenizer("rq_kmeans", {}).fits_in_passes
    assert not make_tokenizer("pq", {}).fits_in_passes


def test_too_few_items_name_the_setting_to_lower() -> None:
    tokenizer = make_tokenizer("rq_kmeans", {"sizes": (401, 2)})
    with pytest.raises(BadInput, match=r"level 0 has 401 codes.*sizes\[0\]"):
        tokenizer.fit(in_file(worlds.smooth_items()), seed=3, device="cpu")  # type: ignore[arg-type]
