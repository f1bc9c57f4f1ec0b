"""What the recommender in a release answers: from item ids to item ids."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput, did_you_mean
from sidmint.publishing.versions import Release
from sidmint.recommenders.id_table import id_table_of
from sidmint.recommenders.sequences import Sequences
from sidmint.recommenders.storage import DESCRIPTION, load


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


def recommend_next(release: Release, history: list[str], k: int) -> Answer:
    """The `k` items after `history` (item ids, oldest first), by the release's recommender.

    Items of the history are left out of the list: who asks knows them. `BadInput` for an item
    that the release does not have, and for a release without a recommender.
    """
    folder = release.folder / "recommender"
    if not (folder / DESCRIPTION).is_file():
        raise BadInput(
            f"{release.version} holds no recommender: it was published with `recommend: null`, "
            "without an interaction log, or by an older sidmint"
        )
    published = pl.read_parquet(release.file("sids.parquet"))
    table = id_table_of(published)
    recommender = load(folder, table)
    rows = {name: row for row, name in enumerate(published[SemanticIds.ITEM_ID].to_list())}
    unknown = [item for item in history if item not in rows]
    if unknown:
        close = did_you_mean(unknown[0], rows, most=3)
        raise BadInput(f"{release.version} has no item {unknown[0]!r}{close}")
    asked = Sequences.of([[rows[item] for item in history]])
    found = recommender.recommend(asked, min(k, len(table)), exclude_history=True)
    items = tuple(
        RecommendedItem(
            published[SemanticIds.ITEM_ID][row], published[SemanticIds.SEMANTIC_ID][row], score
        )
        for row, score in zip(found.items[0].tolist(), found.scores[0].tolist(), strict=True)
        if row >= 0
    )
    return Answer(release.version, recommender.name, items)
