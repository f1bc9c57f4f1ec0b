"""A finished run, written by hand: every artefact that the report reads, small and known."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import STANDINGS
from sidmint.evaluation.hit_rate_intervals import Answers
from sidmint.gate.rules import Champion
from sidmint.gate.verdict import RuleResult, Verdict
from sidmint.layout import Layout
from sidmint.params import Params, parse_params
from sidmint.publishing.snapshot import cases_by_id
from sidmint.reporting.run import PastVersion, Run

SIZES = (16, 16, 16)
CUTOFFS = (20, 50, 100, 200)
HOSTILE_TITLES = (
    "<script>alert(1)</script>",
    "\"quoted\" and 'quoted' & more",
    "costs $5$ or $\\frac{1}{2}$",
    "line\u2028separator and </script >",
    "\u202egnp.exe right to left",
)
"""The first items of the world are called so: a page must show them and do nothing else."""
_COLD = STANDINGS[1:]


def make_run(
    root: Path,
    tokenizers: tuple[str, ...] = ("rq_kmeans", "rq_vae"),
    refused: tuple[str, ...] = ("rq_vae",),
    num_items: int = 400,
    champion: dict[str, Any] | None = None,
) -> tuple[Params, Artifacts]:
    """Parameters and artefacts of a run in which the tokenizers of `refused` were refused.

    `champion` is the contents of champion.json; `add_champion` gives one its cases and history.
    """
    layout = Layout(root)
    layout.build.mkdir(parents=True, exist_ok=True)
    layout.champion.write_text(
        json.dumps(champion or {"version": None, "tokenizer": None, "metrics": {}})
    )
    artifacts = Artifacts(layout)
    items = _items(num_items)
    _ingest(artifacts, items)
    for index, name in enumerate(tokenizers):
        _tokenizer(artifacts, items, name, index, name not in refused)
    params = {
        "train": {"tokenizers": list(tokenizers)},
        "report": {"title": "A world for the report"},
    }
    return parse_params(params, "test"), artifacts


def add_champion(artifacts: Artifacts, level: float = 0.19, num_versions: int = 1) -> None:
    """Files of a registry in which the newest of `num_versions` is champion.

    It hits with chance `level` at 200. Of five versions the second was published by override,
    and the third rolled back from; the first lacks conflict_rate.
    """
    history = _versions(num_versions, level)
    folder = artifacts.layout.champion_folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
    snapshot = {key: history[-1][key] for key in ("version", "tokenizer", "metrics")}
    artifacts.layout.champion.write_text(json.dumps(snapshot), encoding="utf-8")
    items = artifacts.items()
    facts = {"version": snapshot["version"], "num_items": str(len(items))}
    _cases(level, items).write_parquet(folder / "cases.parquet", metadata=facts)


def beside_champion(run: Run, level: float = 0.19, num_versions: int = 1) -> Run:
    """`run` as it is read after `add_champion`."""
    history = tuple(PastVersion(**version) for version in _versions(num_versions, level))
    return replace(
        run,
        champion=Champion(history[-1].version, history[-1].metrics),
        champion_answers=Answers(_cases(level, run.items), len(run.items)),
        history=history,
    )


def _cases(level: float, items: pl.DataFrame) -> pl.DataFrame:
    return cases_by_id(case_table(level, len(items)), items["item_id"])


def _versions(number: int, level: float) -> list[dict[str, Any]]:
    return [_version(each, number, level) for each in range(1, number + 1)]


def _version(number: int, num_versions: int, level: float) -> dict[str, Any]:
    metrics = {
        "collision_rate": 0.2 - 0.1 * number / num_versions,
        "conflict_rate": 0.05,
        "n_eff_share": 0.85 + 0.1 * number / num_versions,
        "perplexity_share_1": 0.6,
        "perplexity_share_2": 0.8,
        "cold_coverage": 0.75,
        "hr_at_100": level * 0.5**0.5,
        "retention_at_100": level / 0.3,
    }
    if number == 1:
        del metrics["conflict_rate"]
    return {
        "version": f"v{number:04d}",
        "tokenizer": "rq_kmeans",
        "created_at": f"2026-01-{1 + number % 28:02d}T10:00:00+00:00",
        "champion": number == num_versions,
        "override": number % 5 == 2,
        "rolled_back": number % 5 == 3 and number != num_versions,
        "metrics": metrics,
    }


def forget(artifacts: Artifacts, stage: str, filename: str, tokenizer: str | None = None) -> None:
    """Take one artefact away, as if its stage had not run."""
    path = artifacts.layout.stage(stage, tokenizer) / filename
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _items(num_items: int) -> pl.DataFrame:
    kinds = ("ink cartridge", "steel stapler", "paper binder", "desk lamp", "gel pen", "label roll")
    titles = [f"{kinds[n % 6]} no. {n} for the office" for n in range(num_items)]
    titles[: len(HOSTILE_TITLES)] = HOSTILE_TITLES
    return pl.DataFrame(
        {
            "item_id": [f"i{n:06d}" for n in range(num_items)],
            "title": titles,
            "categories": None,
            "cold": [n % 20 == 0 for n in range(num_items)],
            "standing": ["warm" if n % 20 else _COLD[n // 20 % 3] for n in range(num_items)],
            "num_train": [0 if n % 20 == 0 else n % 17 for n in range(num_items)],
        }
    )


def _ingest(artifacts: Artifacts, items: pl.DataFrame) -> None:
    with artifacts.writing("ingest") as out:
        out.table("items", items)
        out.json("profile", {"kept": {"items": len(items), "users": 900}, "density": 0.0123})
        check = {"name": "items_item_id_unique", "severity": "critical", "passed": True}
        out.json("checks", [{**check, "reason": "no two rows share item_id"}])


def _tokenizer(
    artifacts: Artifacts, items: pl.DataFrame, name: str, index: int, passes: bool
) -> None:
    rng = np.random.default_rng(index)
    codes = np.minimum((rng.beta(1, 1.3 + index, (len(items), 3)) * 16).astype(int), 15)
    codes[:, 0] = np.arange(len(items)) % 6 + 6 * (codes[:, 0] > 8)
    codes[:6] = codes[0]
    columns = {f"code_{level}": codes[:, level - 1] for level in (1, 2, 3)}
    table = pl.DataFrame({"item_id": items["item_id"], **columns})
    keys = list(columns)
    table = table.with_columns(
        (pl.int_range(pl.len()).over(keys)).alias("suffix"),
    ).with_columns(pl.concat_str([*keys, "suffix"], separator="-").alias("semantic_id"))
    num_distinct = table.select(keys).n_unique()
    rate = 1 - num_distinct / len(items)
    with artifacts.writing("train", name) as out:
        steps = np.arange(0, 200, 10)
        curve = [
            (int(step), f"perplexity_{level}", 16 - 10 / (1 + step / 20) - level)
            for step in steps
            for level in (1, 2, 3)
        ]
        curve += [(int(step), "reconstruction", float(np.exp(-step / 60))) for step in steps]
        out.table("curve", pl.DataFrame(curve, ["step", "metric", "value"], orient="row"))
        out.metrics({})
    with artifacts.writing("assign", name) as out:
        out.table("sids", table)
        out.table("codes", table.select("item_id", *keys))
        before = {"collision_rate": rate, "largest_bucket": 6, "num_distinct_codes": num_distinct}
        after = {"collision_rate": 0.0, "largest_bucket": 1, "num_distinct_codes": len(items)}
        out.json("collisions", {"before": before, "after": after, "policy": "suffix", "moves": 0})
        out.metrics({"num_items": len(items), "collision_rate": rate, "collided_item_rate": 0.3})
    _diagnose(artifacts, name, codes, items)
    _evaluate(artifacts, name, 0.2 + 0.02 * index)
    with artifacts.writing("gate", name) as out:
        out.json("verdict", verdict(name, passes, rate).to_dict())


def verdict(name: str, passes: bool, rate: float) -> Verdict:
    """A verdict of three rules: one that holds, one that decides, one warning."""
    said = "collision_rate is fine" if passes else "collision_rate is above the 0.300 allowed"
    rules = (
        RuleResult("cold_coverage", "cold_coverage", 0.8, "at least 0.900", "warning", False,
                   "cold_coverage is 0.800, below the 0.900 required"),
        RuleResult("collision_rate", "collision_rate", rate, "at most 0.300", "critical", passes,
                   said),
        RuleResult("num_null_ids", "num_null_ids", 0, "at most 0", "critical", True,
                   "num_null_ids is 0; at most 0 is wanted"),
    )  # fmt: skip
    return Verdict(
        name, None, "0" * 64, "1" * 64, rules, ("champion.collision_rate: no champion yet",)
    )


def _diagnose(artifacts: Artifacts, name: str, codes: Any, items: pl.DataFrame) -> None:
    usage, levels, overlap, robustness, metrics = [], [], [], [], {}
    for level, size in enumerate(SIZES, start=1):
        counts = np.bincount(codes[:, level - 1], minlength=size)
        share = counts / counts.sum()
        used = share[share > 0]
        perplexity = float(np.exp(-(used * np.log(used)).sum()))
        usage += [(level, code, int(count)) for code, count in enumerate(counts)]
        dead = int((counts == 0).sum())
        num_prefixes = len(np.unique(codes[:, :level], axis=0))
        errors = (1 / (1 + level), 0.5 + level / 10, 0.8 / (1 + level), 0.6 + level / 10)
        added = (3.5 / level, 4.0 / level, float(share.max()))
        levels.append(
            (level, size, perplexity, dead, 0.4, perplexity / level, num_prefixes, *added, *errors)
        )
        floor = float((share**2).sum())
        for kappa in (0.1, 0.25, 0.5, 1.0, 2.0):
            rate = floor + 0.1 * kappa
            overlap.append((level, kappa, rate, floor, rate - floor, 1 / rate))
            changed = 1 - np.exp(-kappa * level / 4)
            robustness.append((level, kappa, changed, 1 - (1 - changed) ** level))
        metrics |= {
            f"perplexity_share_{level}": perplexity / size,
            f"dead_code_share_{level}": dead / size,
        }
    spectrum = [
        (space, rank, float(np.exp(-rank / scale)) / scale)
        for space, scale in (("raw", 9.0), ("latent", 7.0), ("quantized", 5.0))
        for rank in range(1, 33)
    ]
    with artifacts.writing("diagnose", name) as out:
        out.table("usage", pl.DataFrame(usage, ["level", "code", "num_items"], orient="row"))
        columns = [
            "level",
            "size",
            "perplexity",
            "dead_codes",
            "gini",
            "branching",
            "num_prefixes",
            "information",
            "possible_information",
            "top_code_share",
            "relative_mse",
            "cosine",
            "latent_relative_mse",
            "latent_cosine",
        ]
        out.table("levels", pl.DataFrame(levels, columns, orient="row"))
        columns = [
            "level",
            "kappa",
            "overlap_rate",
            "distribution_penalty",
            "geometry_penalty",
            "effective_codebook_size",
        ]
        out.table("overlap", pl.DataFrame(overlap, columns, orient="row"))
        columns = ["level", "kappa", "changed_code_share", "changed_prefix_share"]
        out.table("robustness", pl.DataFrame(robustness, columns, orient="row"))
        out.table(
            "spectrum", pl.DataFrame(spectrum, ["space", "rank", "eigenvalue_share"], orient="row")
        )
        out.table("buckets", items.head(6).select(
            pl.lit(1).alias("bucket"), "item_id", "title",
            pl.lit("conflict").alias("kind"), pl.lit(6).alias("size"),
        ))  # fmt: skip
        out.metrics(
            metrics
            | {
                "conflict_rate": 0.04,
                "duplicate_floor": 0.01,
                "relative_mse": 0.31,
                "n_eff_share": 0.9,
            }
        )


def case_table(level: float, num_items: int, num_cases: int = 1000) -> pl.DataFrame:
    """cases.parquet of evaluate: by chance `level` the target is among the first 200.

    Ranks g = 200 (u / level)^2 for u evenly spread over (0, 1): a share level * sqrt(K / 200) of
    them is below K. Three cases in four are of a user with one case, the others of one with two.
    """
    spread = (np.arange(num_cases) * 7919 % num_cases + 0.5) / num_cases
    table = {
        "user_id": [f"u{n if n % 4 else n + 1:05d}" for n in range(num_cases)],
        "query_row": np.arange(num_cases, dtype=np.int32) % num_items,
        "target_row": (np.arange(num_cases, dtype=np.int32) * 7 + 1) % num_items,
    }
    for space, height in (("original", 0.3), ("reconstructed", level), ("prefix", 0.12)):
        table[f"{space}_better"] = (200 * (spread / height) ** 2).astype(np.int32)
        table[f"{space}_tied"] = np.zeros(num_cases, dtype=np.int32)
    return pl.DataFrame(table)


def _evaluate(artifacts: Artifacts, name: str, level: float) -> None:
    heights = {"original": 0.3, "reconstructed": level, "prefix": 0.12, "random": 0.01}
    rates = [(s, k, h * (k / 200) ** 0.5) for s, h in heights.items() for k in CUTOFFS]
    num_items = len(artifacts.items())
    with artifacts.writing("evaluate", name) as out:
        out.table("hit_rates", pl.DataFrame(rates, ["space", "k", "hit_rate"], orient="row"))
        out.table("cases", case_table(level, num_items))
        metrics = {f"retention_at_{k}": level / 0.3 for k in CUTOFFS}
        metrics |= {f"prefix_hr_at_{k}": 0.12 * (k / 200) ** 0.5 for k in CUTOFFS}
        out.metrics(metrics | {f"hr_at_{k}": level * (k / 200) ** 0.5 for k in CUTOFFS})
    rows = [
        (segment, 100, cases, *(None if cases == 0 else v for v in (0.3, level, level / 0.3)))
        for segment, cases in (("head", 500), ("torso", 300), ("tail", 80), ("cold", 0))
    ]
    columns = ["segment", "num_items", "num_cases"]
    columns += ["hr_original_at_100", "hr_at_100", "retention_at_100"]
    with artifacts.writing("recommend", name) as out:
        out.metrics({})
    with artifacts.writing("segments", name) as out:
        out.table("segments", pl.DataFrame(rows, columns, orient="row"))
        out.json("cold", {})
        out.metrics({"cold_coverage": 0.8})
