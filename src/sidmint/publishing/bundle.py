"""One release as a folder: the table, what made it, what was measured of it, and the verdict."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sidmint import __version__
from sidmint.artifacts import Artifacts, dump_json
from sidmint.contracts import SemanticIds, require_columns
from sidmint.errors import BadInput
from sidmint.publishing.files import copy_regular, digest

FORMAT = 1
"""Version of the manifest's own form."""

MEASURING_STAGES = ("assign", "diagnose", "evaluate", "recommend", "segments")
"""Whose metrics.json make up the metrics of a release."""

TOKENIZER_FILES = ("tokenizer.safetensors", "tokenizer.json")

RECOMMENDER_FILES = ("recommender.safetensors", "recommender.json")
"""In the folder `recommender` of a release; not there where `recommend` is null."""


def collect_metrics(artifacts: Artifacts, tokenizer: str) -> dict[str, float]:
    """Every metric that the stages measured of `tokenizer`'s table, by name.

    `BadInput` if a stage has not run, if two stages disagree about one name, or if a value
    is not a finite number.
    """
    metrics: dict[str, float] = {}
    for stage in MEASURING_STAGES:
        for name, value in artifacts.metrics(stage, tokenizer).items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise BadInput(f"{stage} of {tokenizer}: {name} is {value!r}, not a finite number")
            if metrics.setdefault(name, value) != value:
                raise BadInput(
                    f"{stage} of {tokenizer} says {name} = {value}, a stage before it said "
                    f"{metrics[name]}; `sidmint run` brings both up to date"
                )
    return metrics


def fill(folder: Path, artifacts: Artifacts, tokenizer: str) -> dict[str, Any]:
    """Write the files of a release into the empty `folder`; returns what describes them.

    Without dvc.lock (stages run by hand) or report.html the release is made without that
    file; everything else must be there.
    """
    layout = artifacts.layout
    copy_regular(artifacts.folder("assign", tokenizer) / "sids.parquet", folder / "sids.parquet")
    # How each held-out case was answered: later runs compare with it, case by case.
    copy_regular(
        artifacts.folder("evaluate", tokenizer) / "cases.parquet", folder / "cases.parquet"
    )
    (folder / "tokenizer").mkdir()
    for name in TOKENIZER_FILES:
        copy_regular(artifacts.folder("train", tokenizer) / name, folder / "tokenizer" / name)
    used = artifacts.folder("recommend", tokenizer)
    if all((used / name).is_file() for name in RECOMMENDER_FILES):
        (folder / "recommender").mkdir()
        for name in RECOMMENDER_FILES:
            copy_regular(used / name, folder / "recommender" / name)
    copy_regular(artifacts.folder("gate", tokenizer) / "verdict.json", folder / "verdict.json")
    copy_regular(layout.params, folder / "params.yaml")
    (folder / "metrics.json").write_text(dump_json(collect_metrics(artifacts, tokenizer)), "utf-8")
    for source in (layout.root / "dvc.lock", layout.stage("report") / "report.html"):
        if source.exists():
            copy_regular(source, folder / source.name)
    lock = folder / "dvc.lock"
    return {
        "format": FORMAT,
        "sidmint_version": __version__,
        "tokenizer": tokenizer,
        **describe_table(folder / "sids.parquet", artifacts.json("train", "tokenizer", tokenizer)),
        "catalogue_digest": _catalogue_digest(artifacts),
        "dvc_lock_sha256": digest(lock) if lock.exists() else None,
        **_git_state(layout.root),
    }


def describe_table(table: Path, tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of sids.parquet needs to know and its columns do not say.

    `columns` are the parts of a Semantic ID in their order, `sizes[l]` how many codes level
    l + 1 may take, and `suffix_size` how many values the last part has (0: no such part).
    """
    frame = pl.read_parquet(table)
    where = f"the table of {table.parent.name}"
    require_columns(
        frame, [SemanticIds.ITEM_ID, SemanticIds.SUFFIX, SemanticIds.SEMANTIC_ID], where
    )
    levels = sum(column.startswith("code_") for column in frame.columns)
    columns = [SemanticIds.code(level) for level in range(1, levels + 1)]
    require_columns(frame, columns, where)
    sizes = list(tokenizer.get("sizes") or tokenizer.get("config", {}).get("sizes") or ())
    if not levels or len(sizes) != levels:
        raise BadInput(f"sids.parquet has {levels} levels, but tokenizer.json names sizes {sizes}")
    suffixed = _is_suffixed(frame, levels)
    return {
        "num_items": frame.height,
        "semantic_ids": {
            "levels": levels,
            "sizes": sizes,
            "suffix_size": int(frame[SemanticIds.SUFFIX].max() or 0) + 1 if suffixed else 0,  # type: ignore[arg-type]
            "columns": [*columns, SemanticIds.SUFFIX] if suffixed else columns,
            "separator": "-",
        },
    }


def _is_suffixed(frame: pl.DataFrame, levels: int) -> bool:
    parts = frame[SemanticIds.SEMANTIC_ID].drop_nulls().str.count_matches("-", literal=True) + 1
    counts = set(parts.unique().to_list())
    if not counts <= {levels} and not counts <= {levels + 1}:
        raise BadInput(
            f"semantic_id wants {levels} parts, or {levels + 1} with a suffix, the same in every "
            f"row; the table has {sorted(counts)}"
        )
    return counts == {levels + 1}


def _catalogue_digest(artifacts: Artifacts) -> str:
    profile = artifacts.folder("ingest") / "profile.json"
    if profile.exists():
        found = artifacts.json("ingest", "profile").get("digest")
        if found:
            return str(found)
    return digest(artifacts.folder("ingest") / "items.parquet")


def _git_state(root: Path) -> dict[str, Any]:
    """The commit that `root` is at, and whether tracked files differ from it; null without git."""
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {"git_commit": commit, "git_changed": None if changes is None else bool(changes)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        ended = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, no repository, no commit yet: a release does not need one
    return ended.stdout.strip()
