"""However a table is cut into frames, sorting it and laying two side by side give the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidmint.diagnostics import stability, stability_of_blocks
from sidmint.errors import BadInput
from sidmint.execution.merging import side_by_side
from sidmint.execution.sorting import sorted_frames
from sidmint.execution.splitting import split
from sidmint.spill_files import FrameSpill

KEYS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "everywhere": lambda rng: rng.integers(-(2**62), 2**62, size=700),
    "few": lambda rng: rng.integers(0, 5, size=700),
    "one": lambda rng: np.full(700, 7),
    "skewed": lambda rng: (2.0 ** (60 * rng.random(700))).astype(np.int64),
    "two heaps": lambda rng: rng.choice([0, 1], 700) * 2**61 + rng.integers(0, 3, size=700),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("most_rows", [1, 64, 1000])
def test_frames_come_out_as_their_stable_sort(
    tmp_path: Path, keys: Callable[[np.random.Generator], np.ndarray], most_rows: int
) -> None:
    rng = np.random.default_rng(1)
    table = pl.DataFrame({"key": keys(rng), "text": [f"é{n}" for n in range(700)]})
    pieces = [table.slice(start, 90) for start in range(0, 700, 90)]
    spill = FrameSpill(tmp_path / "spill")
    found = list(sorted_frames(lambda: pieces, "key", spill, most_rows))
    assert pl.concat(found).equals(table.sort("key", maintain_order=True))
    assert not list((tmp_path / "spill").rglob("*.frames"))
    if most_rows == 64:
        assert max(map(len, found)) <= 90


def test_no_frame_has_no_rows(tmp_path: Path) -> None:
    empty = pl.DataFrame({"key": []}, schema={"key": pl.Int64})
    assert list(sorted_frames(lambda: [empty], "key", FrameSpill(tmp_path))) == []


def test_frames_in_order_are_cut_as_their_table(tmp_path: Path) -> None:
    table = pl.DataFrame({"key": range(100)})
    frames = (table.slice(start, 7) for start in range(0, 100, 7))
    assert split(frames, tmp_path / "a", "key", "x", 30) == split(
        table, tmp_path / "a", "key", "x", 30
    )
    backwards = (table.slice(start, 50) for start in (50, 0))
    with pytest.raises(BadInput, match=r"part-00001\.parquet: row 21 has key 0 behind 99"):
        split(backwards, tmp_path / "b", "key", "x", 30)


ids = st.sets(st.text(st.sampled_from("aé\U0001f600z"), min_size=1, max_size=3), max_size=20)


@given(ids, ids, st.integers(1, 6), st.integers(1, 6))
def test_side_by_side_every_row_comes_once_and_with_its_key(
    one: set[str], other: set[str], cut: int, other_cut: int
) -> None:
    tables = [pl.DataFrame({"k": sorted(each)}, schema={"k": pl.String}) for each in (one, other)]
    frames = [
        [table.slice(start, size) for start in range(0, max(1, len(table)), size)]
        for table, size in zip(tables, (cut, other_cut), strict=True)
    ]
    pairs = list(side_by_side(*frames, "k"))
    for place, table in enumerate(tables):
        came = [pair[place] for pair in pairs]
        assert [key for frame in came for key in frame["k"]] == table["k"].to_list()
    both = [len(first.join(second, on="k")) for first, second in pairs]
    assert sum(both) == len(one & other)
    assert all(len(first) <= cut and len(second) <= other_cut for first, second in pairs)


@pytest.mark.parametrize("cut", [1, 7, 60, 1000])
def test_stability_does_not_depend_on_the_cut(cut: int) -> None:
    rng = np.random.default_rng(cut)
    old = rng.integers(0, 6, size=(200, 3)).astype(np.int32)
    new = rng.permutation(6).astype(np.int32)[old]
    new[rng.random(200) < 0.3] = 2
    starts = range(0, 200, cut)
    found = stability_of_blocks(lambda: [(old[a : a + cut], new[a : a + cut]) for a in starts])
    assert found == stability(old, new)
    assert 0 < found.churn[0] < found.churn[-1]
    moved = (new[:, 0] != _renamed(old[:, 0], new[:, 0])).mean()
    assert found.aligned_churn[0] == pytest.approx(moved)


def _renamed(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Each old code as the new code that most of its items have."""
    majority = {code: np.bincount(new[old == code]).argmax() for code in np.unique(old)}
    return np.array([majority[code] for code in old])
