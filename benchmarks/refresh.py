"""How long a refresh takes: 10 % more items on a real catalogue, and a million ready-made vectors.

    python benchmarks/refresh.py --data ../shared/data/beauty
    python benchmarks/refresh.py --million

Each case trains `rq_kmeans` at 3 x 256 on the items before, publishes them in a folder of its own
and runs `sidmint refresh` in a process of its own: seconds are those a user waits.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from sidmint.contracts import SemanticIds
from sidmint.diagnostics import reconstruction
from sidmint.embedding import stored
from sidmint.json_text import dump_json
from sidmint.neighbours import build_index, save_index
from sidmint.publishing.describing import describe_table
from sidmint.publishing.files import NEIGHBOURS
from sidmint.publishing.store import VersionStore
from sidmint.semantic_ids import resolve_by_suffix
from sidmint.tokenizers import make_tokenizer, storage
from sidmint.types import Codes, Floats

SIZES = (256, 256, 256)


def publish_items(root: Path, item_ids: list[str], vectors: Floats) -> None:
    """A workspace at `root` whose champion is `rq_kmeans` over these items."""
    rows = stored(vectors, item_ids).astype(np.float32)
    tokenizer = make_tokenizer("rq_kmeans", {"sizes": list(SIZES)})
    tokenizer.fit(rows, seed=7, device="cpu")
    codes = Codes(tokenizer.encode(rows), SIZES)
    ids = resolve_by_suffix(codes, item_ids)
    columns = {SemanticIds.code(level + 1): codes.values[:, level] for level in range(len(SIZES))}
    table = pl.DataFrame({"item_id": item_ids, **columns, "suffix": ids.suffixes})
    table = table.with_columns(pl.Series("semantic_id", ids.strings()))
    params = {"registry": {"path": "registry", "model_name": "m"}}
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / "data").mkdir()
    mse = reconstruction(rows, tokenizer.reconstruct(codes.values)).mse

    def assemble(folder: Path) -> Mapping[str, Any]:
        (folder / "tokenizer").mkdir()
        storage.save(tokenizer, folder / "tokenizer", "all", len(rows))
        table.write_parquet(folder / "sids.parquet")
        save_index(build_index(rows, kind="flat"), folder / NEIGHBOURS)
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        (folder / "metrics.json").write_text(dump_json({"reconstruction_mse": mse}))
        (folder / "verdict.json").write_text(dump_json({"passed": True}))
        encoder = {"name": "precomputed", "model": "v.npy", "template": None, "unit_norm": True}
        return {
            **describe_table(folder / "sids.parquet", {"sizes": list(SIZES)}),
            "neighbours": {
                "file": NEIGHBOURS,
                "metric": "cosine",
                "dimensions": rows.shape[1],
                "num_items": len(rows),
                "encoder": {**encoder, "second": None},
            },
            "tokenizer": "rq_kmeans",
            "created_at": "2026-01-01T00:00:00+00:00",
            "created_by": "benchmark",
            "override": None,
            "overruled": [],
        }

    facts = {"action": "publish", "tokenizer": "rq_kmeans", "by": "benchmark", "reason": None}
    VersionStore(root / "registry").publish(assemble, None, facts)


def refresh(root: Path, item_ids: list[str], vectors: Floats) -> dict[str, Any]:
    """What `sidmint refresh --json` said of these items, with the seconds it took."""
    pl.DataFrame({"item_id": item_ids}).write_parquet(root / "new.parquet")
    np.save(root / "new.npy", vectors)
    command = [sys.executable, "-m", "sidmint", "--workspace", str(root)]
    # MLflow makes its database once, when a workspace is published from for the first time.
    subprocess.run([*command, "reconcile"], check=True, capture_output=True)
    command += ["refresh", str(root / "new.parquet"), "--vectors", str(root / "new.npy"), "--json"]
    begin, cpu = time.perf_counter(), _cpu_seconds_of_children()
    ended = subprocess.run(command, capture_output=True, text=True)
    seconds, cpu = time.perf_counter() - begin, _cpu_seconds_of_children() - cpu
    if not ended.stdout:
        raise SystemExit(ended.stderr)
    took = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "exit": ended.returncode}
    return took | json.loads(ended.stdout)


def _cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def real(data: Path, share: float, seed: int) -> dict[str, Any]:
    """A random `share` of a real catalogue comes later than the rest."""
    item_ids = pl.read_parquet(data / "items.parquet")["item_id"].to_list()
    vectors = np.load(data / "minilm_l6_v2.npy").astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    is_new = np.random.default_rng(seed).random(len(item_ids)) < share
    order = np.argsort(item_ids)
    old, new = (order[is_new[order] == later] for later in (False, True))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        publish_items(root, [item_ids[row] for row in old], vectors[old])
        return refresh(root, [item_ids[row] for row in new], vectors[new])


def synthetic(num_old: int, num_new: int, width: int, seed: int) -> dict[str, Any]:
    """Vectors around 500,000 centres, the new ones like the old."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(500_000, width)).astype(np.float32)
    vectors = centres[rng.integers(len(centres), size=num_old + num_new)]
    vectors += 0.5 * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"i{row:08d}" for row in range(len(vectors))]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        publish_items(root, names[:num_old], vectors[:num_old])
        return refresh(root, names[num_old:], vectors[num_old:])


def main() -> None:
    """Print one JSON object a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, help="folder of items.parquet and minilm_l6_v2.npy")
    parser.add_argument("--share", type=float, default=0.1, help="of the items that come later")
    parser.add_argument("--million", action="store_true", help="a million beside 200,000")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    if given.data:
        found = real(given.data, given.share, given.seed)
        print(json.dumps(found, indent=2, sort_keys=True))
    if given.million:
        found = synthetic(200_000, 1_000_000, 256, given.seed)
        print(json.dumps(found, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
