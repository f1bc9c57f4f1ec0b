"""docs/RANKING.md from its rows: six representations side by side, and what holds of the papers."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sidmint.evaluation import SEGMENTS
from sidmint.ranking import AGES

Row = Mapping[str, Any]

_INTRODUCTION = """# How an id serves a ranking model

One click model, one budget of parameters, six ways to show it an item. Written by

    make ranking               # python benchmarks/ranking_probe.py; goes on where it stopped

from the lines of docs/results/ranking.jsonl, each of which holds its settings, seed and seconds.
`sidmint rank-probe --tokenizer NAME` asks the same of a table of yours.

**The model.** log-odds = b + b_i + u.v_i / sqrt(w) + a perceptron on (u, v_i, u * v_i); u is the
mean of v over the user's last items. v is, by representation: `hashed_id` a row an item, shared
by chance where items outnumber rows; `level_sum` a row a level and code, summed; `prefix_ngrams`
a row a prefix, summed (Meta, arXiv 2504.02137); `subwords` a row a piece of code, pieces learned
by BPE from the clicks before the cut (YouTube, arXiv 2306.08121, uses SentencePiece);
`content_vector` the vector itself, through a hidden layer; `id_and_semantic_id` half the rows for
ids, half for prefixes.

**The budget** is the same for all: a representation with few rows has wider ones, a content
vector a wider hidden layer. "Items a row" says how many items share a row of `hashed_id`.

**The question.** The newest 20 % of events are the test; a history holds earlier clicks only,
none of the same day; four negatives a click, drawn evenly from the items known on that day that
the user never clicks. *Unseen* items have no click before the cut, *new* ones the first in the
last tenth of the time before it. An AUC inside a group compares clicks with negatives of that
group. NE is normalised entropy: log-loss over the entropy of the group's own rate of clicks,
lower is better. Among unseen items it can lie above 1 for everyone: negatives are drawn by item,
so where unseen items are few and in demand their rate of clicks is far above the one in five that
a model has learned. Compare NE within a column only.

An AUC compares users as well as items. Users who click unseen items have more unseen items in
their history than others; where these are rows that nobody has trained, as with `hashed_id` at a
row an item, such users are scored lower altogether, and the AUC among unseen items falls below the
half that an id which knows nothing would deserve. "Same click" compares a click with its own
negatives alone; among unseen items such pairs are few.

The mean over seeds, and half the range. A seed draws the negatives, the start, the order, the
hash and the tokenizer's start; the users and their clicks are the same.
"""

_LINE = 98
_GROUPS = (*AGES, *SEGMENTS[:-1])


def write_page(rows: Sequence[Row], path: Path) -> None:
    """Write the page; a section a catalogue, tokenizer and budget."""
    sections: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        sections[row["catalogue"], row["tokenizer"], -row["items_a_row"]].append(row)
    parts = [_INTRODUCTION]
    for (catalogue, tokenizer, items_a_row), members in sorted(sections.items()):
        parts.append(_section(f"{catalogue.capitalize()}, {tokenizer}", -items_a_row, members))
    path.write_text("\n".join(parts), encoding="utf-8")


def _section(title: str, items_a_row: float, rows: Sequence[Row]) -> str:
    by_name = _by_name(rows)
    return "\n".join(
        [
            f"## {title}: {_budget(items_a_row)}\n",
            _facts(rows),
            *_table("AUC", "auc", by_name),
            "",
            *_table("AUC, same click", "same_click", by_name),
            "",
            *_table("NE", "normalised_entropy", by_name),
            "",
            *_copies(by_name),
            "",
            *_claims(by_name),
        ]
    )


def _budget(items_a_row: float) -> str:
    return "a row an item" if items_a_row == 1 else f"{items_a_row:g} items a row"


def _facts(rows: Sequence[Row]) -> str:
    facts, settings = rows[0]["facts"], rows[0]["settings"]
    seeds = sorted({row["seed"] for row in rows})
    seconds = [
        max(row["world_cpu_s"] for row in rows if row["seed"] == seed)
        + sum(row["cpu_s"] for row in rows if row["seed"] == seed)
        for seed in seeds
    ]
    clicks = settings["clicks"]
    text = (
        f"Seeds {', '.join(map(str, seeds))}; at most {facts['num_parameters']:,} parameters; "
        f"{facts['num_train_clicks']:,} clicks to learn from, {facts['num_test_clicks']:,} to be "
        f"asked, {facts['num_unseen_items']:,} unseen items; {clicks['epochs']} epochs in batches "
        f"of {clicks['batch_size']:,}, rates {clicks['learning_rate']:g} (rows) and "
        f"{clicks['dense_learning_rate']:g}, decay {clicks['weight_decay']:g}, histories of "
        f"{clicks['history']}. All together took {np.mean(seconds):.0f} s of one CPU thread a seed."
    )
    return textwrap.fill(text, _LINE) + "\n"


def _by_name(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Rows of one representation by seed, the best AUC first."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["seed"]):
        groups[row["representation"]].append(row)
    best = _figure("auc", None)
    return sorted(groups.items(), key=lambda group: -np.mean([best(row) for row in group[1]]))


def _figure(name: str, group: str | None) -> Callable[[Row], float]:
    def of(row: Row) -> float:
        score = row["score"]
        if name == "same_click":
            return float(score[name][group or "all"])
        if group is None:
            return float(score["overall"][name])
        kind = "by_age" if group in AGES else "by_frequency"
        return float(score[kind][group][name])

    return of


def _table(title: str, name: str, by_name: list[tuple[str, list[Row]]]) -> list[str]:
    heads = [title, "parameters", "width", "all", *_GROUPS, "CPU s"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    figures = [_figure(name, group) for group in (None, *_GROUPS)]
    for representation, rows in by_name:
        score = rows[0]["score"]
        cells = [
            representation,
            f"{score['num_parameters']:,}",
            str(score["width"]),
            *(_spread([figure(row) for row in rows]) for figure in figures),
            f"{np.mean([row['cpu_s'] for row in rows]):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _copies(by_name: list[tuple[str, list[Row]]]) -> list[str]:
    facts = [row["facts"] for _, rows in by_name for row in rows]
    if not facts[0]["num_copies"]:
        return ["No two items of the catalogue are copies of each other."]
    shared = np.mean([one["copies_of_one_code"] for one in facts])
    text = (
        f"Copies: {facts[0]['num_copies']:,} pairs of items with equal vectors, or nearest at a "
        f"cosine of .95 or more, {shared:.0%} of them of one code. How far apart models put them:"
    )
    return [
        textwrap.fill(text, _LINE),
        "",
        "| mean abs(p(i) - p(j)) | j a copy of i | j a random item | ratio |",
        "|---|---|---|---|",
        *(
            f"| {name} | {_spread([row['score']['copy_gap'] for row in rows])} | "
            f"{_spread([row['score']['stranger_gap'] for row in rows])} | "
            f"{np.mean([r['score']['copy_gap'] / r['score']['stranger_gap'] for r in rows]):.2f} |"
            for name, rows in by_name
        ),
    ]


def _spread(values: Sequence[float]) -> str:
    half = (max(values) - min(values)) / 2
    return f"{np.mean(values):.4f}" + (f" ± {half:.4f}" if len(values) > 1 else "")


@dataclass(frozen=True)
class _Claim:
    """`better` is above `worse` in a figure, says a paper; `sign` is -1 where lower is better."""

    words: str
    better: str
    worse: str
    figure: Callable[[Row], float]
    sign: int = 1


def _copy_ratio(row: Row) -> float:
    return float(row["score"]["copy_gap"] / row["score"]["stranger_gap"])


def _tail_less_head(row: Row) -> float:
    return _figure("auc", "tail")(row) - _figure("auc", "head")(row)


_CLAIMS = (
    _Claim(
        "YouTube: pieces of code serve unseen items better than hashed ids (AUC, unseen)",
        "subwords",
        "hashed_id",
        _figure("auc", "unseen"),
    ),
    _Claim(
        "YouTube: and cost nothing over all items (AUC)",
        "subwords",
        "hashed_id",
        _figure("auc", None),
    ),
    _Claim(
        "YouTube: content vectors in the place of ids remember less (AUC, head)",
        "hashed_id",
        "content_vector",
        _figure("auc", "head"),
    ),
    _Claim(
        "YouTube: learned pieces are better than fixed ones (AUC; prefixes stand for its n-grams)",
        "subwords",
        "prefix_ngrams",
        _figure("auc", None),
    ),
    _Claim(
        "Meta: prefixes lower the normalised entropy of hashed ids",
        "prefix_ngrams",
        "hashed_id",
        _figure("normalised_entropy", None),
        -1,
    ),
    _Claim(
        "Meta: prefixes are better than codes without their prefix (NE)",
        "prefix_ngrams",
        "level_sum",
        _figure("normalised_entropy", None),
        -1,
    ),
    _Claim(
        "Meta: tail items gain more by it than head items (AUC of tail less head)",
        "prefix_ngrams",
        "hashed_id",
        _tail_less_head,
    ),
    _Claim(
        "Meta: copies of an item are predicted more alike (gap of copies over gap of strangers)",
        "prefix_ngrams",
        "hashed_id",
        _copy_ratio,
        -1,
    ),
    _Claim(
        "Practice: an id beside the Semantic ID helps items that have clicks (AUC, head)",
        "id_and_semantic_id",
        "prefix_ngrams",
        _figure("auc", "head"),
    ),
)


def _claims(by_name: list[tuple[str, list[Row]]]) -> list[str]:
    """What the papers say, and whether the rows say it in every seed."""
    found = dict(by_name)
    lines = [
        "What holds in every seed of what the papers and practice say, and the mean difference,",
        "above 0 where it is as they say:",
        "",
    ]
    for claim in _CLAIMS:
        if claim.better not in found or claim.worse not in found:
            continue
        pairs = zip(found[claim.better], found[claim.worse], strict=True)
        gains = [claim.sign * (claim.figure(one) - claim.figure(other)) for one, other in pairs]
        word = "holds" if min(gains) > 0 else "does not hold" if max(gains) < 0 else "seeds differ"
        text = f"- {claim.words}: **{word}** ({np.mean(gains):+.4f})."
        lines.append(textwrap.fill(text, _LINE, subsequent_indent="  "))
    return [*lines, ""]
