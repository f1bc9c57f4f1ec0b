"""docs/PAPER_DRQ.md from the rows of docs/results/paper_drq.jsonl, and from nothing else."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from drq_findings import Figures, Finding, findings
from drq_printed import LABELS
from drq_tables import (
    IN_WORDS,
    NAMES,
    SPACES,
    TABLE_1,
    TABLE_2,
    TABLE_4,
    TABLE_5,
    Row,
    label,
    laid_out,
    samples,
    tabled,
    unquantized_tabled,
    utilization_tabled,
)
from older_rows import older_rows

INDUSTRIAL = "industrial"
YES_NO = {True: "yes", False: "no", None: "-"}

INTRODUCTION = """\
# DRQ's Tables 1-5, the paper's figures beside ours

Written by `make paper-drq`; do not edit. Rows with all settings and further figures:
[results/paper_drq.jsonl](results/paper_drq.jsonl).

**A catalogue or a tokenizer that is not below has not been run yet**; the command goes on where it
stopped.

DRQ (arXiv 2606.01844) compares five tokenizers on short videos of a platform, 15 million of them,
and prints figures of 500,000 (its collision rates say so). That catalogue is not public, so what
can be repeated is not its figures but the comparison: the same five, the same sizes, the same
measures, on a **synthetic** catalogue of as many items whose raw vectors have the geometry of the
paper's (`benchmarks/drq_world.py`), and on two public ones of 12,000 products at 3 x 256. A cell is
**ours (the paper's)**. On the public catalogues the paper's figure stands there for orientation
alone: its codebooks are 16 times as large.

What the paper leaves open, and how it is read here:

- **MSE** is the squared error of unit vectors, summed over dimensions. Section 5.5 prints MSE
  0.000432 and cosine 0.999784 for one tokenizer, and 2 (1 - 0.999784) = 0.000432.
- **Latents are wide**: an effective rank of 189.54 (Table 1) needs more than 189 dimensions. Every
  encoder here has a latent of 256 and one hidden layer of 512.
- **Table 1 is of latents**, before they are quantized. The text says so, and RQ-KMeans, whose
  latent is its input, has its participation ratio and effective rank within a fifth of a percent.
  Quantized latents are in a table of their own.
- **Mean abs cosine** is of dimensions as they are, not centred. For dimensions of equal variance
  the participation ratio is at most 1 / (mean abs cosine of centred dimensions)^2: 4.7 for the
  0.4622 of DRQ-VAE+CL, which has 149.19.
- **Noise** has the variance kappa times that of the latent, a dimension. The kappa of Table 2 is
  lost in print; ours is 1, and rows hold 0.1, 0.25, 0.5 and 2 too.
- **Retention** is of vectors reconstructed from codes. DRQ-VAE's 0.9999 and its cosine 0.999784
  look like those of vectors decoded from latents that were **never quantized**, which ours have
  below Table 4. From codes they are hard to see: more than 7 % of the paper's items share a code
  with another, and so one reconstruction.
- **Weighted match** counts 2^-(l-1) for level l of the common prefix. Negatives: one random item a
  case, the same for every tokenizer. Test cases: a user's newest event, asked for by the one
  before.
- **Pairs** for DRQ-VAE+CL come from all events before the newest: neighbours in a sequence in the
  synthetic world, Swing on the public catalogues. The weight (0.1) and the temperature (0.1) of
  its contrastive loss are defaults of this project; the paper's are not in print.
- **Training** takes as many steps for every encoder (`benchmarks/drq_runs.py`), far fewer than a
  platform would. On the public catalogues it stops early where held-out items gain nothing for a
  quarter of them; on the synthetic world it runs through, at a third of the default rate. RQ-VAE
  and RQP-VAE start from an encoder trained without quantizer and from k-means on its latents, as
  they do everywhere in this project.
  *Start untrained* is RQ-VAE from k-means on the latents of an untrained encoder, trained jointly
  from the first step. It takes no part in the findings.

A synthetic world, two small catalogues and few seeds (named with each section) say how the
comparison comes out there, not which tokenizer is best. In the tables of findings *named* is the
tokenizer that the paper names, *found* the one that leads here; where all have the same figure
(all codes active), nothing is decided.
"""


def page(rows: Iterable[Row]) -> str:
    """The whole page as Markdown, one section a catalogue, size and sizes."""
    shown = list(rows)
    sections: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in shown:
        is_public, sizes = row["catalogue"] != INDUSTRIAL, tuple(row["settings"]["sizes"])
        sections[is_public, row["catalogue"], row["num_items"], sizes].append(row)
    parts = [INTRODUCTION + older_rows(shown)]
    for (_, catalogue, num_items, sizes), found in sorted(sections.items()):
        parts.append(_section(catalogue, num_items, sizes, found))
    return "\n".join(parts).rstrip() + "\n"


def judged(rows: Sequence[Row], size: int) -> str:
    """Every finding, then figure by figure: what the paper names, what it is, on the means."""
    means = _means(rows)
    missing = [label(name) for name in LABELS if name not in means]
    if missing:
        return f"Not judged yet, not run: {', '.join(missing)}."
    by_seed = [
        _means([row for row in rows if row["seed"] == seed])
        for seed in sorted({row["seed"] for row in rows})
    ]
    whole = [each for each in by_seed if set(LABELS) <= set(each)]
    lines, held = [], 0
    for finding in findings(size):
        held += finding.holds(means) is True
        verdict = _verdict(finding, means, whole)
        for at, part in enumerate(finding.check(means)):
            first = ("", "", "") if at else (finding.claim, finding.source, verdict)
            lines.append([*first, part.said, YES_NO[part.holds], part.named, part.found])
    head = ["finding", "section", "holds", "figure", "holds", "named", "found"]
    count = f"{held} of {len(findings(size))} findings hold in every figure that decides something."
    return f"{count}\n\n{laid_out(head, lines)}"


def _section(catalogue: str, num_items: int, sizes: Sequence[int], rows: Sequence[Row]) -> str:
    ours = samples(rows)
    levels = " x ".join(f"{size:,}" for size in dict.fromkeys(sizes))
    title = "Industrial world (synthetic)" if catalogue == INDUSTRIAL else catalogue.capitalize()
    seeds = ", ".join(sorted({str(row["seed"]) for row in rows}))
    num_cases = rows[0]["metrics"]["num_cases"]
    parts = [
        f"\n## {title}: {num_items:,} items, {len(sizes)} x {levels}\n",
        f"Seed {seeds}; {num_cases:,.0f} test cases over all items.\n",
        _fits(rows),
        "\n### Table 1: geometry of latents (of 20,000 random items, or all)\n",
        tabled(TABLE_1, ours, with_input=True),
        "\nThe same of quantized latents (the paper's figures again):\n",
        tabled(TABLE_1, samples(rows, SPACES[1])),
        "\n### Table 2: overlap rate and effective codebook size, kappa = 1\n",
        tabled(TABLE_2, ours),
        "\n### Table 3: codebook utilization\n",
        utilization_tabled(ours),
        "\n### Table 4: retention\n",
        tabled(TABLE_4, ours),
        "\nOf vectors decoded from latents that were never quantized (the paper's once more):\n",
        unquantized_tabled(ours),
        "\n### Table 5: AUC\n",
        tabled(TABLE_5, ours),
        "\n### What section 5.5 prints in words\n",
        tabled(IN_WORDS, ours),
        "\n### Which findings hold\n",
        judged(rows, sizes[0]),
        "",
    ]
    return "\n".join(parts)


def _means(rows: Iterable[Row]) -> Figures:
    return {
        name: {figure: statistics.fmean(values) for figure, values in by_figure.items()}
        for name, by_figure in samples(rows).items()
    }


def _verdict(finding: Finding, means: Figures, seeds: Sequence[Figures]) -> str:
    parts = [part.holds for part in finding.check(means) if part.holds is not None]
    if not parts:
        return "not examined"
    said = f"{'**yes**' if all(parts) else 'no'}, {parts.count(True)} of {len(parts)}"
    if len(seeds) > 1:
        said += f" (in {sum(finding.holds(each) is True for each in seeds)} of {len(seeds)} seeds)"
    return said


def _fits(rows: Sequence[Row]) -> str:
    by_name = defaultdict(list)
    for row in rows:
        by_name[row["name"]].append(row)
    lines = []
    for name in sorted(by_name, key=NAMES.index):
        own = by_name[name]
        means = [statistics.fmean(row[key] for row in own) for key in ("cpu_s", "num_steps")]
        said = sorted({words for row in own for words in row["collapsed"]})
        lines.append([label(name), *(f"{mean:,.0f}" for mean in means), "; ".join(said) or "-"])
    return laid_out(["fit", "CPU seconds", "steps", "what it says of collapse"], lines)
