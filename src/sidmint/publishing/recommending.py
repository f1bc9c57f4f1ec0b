"""What the recommender in a release answers: from item ids to item ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput, did_you_mean
from sidmint.publishing.tables import read_table
from sidmint.publishing.versions import Release
from sidmint.recommenders.id_table import id_table_of
from sidmint.recommenders.sequences import Sequences
from sidmint.recommenders.storage import DESCRIPTION, TENSORS, load, num_items


@dataclass(frozen=True)
class RecommendedItem:
    """One place of a list; the score is the recommender's own, falling."""

    item_id: str
    semantic_id: str
    score: float


@dataclass(frozen=True)
class Answer:
    """What `recommender` of `version` puts next."""

    version: str
    recommender: str
    items: tuple[RecommendedItem, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class OpenRecommender:
    """The recommender of a release over the release's table, loaded once for many questions."""

    def __init__(self, release: Release) -> None:
        """Loads it; `BadInput` for a release without one, and where a file was changed."""
        if not release.has(f"recommender/{DESCRIPTION}"):
            raise BadInput(
                f"{release.version} holds no recommender: it was published with `recommend: null`, "
                "without an interaction log, by an older sidmint, or by a refresh that moved ids"
            )
        for name in (DESCRIPTION, TENSORS):
            release.intact_file(f"recommender/{name}")
        self._version = release.version
        folder = release.whole("recommender")
        # A refresh puts later items behind those that the recommender was trained on.
        published, trained_on = read_table(release, "a recommender"), num_items(folder)
        known = published.head(trained_on)
        self._recommender = load(folder, id_table_of(known))
        self._table = known
        if trained_on < len(published) and self._recommender.reads_codes:
            self._recommender = self._recommender.moved_to(id_table_of(published))
            self._table = published
        self._later = published[SemanticIds.ITEM_ID][len(self._table) :]
        item_ids = self._table[SemanticIds.ITEM_ID].to_list()
        self._rows = {name: row for row, name in enumerate(item_ids)}

    def known(self, items: Sequence[str]) -> list[str]:
        """Those of `items` that it can read, in their order."""
        return [item for item in items if item in self._rows]

    def next(self, history: Sequence[str], k: int) -> Answer:
        """The `k` items after `history` (item ids, oldest first), without those of the history.

        Who asks knows them. Items of a refresh are among them where the recommender reads codes;
        one that knows items alone answers over those it was trained on. `BadInput` for an item
        that the release does not have.
        """
        unknown = [item for item in history if item not in self._rows]
        if unknown and unknown[0] in self._later:
            raise BadInput(
                f"{unknown[0]!r} got its id by a refresh, and {self._recommender.name} knows only "
                f"items that it was trained on; `sidmint run` and `sidmint publish` train a new one"
            )
        if unknown:
            close = did_you_mean(unknown[0], self._rows, most=3)
            raise BadInput(f"{self._version} has no item {unknown[0]!r}{close}")
        asked = Sequences.of([[self._rows[item] for item in history]])
        most = min(k, self._table.height)
        found = self._recommender.recommend(asked, most, exclude_history=True)
        items = tuple(
            RecommendedItem(
                self._table[SemanticIds.ITEM_ID][row],
                self._table[SemanticIds.SEMANTIC_ID][row],
                score,
            )
            for row, score in zip(found.items[0].tolist(), found.scores[0].tolist(), strict=True)
            if row >= 0
        )
        return Answer(self._version, self._recommender.name, items)

    def item_vectors(self) -> pl.DataFrame:
        """`item_id` and `vector`, a list of floats: what the recommender knows of each item.

        `BadInput` where it has no vector an item.
        """
        vectors = self._recommender.item_vectors()
        if vectors is None:
            raise BadInput(
                f"{self._recommender.name} of {self._version} reads ids and has no vector an item; "
                "publish with recommend.recommender: sasrec, or bring vectors from elsewhere"
            )
        lists = pl.Series("vector", vectors.tolist(), dtype=pl.List(pl.Float32))
        return self._table.select(SemanticIds.ITEM_ID).with_columns(lists)
