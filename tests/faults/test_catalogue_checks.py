"""A catalogue that is broken in one way fails the one check that looks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sidmint.adapters.gx_catalogue import check_catalogue
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import split

Tables = tuple[pl.DataFrame, pl.DataFrame]

NO_KEY = ("items_item_id_present", "interactions_user_id_present")
"""Of no part: who writes parts refuses rows without their key."""


def sound() -> Tables:
    """Four items; two users see them in another order than that of the ids, five events each."""
    items = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "title": ["A", "B", "C", "D"]})
    interactions = pl.DataFrame(
        {
            "user_id": ["u"] * 5 + ["v"] * 5,
            "item_id": ["c", "a", "d", "b", "a", "b", "a", "c", "d", "c"],
            "position": [0, 1, 2, 3, 4] * 2,
            "split": ["train", "train", "train", "validation", "test"] * 2,
        }
    )
    return items, interactions


def failed(tables: Tables | tuple[Shards, Shards], **expected: int) -> dict[str, str]:
    rows = check_catalogue(*tables, **expected)  # type: ignore[arg-type]
    assert all(row["severity"] == "critical" for row in rows)
    return {row["name"]: row["reason"] for row in rows if not row["passed"]}


def set_first(frame: pl.DataFrame, column: str, value: object) -> pl.DataFrame:
    values = [value, *frame[column].to_list()[1:]]
    return frame.with_columns(pl.Series(column, values, dtype=frame[column].dtype))


BROKEN: dict[str, Callable[[pl.DataFrame, pl.DataFrame], Tables]] = {
    "items_item_id_present": lambda i, x: (
        i.vstack(pl.DataFrame({"item_id": [None], "title": ["E"]}, schema=i.schema)), x),
    "items_item_id_unique": lambda i, x: (i.vstack(i.head(1)), x),
    "items_title_present": lambda i, x: (set_first(i, "title", None), x),
    "items_title_not_empty": lambda i, x: (set_first(i, "title", " \t"), x),
    "interactions_user_id_present": lambda i, x: (i, set_first(x, "user_id", None)),
    "interactions_position_present": lambda i, x: (i, set_first(x, "position", None)),
    "interactions_split_present": lambda i, x: (i, set_first(x, "split", None)),
    "interactions_split_known": lambda i, x: (i, set_first(x, "split", "dev")),
    "interactions_user_position_unique": lambda i, x: (i, set_first(x, "position", 1)),
    "num_orphan_interactions": lambda i, x: (i, set_first(x, "item_id", "z")),
    "item_sorted_user_share": lambda i, x: (i, x.with_columns(pl.col("item_id").sort())),
}  # fmt: skip


def test_a_sound_catalogue_passes_every_check():
    rows = check_catalogue(*sound(), expected_items=4, expected_interactions=10)
    assert [row["name"] for row in rows if not row["passed"]] == []
    assert len({row["name"] for row in rows}) == len(rows) == 14


@pytest.mark.parametrize("check", BROKEN)
def test_one_fault_fails_one_check(check: str):
    assert list(failed(BROKEN[check](*sound()))) == [check]


def test_an_event_without_an_item_lacks_its_id_and_is_an_orphan():
    items, interactions = sound()
    reasons = failed((items, set_first(interactions, "item_id", None)))
    assert set(reasons) == {"interactions_item_id_present", "num_orphan_interactions"}
    assert reasons["interactions_item_id_present"] == "1 of 10 rows of interactions lack item_id"


def test_the_reason_counts_the_rows_and_shows_one():
    items, interactions = sound()
    reasons = failed((items.vstack(items.head(1)), interactions))
    assert reasons["items_item_id_unique"] == (
        "2 of 5 rows of items share item_id with another row, for example 'a'"
    )


def test_counts_other_than_expected_fail():
    reasons = failed(sound(), expected_items=5, expected_interactions=9)
    assert reasons == {
        "num_items": "num_items is 4, below the 5 required",
        "num_interactions": "num_interactions is 10, above the 9 allowed",
    }


def test_empty_tables_fail_their_counts():
    items, interactions = sound()
    assert set(failed((items.clear(), interactions.clear()))) == {"num_items", "num_interactions"}


def test_missing_columns_fail_by_name():
    items, interactions = sound()
    reasons = failed((items.drop("title"), interactions.drop("split", "position")))
    assert reasons["items_title_present"] == "items has no column title"
    assert reasons["interactions_split_known"] == "interactions has no column split"
    assert reasons["interactions_user_position_unique"] == "interactions has no column position"


def in_parts(folder: Path, tables: Tables) -> tuple[Shards, Shards]:
    """The same tables, cut inside of users."""
    items, interactions = tables
    return (
        split(items, folder / "items", "item_id", "test", 3, unique=False),
        split(interactions, folder / "interactions", "user_id", "test", 4, unique=False),
    )


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in NO_KEY])
def test_in_parts_the_same_check_finds_it(name: str, tmp_path: Path) -> None:
    broken = in_parts(tmp_path, BROKEN[name](*sound()))
    assert set(failed(broken)) == {name}


def test_a_sound_catalogue_in_parts_passes_with_the_same_words(tmp_path: Path) -> None:
    expected: dict[str, Any] = {"expected_items": 4, "expected_interactions": 10}
    rows = check_catalogue(*in_parts(tmp_path, sound()), **expected)
    assert rows == check_catalogue(*sound(), **expected)


def test_rows_of_parts_are_counted(tmp_path: Path) -> None:
    items, interactions = sound()
    reasons = failed(in_parts(tmp_path, (items, interactions.with_columns(split=pl.lit("dev")))))
    assert reasons == {
        "interactions_split_known": "10 of 10 rows of interactions have a split that is none of "
        "train, validation, test, cold"
    }
