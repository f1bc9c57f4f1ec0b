"""The built-in catalogue is the world that it says it is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sidmint.catalogue import build_catalogue, k_core
from sidmint.params import IngestParams
from sidmint.sources import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.synthetic import LEAVES, LEAVES_A_CATEGORY, LEAVES_A_DEPARTMENT
from sidmint.sources.synthetic_words import ADJECTIVES, BRANDS, FINISHES, TREE


def make(seed: int = 7, **synthetic: float) -> RawCatalogue:
    params = IngestParams.model_validate({"synthetic": synthetic})
    return SOURCES["synthetic"](params, SourceFiles(), seed)


@pytest.fixture(scope="module")
def world() -> RawCatalogue:
    return make()


@pytest.fixture(scope="module")
def events(world: RawCatalogue) -> pl.DataFrame:
    """Interactions with what the item and the event before it were."""
    order = world.interactions.sort("user_id", "timestamp", maintain_order=True)
    known = order.join(world.items, on="item_id", how="left", maintain_order="left")
    return known.with_columns(
        pl.col("categories").shift().over("user_id").alias("previous"),
    )


def test_the_tree_is_regular_and_the_finish_is_a_check_symbol() -> None:
    assert len(LEAVES) == len(TREE) * LEAVES_A_DEPARTMENT == 96
    assert all(len(c) == LEAVES_A_DEPARTMENT // LEAVES_A_CATEGORY for c in TREE.values())
    assert all(
        len(leaf.split("|")) == 4 for d in TREE.values() for c in d.values() for leaf in c.values()
    )
    assert len(FINISHES) > len(ADJECTIVES)
    assert len(BRANDS) % len(TREE) == 0


def test_one_seed_gives_the_same_tables_and_another_seed_others(world: RawCatalogue) -> None:
    again, other = make(), make(seed=8)
    assert again.items.equals(world.items)
    assert again.interactions.equals(world.interactions)
    assert not other.items.equals(world.items)


def test_sizes_are_as_asked() -> None:
    small = make(num_items=200, num_users=150, duplicate_share=0.1, new_item_share=0.05)
    assert small.items.height == small.items["item_id"].n_unique() == 200
    assert small.items["duplicate_of"].count() == 20
    assert small.interactions["user_id"].n_unique() == 150


def test_planted_duplicates_differ_in_one_word_and_no_others_in_so_few(
    world: RawCatalogue,
) -> None:
    titles = dict(zip(world.items["item_id"], world.items["title"], strict=True))
    leaf = dict(zip(world.items["item_id"], world.items["categories"], strict=True))
    copies = world.items.drop_nulls("duplicate_of").select("item_id", "duplicate_of").rows()
    assert len(copies) == 90
    for copy, original in copies:
        ours, theirs = titles[copy].split(), titles[original].split()
        assert sum(a != b for a, b in zip(ours, theirs, strict=True)) == 1
        assert leaf[copy] == leaf[original]
    planted = {frozenset(pair) for pair in copies}
    for (_,), group in world.items.group_by("categories"):
        words = [title.split() for title in group["title"]]
        ids = group["item_id"].to_list()
        near = {
            frozenset((ids[a], ids[b]))
            for a in range(len(ids))
            for b in range(a)
            if len(words[a]) == len(words[b])
            and sum(x != y for x, y in zip(words[a], words[b], strict=True)) < 2
        }
        assert near <= planted


def test_an_event_stays_in_the_leaf_of_the_one_before_far_above_chance(
    events: pl.DataFrame,
) -> None:
    stays = (events["previous"] == events["categories"]).mean()
    by_leaf = events["categories"].value_counts()["count"] / events.height
    chance = float((by_leaf**2).sum())
    assert chance < 0.03
    assert stays > 0.5


def test_popularity_has_a_long_tail(world: RawCatalogue) -> None:
    counts = np.sort(world.interactions["item_id"].value_counts()["count"].to_numpy())
    ranks = np.arange(1, len(counts) + 1)
    gini = (2 * ranks - len(counts) - 1) @ counts / (len(counts) * counts.sum())
    assert 0.35 < gini < 0.6  # Amazon 5-core: Toys .44, Beauty .50, Office .53
    assert counts[-1] > 20 * np.median(counts)


def test_new_items_have_no_event_and_nothing_is_met_before_its_launch(
    world: RawCatalogue, events: pl.DataFrame
) -> None:
    unmet = world.items.join(world.interactions, on="item_id", how="anti")
    met = world.items.join(world.interactions, on="item_id", how="semi")
    assert unmet.height == 90
    assert unmet["launched"].min() > met["launched"].max()  # type: ignore[operator]
    assert (events["timestamp"].dt.epoch("s") >= events["launched"]).all()


def test_nobody_takes_an_item_twice(world: RawCatalogue) -> None:
    assert not world.interactions.select("user_id", "item_id").is_duplicated().any()


def test_a_five_core_keeps_nearly_all(world: RawCatalogue) -> None:
    core = k_core(world.interactions, 5)
    assert core.height > 0.99 * world.interactions.height
    assert core["user_id"].n_unique() > 0.97 * 5000
    assert core["item_id"].n_unique() > 0.97 * 2910


def test_withheld_items_are_among_the_last_launched(world: RawCatalogue) -> None:
    catalogue = build_catalogue(
        world.items, world.interactions, min_interactions=5, cold_share=0.05, seed=7
    )
    assert catalogue.profile["sorted_sequence_share"] < 0.05
    withheld = catalogue.items.filter(pl.col("cold"))
    warm = catalogue.items.filter(~pl.col("cold"))
    first_event = world.interactions["timestamp"].dt.epoch("s").min()
    assert (withheld["launched"] > first_event).mean() > 0.95
    assert (warm["launched"] > first_event).mean() < 0.15
