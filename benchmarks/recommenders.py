"""What ids are worth to a recommender: docs/RECOMMENDERS.md, row by row.

    python benchmarks/recommenders.py --data FOLDER [--catalogues beauty] [--seeds 7]
                                      [--only rq_vae,sasrec] [--ties file] [--processes 2]
                                      [--backbone causal] [--page-only]

FOLDER is that of benchmarks/quality.py. A row is one recommender on one table of ids: every
tokenizer under the same `causal` backbone, and the recommenders that use no id; tables named by
`--only` under another of `BACKBONES`, which take longer. Protocol
leave-one-out, history not masked, the checkpoint chosen on validation, hits counted by items.
A finished row is one line of docs/results/recommenders.jsonl that says all it depends on; what
is there is not made again, and the page is written anew after every row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from fit_version import FIT_VERSION as TOKENIZER_VERSION
from quality_runs import RUNS
from recommender_rows import COMMON_EPOCHS, RESULT_VERSION, TIGER_VERSION, used_by
from recommenders_page import write_page
from row_files import put_rows, read_lines

from sidmint.catalogue import build_catalogue
from sidmint.contracts import Interactions, Items
from sidmint.evaluation import recommendation as judged
from sidmint.pairs import swing
from sidmint.recommenders import RECOMMENDERS, IdTable, Sequences
from sidmint.recommenders.cases import TEST, TRAIN, VALIDATION, Split, split_sequences
from sidmint.recommenders.id_table import with_suffix
from sidmint.recommenders.storage import make_recommender
from sidmint.recommenders.tiger import QUASID_BACKBONE
from sidmint.seeds import seed_for
from sidmint.semantic_ids import resolve_by_suffix
from sidmint.types import Codes, Ints, Pairs

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROWS, PAGE = DOCS / "results" / "recommenders.jsonl", DOCS / "RECOMMENDERS.md"

BACKBONE = {
    "width": 64,
    "hidden": 128,
    "heads": 2,
    "batch_size": 128,
    "learning_rate": 2e-3,
    "epochs": COMMON_EPOCHS,
    "check_every": 4,
    "patience": 3,
    "validation_users": 5000,
}
"""`causal`, the same for every table, sized for six minutes of two cores."""

LONG = {**BACKBONE, "epochs": 48, "validation_users": 30_000}
"""The same, trained until it rises no more."""

BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "causal": ("causal", BACKBONE),
    "long": ("causal", LONG),
    "hybrid": ("hybrid", {"base": "causal", "settings": LONG, "one_in": 2}),
    "tiger": (
        "tiger",
        {
            **QUASID_BACKBONE.model_dump(exclude_unset=True),
            "learning_rate": 1e-3,  # three times A.2's, so that twelve epochs are enough
            "epochs": 12,
            "check_every": 3,
            "validation_users": 2000,
        },
    ),
    "parallel": (
        "parallel",
        {
            "batch_size": 128,
            "learning_rate": 3e-3,
            "epochs": 36,
            "check_every": 4,
            "validation_users": 5000,
        },
    ),
}
"""Who may use a table: the common backbone and it trained longer, that with every other place
given to `semantic_knn`, QuaSID A.2's, and RPG's for long ids."""

_SASREC = {"batch_size": 128, "epochs": 40, "check_every": 4, "patience": 3}
WITHOUT_IDS: dict[str, tuple[str, dict[str, Any]]] = {
    "popularity": ("popularity", {}),
    "last_item": ("last_item", {}),
    "semantic_knn": ("semantic_knn", {}),
    "sasrec": ("sasrec", _SASREC),
    "sasrec_hybrid": ("hybrid", {"base": "sasrec", "settings": _SASREC, "one_in": 2}),
}
"""Recommenders that read no code: what ids must be compared with."""

BASELINES = ("rq_vae", "improved_vqgan", "grvq", "rq_opq", "rq_vae_rotation", "sim_rq")
ABLATIONS = ("quasid_without_cvpm", "quasid_without_hamr")
TABLES = ("rq_kmeans", "quasid", *BASELINES, "random", "lsh", "category")
"""QuaSID's eight tokenizers and the three controls; other names of quality_runs by `--only`."""


@dataclass(frozen=True)
class Run:
    """One row, and everything that its figures depend on."""

    catalogue: str
    ties: str
    recommender: str
    recommender_settings: Mapping[str, Any]
    tokenizer: str | None
    tokenizer_settings: Mapping[str, Any] | None
    seed: int
    result_version: int = RESULT_VERSION
    tokenizer_version: int = TOKENIZER_VERSION

    @property
    def key(self) -> str:
        """A digest of everything above: equal keys, equal figures."""
        text = json.dumps(asdict(self), sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """What the page calls it."""
        return self.tokenizer or self.recommender


@dataclass(frozen=True)
class World:
    """A catalogue split for next-item prediction; items in the file's order."""

    item_ids: list[str]
    vectors: np.ndarray
    categories: list[str | None]
    pairs: Pairs
    split: Split


def main() -> None:
    arguments = _arguments()
    done = {row["key"] for row in read_rows()}
    wanted = [] if arguments.page_only else [r for r in _runs(arguments) if r.key not in done]
    print(f"{len(done)} rows are there, {len(wanted)} to make", flush=True)
    with ProcessPoolExecutor(arguments.processes) as pool:
        waiting = {pool.submit(_measure, run, arguments.data): run for run in wanted}
        for finished in as_completed(waiting):
            run, row = waiting[finished], finished.result()
            put_rows(ROWS, [row], _place)
            write_page(read_rows(), PAGE)
            print(
                f"{run.catalogue} {run.ties} {run.name} seed {run.seed}: "
                f"HR@10 {row['metrics']['recommend_hr_at_10']:.4f} "
                f"NDCG@10 {row['metrics']['recommend_ndcg_at_10']:.4f}, {row['cpu_s']:.0f} CPU s",
                flush=True,
            )
    write_page(read_rows(), PAGE)
    print(PAGE)


def read_rows() -> list[dict[str, Any]]:
    """The finished rows, sorted by what they are of."""
    return read_lines(ROWS)


def load_world(folder: Path, ties: str) -> World:
    """The catalogue in `folder` under leave-one-out, none of its items withheld."""
    items = pl.read_parquet(folder / "items.parquet")
    events = pl.read_parquet(folder / "interactions.parquet")
    built = build_catalogue(
        items,
        events,
        min_interactions=5,
        item_set="core",
        cold_share=0.0,
        seed=0,
        tie_order=ties,  # type: ignore[arg-type]
    )
    numbered = built.interactions.join(
        items.select(Items.ITEM_ID).with_row_index("row"),
        on=Interactions.ITEM_ID,
        maintain_order="left",
    )
    users = numbered[Interactions.USER_ID].rank("dense").to_numpy().astype(np.int64) - 1
    rows = numbered["row"].to_numpy().astype(np.int32)
    names = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    parts = numbered[Interactions.SPLIT].replace_strict(names, return_dtype=pl.Int8).to_numpy()
    training = parts == TRAIN
    return World(
        items[Items.ITEM_ID].to_list(),
        np.load(folder / "minilm_l6_v2.npy").astype(np.float32),
        items[Items.CATEGORIES].to_list(),
        swing(users[training], rows[training], num_items=len(items)),
        split_sequences(users, rows, parts),
    )


def _runs(arguments: argparse.Namespace) -> Iterator[Run]:
    """Seed by seed and table by table, so that an early end leaves whole comparisons."""
    from sidmint.tokenizers import make_tokenizer

    names = arguments.only.split(",") if arguments.only else [*TABLES, *ABLATIONS, *WITHOUT_IDS]
    for seed in map(int, arguments.seeds.split(",")):
        for catalogue in arguments.catalogues.split(","):
            for name in names:
                kind, settings = WITHOUT_IDS.get(name, BACKBONES[arguments.backbone])
                recommender = _whole(kind, settings)
                tokenizer = config = None
                if name not in WITHOUT_IDS:
                    tokenizer = name
                    config = make_tokenizer(name, RUNS[name]).config.model_dump(mode="json")
                yield Run(
                    catalogue,
                    arguments.ties,
                    kind,
                    recommender,
                    tokenizer,
                    config,
                    seed,
                    result_version=TIGER_VERSION if kind == "tiger" else RESULT_VERSION,
                )


def _whole(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` of a recommender with all defaults, those of the one inside `hybrid` too."""
    values = RECOMMENDERS[kind].Config(**settings).model_dump(mode="json")
    if kind == "hybrid":
        values["settings"] = _whole(values["base"], values["settings"])
    return values


def _measure(run: Run, data: Path) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    world = load_world(data / run.catalogue, run.ties)
    started, wall = time.process_time(), time.monotonic()
    codes = _codes(run, world)
    tokenizer_s = time.process_time() - started
    resolved = resolve_by_suffix(codes, world.item_ids)
    table = IdTable(with_suffix(resolved.codes.values, resolved.suffixes), world.vectors)
    recommender = make_recommender(run.recommender, dict(run.recommender_settings), "benchmark")
    split = world.split
    report = recommender.fit(
        split.train, table, split.validation, seed=seed_for(run.seed, "recommend")
    )
    found = recommender.recommend(split.test.histories, 20)
    cpu_s = time.process_time() - started
    places = judged.target_places(found.items, split.test.targets)
    metrics = judged.list_metrics(places, (5, 10, 20))
    by_tuple = judged.tuple_places(found.items, split.test.targets, codes.values)
    metrics["recommend_tuple_hr_at_10"] = float(judged.hits(by_tuple, 10).mean())
    metrics["recommend_distinct_items"] = len(np.unique(found.items[:2000, :10]))
    asked = split.test.histories.take(np.arange(2000))
    blank = recommender.predictions(Sequences.of([[]]))[0]
    metrics["recommend_history_effect"] = judged.history_effect(
        recommender.predictions(asked), blank
    )
    metrics["collision_rate"] = 1 - len(np.unique(codes.values, axis=0)) / codes.num_items
    metrics["composition_entropy"] = _entropy(codes.values)
    best = max(report.curve, key=lambda check: check["ndcg_at_10"]) if report.curve else {}
    return {
        "key": run.key,
        **asdict(run),
        "cpu_s": round(cpu_s, 1),
        "tokenizer_cpu_s": round(tokenizer_s, 1),
        "wall_s": round(time.monotonic() - wall, 1),
        "device": "one CPU thread",
        "num_cases": len(places),
        "best_epoch": best.get("epoch"),
        "validation_ndcg_at_10": best.get("ndcg_at_10"),
        "metrics": {name: float(f"{value:.6g}") for name, value in sorted(metrics.items())},
    }


def _codes(run: Run, world: World) -> Codes:
    """The tokenizer's codes of all items; numbers in the place of ids where there is none."""
    if run.tokenizer is None:
        count = len(world.item_ids)
        return Codes(np.arange(count, dtype=np.int32)[:, None], (count,))
    return fitted_codes(run.tokenizer, run.seed, world.vectors, world.categories, world.pairs)


def fitted_codes(
    name: str, seed: int, vectors: np.ndarray, categories: list[str | None], pairs: Pairs
) -> Codes:
    """Codes of all items from the tokenizer that quality_runs calls `name`, fitted on all."""
    from sidmint.tokenizers import make_tokenizer

    tokenizer = make_tokenizer(name, RUNS[name])
    read = categories if tokenizer.uses_categories else None
    tokenizer.fit(
        vectors,
        pairs if tokenizer.uses_pairs else None,
        seed_for(seed, "train", name),
        "cpu",
        categories=read,
    )
    return Codes(tokenizer.encode(vectors, categories=read), tuple(tokenizer.config.sizes))


def _entropy(codes: Ints) -> float:
    """Of whole codes, in nats (QuaSID 5.1.3)."""
    counts = np.unique(codes, axis=0, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _place(row: Mapping[str, Any]) -> tuple[str, ...]:
    name = row["tokenizer"] or ""
    return row["catalogue"], row["ties"], used_by(row), name, str(row["seed"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--catalogues", default="beauty")
    parser.add_argument("--seeds", default="7")
    parser.add_argument("--only", help="names of rows, comma-separated; all by default")
    parser.add_argument("--backbone", choices=tuple(BACKBONES), default="causal")
    parser.add_argument("--ties", choices=("file", "shuffled"), default="file")
    parser.add_argument("--processes", type=int, default=2, help="rows at a time, a thread each")
    parser.add_argument("--page-only", action="store_true", help="write the page from the rows")
    return parser.parse_args()


if __name__ == "__main__":
    main()
