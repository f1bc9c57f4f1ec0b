"""Order, leave-one-out and the true cold start."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.catalogue import (
    Catalogue,
    build_catalogue,
    build_without_log,
    sorted_sequence_share,
)
from sidmint.errors import BadInput

NOON = datetime(2024, 1, 1, 12)


def _items(ids: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": ids, "title": [f"title of {i}" for i in ids]})


def _log(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    """(user, item, days after noon) rows."""
    return pl.DataFrame(
        {
            "user_id": [user for user, _, _ in rows],
            "item_id": [item for _, item, _ in rows],
            "timestamp": [NOON + timedelta(days=day) for _, _, day in rows],
        }
    )


def _build(
    items: pl.DataFrame, log: pl.DataFrame, k: int = 1, cold_share: float = 0.0
) -> Catalogue:
    return build_catalogue(items, log, min_interactions=k, cold_share=cold_share, seed=1)


def _sequence(catalogue: Catalogue, user: str) -> list[tuple[str, str]]:
    own = catalogue.interactions.filter(pl.col("user_id") == user)
    assert own["position"].to_list() == list(range(own.height))
    return list(zip(own["item_id"], own["split"], strict=True))


def test_the_last_event_is_the_test_and_the_one_before_validation() -> None:
    log = _log([("u", "d", 4), ("u", "b", 2), ("u", "a", 1), ("u", "c", 3)])
    assert _sequence(_build(_items(list("abcd")), log), "u") == [
        ("a", "train"),
        ("b", "train"),
        ("c", "validation"),
        ("d", "test"),
    ]


def test_ties_in_time_keep_the_order_of_the_file() -> None:
    log = _log([("u", "c", 1), ("u", "a", 1), ("u", "z", 0), ("u", "b", 1)])
    items = [item for item, _ in _sequence(_build(_items(list("abcz")), log), "u")]
    assert items == ["z", "c", "a", "b"]


def test_a_position_of_the_source_wins_over_its_times() -> None:
    log = _log([("u", "a", 1), ("u", "b", 2), ("u", "c", 3)])
    backwards = log.with_columns(pl.Series("position", [30, 20, 10]))
    items = [item for item, _ in _sequence(_build(_items(list("abc")), backwards), "u")]
    assert items == ["c", "b", "a"]


def test_without_time_and_position_the_file_is_the_order() -> None:
    log = _log([("u", "c", 1), ("u", "a", 1), ("u", "b", 1)]).drop("timestamp")
    catalogue = _build(_items(list("abc")), log)
    assert [item for item, _ in _sequence(catalogue, "u")] == ["c", "a", "b"]
    assert catalogue.interactions["timestamp"].null_count() == 3


def test_milliseconds_order_events_within_one_second() -> None:
    log = _log([("u", "a", 0), ("u", "b", 0), ("u", "c", 0)])
    times = [NOON + timedelta(milliseconds=ms) for ms in (700, 100, 400)]
    catalogue = _build(_items(list("abc")), log.with_columns(pl.Series("timestamp", times)))
    assert [item for item, _ in _sequence(catalogue, "u")] == ["b", "c", "a"]
    assert catalogue.interactions["timestamp"].n_unique() == 1


def test_the_newest_items_are_cold_and_never_trained_on() -> None:
    # Item c appears last (day 3), item b on day 2; one third of three items is one item.
    rows = [("u", "a", 0), ("u", "b", 2), ("u", "a", 3), ("u", "c", 4), ("u", "a", 5)]
    rows += [("w", "c", 3), ("w", "a", 4), ("w", "b", 5), ("w", "a", 6)]
    catalogue = _build(_items(["a", "b", "c"]), _log(rows), cold_share=0.34)
    assert catalogue.items.filter("cold")["item_id"].to_list() == ["c"]
    assert catalogue.profile["cold_selection"] == "newest by first event"
    assert _sequence(catalogue, "u") == [
        ("a", "train"),
        ("b", "train"),
        ("a", "validation"),
        ("c", "cold"),
        ("a", "test"),
    ]
    # num_train by hand: u trains on a, b; w's warm events are a, b, a, so it trains on a.
    assert catalogue.items["num_train"].to_list() == [2, 1, 0]


def test_of_items_as_new_as_each_other_the_later_ids_are_cold() -> None:
    rows = [("u", item, 0) for item in "abcd"]
    catalogue = _build(_items(list("abcd")), _log(rows), cold_share=0.25)
    assert catalogue.items.filter("cold")["item_id"].to_list() == ["d"]


def test_a_user_left_with_two_warm_events_keeps_both_in_training() -> None:
    rows = [("u", "a", 0), ("u", "b", 1), ("u", "c", 2)]
    catalogue = _build(_items(["a", "b", "c"]), _log(rows), cold_share=0.34)
    assert _sequence(catalogue, "u") == [("a", "train"), ("b", "train"), ("c", "cold")]


BLOCK = [(user, item, day) for user in "uvw" for day, item in enumerate("abc")]
"""Three users who meet the same three items: a 3-core."""


def test_an_item_met_too_rarely_stays_as_one_never_met_does() -> None:
    catalogue = _build(
        _items(["a", "b", "c", "new", "weak"]), _log([*BLOCK, ("u", "weak", 9)]), k=3
    )
    standings = ["warm", "warm", "warm", "without_events", "below_core"]
    assert catalogue.items["standing"].to_list() == standings
    assert catalogue.items.filter("cold")["item_id"].to_list() == ["new", "weak"]
    assert catalogue.items["num_train"].to_list() == [3, 0, 0, 0, 0]
    assert "weak" not in catalogue.interactions["item_id"]
    assert catalogue.profile["dropped"]["items_by_k_core"] == 0
    assert catalogue.profile["items_by_standing"] == {
        "warm": 3,
        "withheld": 0,
        "below_core": 1,
        "without_events": 1,
    }
    # Nine events of three users on the three items of the core: every cell is filled.
    assert catalogue.profile["density"] == 1.0


def test_the_papers_item_set_is_the_core_alone() -> None:
    items, log = _items(["a", "b", "c", "new", "weak"]), _log([*BLOCK, ("u", "weak", 9)])
    catalogue = build_catalogue(
        items, log, min_interactions=3, cold_share=0.0, seed=1, item_set="core"
    )
    assert catalogue.items["item_id"].to_list() == ["a", "b", "c"]
    assert catalogue.profile["dropped"]["items_by_k_core"] == 2
    assert catalogue.interactions.equals(_build(items, log, k=3).interactions)


def test_without_a_log_every_item_is_there_and_nothing_is_scored() -> None:
    catalogue = build_without_log(_items(["b", "a"]))
    assert catalogue.items["item_id"].to_list() == ["a", "b"]
    assert catalogue.items["standing"].to_list() == ["without_events"] * 2
    with_one = _build(_items(["a", "b", "c"]), _log(BLOCK), k=3)
    assert catalogue.items.schema == with_one.items.schema
    assert catalogue.interactions.schema == with_one.interactions.schema
    assert catalogue.interactions.is_empty()
    assert catalogue.profile["cold_items"] == 2
    assert not {"density", "sorted_sequence_share"} & set(catalogue.profile)


def test_without_time_the_cold_items_are_a_random_sample_and_called_so() -> None:
    ids = [f"i{n:02}" for n in range(40)]
    log = pl.DataFrame({"user_id": ["u"] * 40, "item_id": ids})
    built = [
        build_catalogue(_items(ids), log, min_interactions=1, cold_share=0.25, seed=seed)
        for seed in (1, 1, 2)
    ]
    cold = [catalogue.items.filter("cold")["item_id"].to_list() for catalogue in built]
    assert built[0].profile["cold_selection"] == "random sample (no time)"
    assert len(cold[0]) == 10
    assert cold[0] == cold[1] != cold[2]


worlds = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcdef"), st.integers(0, 5)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(worlds, st.floats(0.0, 0.5), st.randoms(use_true_random=False))
def test_the_split_holds_for_any_log(rows: list[tuple[str, str, int]], share: float, rng) -> None:  # type: ignore[no-untyped-def]
    # Three events on an always warm item make every user long enough and some events warm.
    rows = [*rows, *((user, "0", day) for user in "uvw" for day in (-3, -2, -1))]
    items = _items(list("0abcdefg"))
    catalogue = _build(items, _log(rows), cold_share=share)
    shuffled = list(range(8))
    rng.shuffle(shuffled)
    assert _build(items[shuffled], _log(rows), cold_share=share).profile == catalogue.profile
    events = catalogue.interactions.join(catalogue.items, on="item_id", how="inner")
    assert events.height == len(rows)
    assert (events["cold"] == (events["split"] == "cold")).all()
    for user in "uvw":
        splits = [split for _, split in _sequence(catalogue, user) if split != "cold"]
        assert splits == ["train"] * (len(splits) - 2) + ["validation", "test"]


@settings(max_examples=40, deadline=None)
@given(worlds, st.integers(3, 5), st.floats(0.0, 0.5))
def test_every_item_is_in_the_catalogue_whatever_the_log_and_the_core(
    rows: list[tuple[str, str, int]], k: int, share: float
) -> None:
    rows = [*rows, *((user, "0", day) for user in "uvw" for day in range(-5, 0))]
    catalogue = _build(_items(list("0abcdefg")), _log(rows), k, cold_share=share)
    assert catalogue.items["item_id"].to_list() == list("0abcdefg")
    kept, events = set(catalogue.interactions["item_id"]), {item for _, item, _ in rows}
    for item, standing, cold, num_train in catalogue.items.select(
        "item_id", "standing", "cold", "num_train"
    ).iter_rows():
        if standing in ("warm", "withheld"):
            assert item in kept
        else:
            assert item not in kept
            assert (item in events) == (standing == "below_core")
        assert cold == (standing != "warm")
        assert not (cold and num_train)


def test_a_sequence_sorted_by_text_or_by_number_is_seen() -> None:
    def share(*sequences: list[str]) -> float:
        rows = [(f"u{n}", item) for n, items in enumerate(sequences) for item in items]
        return sorted_sequence_share(pl.DataFrame(rows, ["user_id", "item_id"], orient="row"))

    shuffled = ["7", "11", "9", "100", "8"]
    assert share(["7", "8", "9", "11", "100"], shuffled) == 0.5
    assert share(["100", "11", "7", "8", "9"], shuffled) == 0.5
    assert share(["a", "b", "c", "d"], ["b", "b", "b", "b", "b"]) == 0.0


def test_a_user_with_two_events_is_named_with_the_way_out() -> None:
    rows = [("u", "a", 0), ("u", "b", 1), ("u", "a", 2), ("short", "a", 0), ("short", "b", 1)]
    with pytest.raises(BadInput, match=r"user short has 2 events.*min_interactions \(now 1\).*3"):
        _build(_items(["a", "b"]), _log(rows))
