"""A table made elsewhere, read, measured and judged: one value with everything there is to say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sidmint.disk import digest
from sidmint.gate.rules import Rule, rules_for
from sidmint.gate.verdict import Verdict, result_of
from sidmint.inspection.buckets import worst_buckets
from sidmint.inspection.figures import Figures
from sidmint.inspection.files import read_table
from sidmint.inspection.layout import CodeTable, lay_out
from sidmint.inspection.measures import measure
from sidmint.inspection.unmeasured import why_unmeasured
from sidmint.inspection.vectors import read_vectors
from sidmint.outside import from_outside
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.seeds import seed_for

IMPLIED = (
    "reconstruction, overlap, effective codebook size, hr_at, retention and auc_embedding use "
    "implied codebooks: the codeword of a code is the mean of what earlier levels left of its "
    "items' vectors; the best that these codes can do in this space, level by level, and not "
    "what the other system's own codebooks do"
)
NO_PAIRS = (
    "conflict_rate counts no pair as seen together: without --interactions only duplicates and "
    "near-duplicates are benign"
)
_SHARE_OF_A_BOOK = re.compile(r"(?:perplexity_share|dead_codes|dead_code_share|gini)_\d+")


@dataclass(frozen=True)
class Inspection:
    """The verdict, what it rests on, and how the files were understood.

    `levels` has one row a level; `buckets` one row an item of the worst ones, if asked for;
    `not_applied` has the reason for each rule that was not, by name; `read` are sentences.
    """

    table: CodeTable
    metrics: Mapping[str, float]
    levels: pl.DataFrame
    buckets: pl.DataFrame | None
    verdict: Verdict
    not_applied: Mapping[str, str]
    read: tuple[str, ...]


def inspect_table(
    path: Path,
    params: Params,
    *,
    vectors_path: Path | None = None,
    interactions_path: Path | None = None,
    sizes: Sequence[int] | None = None,
    suffix: bool | None = None,
    num_buckets: int = 0,
    track: Track = silent,
) -> Inspection:
    """`Inspection` of the table in `path`, judged by `params.gate`.

    `vectors_path` and `interactions_path` allow more figures; `sizes` and `suffix` force how the
    table is read (`layout.lay_out`). Rules relative to a champion are not applied: it is a
    table of another catalogue for all that is known. Raises `BadInput` naming file, row or key.
    """
    with from_outside(str(path)):
        table = lay_out(read_table(path), sizes, suffix)
    read = list(table.notes)
    vectors, behaviour = None, None
    if vectors_path is not None:
        with from_outside(str(vectors_path)):
            vectors, words = read_vectors(vectors_path, table.item_ids)
        read += [words, IMPLIED]
    if interactions_path is not None:
        from sidmint.inspection.behaviour import read_behaviour

        seed = seed_for(params.seed, "pairs", "users read")
        with from_outside(str(interactions_path)):
            behaviour = read_behaviour(
                interactions_path, table.item_ids, table.name, params.pairs, seed, track
            )
        read.append(behaviour.words)
    if vectors is not None and behaviour is None:
        read.append(NO_PAIRS)
    figures = measure(table, vectors, behaviour, params, track)
    read += figures.notes
    rules, reasons = _applicable(table, figures, params, vectors is not None, behaviour is not None)
    verdict = Verdict(
        tokenizer=path.name,
        champion=None,
        thresholds_sha256=params.gate.digest(),
        table_sha256=digest(path),
        rules=tuple(
            result_of(rule, figures.metrics, rule.holds(figures.metrics)) for rule in rules
        ),
        not_applied=tuple(f"{name}: {reason}" for name, reason in reasons.items()),
    )
    return Inspection(
        table=table,
        metrics=figures.metrics,
        levels=figures.levels_table(),
        buckets=worst_buckets(table, figures.qualified, num_buckets) if num_buckets else None,
        verdict=verdict,
        not_applied=reasons,
        read=tuple(read),
    )


def _applicable(
    table: CodeTable,
    figures: Figures,
    params: Params,
    has_vectors: bool,
    has_log: bool,
) -> tuple[list[Rule], dict[str, str]]:
    """Rules that can be applied, and the reason for each other one, by name.

    Where sizes are only seen, a share of a codebook is the best it can be: a rule that fails on
    it fails for certain and is applied; one that holds says nothing and is not.
    """
    num_levels = table.codes.num_levels
    applied: list[Rule] = []
    reasons: dict[str, str] = {}
    for rule in rules_for(params.gate, num_levels, champion=None):
        if rule.metric not in figures.metrics:
            reasons[rule.name] = why_unmeasured(
                rule.metric, figures.unmeasured, has_vectors, has_log, num_levels
            )
        elif _is_only_seen(rule, table) and rule.holds(figures.metrics):
            reasons[rule.name] = "holds for the sizes that can be seen; --sizes makes it certain"
        else:
            applied.append(rule)
    budget = ["churn"] if params.gate.churn else []
    for name in sorted([*params.gate.champion, *budget]):
        reasons[f"champion.{name}"] = "a table made elsewhere is not compared with a champion"
    return applied, reasons


def _is_only_seen(rule: Rule, table: CodeTable) -> bool:
    return table.sizes_from == "seen" and _SHARE_OF_A_BOOK.fullmatch(rule.metric) is not None
