"""A workspace in which every measuring stage has spoken well of one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from embed_world import write_embedding
from sidmint.artifacts import Artifacts
from sidmint.gate.rules import Rule
from sidmint.gate.verdict import RuleResult, Verdict, result_of
from sidmint.layout import Layout
from workspaces import NO_CHAMPION

HEALTHY: dict[str, dict[str, float]] = {
    "assign": {
        "num_items": 3000, "num_null_ids": 0, "collision_rate": 0.1, "resolved_collision_rate": 0,
    },
    "diagnose": {
        "conflict_rate": 0.1, "n_eff_share": 0.9, "relative_mse": 0.4,
        "perplexity_share_1": 0.8, "perplexity_share_2": 0.5,
        "dead_code_share_1": 0.0, "dead_code_share_2": 0.0,
        "information_share_1": 0.9, "information_share_2": 0.8,
    },
    "evaluate": {"retention_at_100": 0.8},
    "recommend": {},
    "segments": {"cold_coverage": 1.0},
}  # fmt: skip


def by_definition(
    rules: Sequence[Rule], measurements: Mapping[str, float | None], docs: Path | None, suite: str
) -> list[RuleResult]:
    """A judge without Great Expectations."""
    return [result_of(rule, measurements, rule.holds(measurements)) for rule in rules]


def workspace(root: Path, champion: dict[str, Any] = NO_CHAMPION, **changed: float) -> Artifacts:
    artifacts = Artifacts(Layout(root))
    with artifacts.writing("ingest") as out:
        out.table("items", pl.DataFrame({"item_id": ["a", "b"]}))
    write_embedding(artifacts, np.eye(2))
    with artifacts.writing("train", "t") as out:
        out.text("tokenizer.safetensors", "weights")
        out.json("tokenizer", {"name": "t"})
    codes = {"item_id": ["a", "b"], "code_1": [0, 1], "code_2": [1, 0]}
    for stage, metrics in HEALTHY.items():
        with artifacts.writing(stage, "t") as out:
            out.metrics(metrics | {k: v for k, v in changed.items() if k in metrics})
            if stage == "assign":
                out.table("sids", pl.DataFrame(codes))
            if stage == "evaluate":
                out.table("cases", pl.DataFrame({"user_id": ["u"], "query_row": [0]}))
    artifacts.layout.champion.write_text(json.dumps(champion), encoding="utf-8")
    return artifacts


def verdict(artifacts: Artifacts) -> Verdict:
    return Verdict.from_dict(artifacts.json("gate", "verdict", "t"), "verdict.json")
