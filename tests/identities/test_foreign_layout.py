"""How the numbers of a table made elsewhere are read: level offsets, a suffix, sizes."""

from __future__ import annotations

import numpy as np
import pytest

from foreign_tables import IDS, NUM_LEVELS, SIZE, make_codes, with_suffix
from sidmint.errors import BadInput
from sidmint.inspection.layout import CodeTable, find_offsets, is_suffix, lay_out
from sidmint.inspection.raw import RawTable, numbered_rows
from sidmint.types import Ints


def table(numbers: Ints, sizes=None, suffix=None, last_is_suffix=False) -> CodeTable:
    raw = RawTable(
        "t", numbered_rows(len(numbers)), numbers.astype(np.int64), "t", None, last_is_suffix
    )
    return lay_out(raw, sizes, suffix)


def offsets(low: list[int], high: list[int], sizes=None) -> tuple[tuple[int, ...], int | None]:
    return find_offsets(np.array([low, high]), sizes)


def test_levels_that_lie_k_apart_are_read_back_with_k_as_their_size() -> None:
    codes = make_codes()
    shifted = codes + SIZE * np.arange(NUM_LEVELS)
    found = table(shifted)
    np.testing.assert_array_equal(found.codes.values, codes)
    assert found.codes.sizes == (SIZE,) * NUM_LEVELS
    assert (found.offsets, found.sizes_from) == ((0, 8, 16), "offsets")
    assert "offset by level: 0, 8, 16" in " ".join(found.notes)


def test_dead_codes_at_the_borders_do_not_hide_the_distance() -> None:
    """Levels of 256 whose first and last codes are dead: only a power of two fits all."""
    assert offsets([3, 260, 515], [250, 509, 760]) == ((0, 256, 512), 256)


def test_one_dead_level_among_offset_ones_does_not_hide_it_either() -> None:
    assert offsets([0, 256, 512], [255, 256, 767]) == ((0, 256, 512), 256)


def test_levels_of_several_sizes_end_to_end_begin_at_their_smallest_number() -> None:
    assert offsets([0, 64, 320], [63, 319, 335]) == ((0, 64, 320), None)


def test_a_vocabulary_before_the_codes_is_an_offset_too() -> None:
    assert offsets([100, 356, 612], [355, 611, 867]) == ((100, 356, 612), None)


@pytest.mark.parametrize(
    ("low", "high"),
    [([0, 0, 0], [255, 255, 255]), ([0, 1], [0, 255]), ([0, 1, 2], [0, 1, 2]), ([5], [9])],
)
def test_ranges_that_meet_or_hold_one_code_are_no_offsets(low: list[int], high: list[int]) -> None:
    assert offsets(low, high) == ((0,) * len(low), None)


def test_sizes_decide_whether_numbers_are_offset() -> None:
    assert offsets([0, 9], [7, 15], (8, 16)) == ((0, 0), None), "they fit as they are"
    assert offsets([0, 9], [7, 15], (8, 8)) == ((0, 8), None)
    assert offsets([1, 9], [8, 16], (8, 8)) == ((1, 9), None)
    assert offsets([1, 1], [8, 8], (8, 8)) == ((1, 1), None), "codes from 1 to 8"


def test_codes_from_one_to_a_power_of_two_count_from_one() -> None:
    found = table(make_codes() + 1)
    np.testing.assert_array_equal(found.codes.values, make_codes())
    assert found.codes.sizes == (SIZE,) * NUM_LEVELS
    assert offsets([1, 1], [7, 5]) == ((0, 0), None), "a dead 0 is as likely"


def test_the_suffix_of_tiger_is_found_and_set_aside() -> None:
    codes = make_codes()
    found = table(with_suffix(codes))
    np.testing.assert_array_equal(found.codes.values, codes)
    np.testing.assert_array_equal(found.suffixes, with_suffix(codes)[:, -1])
    assert found.sizes_from == "seen"


def test_offset_levels_with_a_suffix_behind_them_lose_both() -> None:
    whole = with_suffix(make_codes())
    whole += np.array([0, 8, 16, 24], dtype=np.int32)
    np.testing.assert_array_equal(table(whole).codes.values, make_codes())


def test_rows_taken_out_afterwards_do_not_hide_a_suffix() -> None:
    kept = np.random.default_rng(3).random(len(IDS)) < 0.9
    assert is_suffix(with_suffix(make_codes())[kept].astype(np.int64))


def test_a_level_with_codes_of_its_own_is_no_suffix() -> None:
    """Also where no two rows are alike: most buckets are single items with any code at all."""
    codes = np.unique(make_codes(), axis=0)
    assert not is_suffix(codes.astype(np.int64))
    assert not is_suffix(make_codes().astype(np.int64))
    assert not is_suffix(make_codes()[:, :1].astype(np.int64))


def test_a_collapsed_table_with_a_suffix_is_a_collapsed_table() -> None:
    """All in one code and counted from 0: read as a level, it would have no collision at all."""
    collapsed = with_suffix(np.full((400, 3), 5, dtype=np.int32))
    found = table(collapsed)
    assert found.codes.num_levels == 3
    assert len(np.unique(found.codes.values, axis=0)) == 1


def test_suffix_and_sizes_can_be_forced() -> None:
    whole = with_suffix(make_codes())
    assert table(whole, suffix=False).codes.num_levels == 4
    assert table(make_codes(), suffix=True).codes.num_levels == 2
    assert table(make_codes(), last_is_suffix=True).codes.num_levels == 2
    assert table(make_codes(), last_is_suffix=True, suffix=False).codes.num_levels == 3
    assert table(whole, sizes=(8, 8, 8, 400)).codes.num_levels == 4
    assert table(whole, sizes=(8, 8, 8)).suffixes is not None
    assert table(make_codes(), sizes=(16,)).codes.sizes == (16, 16, 16)


def test_sizes_not_given_are_the_largest_code_and_one() -> None:
    codes = make_codes()
    codes[:, 1] %= 5
    assert table(codes).codes.sizes == (8, 5, 8)
    assert table(codes).sizes_from == "seen"


def test_ids_are_known_as_published_only_where_something_tells_items_apart() -> None:
    collided, distinct = make_codes(), np.unique(make_codes(), axis=0)
    assert table(collided, suffix=False).as_published is None
    assert table(distinct, suffix=False).as_published is not None
    published = table(with_suffix(collided)).as_published
    assert published is not None
    assert len(np.unique(published, axis=0)) == len(collided)


def test_a_codebook_of_ids_is_refused_before_memory_is_asked_for() -> None:
    with pytest.raises(BadInput, match="is a column of ids taken for codes"):
        table(np.array([[0, 2**31 - 1], [5, 0]]))
    with pytest.raises(BadInput, match="read up to"):
        table(make_codes(), sizes=(10**8,))
