"""One release as a folder: the table, what made it, what was measured of it, and the verdict."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from sidmint import __version__
from sidmint.artifacts import Artifacts
from sidmint.contracts import Items, SemanticIds, require_columns
from sidmint.disk import digest
from sidmint.errors import BadInput, Refused
from sidmint.json_text import dump_json
from sidmint.layout import Layout
from sidmint.publishing.files import NEIGHBOURS, copy_regular
from sidmint.publishing.judged import JUDGED, changes, fingerprints
from sidmint.publishing.judging import measured

FORMAT = 1
"""Version of the manifest's own form."""


def collect_metrics(artifacts: Artifacts, tokenizer: str) -> dict[str, float]:
    """Every metric that the stages measured of `tokenizer`'s table, by name.

    `BadInput` if a stage has not run, if two stages disagree about one name, or if a value
    is not a finite number.
    """
    metrics: dict[str, float] = {}
    for name, value in measured(artifacts, tokenizer).items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise BadInput(f"{name} of {tokenizer} is {value!r}, not a finite number")
        metrics[name] = value
    return metrics


@dataclass(frozen=True)
class Contents:
    """What a release of one table is made of, as it was when it was checked."""

    tokenizer: str
    fingerprints: Mapping[str, str]
    """Of `judged.JUDGED`."""
    beside: Mapping[str, str]
    """SHA-256 of the files that a release holds beside what was judged, by their path in it."""


def contents(artifacts: Artifacts, tokenizer: str) -> Contents:
    """What would be published of `tokenizer` now. `BadInput` where something is missing."""
    beside = {name: digest(path) for name, path in _beside(artifacts, tokenizer).items()}
    return Contents(tokenizer, fingerprints(artifacts, tokenizer), beside)


def _beside(artifacts: Artifacts, tokenizer: str) -> dict[str, Path]:
    """Without dvc.lock (stages run by hand) or report.html a release is made without that file."""
    layout = artifacts.layout
    files = {
        "verdict.json": artifacts.folder("gate", tokenizer) / "verdict.json",
        "params.yaml": layout.params,
    }
    optional = (layout.root / "dvc.lock", layout.stage("report") / "report.html")
    return files | {path.name: path for path in optional if path.exists()}


def fill(folder: Path, artifacts: Artifacts, of: Contents) -> dict[str, Any]:
    """Write the files of a release into the empty `folder`; returns what describes them.

    Each file is hashed where it lies in `folder`: `Refused` if it, or anything that was judged,
    is no longer what it was when `of` was taken.
    """
    tokenizer = of.tokenizer
    for each in JUDGED:
        name = f"{each.stage}/{each.file}"
        if each.released_as is None or name not in of.fingerprints:
            continue
        source = artifacts.folder(each.stage, None if each.shared else tokenizer) / each.file
        _copy(source, folder / each.released_as, of.fingerprints[name], tokenizer)
    sources = _beside(artifacts, tokenizer)
    for name, wanted in of.beside.items():
        _copy(sources.get(name, artifacts.layout.root / name), folder / name, wanted, tokenizer)
    (folder / "metrics.json").write_text(dump_json(collect_metrics(artifacts, tokenizer)), "utf-8")
    described = {
        "format": FORMAT,
        "sidmint_version": __version__,
        "tokenizer": tokenizer,
        **describe_table(folder / "sids.parquet", artifacts.json("train", "tokenizer", tokenizer)),
        "neighbours": _neighbours(folder / "sids.parquet", artifacts),
        "catalogue_digest": _catalogue_digest(artifacts),
        "dvc_lock_sha256": of.beside.get("dvc.lock"),
        "raw": raw_outputs(artifacts.layout),
        **_git_state(artifacts.layout.root),
    }
    moved = changes(of.fingerprints, fingerprints(artifacts, tokenizer))
    if moved:
        raise _changed(moved[0].removeprefix("stale verdict: "), tokenizer)
    return described


def _copy(source: Path, target: Path, wanted: str, tokenizer: str) -> None:
    target.parent.mkdir(exist_ok=True)
    copy_regular(source, target)
    if digest(target) != wanted:
        raise _changed(f"{source.name} has other bytes", tokenizer)


def _changed(what: str, tokenizer: str) -> Refused:
    return Refused(
        f"{tokenizer} changed while it was being published: {what}; wait for the run that writes "
        "it to end"
    )


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


def describe_neighbours(embedding: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of the index needs: `embedding` is what embed.json says of its vectors.

    Row n is row n of sids.parquet. Vectors have unit norm, so that inner products with a query
    of unit norm are cosines. `encoder` makes the vector of a new item: `model` reads the text
    that `template` makes of its columns; of vectors that were joined, `sources` says it of each,
    and sources.safetensors holds what was fitted.
    """
    keys = ["model", "template", "unit_norm", "second"]
    keys += ["sources"] if "sources" in embedding else []
    return {
        "file": NEIGHBOURS,
        "metric": "cosine",
        "dimensions": embedding["dim"],
        "num_items": embedding["num_items"],
        "encoder": {"name": embedding["encoder"], **{key: embedding[key] for key in keys}},
    }


def _neighbours(table: Path, artifacts: Artifacts) -> dict[str, Any]:
    described = describe_neighbours(artifacts.json("embed", "embed"))
    listed = pl.read_parquet(table, columns=[SemanticIds.ITEM_ID])[SemanticIds.ITEM_ID]
    indexed = artifacts.items()[Items.ITEM_ID]
    if not listed.equals(indexed) or described["num_items"] != len(indexed):
        raise BadInput(
            "sids.parquet, the catalogue and the index of neighbours list other items than each "
            "other; `sidmint run` brings every stage up to date"
        )
    return described


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


def raw_outputs(layout: Layout) -> dict[str, dict[str, Any]]:
    """What the `.dvc` files below data/raw track: path from the root -> hash, size and so on.

    With the files of a commit, this is the data that a version was made of.
    """
    found = {}
    for file in sorted(layout.raw.rglob("*.dvc")):
        for output in yaml.safe_load(file.read_text(encoding="utf-8")).get("outs") or ():
            path = (file.parent / output["path"]).relative_to(layout.root).as_posix()
            found[path] = {key: value for key, value in output.items() if key != "path"}
    return found


def _git_state(root: Path) -> dict[str, Any]:
    """The commit that `root` is at, and which tracked files differ from it; null without git."""
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    changes = _git(root, "diff", "--name-only", "--relative", "HEAD") if commit else None
    changed = None if changes is None else sorted(changes.splitlines())
    return {
        "git_commit": commit,
        "git_changed": None if changed is None else bool(changed),
        "git_changed_files": changed,
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        ended = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, no repository, no commit yet: a release does not need one
    return ended.stdout.strip()
