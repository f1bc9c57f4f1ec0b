"""Source `synthetic`: the built-in catalogue and log, a world where truth is known.

Truths that tests may rely on:

- `categories` is a path of three levels; the title names a product of that leaf.
- `duplicate_of` is the item of which a planted near-duplicate differs in one word (the colour),
  null elsewhere; no two other items of a leaf differ in fewer than two words.
- `launched` (seconds since 1970): no event on an item is older. The newest `new_item_share` of
  the items were launched as the log ended and have no event.
- Popularity has a long tail (Zipf). A user has a few favourite leaves and some favourite brands;
  an event stays in the leaf of the one before more often than not. Nobody takes an item twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.params import IngestParams, SyntheticParams
from sidmint.progress import Track, silent
from sidmint.seeds import generator_for
from sidmint.sources.base import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.synthetic_words import ADJECTIVES, BRANDS, COLOURS, FINISHES, SIZES, TREE

Array = npt.NDArray[Any]

START = 1_704_067_200
"""2024-01-01 00:00 UTC: the log begins."""
DURATION = 180 * 86_400
"""Seconds; every event lies within."""

LEAVES = [(d, c, leaf) for d, categories in TREE.items() for c in categories for leaf in TREE[d][c]]
LEAVES_A_CATEGORY, LEAVES_A_DEPARTMENT, NOUNS_A_LEAF = 4, 16, 4

LATE_LAUNCH_SHARE = 0.15
"""Of the items with a history, those launched while the log runs; the others were there before."""
LAST_LAUNCH = 0.6
"""Of the log's duration, so that a late item has time to be met five times."""
ZIPF = 1.0
UNIFORM_PART = 0.2
"""Of an item's weight: keeps the far tail above five events."""
MIN_EVENTS, MEAN_EXTRA_EVENTS = 10, 20
STAY_IN_LEAF = 0.6
WANDER = 0.1
"""Probability of a leaf outside the user's taste, where the event moves on."""
TASTE = (0.4, 0.3, 0.2, 0.1)
"""Pull of a user's favourite leaf, one of its category, one of its department, and any other."""
LIKED_BRAND_SHARE = 0.2
LOOKS = 3
"""Items a user looks at in a leaf before choosing; the first of a liked brand is taken."""


@dataclass(frozen=True)
class _World:
    """What events are drawn from: items by leaf, then launch; one entry an item."""

    leaf: Array
    brand: Array
    launched: Array
    weight: Array


@SOURCES.register("synthetic")
def read_synthetic(
    params: IngestParams, files: SourceFiles, seed: int, track: Track = silent
) -> RawCatalogue:
    """The built-in catalogue: the same tables for the same seed and `ingest.synthetic`."""
    settings = params.synthetic
    items, world = _make_items(settings, generator_for(seed, "synthetic", "items"))
    events = _make_events(settings, world, generator_for(seed, "synthetic", "events"))
    interactions = pl.DataFrame(
        {
            "user_id": _ids("U", settings.num_users).gather(events["user"]),
            "item_id": items["item_id"].gather(events["item"]),
            "timestamp": (events["time"] * 1_000_000).cast(pl.Datetime("us")),
        }
    )
    return RawCatalogue(items.sort("item_id"), interactions, "synthetic items", "synthetic log")


def _make_items(settings: SyntheticParams, rng: np.random.Generator) -> tuple[pl.DataFrame, _World]:
    """The items table and the world, row for row the same items, by leaf and launch."""
    num_items = settings.num_items
    num_duplicates = min(round(num_items * settings.duplicate_share), num_items // 2)
    num_bases = num_items - num_duplicates
    bases = _base_items(num_bases, rng)
    original = np.concatenate(
        [np.arange(num_bases), rng.choice(num_bases, num_duplicates, replace=False)]
    )
    words = {name: values[original] for name, values in bases.items()}
    is_copy = np.arange(num_items) >= num_bases
    other_colour = rng.integers(1, len(COLOURS), num_items)
    words["colour"] = (words["colour"] + is_copy * other_colour) % len(COLOURS)
    launched, weight = _launches(settings, rng), _popularity(num_items, rng)
    weight[launched >= START + DURATION] = 0.0
    item_ids = _ids("P", num_items).gather(rng.permutation(num_items))
    items = pl.DataFrame(
        {
            "item_id": item_ids,
            "title": _titles(words),
            "brand": [BRANDS[b] for b in words["brand"]],
            "categories": [" > ".join(LEAVES[leaf]) for leaf in words["leaf"]],
            "price": words["price"],
            "launched": launched,
            "duplicate_of": pl.select(
                pl.when(pl.Series(is_copy)).then(item_ids.gather(original))
            ).to_series(),
        }
    )
    order = np.lexsort((launched, words["leaf"]))
    world = _World(words["leaf"][order], words["brand"][order], launched[order], weight[order])
    return items[order], world


def _base_items(num_items: int, rng: np.random.Generator) -> dict[str, Array]:
    """Numbers of the words of each distinct item; any two in a leaf differ in two words or more.

    Adjective, noun and mark are unique together in a leaf, and the finish is a check symbol over
    them (a prime number of finishes): whoever changes one of the three changes the finish too.
    """
    leaf = np.sort(
        rng.choice(len(LEAVES), num_items, p=_shares(rng.uniform(0.5, 1.5, len(LEAVES))))
    )
    rank = np.arange(num_items) - np.searchsorted(leaf, leaf)
    slots = len(ADJECTIVES) * NOUNS_A_LEAF
    marks = 1 + int(rank.max()) // slots
    slot = rng.permuted(np.tile(np.arange(slots * marks), (len(LEAVES), 1)), axis=1)[leaf, rank]
    adjective, noun, mark = (
        slot % len(ADJECTIVES),
        slot // len(ADJECTIVES) % NOUNS_A_LEAF,
        slot // slots,
    )
    brands_a_department = len(BRANDS) // len(TREE)
    department = leaf * len(TREE) // len(LEAVES)
    brand = department * brands_a_department + rng.choice(
        brands_a_department, num_items, p=_shares(1.0 / np.arange(1, brands_a_department + 1))
    )
    leaf_price = rng.lognormal(3.0, 0.6, len(LEAVES))[leaf]
    brand_price = rng.lognormal(0.0, 0.3, len(BRANDS))[brand]
    return {
        "leaf": leaf,
        "adjective": adjective,
        "noun": noun,
        "mark": mark,
        "finish": (adjective + noun + mark) % len(FINISHES),
        "brand": brand,
        "colour": rng.integers(0, len(COLOURS), num_items),
        "size": rng.integers(0, len(SIZES), num_items),
        "price": np.floor(leaf_price * brand_price * rng.lognormal(0.0, 0.2, num_items)) + 0.99,
    }


def _titles(words: dict[str, Array]) -> list[str]:
    """Titles such as "Harrow Classic Brushed Skillet, Red, Small"; later "Skillet Mk2"."""
    nouns = [TREE[d][c][leaf].split("|") for d, c, leaf in LEAVES]
    columns = [
        words[n] for n in ("leaf", "brand", "adjective", "finish", "noun", "mark", "colour", "size")
    ]
    return [
        f"{BRANDS[brand]} {ADJECTIVES[adjective]} {FINISHES[finish]} {nouns[leaf][noun]}"
        f"{f' Mk{mark + 1}' if mark else ''}, {COLOURS[colour]}, {SIZES[size]}"
        for leaf, brand, adjective, finish, noun, mark, colour, size in zip(*columns, strict=True)
    ]


def _launches(settings: SyntheticParams, rng: np.random.Generator) -> Array:
    """Seconds at which each item came: before the log, in it, or (the new ones) at its end."""
    num_items = settings.num_items
    kind = rng.permutation(num_items)
    num_new = round(num_items * settings.new_item_share)
    num_late = round((num_items - num_new) * LATE_LAUNCH_SHARE)
    early = START - rng.integers(1, 2 * 365 * 86_400, num_items)
    late = START + rng.integers(0, int(LAST_LAUNCH * DURATION), num_items)
    new = START + DURATION + rng.integers(0, 86_400, num_items)
    return np.where(kind < num_new, new, np.where(kind < num_new + num_late, late, early))


def _popularity(num_items: int, rng: np.random.Generator) -> Array:
    zipf = _shares(1.0 / (1.0 + rng.permutation(num_items)) ** ZIPF)
    return (1.0 - UNIFORM_PART) * zipf + UNIFORM_PART / num_items


def _make_events(
    settings: SyntheticParams, world: _World, rng: np.random.Generator
) -> pl.DataFrame:
    """`user`, `item` (row of the items), `time` in seconds; no item twice a user; by time."""
    num_events = MIN_EVENTS + rng.geometric(1.0 / MEAN_EXTRA_EVENTS, settings.num_users)
    user = np.repeat(np.arange(settings.num_users), num_events)
    begins = rng.uniform(0.0, 0.6, settings.num_users)
    spans = rng.uniform(0.1, 0.4, settings.num_users)
    moments = begins[user] + spans[user] * rng.random(len(user))
    time = START + (DURATION * moments[np.lexsort((moments, user))]).astype(np.int64)
    leaf = _leaf_walk(user, settings.num_users, world, rng)
    item = _items_looked_at(leaf, time, world, rng)
    likes = rng.random((settings.num_users, len(BRANDS))) < LIKED_BRAND_SHARE
    # argmax finds the first liked one, or the first of all where none is.
    chosen = likes[user[:, None], world.brand[item]].argmax(axis=1)
    events = pl.DataFrame({"user": user, "item": item[np.arange(len(item)), chosen], "time": time})
    return events.unique(["user", "item"], keep="first", maintain_order=True).sort(
        "time", maintain_order=True
    )


def _leaf_walk(user: Array, num_users: int, world: _World, rng: np.random.Generator) -> Array:
    """The leaf of each event (events by user and time): stay, or go on by the user's taste."""
    is_open = world.launched < START
    pull = _shares(np.bincount(world.leaf, world.weight * is_open, minlength=len(LEAVES)))
    favourite = rng.choice(len(LEAVES), num_users, p=pull)
    siblings = favourite // LEAVES_A_CATEGORY * LEAVES_A_CATEGORY
    cousins = favourite // LEAVES_A_DEPARTMENT * LEAVES_A_DEPARTMENT
    tastes = np.stack(
        [
            favourite,
            siblings + rng.integers(0, LEAVES_A_CATEGORY, num_users),
            cousins + rng.integers(0, LEAVES_A_DEPARTMENT, num_users),
            rng.choice(len(LEAVES), num_users, p=pull),
        ],
        axis=1,
    )
    # A small catalogue has leaves with nothing on sale as the log begins.
    tastes = np.where(pull[tastes] > 0, tastes, favourite[:, None])
    fresh = tastes[user, rng.choice(tastes.shape[1], len(user), p=TASTE)]
    wanders = rng.random(len(user)) < WANDER
    fresh = np.where(wanders, rng.choice(len(LEAVES), len(user), p=pull), fresh)
    moves = (rng.random(len(user)) >= STAY_IN_LEAF) | (np.diff(user, prepend=-1) != 0)
    return fresh[np.maximum.accumulate(np.where(moves, np.arange(len(user)), 0))]


def _items_looked_at(leaf: Array, time: Array, world: _World, rng: np.random.Generator) -> Array:
    """(events, LOOKS) items of the leaf by popularity, among those launched by `time`.

    Items lie by leaf and launch, so the candidates of an event are one run of rows, and a draw
    by weight is one search in the cumulated weights.
    """
    span = 10 * DURATION
    keys = world.leaf * span + (world.launched - START)
    first = np.searchsorted(world.leaf, leaf)
    end = np.searchsorted(keys, leaf * span + (time - START), side="right")
    cumulated = np.concatenate([[0.0], np.cumsum(world.weight)])
    reach = (cumulated[end] - cumulated[first])[:, None]
    target = cumulated[first][:, None] + reach * rng.random((len(leaf), LOOKS))
    drawn = np.searchsorted(cumulated, target, side="right") - 1
    items: Array = np.clip(drawn, first[:, None], end[:, None] - 1)
    return items


def _shares(weights: Array) -> Array:
    shares: Array = weights / weights.sum()
    return shares


def _ids(letter: str, count: int) -> pl.Series:
    width = len(str(count - 1))
    return pl.Series([f"{letter}{number:0{width}}" for number in range(count)])
