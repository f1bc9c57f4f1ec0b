"""How many ids a candidate changes, beside the champion that the workspace knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds
from sidmint.execution.merging import side_by_side
from sidmint.execution.shards import Shards
from sidmint.publishing.snapshot import champion_table, read_champion
from sidmint.publishing.table_changes import code_stability

Table = pl.DataFrame | Shards
_ITEM = SemanticIds.ITEM_ID


def churn_figures(artifacts: Artifacts, tokenizer: str) -> dict[str, float]:
    """`churn` and `aligned_churn`, whole and by prefix, over the items that both tables have.

    Both are 1 where the champion's ids have another number of levels. Empty without a champion,
    where data/champion holds no table, and where the tables share no item.
    """
    champion = champion_table(artifacts.layout)
    if champion is None or read_champion(artifacts.layout) is None:
        return {}
    shards = artifacts.shards("assign", "sids", tokenizer)
    own = artifacts.table("assign", "sids", tokenizer) if shards is None else shards

    def pairs() -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        return side_by_side(_by_item(champion), _by_item(own), _ITEM)

    if all(new.join(old, on=_ITEM, how="semi").is_empty() for old, new in pairs()):
        return {}
    levels = _levels(champion)
    found = code_stability(pairs, levels) if levels == _levels(own) else None
    if found is None:
        return {"churn": 1.0, "aligned_churn": 1.0}
    figures = {"churn": found.churn[-1], "aligned_churn": found.aligned_churn[-1]}
    for length, (raw, aligned) in enumerate(
        zip(found.churn, found.aligned_churn, strict=True), start=1
    ):
        figures |= {f"churn_{length}": raw, f"aligned_churn_{length}": aligned}
    return figures


def _by_item(table: Table) -> Iterable[pl.DataFrame]:
    """All rows by rising item id; parts are sorted so already."""
    return [table.sort(_ITEM)] if isinstance(table, pl.DataFrame) else table.frames()


def _levels(table: Table) -> list[str]:
    if isinstance(table, pl.DataFrame):
        columns = table.columns
    else:
        columns = [name for name, _ in table.form.columns]
    return [name for name in columns if name.startswith("code_")]
