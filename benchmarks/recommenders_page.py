"""docs/RECOMMENDERS.md from its rows: ours beside the papers', and what the rows say."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recommender_rows import RESULT_VERSION, used_by
from recommenders_plot import Group, write_plot
from recommenders_printed import DEEP_DIVE_NDCG, RPG, TABLE_2, TABLE_3, TABLE_5, TIGER
from row_files import read_lines
from scipy.stats import spearmanr

Row = Mapping[str, Any]

QUALITY = Path(__file__).resolve().parents[1] / "docs" / "results" / "quality.jsonl"
ALIGNMENT = QUALITY.with_name("alignment.jsonl")
CONTROLS = ("random", "lsh", "category")
PLOT = "recommenders.svg"
FLOORS = ("popularity", "last_item", "semantic_knn")
HR, NDCG = "recommend_hr_at_10", "recommend_ndcg_at_10"

_INTRODUCTION = """# What an id is worth to a recommender

One table of ids, one recommender, one question: which item comes next? Written by

    make recommenders          # python benchmarks/recommenders.py; goes on where it stopped

from the lines of docs/results/recommenders.jsonl, each of which holds its settings, seeds and
seconds. Every tokenizer (3 x 256, MiniLM vectors, a suffix where codes collide) is used by the
same `causal` recommender, sized for six minutes of two cores. `sasrec`, `semantic_knn` (the
vectors themselves), `last_item` and `popularity` use no id. `hybrid, 1 in 2` is `causal` after 48
epochs with every other place of its list given to `semantic_knn`: of one in 2, 3, 4, 5 and 10 that
with the highest NDCG@10 on Toys' validation cases. Amazon 2014 5-core, leave-one-out,
history not masked, checkpoint chosen on validation by NDCG@10, hits counted by items (by code tuple
beside it, where colliding items share their hits). The mean over seeds, and half the range where
there are several; with one seed a difference below .002 in NDCG@10 says nothing.

Do not set these rows beside those of another code base: only ratios between rows of one backbone
can be compared with the papers' ratios.

![NDCG@10 of every row, ties in file order: a point a seed](recommenders.svg)
"""

_ASKED = ("champion", "raw", "aligned")
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
    HR,
    "recommend_ndcg_at_5",
    NDCG,
    "recommend_tuple_hr_at_10",
)


def write_page(rows: Sequence[Row], path: Path) -> None:
    """Write the page; a section a catalogue and order of ties."""
    sections: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        sections[row["catalogue"], row["ties"]].append(row)
    parts = [_INTRODUCTION, _older(rows)]
    for (catalogue, ties), members in sorted(sections.items()):
        parts.append(f"\n## {catalogue.capitalize()}, ties in {_ORDERS[ties]}\n\n{_table(members)}")
        parts.append(_floors(members))
        if ties == "file":
            parts += [_bar(members, catalogue), _gains(members, catalogue)]
            parts += [_hamr(members, catalogue), _ablations(members, catalogue)]
    parts += [_alignment(read_lines(ALIGNMENT)), _prediction(rows)]
    path.write_text("".join(parts), encoding="utf-8")
    groups = {
        catalogue: _named(members)
        for (catalogue, ties), members in sorted(sections.items())
        if ties == "file"
    }
    write_plot(groups, {name: figures[1] for name, figures in TIGER.items()}, path.parent / PLOT)


def _named(rows: Sequence[Row]) -> list[Group]:
    """The groups of `_table` as the picture wants them."""
    found = []
    for (name, recommender), members in _by_name(rows):
        kind = "control" if name in CONTROLS else "learned" if name else "no ids"
        called = name if recommender == "causal" else f"{name}, {recommender}".removeprefix(", ")
        found.append((called, kind, [row["metrics"][NDCG] for row in members]))
    return found


def _alignment(rows: Sequence[Row]) -> str:
    """A trained recommender on the ids of a tokenizer that was trained again."""
    if not rows:
        return ""
    lines = [
        "\n## A recommender that is not trained again, on ids that are\n",
        "`python benchmarks/alignment.py`: `causal` learns the champion's ids (seed 7), then the",
        "tokenizer is trained with another seed and the same weights answer over its ids: as they",
        "come, and with each level's codes renamed as the champion's (Hungarian matching).",
        "Leave-one-out, file order. Kept: items whose first 1 / 2 / 3 codes are the champion's.\n",
        "| catalogue | ids of | seed | NDCG@10, champion's ids | raw | aligned | kept, raw | "
        "kept, aligned |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        quality = [f"{row[what]['recommend_ndcg_at_10']:.4f}" for what in _ASKED]
        kept = [" / ".join(f"{s:.3f}" for s in row[f"{what}_kept"]) for what in _ASKED[1:]]
        cells = [row["catalogue"], row["tokenizer"], str(row["seed"]), *quality, *kept]
        lines.append(f"| {' | '.join(cells)} |")
    raw, aligned = (_share_kept(rows, what) for what in ("raw", "aligned"))
    lines.append(
        f"\nOf its NDCG@10 the recommender keeps {raw} on raw ids and {aligned} on aligned ones: "
        "several\ntimes as much, and still it wants to be trained with the table."
    )
    return "\n".join(lines) + "\n"


def _share_kept(rows: Sequence[Row], what: str) -> str:
    name = "recommend_ndcg_at_10"
    shares = [row[what][name] / row["champion"][name] for row in rows]
    return f"{min(shares):.1%} to {max(shares):.1%}"


def _older(rows: Sequence[Row]) -> str:
    num_older = sum(map(_is_older, rows))
    if not num_older:
        return ""
    return (
        f"\n**{num_older} of {len(rows)} rows are of a recommender before the present one** "
        f"(result version {RESULT_VERSION};\n../CHANGELOG.md says what has changed). "
        "The command makes them anew.\n"
    )


def _is_older(row: Row) -> bool:
    return row["recommender"] not in FLOORS and row["result_version"] < RESULT_VERSION


def _table(rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"]
    for (name, kind), members in _by_name(rows):
        figures = [_spread([row["metrics"][column] for row in members]) for column in _COLUMNS]
        entropy = _mean(members, "composition_entropy") if name else None
        cells = [
            name or "-",
            f"{kind} (older code)" if any(map(_is_older, members)) else kind,
            ", ".join(str(row["seed"]) for row in members),
            *figures,
            f"{entropy:.3f}" if entropy is not None else "-",
            f"{_mean(members, 'recommend_history_effect'):.2f}",
            f"{np.mean([row['cpu_s'] for row in members]):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _by_name(rows: Sequence[Row]) -> list[tuple[tuple[str, str], list[Row]]]:
    """Rows of one table and recommender together, the best NDCG@10 first."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["tokenizer"] or "", used_by(row)].append(row)
    return sorted(groups.items(), key=lambda group: (-_mean(group[1], NDCG), group[0]))


def _under_causal(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of the backbone that all tables have in common and of the present code, by table."""
    current = [row for row in rows if row["result_version"] == RESULT_VERSION]
    return {name: members for (name, kind), members in _by_name(current) if kind == "causal"}


def _mean(rows: Sequence[Row], metric: str) -> float:
    return float(np.mean([row["metrics"][metric] for row in rows]))


def _spread(values: Sequence[float]) -> str:
    half = (max(values) - min(values)) / 2
    return f"{np.mean(values):.4f}" + (f" ± {half:.4f}" if len(values) > 1 else "")


def _floors(rows: Sequence[Row]) -> str:
    """Said where a recommender that learns next to nothing finds more than ids do alone."""
    groups = _by_name(rows)
    best = [_mean(each, NDCG) for group, each in groups if _is_of_ids_alone(group)]
    if not best:
        return ""
    above = [
        f"`{kind}`"
        for (_, kind), each in groups
        if kind in FLOORS and _mean(each, NDCG) > max(best)
    ]
    if not above:
        return ""
    verb = "finds" if len(above) == 1 else "find"
    said = f"\n**{' and '.join(above)} {verb} more than any ids do alone here.**"
    if rows[0]["ties"] != "file":
        return f"{said}\n"
    return (
        f"{said} In file order a day's events stand in\nrising item id, which recommenders over "
        "item numbers can read off the log and ids made of content\ncannot.\n"
    )


def _is_of_ids_alone(group: tuple[str, str]) -> bool:
    """Not of `hybrid`, which sees the vectors as well."""
    name, kind = group
    return bool(name) and not kind.startswith("hybrid")


def _bar(rows: Sequence[Row], catalogue: str) -> str:
    """The best use of ids, alone and beside vectors, and what papers print."""
    groups = _by_name(rows)
    alone = [each for each in groups if _is_of_ids_alone(each[0])]
    if not alone or catalogue not in TIGER:
        return ""
    text = f"\nThe most that ids reach alone here: {_reached(*alone[0])}."
    hybrid = [(group, each) for group, each in groups if group[0] and not _is_of_ids_alone(group)]
    if hybrid:
        text += (
            f"\nWith every other place given to the nearest by vectors: {_reached(*hybrid[0])}"
            f"{_beside_random(hybrid)}."
        )
    text += (
        f"\nTIGER's paper prints {_both(*TIGER[catalogue])}, RPG's {_both(*RPG[catalogue])}, "
        "each with vectors of a larger encoder."
    )
    kmeans = _under_causal(rows).get("rq_kmeans")
    if kmeans and catalogue == "beauty":
        text += (
            f"\nThe deep dive's RQ-KMeans row, NDCG@10 {DEEP_DIVE_NDCG:.3f}, is "
            f"{_mean(kmeans, NDCG):.4f} here."
        )
    return text + "\n"


def _beside_random(groups: Sequence[tuple[tuple[str, str], list[Row]]]) -> str:
    found = [
        f" ({_mean(each, NDCG):.4f} on `random` ids)"
        for (name, _), each in groups
        if name == "random"
    ]
    return "".join(found)


def _reached(group: tuple[str, str], rows: Sequence[Row]) -> str:
    name, kind = group
    return f"`{name}` used by {kind}, {_both(_mean(rows, HR), _mean(rows, NDCG))}"


def _both(hits: float, ndcg: float) -> str:
    return f"HR@10 {hits:.4f} and NDCG@10 {ndcg:.4f}"


def _gains(rows: Sequence[Row], catalogue: str) -> str:
    """QuaSID's Table 2: the gain of its ids over each other's under one backbone."""
    found, printed = _under_causal(rows), TABLE_2.get(catalogue, {})
    others = [name for name in printed if name in found and name != "quasid"]
    if "quasid" not in found or not others:
        return ""
    lines = [
        "\n### QuaSID's Table 2: the gain of `quasid` over each, NDCG@10\n",
        "| over | here | paper | direction |",
        "|---|---|---|---|",
    ]
    held = 0
    for name in others:
        gain = _mean(found["quasid"], NDCG) / _mean(found[name], NDCG) - 1
        paper = printed["quasid"][1] / printed[name][1] - 1
        held += gain > 0
        lines.append(
            f"| {name} | {gain:+.1%} | {paper:+.1%} | {'holds' if gain > 0 else 'does not hold'} |"
        )
    best = max(
        (name for name in found if name not in CONTROLS), key=lambda n: _mean(found[n], NDCG)
    )
    said = "is the best of the tables here" if best == "quasid" else f"is behind `{best}` here"
    lines.append(f"\nThe paper's order holds for {held} of {len(others)}; `quasid` {said}.")
    return "\n".join(lines) + "\n"


def _hamr(rows: Sequence[Row], catalogue: str) -> str:
    """QuaSID's Table 3: what HaMR adds to a baseline."""
    found = _under_causal(rows)
    lines = []
    for name, (_, with_hamr) in TABLE_3.get(catalogue, {}).items():
        plain = name.removesuffix("+hamr")
        without = found.get("rq_opq_mlp" if plain == "rq_opq" else plain)
        if name in found and without:
            gain = _mean(found[name], NDCG) / _mean(without, NDCG) - 1
            paper = with_hamr / TABLE_2[catalogue][plain][1] - 1
            lines.append(f"| {plain} | {gain:+.1%} | {paper:+.1%} |")
    if not lines:
        return ""
    head = [
        "\n### QuaSID's Table 3: what HaMR adds, NDCG@10\n",
        "| to | here | paper |",
        "|---|---|---|",
    ]
    return "\n".join(head + lines) + "\n"


def _ablations(rows: Sequence[Row], catalogue: str) -> str:
    """QuaSID's Table 5: NDCG@5 without CVPM and without HaMR."""
    found, printed = _under_causal(rows), TABLE_5.get(catalogue, {})
    lines = []
    for name, (_, theirs) in printed.items():
        if name in found and name != "quasid" and "quasid" in found:
            metric = "recommend_ndcg_at_5"
            change = _mean(found[name], metric) / _mean(found["quasid"], metric) - 1
            paper = theirs / printed["quasid"][1] - 1
            lines.append(f"| {name} | {change:+.1%} | {paper:+.1%} |")
    if not lines:
        return ""
    head = [
        "\n### QuaSID's Table 5: NDCG@5 against the whole `quasid`\n",
        "| ids of | here | paper |",
        "|---|---|---|",
    ]
    return "\n".join(head + lines) + "\n"


def _prediction(rows: Sequence[Row]) -> str:
    """Which figure of a table foretells NDCG@10: Spearman over all rows of the common backbone.

    Diagnostics are those of docs/results/quality.jsonl: same catalogue, name, seed and code.
    NDCG@10 is taken relative to its catalogue's mean, so that catalogues can stand together.
    """
    measured = {
        (row["catalogue"], row["name"], row["seed"]): row
        for row in map(json.loads, QUALITY.read_text(encoding="utf-8").splitlines())
    }
    used = [
        (row, measured[row["catalogue"], row["tokenizer"], row["seed"]]["metrics"])
        for row in rows
        if row["ties"] == "file"
        and used_by(row) == "causal"
        and row["result_version"] == RESULT_VERSION
        and (row["catalogue"], row["tokenizer"], row["seed"]) in measured
    ]
    tables = sorted({(row["catalogue"], row["tokenizer"]) for row, _ in used})
    if len(tables) < 8:
        return ""
    of_catalogue = {
        name: np.mean([row["metrics"][NDCG] for row, _ in used if row["catalogue"] == name])
        for name, _ in tables
    }
    ndcg = np.array([row["metrics"][NDCG] / of_catalogue[row["catalogue"]] for row, _ in used])
    place = np.array([tables.index((row["catalogue"], row["tokenizer"])) for row, _ in used])
    learned = np.array([row["tokenizer"] not in CONTROLS for row, _ in used])
    names = sorted(set.intersection(*(set(metrics) for _, metrics in used)))
    found = []
    for name in names:
        values = np.array([metrics[name] for _, metrics in used])
        if len(set(values)) > 2:
            low, high = _interval(values, ndcg, place)
            inner = float(spearmanr(values[learned], ndcg[learned]).statistic)
            found.append((float(spearmanr(values, ndcg).statistic), low, high, inner, name))
    found.sort(key=lambda each: (-abs(each[0]), each[-1]))
    lines = [
        "\n## Which figure of a table foretells what a recommender makes of it\n",
        f"Spearman correlation with NDCG@10 (over its catalogue's mean) over the {len(used)} rows "
        f"of {len(tables)} tables\nunder `causal`, ties in file order; 95 % by resampling tables, "
        "and over the learned tables alone.\nQuaSID reports .72 for composition entropy over 16.\n",
        "| diagnostic | rho | 95 % | learned tables alone |",
        "|---|---|---|---|",
    ]
    for rho, low, high, inner, name in found[:15]:
        lines.append(f"| {name} | {rho:+.2f} | {low:+.2f} to {high:+.2f} | {inner:+.2f} |")
    return "\n".join(lines) + "\n"


def _interval(values: np.ndarray, ndcg: np.ndarray, place: np.ndarray) -> tuple[float, float]:
    """Of rho, by drawing tables with replacement, each with all of its rows."""
    generator = np.random.default_rng(0)
    members = [np.flatnonzero(place == table) for table in range(place.max() + 1)]
    found = []
    while len(found) < 1000:
        drawn = generator.integers(len(members), size=len(members))
        rows = np.concatenate([members[table] for table in drawn])
        if len(set(values[rows])) > 2:
            found.append(spearmanr(values[rows], ndcg[rows]).statistic)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
