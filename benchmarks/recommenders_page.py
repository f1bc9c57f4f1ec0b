"""docs/RECOMMENDERS.md from its rows: ours beside the papers', and what the rows say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

QUASID_BEAUTY = {
    "rq_vae": (0.0300, 0.0195),
    "rq_kmeans": (0.0379, 0.0211),
    "quasid": (0.0392, 0.0230),
}
"""HR@10 and NDCG@10 on Beauty under QuaSID's own backbone (its Table 2)."""

_INTRODUCTION = """# What an id is worth to a recommender

One table of ids, one recommender, one question: which item comes next? Written by

    make recommenders          # python benchmarks/recommenders.py; goes on where it stopped

from the lines of docs/results/recommenders.jsonl, each of which holds its settings, seeds and
seconds. Every tokenizer (3 x 256, MiniLM vectors, a suffix where codes collide) is used by the same
`causal` recommender; `sasrec`, `semantic_knn` (the vectors themselves),
`last_item` and `popularity` use no id. Amazon 2014 5-core,
leave-one-out, history not masked, checkpoint chosen on validation by NDCG@10, hits counted by
items (by code tuple beside it, where colliding items share their hits). The mean over seeds, and
half the range where there are several; with one seed a difference below a few thousandths says
nothing.

Do not set these rows beside those of another code base: only ratios between rows of one backbone
can be compared with the papers' ratios.
"""


def write_page(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the page; a section a catalogue and order of ties."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["catalogue"], row["ties"]].append(row)
    parts = [_INTRODUCTION]
    for (catalogue, ties), members in sorted(groups.items()):
        parts.append(f"\n## {catalogue.capitalize()}, ties in {_ORDERS[ties]}\n\n{_table(members)}")
        parts.append(_floors(members))
        parts.append(_gain(members, catalogue))
        parts.append(_prediction(members))
    path.write_text("".join(parts), encoding="utf-8")


_ORDERS = {"file": "file order", "shuffled": "a seeded random order"}
_HEADS = (
    "ids of",
    "used by",
    "seeds",
    "HR@5",
    "HR@10",
    "NDCG@5",
    "NDCG@10",
    "tuple HR@10",
    "entropy",
    "KL",
    "CPU s",
)
_COLUMNS = (
    "recommend_hr_at_5",
    "recommend_hr_at_10",
    "recommend_ndcg_at_5",
    "recommend_ndcg_at_10",
    "recommend_tuple_hr_at_10",
)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"]
    for (name, kind), members in _by_name(rows):
        figures = [_spread([row["metrics"][column] for row in members]) for column in _COLUMNS]
        entropy = _mean(members, "composition_entropy") if name else None
        cells = [
            name or "-",
            kind,
            ", ".join(str(row["seed"]) for row in members),
            *figures,
            f"{entropy:.3f}" if entropy is not None else "-",
            f"{_mean(members, 'recommend_history_effect'):.2f}",
            f"{np.mean([row['cpu_s'] for row in members]):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _by_name(
    rows: Sequence[Mapping[str, Any]],
) -> list[tuple[tuple[str, str], list[Mapping[str, Any]]]]:
    """Rows of one table and recommender together, the best NDCG@10 first."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["tokenizer"] or "", row["recommender"]].append(row)
    return sorted(
        groups.items(), key=lambda group: (-_mean(group[1], "recommend_ndcg_at_10"), group[0])
    )


def _mean(rows: Sequence[Mapping[str, Any]], metric: str) -> float:
    return float(np.mean([row["metrics"][metric] for row in rows]))


def _spread(values: Sequence[float]) -> str:
    half = (max(values) - min(values)) / 2
    return f"{np.mean(values):.4f}" + (f" ± {half:.4f}" if len(values) > 1 else "")


_FLOORS = ("popularity", "last_item", "semantic_knn")


def _floors(rows: Sequence[Mapping[str, Any]]) -> str:
    """Said where a recommender that learns next to nothing does better than the backbone."""
    groups = _by_name(rows)
    best = [_mean(each, "recommend_ndcg_at_10") for (_, kind), each in groups if kind == "causal"]
    if not best:
        return ""
    above = [
        f"`{kind}`"
        for (_, kind), each in groups
        if kind in _FLOORS and _mean(each, "recommend_ndcg_at_10") > max(best)
    ]
    if not above:
        return ""
    return (
        f"\n**{' and '.join(above)} find more than `causal` does on any ids here.** The backbone\n"
        "is small and trained for minutes: read its rows against each other, never as what ids\n"
        "can reach.\n"
    )


def _gain(rows: Sequence[Mapping[str, Any]], catalogue: str) -> str:
    """QuaSID's claim is the gain of its ids over others' under one backbone."""
    found = {name: members for (name, kind), members in _by_name(rows) if kind == "causal"}
    if catalogue != "beauty" or "quasid" not in found:
        return ""
    lines = []
    ours, theirs = _mean(found["quasid"], "recommend_ndcg_at_10"), QUASID_BEAUTY["quasid"][1]
    for name in ("rq_vae", "rq_kmeans"):
        if name in found:
            gain = ours / _mean(found[name], "recommend_ndcg_at_10") - 1
            paper = theirs / QUASID_BEAUTY[name][1] - 1
            word = "holds" if gain > 0 else "does not hold"
            lines.append(
                f"- `quasid` over `{name}`, NDCG@10: {gain:+.1%} here, {paper:+.1%} in the paper; "
                f"the direction {word}."
            )
    return "\n" + "\n".join(lines) + "\n"


def _prediction(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which figure of a table foretells NDCG@10: Spearman over the tables of the section."""
    tables = [(name, members) for (name, kind), members in _by_name(rows) if kind == "causal"]
    if len(tables) < 8:
        return ""
    ndcg = [_mean(members, "recommend_ndcg_at_10") for _, members in tables]
    words = []
    for metric, label in (
        ("composition_entropy", "composition entropy"),
        ("collision_rate", "collision rate"),
    ):
        values = np.array([_mean(members, metric) for _, members in tables])
        rho = spearmanr(values, ndcg).statistic
        learned = [at for at, (name, _) in enumerate(tables) if name not in _CONTROLS]
        inner = spearmanr(values[learned], np.array(ndcg)[learned]).statistic
        low, high = _interval(values, np.array(ndcg))
        words.append(
            f"{label}: {rho:+.2f} over all {len(tables)} tables (95 % by resampling tables "
            f"{low:+.2f} to {high:+.2f}), {inner:+.2f} over the {len(learned)} learned ones"
        )
    return (
        "\nSpearman correlation with NDCG@10 under `causal` (QuaSID reports .72 for entropy):\n"
        + "; ".join(words)
        + ".\n"
    )


_CONTROLS = ("random", "lsh", "category")


def _interval(values: np.ndarray, ndcg: np.ndarray) -> tuple[float, float]:
    generator = np.random.default_rng(0)
    found = []
    while len(found) < 2000:
        drawn = generator.integers(len(values), size=len(values))
        if len(set(values[drawn])) > 2 and len(set(ndcg[drawn])) > 2:
            found.append(spearmanr(values[drawn], ndcg[drawn]).statistic)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
