"""A block that does not fit a device's memory is halved, and no row is left out or done twice."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sidmint.devices import in_blocks
from sidmint.quantization.assignment import Assigner, nearest


@given(num_rows=st.integers(0, 300), block=st.integers(1, 400), most=st.integers(1, 400))
def test_every_row_is_done_once_in_order(num_rows: int, block: int, most: int) -> None:
    done: list[int] = []

    def work(rows: slice) -> None:
        numbers = range(num_rows)[rows]
        if len(numbers) > most:
            raise torch.OutOfMemoryError("no memory left")
        done.extend(numbers)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        in_blocks(work, num_rows, block)
    assert done == list(range(num_rows))
    assert bool(said) == (min(block, num_rows) > most)


def test_a_row_that_does_not_fit_alone_is_torchs_error() -> None:
    def work(rows: slice) -> None:
        raise torch.OutOfMemoryError("no memory left")

    with (
        pytest.warns(UserWarning, match="going on with 1 rows a block"),
        pytest.raises(torch.OutOfMemoryError),
    ):
        in_blocks(work, 5, 2)


def test_codes_are_those_of_a_device_with_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    points, codewords = (torch.randn(n, 24, generator=generator) for n in (3000, 40))
    expected, whole = nearest(points, codewords), Assigner._of_block

    def small(self: Assigner, points_Bd: torch.Tensor) -> torch.Tensor:
        if len(points_Bd) > 100:
            raise torch.OutOfMemoryError("no memory left")
        return whole(self, points_Bd)

    monkeypatch.setattr(Assigner, "_of_block", small)
    with pytest.warns(UserWarning, match="no memory left for a block"):
        assert torch.equal(nearest(points, codewords), expected)
