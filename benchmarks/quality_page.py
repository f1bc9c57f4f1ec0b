"""docs/RESULTS.md from the rows of docs/results/quality.jsonl and levels.jsonl alone."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from levels_page import levels_part
from older_rows import older_rows
from quality_runs import BASELINES, CONTROLS, DRQ, RUNS

Row = dict[str, Any]

PRINTED_ENTROPY = {  # QuaSID Tables 2 and 3: without HaMR, with HaMR
    "beauty": {
        "rq_vae": (9.3075, 9.3971),
        "improved_vqgan": (9.3569, 9.3974),
        "grvq": (9.2755, 9.3986),
        "rq_opq": (9.3368, 9.3973),
        "rq_vae_rotation": (9.3455, 9.3939),
        "sim_rq": (9.3526, 9.3977),
        "rq_kmeans_aligned": (9.3793, None),
        "quasid": (9.3901, None),
    },
    "toys": {
        "rq_vae": (9.3068, 9.3795),
        "improved_vqgan": (9.3313, 9.3797),
        "grvq": (9.2101, 9.3808),
        "rq_opq": (9.3521, 9.3798),
        "rq_vae_rotation": (9.3290, 9.3765),
        "sim_rq": (9.3688, 9.3793),
        "rq_kmeans_aligned": (9.3460, None),
        "quasid": (9.3794, None),
    },
}

INTRODUCTION = """\
# Results: every tokenizer on real catalogues

Written by `python benchmarks/quality.py --data FOLDER`; do not edit. Each figure is the mean over
the seeds named in its row, ± the sample standard deviation. All items are fitted and encoded (none
is withheld), sizes are 3 x 256, vectors are MiniLM (384 dimensions), one thread a run, defaults of
this project unless the name says otherwise. Rows with all settings, digests and further figures:
[results/quality.jsonl](results/quality.jsonl).

- **Entropy** of the code compositions before any resolution, in nats; the most possible is ln N.
- **Collision rate**: 1 - distinct codes / items. **N_eff**: exp(entropy) as a share of the items.
- **Perplexity** of levels 1, 2, 3, of 256. **MSE** is relative: 1 is what the mean vector costs.
- **Cosine** between vector and reconstruction. **CPU s** of the fit, while another run went on.
- `X+hamr` is `X` with HaMR at the weight of `quasid` (`rq_opq+hamr` is `rq_opq_mlp` with it). Like
  `quasid` it holds out 1 % of the items to look at; the others 5 %, to judge checkpoints by.
- `letter` aligns with 32 singular vectors of the training events (users by items, both sides
  normalised), `opq_32` has 32 blocks of 256 codes, of which the first three perplexities are shown.
- *Controls* are in italics. `category` gets its counter from resolution, after what is measured
  here: its collisions are the size of its categories.

No single column says which tokenizer recommends best: fewer collisions are not better neighbours.
"""


CAUTION = """\
DRQ compares at 3 x 4,096 on 15 million videos; this is 3 x 256 on 12,000 products. `rq_kmeans`
works on the vectors themselves (384 dimensions), the others in a latent of 32: overlap at noise
given per dimension falls with dimensions, and so does the share of one direction. Where it leads,
the leader of those with an encoder is named too.

"""


def write_page(rows: Iterable[Row], level_rows: Iterable[Row], path: Path) -> None:
    """Write the page of all `rows`, and of those of `levels.py`, to `path`."""
    grouped: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["name"] in RUNS:
            grouped[row["catalogue"]][row["name"]].append(row)
    shown = [row for runs in grouped.values() for own in runs.values() for row in own]
    parts = [INTRODUCTION + older_rows(shown)]
    for catalogue, runs in sorted(grouped.items()):
        num_items = next(iter(runs.values()))[0]["metrics"]["num_items"]
        floor = next(iter(runs.values()))[0]["metrics"]["duplicate_floor"]
        parts.append(
            f"\n## {catalogue.capitalize()}: {num_items:,.0f} items, ln N = "
            f"{math.log(num_items):.4f}, duplicates force a collision rate of {floor:.4f}\n"
        )
        parts.append(_main_table(runs))
        parts.append(f"\n### Repulsion: `+ HaMR` on {catalogue.capitalize()}\n")
        parts.append(_hamr_table(runs, PRINTED_ENTROPY.get(catalogue, {})))
        parts.append(f"\n### Which findings of the papers hold on {catalogue.capitalize()}\n")
        parts.append(_findings(runs, PRINTED_ENTROPY.get(catalogue, {})))
    parts.append(levels_part(shown, level_rows))
    path.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


def _main_table(runs: dict[str, list[Row]]) -> str:
    head = (
        "| tokenizer | seeds | entropy | collision rate | N_eff | perplexity 1 / 2 / 3 | "
        "rel. MSE | cosine | CPU s |\n|---|---|---|---|---|---|---|---|---|"
    )
    lines = [head]
    for name in RUNS:
        rows = runs.get(name, [])
        if not rows:
            lines.append(f"| {name} | not run | | | | | | | |")
            continue
        seeds = ",".join(str(row["seed"]) for row in rows)
        perplexity = " / ".join(f"{_mean(rows, f'perplexity_{level}'):.0f}" for level in (1, 2, 3))
        label = f"*{name}*" if name in CONTROLS else name
        lines.append(
            f"| {label} | {seeds} | {_spread(rows, 'composition_entropy', 4)} | "
            f"{_spread(rows, 'collision_rate', 4)} | {_mean(rows, 'n_eff_share'):.1%} | "
            f"{perplexity} | {_spread(rows, 'relative_mse', 3)} | "
            f"{_mean(rows, 'reconstruction_cosine'):.3f} | "
            f"{statistics.fmean(row['cpu_s'] for row in rows):.0f} |"
        )
    return "\n".join(lines) + "\n"


def _hamr_table(runs: dict[str, list[Row]], printed: dict[str, tuple[float, float | None]]) -> str:
    lines = [
        "| tokenizer | entropy | + HaMR | change | rel. MSE | + HaMR | the paper's entropies |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in BASELINES:
        plain, repelled = _plain(runs, name), runs.get(f"{name}+hamr", [])
        if not plain or not repelled:
            lines.append(f"| {name} | not run | | | | | |")
            continue
        gain = _mean(repelled, "composition_entropy") - _mean(plain, "composition_entropy")
        before, after = printed.get(name, (math.nan, None))
        lines.append(
            f"| {name} | {_spread(plain, 'composition_entropy', 4)} | "
            f"{_spread(repelled, 'composition_entropy', 4)} | {gain:+.4f} | "
            f"{_mean(plain, 'relative_mse'):.3f} | {_mean(repelled, 'relative_mse'):.3f} | "
            f"{before:.4f}, {after:.4f} |"
        )
    return "\n".join(lines) + "\n"


def _plain(runs: dict[str, list[Row]], name: str) -> list[Row]:
    """The rows that `+hamr` of `name` is compared with: the same encoder, without the loss."""
    return runs.get(f"{name}_mlp", runs.get(name, []))


def _findings(runs: dict[str, list[Row]], printed: dict[str, tuple[float, float | None]]) -> str:
    drq = [name for name in DRQ if runs.get(name)]
    said = [
        *(
            _extreme(
                runs, drq, "rqp_vae", f"effective_codebook_size_{level}", max,
                f"DRQ Table 2: RQP-VAE has the largest effective codebook size at level {level}",
            )
            for level in (1, 2, 3)
        ),
        _extreme(runs, drq, "drq_vae", "relative_mse", min,
                 "DRQ section 5.5: DRQ-VAE reconstructs best"),
        _extreme(runs, drq, "drq_vae_cl", "participation_ratio_quantized", max,
                 "DRQ Table 1: DRQ-VAE+CL has the highest participation ratio"),
        _extreme(runs, drq, "drq_vae_cl", "perplexity_3", min,
                 "DRQ Table 3: DRQ-VAE+CL has the worst utilization at the deepest level"),
        _extreme(runs, [name for name in printed if runs.get(name)], "quasid",
                 "composition_entropy", max,
                 "QuaSID Table 2: QuaSID has the highest entropy of the tokenizers compared"),
        *_reached(runs, printed),
    ]  # fmt: skip
    return CAUTION + "\n".join(f"- {line}" for line in said if line) + "\n"


def _extreme(
    runs: dict[str, list[Row]],
    names: Sequence[str],
    claimed: str,
    metric: str,
    best: Callable[..., Any],
    claim: str,
) -> str:
    if claimed not in names:
        return f"{claim}: not examined, {claimed} was not run."
    values = {name: _mean(runs[name], metric) for name in names}
    found = best(values, key=values.__getitem__)
    verdict = "**holds**" if found == claimed else f"**does not hold**: it is {found}"
    if found == "rq_kmeans":
        encoded = {name: value for name, value in values.items() if name != found}
        verdict += f", and with an encoder {best(encoded, key=encoded.__getitem__)}"
    listed = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return f"{claim}: {verdict} ({metric}: {listed})."


def _reached(
    runs: dict[str, list[Row]], printed: dict[str, tuple[float, float | None]]
) -> list[str]:
    rows = runs.get("quasid", [])
    if not rows or "quasid" not in printed:
        return []
    values = [row["metrics"]["composition_entropy"] for row in rows]
    wanted = printed["quasid"][0]
    verdict = "**reached** by every seed" if min(values) >= wanted else "**not reached**"
    if min(values) < wanted <= statistics.fmean(values):
        verdict = "**reached** in the mean, not by every seed"
    listed = ", ".join(f"{value:.4f}" for value in values)
    return [f"The paper's own entropy of QuaSID, {wanted}: {verdict} ({listed})."]


def _mean(rows: Sequence[Row], metric: str) -> float:
    return statistics.fmean(row["metrics"].get(metric, math.nan) for row in rows)


def _spread(rows: Sequence[Row], metric: str, digits: int) -> str:
    values = [row["metrics"].get(metric, math.nan) for row in rows]
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"
