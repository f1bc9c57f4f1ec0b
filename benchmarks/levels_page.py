"""A part of docs/RESULTS.md: what levels carry, and whom the default gate refuses for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from quality_runs import CONTROLS, RUNS, is_ordered

from sidmint.information import (
    DEAD_CODE_SHARE,
    FIRST_PERPLEXITY_SHARE,
    LATER_PERPLEXITY_SHARE,
    LEAST_SHARE,
    information,
)

Row = Mapping[str, Any]
Shares = Mapping[str, list[float]]
"""A share a level, first level first, by the metric's name without its level."""

UNORDERED = tuple(name for name in RUNS if name not in CONTROLS and not is_ordered(name))

INTRODUCTION = f"""
## What levels carry

Shares of the codebook: perplexity, codes that no item has; `information`: bits that a level adds
as a share of the most that it could; largest code: share of the items in the level's most frequent
code. The least or most of any table, and whose it is, over the rows above and, a row a tokenizer,
those of [results/levels.jsonl](results/levels.jsonl) (`python benchmarks/levels.py --data FOLDER`:
Office, and the built-in catalogue at 3 x 64 over wordllama vectors). Controls and codes without an
order ({", ".join(UNORDERED)}) are left out of the first table: reading these level by level says
less than they carry. What the default gate asks rests on this: perplexity {FIRST_PERPLEXITY_SHARE}
of the first level and {LATER_PERPLEXITY_SHARE} of each later one, at most {DEAD_CODE_SHARE} dead,
{LEAST_SHARE} of the information.

"""
HEAD = (
    "| catalogue | tables | least perplexity 1 | least later | most dead codes | least information "
    "| largest code, later |\n|---|---|---|---|---|---|---|\n"
)


def levels_part(quality_rows: Iterable[Row], level_rows: Iterable[Row]) -> str:
    """The part of the page; empty without rows of `levels.py`."""
    level_rows = list(level_rows)
    if not level_rows:
        return ""
    by_catalogue: dict[str, list[Row]] = defaultdict(list)
    for row in [*quality_rows, *level_rows]:
        by_catalogue[row["catalogue"]].append(row)
    lines = [_extremes(name, rows) for name, rows in sorted(by_catalogue.items())]
    refused = sorted({line for rows in by_catalogue.values() for line in _refused(rows)})
    return (
        f"{INTRODUCTION}{HEAD}{''.join(lines)}\nRefused for what a level carries, controls and "
        f"codes without an order included:\n\n{''.join(refused)}"
    )


def _extremes(catalogue: str, rows: Iterable[Row]) -> str:
    judged = [
        (row["name"], _shares(row)) for row in rows if row["name"] not in (*CONTROLS, *UNORDERED)
    ]
    cells = (
        min((shares["perplexity_share"][0], name) for name, shares in judged),
        min((min(shares["perplexity_share"][1:]), name) for name, shares in judged),
        max((max(shares["dead_code_share"]), name) for name, shares in judged),
        min((min(shares["information_share"]), name) for name, shares in judged),
    )
    largest = [(max(s["top_code_share"][1:]), name) for name, s in judged if s["top_code_share"]]
    texts = " | ".join(f"{value:.2f} {name}" for value, name in [*cells, *sorted(largest)[-1:]])
    texts += "" if largest else " | not measured"
    return f"| {catalogue} | {len(judged)} | {texts} |\n"


def _refused(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        shares = _shares(row)
        perplexities, dead = shares["perplexity_share"], shares["dead_code_share"]
        first, later, added = perplexities[0], perplexities[1:], shares["information_share"]
        failed = {
            "perplexity": (
                first < FIRST_PERPLEXITY_SHARE or min(later) < LATER_PERPLEXITY_SHARE,
                perplexities,
            ),
            "dead codes": (max(dead) > DEAD_CODE_SHARE, dead),
            "information": (min(added) < LEAST_SHARE, added),
        }
        said = [
            f"{what} {' / '.join(f'{share:.2f}' for share in values)}"
            for what, (fails, values) in failed.items()
            if fails
        ]
        if said:
            yield f"- {row['catalogue']}, {row['name']}, seed {row['seed']}: {'; '.join(said)}\n"


def _shares(row: Row) -> Shares:
    """What a row says by level; rows made before `information` was measured say it by branching."""
    metrics, levels = row["metrics"], range(1, len(row["settings"]["sizes"]) + 1)
    found = {
        name: [metrics[f"{name}_{level}"] for level in levels if f"{name}_{level}" in metrics]
        for name in ("perplexity_share", "dead_code_share", "information_share", "top_code_share")
    }
    if not found["information_share"]:
        branching = [metrics[f"branching_{level}"] for level in levels]
        added = information(branching, row["settings"]["sizes"], int(metrics["num_items"]))
        found["information_share"] = [each.share for each in added]
    return found
