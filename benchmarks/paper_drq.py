"""DRQ's Tables 1-5, the paper's figures beside ours: docs/PAPER_DRQ.md, and the terminal.

    python benchmarks/paper_drq.py --data FOLDER [--catalogues beauty,toys,industrial]
        [--items 500000] [--sizes 4096,4096,4096] [--seeds 7] [--cases 10000] [--only drq_vae]
        [--threads 2] [--out docs] [--page-only]

FOLDER holds the public catalogues, as for `quality.py`; the industrial one is made
(`drq_world`). Each finished tokenizer is one line of OUT/results/paper_drq.jsonl that says all it
depends on; one that is there already is not made again, so a run that was cut off goes on. The
page is written anew after every tokenizer, from the lines alone. For a try:

    python benchmarks/paper_drq.py --catalogues industrial --items 20000 --sizes 256,256,256
        --cases 2000 --out build/try
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from drq_data import SEED, VECTORS, Data, industrial, public
from drq_measures import MEASURES_VERSION, figures
from drq_page import INDUSTRIAL, page
from drq_runs import settings
from drq_tables import NAMES
from drq_world import WORLD_VERSION
from fit_version import FIT_VERSION as RESULT_VERSION

from sidmint.progress import on_terminal
from sidmint.seeds import seed_for
from sidmint.tokenizers import make_tokenizer

DOCS = Path(__file__).resolve().parents[1] / "docs"
PUBLIC_SIZES = (256, 256, 256)


@dataclass(frozen=True)
class Run:
    """One tokenizer on one catalogue with one seed, and all that its figures depend on."""

    catalogue: str
    vectors: str
    """What tells the catalogue's vectors from any others."""
    num_items: int | None
    num_cases: int | None
    """Of the industrial world; a public catalogue has all its own."""
    name: str
    seed: int
    settings: Mapping[str, Any]
    """The whole config of the tokenizer, defaults included."""
    measures_version: int = MEASURES_VERSION
    result_version: int = RESULT_VERSION

    @property
    def key(self) -> str:
        """A digest of everything above: equal keys, equal figures."""
        text = json.dumps(asdict(self), sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    rows_path = arguments.out / "results" / "paper_drq.jsonl"
    rows = _read(rows_path)
    for catalogue in _catalogues(arguments):
        wanted = [run for run in _runs(catalogue, arguments) if run.key not in rows]
        _say(f"{catalogue}: {len(wanted)} tokenizers to fit")
        data = None
        for number, run in enumerate(wanted, start=1):
            _say(f"[{number}/{len(wanted)}] {catalogue} {run.name} seed {run.seed} ...")
            data = data or _load(catalogue, arguments)
            row = _measure(run, data)
            rows = {key: old for key, old in rows.items() if _place(old) != _place(row)}
            rows[row["key"]] = row
            _write(rows, rows_path)
            _write_page(rows, arguments.out)
            _say(f"    fitted in {row['cpu_s']:.0f} CPU s, measured in {row['measuring_s']:.0f} s")
    print(_write_page(rows, arguments.out))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--catalogues", default=f"beauty,toys,{INDUSTRIAL}")
    parser.add_argument("--items", type=int, default=500_000, help="of the industrial world")
    parser.add_argument("--sizes", default="4096,4096,4096", help="for the industrial world")
    parser.add_argument("--cases", type=int, default=10_000, help="most of its test cases")
    parser.add_argument("--seeds", default="7")
    parser.add_argument("--only", help="names of runs, comma-separated; all by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=DOCS, help="for the page and its rows")
    parser.add_argument("--page-only", action="store_true", help="write the page from the rows")
    return parser.parse_args()


def _catalogues(arguments: argparse.Namespace) -> Iterator[str]:
    """Those to run, without the public ones that are not there."""
    for catalogue in [] if arguments.page_only else arguments.catalogues.split(","):
        path = arguments.data / catalogue / VECTORS
        if catalogue == INDUSTRIAL or path.is_file():
            yield catalogue
        else:
            _say(f"{catalogue}: left out, {path} is not there; name its folder by --data")


def _runs(catalogue: str, arguments: argparse.Namespace) -> Iterator[Run]:
    """Seed by seed, so that an early end leaves whole seeds."""
    names = arguments.only.split(",") if arguments.only else NAMES
    sizes: Sequence[int] = PUBLIC_SIZES
    num_items, num_cases = None, None
    if catalogue == INDUSTRIAL:
        sizes = [int(size) for size in arguments.sizes.split(",")]
        vectors = f"world {WORLD_VERSION}, seed {SEED}"
        num_items, num_cases = arguments.items, arguments.cases
    else:
        content = (arguments.data / catalogue / VECTORS).read_bytes()
        vectors = f"sha256 {hashlib.sha256(content).hexdigest()}"
    for seed in map(int, arguments.seeds.split(",")):
        for name in names:
            chosen = settings(name, sizes, num_items or 0)
            config = make_tokenizer(name, chosen).config.model_dump(mode="json")
            whole = {"type": chosen["type"], **config}
            yield Run(catalogue, vectors, num_items, num_cases, name, seed, whole)


def _load(catalogue: str, arguments: argparse.Namespace) -> Data:
    started = time.perf_counter()
    if catalogue == INDUSTRIAL:
        data = industrial(arguments.items, arguments.cases)
    else:
        data = public(arguments.data / catalogue)
    _say(
        f"    {len(data.vectors):,} items, {len(data.pairs):,} pairs, {len(data.cases):,} test "
        f"cases after {time.perf_counter() - started:.0f} s"
    )
    return data


def _measure(run: Run, data: Data) -> dict[str, Any]:
    tokenizer = make_tokenizer(run.name, run.settings)
    started = time.process_time()
    log = tokenizer.fit(
        data.vectors,
        data.pairs if tokenizer.uses_pairs else None,
        seed_for(run.seed, "train", run.name),
        "cpu",
        on_terminal,
    )
    cpu_s, measuring = time.process_time() - started, time.perf_counter()
    found = figures(tokenizer, data.vectors, data.cases, data.negatives, data.sample)
    return {
        "key": run.key,
        **asdict(run),
        "num_items": len(data.vectors),
        "cpu_s": round(cpu_s, 1),
        "measuring_s": round(time.perf_counter() - measuring, 1),
        "num_steps": log.num_steps,
        "collapsed": list(log.collapsed),
        "metrics": {name: float(f"{value:.6g}") for name, value in sorted(found.items())},
    }


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a row stands on the page: a new one takes the place of one made by older code."""
    sizes = tuple(row["settings"]["sizes"])
    return row["catalogue"], row["num_items"], sizes, row["name"], row["seed"]


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The finished runs by key; of two with one key the later."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["key"]: row for row in rows}


def _write(rows: Mapping[str, dict[str, Any]], path: Path) -> None:
    """All lines, sorted, so that equal sets of runs are equal bytes."""
    order = sorted(
        rows.values(),
        key=lambda row: (row["catalogue"], row["num_items"], row["name"], row["seed"], row["key"]),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, sort_keys=True) + "\n" for row in order)
    path.write_text(lines, encoding="utf-8")


def _write_page(rows: Mapping[str, dict[str, Any]], folder: Path) -> str:
    text = page(rows.values())
    (folder / "PAPER_DRQ.md").write_text(text, encoding="utf-8")
    return text


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
