"""How many ids a candidate changes, beside the champion that the workspace knows."""

from __future__ import annotations

import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds
from sidmint.publishing.difference import code_stability
from sidmint.publishing.snapshot import CHAMPION_TABLE, read_champion


def churn_figures(artifacts: Artifacts, tokenizer: str) -> dict[str, float]:
    """`churn` and `aligned_churn`, whole and by prefix, over the items that both tables have.

    Both are 1 where the champion's ids have another number of levels. Empty without a champion,
    where data/champion holds no table, and where the tables share no item.
    """
    path = artifacts.layout.champion_folder / CHAMPION_TABLE
    if not path.is_file() or read_champion(artifacts.layout) is None:
        return {}
    champion, own = pl.read_parquet(path), artifacts.table("assign", "sids", tokenizer)
    if own.join(champion, on=SemanticIds.ITEM_ID, how="semi").is_empty():
        return {}
    found = code_stability(champion, own)
    if found is None:
        return {"churn": 1.0, "aligned_churn": 1.0}
    figures = {"churn": found.churn[-1], "aligned_churn": found.aligned_churn[-1]}
    for length, (raw, aligned) in enumerate(
        zip(found.churn, found.aligned_churn, strict=True), start=1
    ):
        figures |= {f"churn_{length}": raw, f"aligned_churn_{length}": aligned}
    return figures
