"""Exact at full size, in bounded memory: catalogues and codebooks whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sidmint.diagnostics import overlap_rate
from traced import traced_peak
from traced_works import books_and_priors, counting_a_file, overlap_of_all_sums

SIGMAS = tuple(math.sqrt(kappa) for kappa in (0.1, 0.25, 0.5, 1.0, 2.0))


@pytest.mark.slow
def test_overlap_of_65536_codewords_is_exact_in_a_hundred_megabytes() -> None:
    # All sums of one codeword each of four books of 16: their rates multiply, see the identities.
    books, priors = books_and_priors()
    found, peak = traced_peak(overlap_of_all_sums, SIGMAS)
    for sigma, each in zip(SIGMAS, found, strict=True):
        apart = [overlap_rate(book, p, sigma) for book, p in zip(books, priors, strict=True)]
        assert each.overlap_rate == pytest.approx(math.prod(apart), rel=1e-9)
    assert peak < 100 * 2**20  # 32 of them are the codewords in float64


@pytest.mark.slow
def test_fifty_million_rows_in_a_file_are_counted_exactly_in_nine_bytes_each(tmp_path) -> None:
    # Row n has the digits of n * odd mod 2^25 to the base of 128: ids once or twice, in no order.
    num_items, num_ids = 50_000_000, 2**25
    path = tmp_path / "codes.npy"
    codes = np.lib.format.open_memmap(path, "w+", np.int16, (num_items, 4))
    for start in range(0, num_items, 2**20):
        rows = np.arange(start, min(start + 2**20, num_items)) * 7_654_321 % num_ids
        for level in range(4):
            codes[start : start + len(rows), level] = rows >> (7 * (3 - level)) & 127
    codes.flush()
    del codes
    counted, peak = traced_peak(counting_a_file, path, (128,) * 4)
    num_twice = num_items - num_ids
    assert counted.collisions.num_distinct == num_ids
    assert counted.collisions.num_collided_pairs == num_twice
    assert counted.collisions.composition_entropy == pytest.approx(
        math.log(num_items) - 2 * num_twice * math.log(2) / num_items
    )
    assert counted.branching.num_prefixes == (16, 2**11, 2**18, 2**25)
    assert [used.num_active for used in counted.usage] == [16, 128, 128, 128]
    assert peak < 9 * num_items
