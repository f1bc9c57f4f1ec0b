"""What an engine costs a shard: `python benchmarks/engines.py`.

Start, tasks that do nothing, and parts that are read and written with next to no work between.
`ray data` is what Ray Data takes for the tasks that do nothing (decisions/0029).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from engine_tasks import DIMENSIONS, Nothing, its_number, itself, negative

from sidmint.execution.engine import Engine
from sidmint.execution.making import open_engine
from sidmint.execution.rowwise import map_shards
from sidmint.execution.settings import ExecutionParams
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import split


def source(folder: Path, num_shards: int, shard_rows: int) -> Shards:
    """Vectors of no meaning, in parts."""
    num_items = num_shards * shard_rows
    vectors = np.random.default_rng(0).random((num_items, DIMENSIONS), dtype=np.float32)
    frame = pl.DataFrame(
        {
            "item_id": [f"{number:09d}" for number in range(num_items)],
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, DIMENSIONS)),
        }
    )
    return split(frame, folder, "item_id", "benchmark", shard_rows)


def seconds(work: Callable[[], object]) -> float:
    """Of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def started(engine: str, workers: int) -> Iterator[tuple[Engine, float]]:
    """The engine with all workers there, and how long that took."""
    with open_engine(ExecutionParams(engine=engine, workers=workers)) as opened:
        tasks = [Nothing(number) for number in range(4 * workers)]
        yield opened, seconds(lambda: list(opened.map(its_number, tasks, "start")))


def ray_data_ms(num_tasks: int) -> float:
    """The same tasks by Ray Data, on the Ray that is running: milliseconds each."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True

    def run() -> None:
        rows = ray.data.from_items(list(range(num_tasks)), override_num_blocks=num_tasks)
        for _ in rows.map(itself).iter_rows():
            pass

    run()
    return 1e3 * seconds(run) / num_tasks


def main() -> None:
    """Print a row an engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--rows", type=int, default=25_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    tasks = [Nothing(number) for number in range(arguments.tasks)]
    with tempfile.TemporaryDirectory() as name:
        parts = source(Path(name) / "in", arguments.shards, arguments.rows)
        print("| engine | start s | task without work ms | part read and written ms |")
        print("|---|---|---|---|")
        for kind, workers in (
            ("local", 1),
            ("local", arguments.workers),
            ("ray", arguments.workers),
        ):
            with started(kind, workers) as (engine, start):
                nothing = seconds(lambda e=engine: list(e.map(its_number, tasks, "nothing")))
                for time_of in ("import", "work"):  # the first time workers load what they need
                    out = Path(name) / f"{kind} {workers} {time_of}"
                    written = seconds(
                        lambda e=engine, o=out: map_shards(
                            e, negative, parts, o, "parts", "x", 2000
                        )
                    )
                each = f"{1e3 * nothing / len(tasks):.2f} | {1e3 * written / arguments.shards:.0f}"
                print(f"| {kind}, {workers} workers | {start:.1f} | {each} |", flush=True)
                if kind == "ray":
                    print(f"| ray data | | {ray_data_ms(arguments.tasks):.2f} | |", flush=True)


if __name__ == "__main__":
    main()
