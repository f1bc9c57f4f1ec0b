"""A catalogue made in pieces is the one made of whole tables, wherever tables are cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from log_pieces import Sliced, items, log, put_together, rows_of_a_log
from sidmint.catalogue import Catalogue, build_catalogue
from sidmint.catalogue.id_rows import IdRows
from sidmint.catalogue.in_pieces import build_in_pieces
from sidmint.errors import BadInput
from sidmint.partitions import MemorySpill
from sidmint.selection import numbers_at
from traced import traced_peak
from traced_works import catalogue_in_files

rules = st.fixed_dictionaries(
    {
        "min_interactions": st.sampled_from([1, 3, 4, 5, 7]),
        "cold_share": st.sampled_from([0.0, 0.2, 0.5]),
        "item_set": st.sampled_from(["all", "core"]),
        "tie_order": st.sampled_from(["file", "shuffled"]),
        "unknown_limit": st.sampled_from([0.0, 0.9, 0.9]),
    }
)


def _in_pieces(table: pl.DataFrame, size: int, at_once: int, **asked: Any) -> Catalogue:
    made = build_in_pieces(
        items()["item_id"].sort(),
        Sliced(table, size),
        seed=3,
        spill=MemorySpill(),
        events_at_once=at_once,
        **asked,
    )
    return put_together(made, items(), size)


def _either(make: Any) -> Catalogue | str:
    try:
        return make()
    except BadInput as error:
        return str(error)


def _agree(table: pl.DataFrame, size: int, at_once: int, asked: dict[str, Any]) -> None:
    whole = _either(lambda: build_catalogue(items(), table, seed=3, **asked))
    made = _either(lambda: _in_pieces(table, size, at_once, **asked))
    if isinstance(whole, str):
        assert made == whole
        return
    assert isinstance(made, Catalogue), made
    assert made.items.equals(whole.items)
    assert made.items.schema == whole.items.schema
    assert made.interactions.equals(whole.interactions)
    assert made.interactions.schema == whole.interactions.schema
    assert made.profile == whole.profile


@settings(max_examples=60, deadline=None)
@given(rows_of_a_log, rules, st.integers(5, 90), st.integers(1, 60))
def test_leave_one_out_is_the_same_in_pieces(
    rows: list[tuple[int, int, int]], asked: dict[str, Any], size: int, at_once: int
) -> None:
    _agree(log(rows), size, at_once, asked)


@settings(max_examples=40, deadline=None)
@given(rows_of_a_log, rules, st.integers(5, 90), st.integers(1, 60), st.floats(0.05, 0.4))
def test_a_cut_in_time_is_the_same_in_pieces(
    rows: list[tuple[int, int, int]], asked: dict[str, Any], size: int, at_once: int, share: float
) -> None:
    by_time = {"protocol": "time", "cold_share": 0.0, "time_shares": (share, share / 2)}
    _agree(log(rows), size, at_once, {**asked, **by_time})


@settings(max_examples=30, deadline=None)
@given(rows_of_a_log, st.integers(5, 90), st.booleans(), st.data())
def test_positions_and_logs_without_time_are_the_same_in_pieces(
    rows: list[tuple[int, int, int]], size: int, has_positions: bool, data: st.DataObject
) -> None:
    table = log(rows).drop("timestamp")
    if has_positions:
        places = data.draw(st.permutations(range(table.height)))
        table = table.with_columns(pl.Series("position", places, dtype=pl.Int64))
    asked = {"min_interactions": 3, "cold_share": 0.3, "unknown_limit": 0.9}
    _agree(table, size, 7, asked)


def test_a_value_that_some_rows_lack_is_named_with_its_row() -> None:
    rows = [(user, item, item) for user in range(4) for item in range(5)]
    table = log(rows)
    gap = pl.when(pl.int_range(pl.len()) == 13).then(None).otherwise("timestamp")
    asked: dict[str, Any] = {"min_interactions": 1, "cold_share": 0.0}
    _agree(table.with_columns(gap.alias("timestamp")), 6, 5, asked)
    with pytest.raises(BadInput, match="row 14 has no timestamp"):
        _in_pieces(table.with_columns(gap.alias("timestamp")), 6, 5, **asked)
    _agree(table.with_columns(pl.lit(None, pl.Datetime("us")).alias("timestamp")), 6, 5, asked)
    nameless = table.with_columns(
        pl.when(pl.int_range(pl.len()) == 16).then(None).otherwise("user_id").alias("user_id")
    )
    with pytest.raises(BadInput, match="row 17 has no user_id"):
        _in_pieces(nameless, 6, 5, **asked)


def test_a_position_that_a_user_has_twice_is_said_as_of_a_whole_log() -> None:
    rows = [(user, item, item) for user in range(4) for item in range(5)]
    table = log(rows).with_columns(pl.Series("position", [0, 1, 2, 3, 4] * 3 + [0, 1, 1, 3, 4]))
    asked: dict[str, Any] = {"min_interactions": 1, "cold_share": 0.0}
    _agree(table, 3, 2, asked)
    with pytest.raises(BadInput, match="position 1 twice"):
        _in_pieces(table, 3, 2, **asked)


texts = st.lists(st.text(max_size=4), unique=True, min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(texts, st.integers(1, 5), st.data())
def test_a_row_is_found_by_its_text_even_where_texts_share_a_hash(
    table: list[str], num_hashes: int, data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.sampled_from(table) | st.text(max_size=4), max_size=40))

    def few(ids: pl.Series) -> np.ndarray:
        lengths = [len(text.encode()) % num_hashes for text in ids]
        return np.array(lengths, dtype=np.uint64)

    wanted = [table.index(text) if text in table else -1 for text in asked]
    ids, looked_up = pl.Series(table), pl.Series(asked, dtype=pl.String)
    assert IdRows(ids, few).of(looked_up).tolist() == wanted
    assert IdRows(ids).of(looked_up).tolist() == wanted


whole_numbers = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=50)


@settings(max_examples=100, deadline=None)
@given(whole_numbers | st.lists(st.integers(-3, 3), min_size=1), st.integers(1, 9), st.data())
def test_the_number_at_a_place_is_that_of_the_sorted_list(
    numbers: list[int], size: int, data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, len(numbers) - 1), max_size=3))
    values = np.array(numbers, dtype=np.int64)
    blocks = [values[start : start + size] for start in range(0, len(values), size)]
    assert numbers_at(lambda: blocks, places) == [sorted(numbers)[place] for place in places]
    assume(places)
    with pytest.raises(IndexError):
        numbers_at(lambda: blocks, [len(numbers)])


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """Of what numpy holds; Polars, which is not traced, is handed as many rows at a time."""
    few, peak_of_few = traced_peak(catalogue_in_files, tmp_path, 4)
    many, peak_of_many = traced_peak(catalogue_in_files, tmp_path, 12)
    assert few == 100_000
    assert many == 300_000
    assert peak_of_many < 1.2 * peak_of_few
    assert peak_of_many < 24 * many  # user, item and time of an event would be as much
