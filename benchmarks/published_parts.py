"""A table in parts from the gate to its readers: seconds and peak memory of each act.

    python benchmarks/published_parts.py [--items 2000000] [--parts 8] [--workers 1] [--scratch DIR]

Each act runs in a process of its own, on a workspace that is made by hand: ids of 3 levels of
1,024 codes and a suffix; of the second version 1 % of the items are gone, 1 % new and 5 % moved.
The index of neighbours, which publishing copies and never opens, is an empty one.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import yaml

from sidmint.artifacts import Artifacts
from sidmint.execution.making import open_engine
from sidmint.execution.splitting import split
from sidmint.gate.verdict import result_of
from sidmint.json_text import dump_json
from sidmint.layout import Layout
from sidmint.neighbours import build_index
from sidmint.params import load_params
from sidmint.publishing.difference import compare
from sidmint.publishing.exporting import Options, export
from sidmint.publishing.lookup import items_of, lookup
from sidmint.publishing.opening import open_registry
from sidmint.publishing.release import publish
from sidmint.publishing.verify import verify
from sidmint.stages.gate import gate

SIZE, LEVELS = 1024, 3
SPACES = ("original", "reconstructed", "prefix")
TOKENIZER = "one"


def main() -> None:
    """Print a line an act."""
    asked = _arguments()
    with TemporaryDirectory(dir=asked.scratch) as scratch:
        root = Path(scratch, "w")
        for version in (1, 2):
            _alone(make, root, asked.items, asked.parts, asked.workers, version)
            _tell(f"gate, v{version}", _alone(judge, root))
            _tell(f"publish, v{version}", _alone(publish_it, root))
        item = f"item-{asked.items // 2:012d}"
        _tell("verify, both", _alone(verify_all, root))
        _tell("look up an item", _alone(look_up, root, item))
        _tell("items of a prefix", _alone(below, root, "7-1"))
        _tell("difference", _alone(differ, root))
        _tell("export to CSV", _alone(export_csv, root))


def make(root: Path, num_items: int, num_parts: int, workers: int, version: int) -> None:
    """What the stages leave behind, `version` of the catalogue."""
    artifacts, shard_rows = Artifacts(Layout(root)), -(-num_items // num_parts)
    root.mkdir(exist_ok=True)
    params = {
        "train": {"tokenizers": [TOKENIZER]},
        "gate": {"select_by": "n_eff", "rules": {"n_eff": {"min": 1}}, "champion": {}},
        "registry": {"path": "registry", "model_name": "m"},
        "execution": {"workers": workers},
    }
    artifacts.layout.params.write_text(yaml.safe_dump(params))
    (root / "dvc.yaml").write_text("stages: {}\n")
    if version == 1:
        artifacts.layout.champion.parent.mkdir()
        nobody = {"version": None, "tokenizer": None, "metrics": {}}
        artifacts.layout.champion.write_text(dump_json(nobody))
    with artifacts.writing("ingest") as out:
        split(
            _items(num_items, shard_rows, version), out.folder / "items", "item_id", "x", shard_rows
        )
        out.json("profile", {"digest": f"catalogue {version}"})
    with artifacts.writing("embed") as out:
        out.array("embeddings", np.zeros((1, 1), dtype=np.float16))
        out.index("neighbours", build_index(np.ones((1, 1), dtype=np.float32)))
        num_rows = sum(len(each) for each in _items(num_items, shard_rows, version))
        origin = {"encoder": "precomputed", "model": "v.npy", "template": None, "second": None}
        out.json("embed", {**origin, "num_items": num_rows, "dim": 1, "unit_norm": False})
    with artifacts.writing("train", TOKENIZER) as out:
        out.text("tokenizer.safetensors", "weights")
        out.json("tokenizer", {"name": TOKENIZER, "config": {"sizes": [SIZE] * LEVELS}})
    with artifacts.writing("assign", TOKENIZER) as out:
        split(_ids(num_items, shard_rows, version), out.folder / "sids", "item_id", "x", shard_rows)
        out.metrics({"num_items": num_rows})
    for stage, metrics in (("diagnose", {"n_eff": 2.0}), ("recommend", {}), ("segments", {})):
        with artifacts.writing(stage, TOKENIZER) as out:
            out.metrics(metrics)
    with artifacts.writing("evaluate", TOKENIZER) as out:
        spaces = [f"{space}_{side}" for space in SPACES for side in ("better", "tied")]
        row = {"user_id": ["u"], "query_row": [0], "target_row": [num_rows - 1]}
        out.table("cases", pl.DataFrame(row | {space: [0] for space in spaces}))
        out.metrics({})


def _items(num_items: int, shard_rows: int, version: int) -> Iterator[pl.DataFrame]:
    for start in range(0, num_items, shard_rows):
        rows = np.arange(start, min(start + shard_rows, num_items))
        kept = rows[rows % 100 != version]
        ids = pl.Series("item_id", [f"item-{row:012d}" for row in kept])
        yield pl.DataFrame([ids, ids.alias("title")])


def _ids(num_items: int, shard_rows: int, version: int) -> Iterator[pl.DataFrame]:
    """Codes of an item come from its number alone; every 20th has others in version 2."""
    for frame in _items(num_items, shard_rows, version):
        rows = frame["item_id"].str.slice(5).cast(pl.Int64).to_numpy()
        drawn = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        drawn += np.uint64(version == 2) * (rows % 20 == 0).astype(np.uint64) << np.uint64(60)
        parts = {
            f"code_{level + 1}": (drawn >> np.uint64(54 - 10 * level)).astype(np.int64) % SIZE
            for level in range(LEVELS)
        }
        parts["suffix"] = np.zeros(len(rows), dtype=np.int64)
        table = frame.select("item_id").with_columns(
            **{name: pl.Series(values.astype(np.int32)) for name, values in parts.items()}
        )
        yield table.with_columns(semantic_id=pl.concat_str(*parts, separator="-"))


def judge(root: Path) -> None:
    """The gate, whose rule holds."""

    def by_definition(rules: Sequence[Any], measured: Any, docs: Path | None, suite: str) -> Any:
        return [result_of(rule, measured, rule.holds(measured)) for rule in rules]

    params, artifacts = load_params(Layout(root).params), Artifacts(Layout(root))
    with open_engine(params.execution) as engine:
        gate(params, artifacts, TOKENIZER, by_definition, engine=engine)


def publish_it(root: Path) -> None:
    """As `sidmint publish`."""
    layout = Layout(root)
    params = load_params(layout.params)
    with open_engine(params.execution) as engine:
        publish(params, Artifacts(layout), layout, by="benchmark", engine=engine)


def verify_all(root: Path) -> None:
    """As `sidmint verify`."""
    params = load_params(Layout(root).params)
    with open_engine(params.execution) as engine:
        found = verify(open_registry(Layout(root), "registry"), engine=engine)
    if found.problems:
        raise SystemExit(f"not intact: {found.problems}")


def look_up(root: Path, item: str) -> None:
    """As `sidmint lookup`."""
    lookup(open_registry(Layout(root), "registry").release(), item)


def below(root: Path, prefix: str) -> None:
    """As `sidmint items`."""
    items_of(open_registry(Layout(root), "registry").release(), prefix)


def differ(root: Path) -> None:
    """As `sidmint diff`."""
    store = open_registry(Layout(root), "registry")
    compare(store.release("v0001"), store.release("v0002"))


def export_csv(root: Path) -> None:
    """As `sidmint export --format csv`."""
    store = open_registry(Layout(root), "registry")
    export(store, "v0002", "csv", root / "table.csv", Options(), force=True)


def _alone(act: Callable[..., None], *arguments: Any) -> dict[str, float]:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measured, act, arguments).result()


def _measured(act: Callable[..., None], arguments: tuple[Any, ...]) -> dict[str, float]:
    before, began = _peak_mib(), time.perf_counter()
    started = time.process_time()
    act(*arguments)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall_s": round(time.perf_counter() - began, 2),
        "cpu_s": round(time.process_time() - started + children.ru_utime + children.ru_stime, 2),
        "at_start_mib": round(before),
        "peak_mib": round(_peak_mib()),
    }


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _tell(act: str, row: dict[str, float]) -> None:
    print(json.dumps({"act": act, **row}), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=2_000_000)
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--scratch", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
