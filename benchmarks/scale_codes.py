"""Code counts, unique ids and Swing over shards: seconds and peak memory from 1 to 100 million.

    python benchmarks/scale_codes.py [--rows N ...] [--events N ...] [--memory-mib 256]

Every row is measured in a process of its own and appended to docs/results/scale.jsonl; a row that
is there already (same work, size and memory) is not measured again. At 100 million rows or events,
files under --scratch take up to 4 GB at a time, and are removed.

Codes are 4 levels of 1,024, made block by block from a seed: at each level floor(1024 u^5) added to
a multiple of the code before, so that levels are skewed and correlated and many codes are shared.
Events have a tenth as many users and a hundredth as many items; items follow a Zipf law of exponent
0.8, users have 3 + a geometric number of events.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import numpy as np
import numpy.typing as npt
from row_files import put_rows, read_lines

from sidmint.diagnostics import count_code_blocks
from sidmint.event_log import build_event_log
from sidmint.pairs import swing, swing_of_log
from sidmint.sharded_ids import resolve_shards_by_suffix
from sidmint.spill_files import spilling
from sidmint.types import Pairs

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "scale.jsonl"
SIZES = (1024,) * 4
SHARD_ROWS = 1_000_000
IN_MEMORY = "swing, log in memory"
MOST_IN_MEMORY = 10_000_000

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Files(Sequence[Any]):
    """Arrays in files, read when they are asked for."""

    paths: tuple[Path, ...]

    @classmethod
    def of(cls, folder: Path) -> Files:
        """All arrays of `folder`, in the order of their names."""
        return cls(tuple(sorted(folder.glob("*.npy"))))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: Any) -> Any:
        return np.load(self.paths[number])


def main() -> None:
    """Measure what is missing in docs/results/scale.jsonl."""
    asked = _arguments()
    if asked.one:
        print(json.dumps(_measured(*asked.one[:1], Path(asked.one[1]), asked.memory_mib)))
        return
    for size in asked.rows:
        _rows(asked, size, _write_codes, [each for each in WORKS if not each.startswith("swing")])
    for size in asked.events:
        works = [each for each in WORKS if each.startswith("swing")]
        if size > MOST_IN_MEMORY:
            works.remove(IN_MEMORY)
        _rows(asked, size, _write_events, works)


def _rows(
    asked: argparse.Namespace, size: int, write: Callable[[Path, int], None], works: list[str]
) -> None:
    there = set(map(_place, read_lines(RESULTS)))
    works = [work for work in works if (work, size, asked.memory_mib) not in there]
    if not works:
        return
    with TemporaryDirectory(prefix="sidmint-scale-", dir=asked.scratch) as folder:
        write(Path(folder), size)
        for work in works:
            command = [sys.executable, __file__, "--memory-mib", str(asked.memory_mib)]
            ran = subprocess.run(
                [*command, "--one", work, folder], check=True, capture_output=True, text=True
            )
            row = {"what": work, "n": size, **json.loads(ran.stdout)}
            put_rows(RESULTS, [row], _place)
            print(
                f"{work}, {size:,}: {row['wall_s']:.1f} s wall, {row['cpu_s']:.1f} s CPU, peak "
                f"{row['peak_mib']:.0f} MiB (before: {row['start_mib']:.0f})",
                flush=True,
            )


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["what"], row["n"], row["memory_mib"]


def _measured(work: str, folder: Path, memory_mib: int) -> dict[str, Any]:
    """What `work` costs in this process on the files in `folder`."""
    start_mib, wall, cpu = _resident("VmRSS"), time.perf_counter(), time.process_time()
    with _Anonymous() as anonymous:
        figures = WORKS[work](folder, memory_mib << 20)
    return {
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mib": round(_resident("VmHWM"), 1),
        "peak_without_mapped_files_mib": round(anonymous.peak_mib, 1),
        "start_mib": round(start_mib, 1),
        "memory_mib": memory_mib,
        "figures": figures,
    }


def _counts(folder: Path, memory: int) -> dict[str, float]:
    with spilling(folder) as spill:
        counted = count_code_blocks(Files.of(folder), SIZES, spill=spill, memory=memory)
    wanted = ("num_items", "num_distinct_codes", "collision_rate", "largest_bucket", "n_eff_share")
    figures = counted.metrics()
    return {name: figures[name] for name in wanted}


def _suffixes(folder: Path, memory: int) -> dict[str, float]:
    codes = Files.of(folder)
    first = highest = 0
    with spilling(folder) as spill:
        ids = resolve_shards_by_suffix(codes, SIZES, spill=spill, memory=memory)
        for number in range(len(codes)):
            suffixes = ids.shard(number).suffixes
            first += int((suffixes == 0).sum())
            highest = max(highest, int(suffixes.max()))
    return {"num_distinct_codes": first, "largest_bucket": highest + 1}


def _swing_in_files(folder: Path, memory: int) -> dict[str, Any]:
    sizes = json.loads((folder / "sizes.json").read_text())
    with spilling(folder) as spill:
        log = build_event_log(
            Files.of(folder), **sizes, most_users=1000, seed=0, spill=spill, memory=memory
        )
        built = time.process_time()
        figures = _pairs(swing_of_log(log))
        return {
            "num_events": len(log.items),
            "swing_cpu_s": round(time.process_time() - built, 2),
            **figures,
        }


def _swing_in_memory(folder: Path, memory: int) -> dict[str, Any]:
    sizes = json.loads((folder / "sizes.json").read_text())
    users, items = np.concatenate(list(Files.of(folder)), axis=1)
    return _pairs(iter([swing(users, items, num_items=sizes["num_items"])]))


def _pairs(parts: Iterator[Pairs]) -> dict[str, Any]:
    """How many pairs, and a digest of each of their columns."""
    digests, num_pairs = [hashlib.sha256() for _ in range(3)], 0
    for part in parts:
        num_pairs += len(part)
        for digest, column in zip(digests, (part.triggers, part.targets, part.scores), strict=True):
            digest.update(np.ascontiguousarray(column).data)
    return {"num_pairs": num_pairs, "sha256": [each.hexdigest()[:16] for each in digests]}


WORKS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "counts": _counts,
    "suffixes": _suffixes,
    IN_MEMORY: _swing_in_memory,
    "swing, log in files": _swing_in_files,
}


def _write_codes(folder: Path, num_rows: int) -> None:
    """Shards of codes (n, 4) uint16."""
    for number, start in enumerate(range(0, num_rows, SHARD_ROWS)):
        shares = np.random.default_rng([7, number]).random(
            (min(SHARD_ROWS, num_rows - start), 4), dtype=np.float32
        )
        squares = shares * shares
        steps = (1024 * squares * squares * shares).astype(np.uint16)
        codes = np.empty_like(steps)
        before = np.zeros(len(steps), dtype=np.uint16)
        for level, step in enumerate(steps.T):
            before = codes[:, level] = (step + 37 * before) % 1024
        np.save(folder / f"{number:05d}.npy", codes)


def _write_events(folder: Path, num_events: int) -> None:
    """Blocks of events (2, n) int32: users, items; and how many there are of both."""
    num_users, num_items = num_events // 10, num_events // 100
    weights = np.arange(1, num_items + 1) ** -0.8
    bounds = np.cumsum(weights / weights.sum())
    for number, first in enumerate(range(0, num_users, SHARD_ROWS // 10)):
        rng = np.random.default_rng([7, number])
        block = np.arange(first, min(first + SHARD_ROWS // 10, num_users), dtype=np.int32)
        users = np.repeat(block, 3 + rng.geometric(1 / 7, len(block)))
        items = np.minimum(np.searchsorted(bounds, rng.random(len(users))), num_items - 1)
        np.save(folder / f"{number:05d}.npy", np.stack([users, items.astype(np.int32)]))
    sizes = {"num_users": num_users, "num_items": num_items}
    (folder / "sizes.json").write_text(json.dumps(sizes))


class _Anonymous:
    """The most memory of this process that no file could give back, looked at every 50 ms."""

    def __init__(self) -> None:
        self.peak_mib, self._over, self._thread = 0.0, Event(), Thread(target=self._look)

    def __enter__(self) -> _Anonymous:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.peak_mib = max(self.peak_mib, _resident("RssAnon"))


def _resident(what: str) -> float:
    """MiB; `ru_maxrss` would count the process that this one came from."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [1_000_000, 10_000_000, 100_000_000]
    parser.add_argument("--rows", type=int, nargs="*", default=sizes)
    parser.add_argument(
        "--events", type=int, nargs="*", default=[*sizes[:1], 3_000_000, *sizes[1:]]
    )
    parser.add_argument("--memory-mib", type=int, default=256)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"))  # noqa: S108
    parser.add_argument("--one", nargs=2, metavar=("WORK", "FOLDER"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
