"""What holds for bounded codes whatever the points are."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.quantization.assignment import nearest
from sidmint.quantization.balance import bounded_nearest, largest_size
from sidmint.quantization.kmeans import kmeans


def whole(seed: int, num_rows: int, size: int, span: int = 40) -> torch.Tensor:
    """Vectors of whole numbers, so that shifting them rounds nothing; many are equal."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(-span, span, (num_rows, size), generator=draws).float()


worlds_of = given(
    seed=st.integers(0, 2**31),
    num_points=st.integers(1, 120),
    num_codes=st.integers(1, 20),
    size=st.integers(1, 6),
    balance=st.floats(1, 3),
)


@settings(max_examples=60, deadline=None)
@worlds_of
def test_no_code_has_more_than_its_bound_and_who_need_not_move_does_not(
    seed: int, num_points: int, num_codes: int, size: int, balance: float
) -> None:
    points, codewords = whole(seed, num_points, size, 3), whole(seed + 1, num_codes, size, 3)
    largest = largest_size(num_points, num_codes, balance)
    codes = bounded_nearest(points, codewords, largest)
    sizes = torch.bincount(codes, minlength=num_codes)
    assert len(sizes) == num_codes
    assert int(sizes.sum()) == num_points
    assert int(sizes.max()) <= largest
    own = nearest(points, codewords)
    fits = torch.bincount(own, minlength=num_codes) <= largest
    assert torch.equal(codes[fits[own]], own[fits[own]])


@settings(max_examples=40, deadline=None)
@worlds_of
def test_another_order_of_distinct_points_changes_no_code(
    seed: int, num_points: int, num_codes: int, size: int, balance: float
) -> None:
    draws = torch.Generator().manual_seed(seed)
    points = torch.randn(num_points, size, generator=draws)
    codewords = torch.randn(num_codes, size, generator=draws)
    largest = largest_size(num_points, num_codes, balance)
    order = torch.randperm(num_points, generator=torch.Generator().manual_seed(seed))
    codes = bounded_nearest(points, codewords, largest)
    assert torch.equal(bounded_nearest(points[order], codewords, largest), codes[order])


@settings(max_examples=40, deadline=None)
@worlds_of
def test_a_shift_of_points_and_codewords_changes_no_code(
    seed: int, num_points: int, num_codes: int, size: int, balance: float
) -> None:
    points, codewords = whole(seed, num_points, size), whole(seed + 1, num_codes, size)
    largest = largest_size(num_points, num_codes, balance)
    shift = whole(seed + 2, 1, size)
    moved = bounded_nearest(points + shift, codewords + shift, largest)
    assert torch.equal(moved, bounded_nearest(points, codewords, largest))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), balance=st.floats(1, 2))
def test_codewords_are_finite_and_as_many_as_asked_for(seed: int, balance: float) -> None:
    points = whole(seed, 150, 4, 2)  # at most 256 different points, and many equal ones
    fitted = kmeans(points, 12, torch.Generator().manual_seed(seed), balance=balance)
    assert fitted.codewords_Kd.shape == (12, 4)
    assert bool(torch.isfinite(fitted.codewords_Kd).all())
    assert torch.equal(nearest(points, fitted.codewords_Kd), fitted.codes_N)
