"""What must be true of a catalogue before anything is built on it, asked of Great Expectations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.adapters.gx_gate import judge
from sidmint.adapters.gx_suites import Answer, Claim, ask
from sidmint.catalogue import SortedSequences, sorted_sequence_share
from sidmint.catalogue.id_rows import IdRows
from sidmint.contracts import Interactions, Items
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import with_whole_keys
from sidmint.gate.rules import Rule

SPLITS = ("train", "validation", "test", "cold")

MAX_SORTED_SHARE = 0.5
"""Five events fall in the order of their item ids by chance in one user of 120."""

_SORTED = "item_sorted_user_share"
_USER, _POSITION = Interactions.USER_ID, Interactions.POSITION


@dataclass(frozen=True)
class _RowCheck:
    """A claim on every row of a table, and the words for it."""

    claim: Claim
    holds: str
    fails: str
    """Said of the rows against it: "3 of 100 rows of items ..."."""
    against: pl.Expr
    """Whether a row is against it, in a table in the order of its key."""


def check_catalogue(
    items: pl.DataFrame | Shards,
    interactions: pl.DataFrame | Shards,
    *,
    expected_items: int | None = None,
    expected_interactions: int | None = None,
    has_log: bool = True,
    docs: Path | None = None,
) -> list[dict[str, Any]]:
    """One row a check: its `name`, `severity`, whether it `passed`, and the `reason`.

    Every check is critical: ids, titles and positions present, keys unique, splits known,
    events on known items only, counts as expected, sequences in order of time rather than
    of item id. Only the columns that are asked about leave Polars; of tables in parts they are
    counted part by part, and Great Expectations judges the counts. Without a log (`has_log`)
    interactions are asked for nothing but an expected count.
    """
    rows = _check_table("items", items, _item_checks(), docs)
    if has_log:
        rows += _check_table("interactions", interactions, _interaction_checks(), docs)
    facts = _facts(items, interactions)
    rules = _fact_rules(expected_items, expected_interactions, has_log)
    for result in judge(rules, facts, docs, "catalogue_facts"):
        rows.append(_row(result.name, result.passed, result.reason))
    return rows


def _item_checks() -> list[_RowCheck]:
    return [
        _present(Items.ITEM_ID),
        _unique(Items.ITEM_ID),
        _present(Items.TITLE),
        _RowCheck(
            Claim(
                "title_not_empty",
                "ExpectColumnValuesToMatchRegex",
                {"column": Items.TITLE, "regex": r"\S"},
            ),
            "every title has text",
            "have a title without text",
            ~pl.col(Items.TITLE).str.contains(r"\S"),
        ),
    ]


def _interaction_checks() -> list[_RowCheck]:
    columns = (_USER, Interactions.ITEM_ID, _POSITION, Interactions.SPLIT)
    return [
        *(_present(column) for column in columns),
        _RowCheck(
            Claim(
                "user_position_unique",
                "ExpectCompoundColumnsToBeUnique",
                {"column_list": [_USER, _POSITION]},
            ),
            "no two events of a user share a position",
            "share user_id and position with another row",
            (pl.col(_USER) == pl.col(_USER).shift())
            & (pl.col(_POSITION) <= pl.col(_POSITION).shift()),
        ),
        _RowCheck(
            Claim(
                "split_known",
                "ExpectColumnValuesToBeInSet",
                {"column": Interactions.SPLIT, "value_set": list(SPLITS)},
            ),
            f"every split is one of {', '.join(SPLITS)}",
            f"have a split that is none of {', '.join(SPLITS)}",
            ~pl.col(Interactions.SPLIT).is_in(SPLITS),
        ),
    ]


def _present(column: str) -> _RowCheck:
    claim = Claim(f"{column}_present", "ExpectColumnValuesToNotBeNull", {"column": column})
    absent = pl.col(column).is_null()
    return _RowCheck(claim, f"every row has {column}", f"lack {column}", absent)


def _unique(column: str) -> _RowCheck:
    claim = Claim(f"{column}_unique", "ExpectColumnValuesToBeUnique", {"column": column})
    holds, fails = f"no two rows share {column}", f"share {column} with another row"
    return _RowCheck(claim, holds, fails, pl.col(column) <= pl.col(column).shift())


def _check_table(
    table: str,
    rows: pl.DataFrame | Shards,
    checks: Sequence[_RowCheck],
    docs: Path | None,
) -> list[dict[str, Any]]:
    if isinstance(rows, Shards):
        return _check_counts(table, rows, checks, docs)
    return _check_rows(table, rows, checks, docs)


def _check_counts(
    table: str, shards: Shards, checks: Sequence[_RowCheck], docs: Path | None
) -> list[dict[str, Any]]:
    """The same checks of a table in parts, by how many rows are against each."""
    counts = dict.fromkeys((check.claim.name for check in checks), 0)
    columns = dict.fromkeys(column for check in checks for column in _columns(check.claim))
    last = pl.DataFrame()
    for part in shards.frames(list(columns)):
        rows = pl.concat([last, part]) if last.width else part
        for check in checks:
            against = rows.select(check.against).to_series()[last.height :]
            counts[check.claim.name] += int(against.sum())
        last = part.tail(1)
    rules = [Rule(name, name, "critical", high=0) for name in counts]
    results = {result.name: result for result in judge(rules, counts, docs, f"counts_of_{table}")}
    found = []
    for check in checks:
        name, passed = check.claim.name, results[check.claim.name].passed
        text = f"{counts[name]} of {shards.num_rows} rows of {table} {check.fails}"
        found.append(_row(f"{table}_{name}", passed, check.holds if passed else text))
    return found


def _check_rows(
    table: str, frame: pl.DataFrame, checks: Sequence[_RowCheck], docs: Path | None
) -> list[dict[str, Any]]:
    wanted = dict.fromkeys(column for check in checks for column in _columns(check.claim))
    handed_over = frame.select([column for column in wanted if column in frame.columns])
    claims = [check.claim for check in checks]
    answers = ask(f"catalogue_{table}", handed_over.to_pandas(), claims, docs)
    rows = []
    for check in checks:
        answer = answers[check.claim.name]
        missing = [column for column in _columns(check.claim) if column not in frame.columns]
        text = check.holds if answer.holds else _against(check, answer, table, frame.height)
        if missing:
            text = f"{table} has no column {' and no column '.join(missing)}"
        rows.append(_row(f"{table}_{check.claim.name}", answer.holds, text))
    return rows


def _columns(claim: Claim) -> list[str]:
    listed: list[str] | None = claim.arguments.get("column_list")
    return listed or [claim.arguments["column"]]


def _against(check: _RowCheck, answer: Answer, table: str, num_rows: int) -> str:
    if answer.num_unexpected is None:
        return f"Great Expectations could not check {', '.join(_columns(check.claim))} of {table}"
    text = f"{answer.num_unexpected} of {num_rows} rows of {table} {check.fails}"
    # A missing value is no example of itself: None, or NaN, which differs from itself.
    examples = [value for value in answer.examples if value is not None and value == value]
    return f"{text}, for example {examples[0]!r}" if examples else text


def _facts(
    items: pl.DataFrame | Shards, interactions: pl.DataFrame | Shards
) -> dict[str, float | None]:
    """Numbers about both tables together; one that their columns do not allow is left out."""
    if isinstance(items, Shards):
        return _facts_of_parts(items, interactions)
    if isinstance(interactions, Shards):
        raise TypeError("interactions in parts of items that are not")
    facts: dict[str, float | None] = {
        "num_items": items.height,
        "num_interactions": interactions.height,
    }
    item = Interactions.ITEM_ID
    if Items.ITEM_ID in items.columns and item in interactions.columns:
        known = items.select(pl.col(Items.ITEM_ID).alias(item))
        facts["num_orphan_interactions"] = (
            interactions.select(item).join(known, on=item, how="anti").height
        )
    if {_USER, item, _POSITION} <= set(interactions.columns):
        events = interactions.select(_USER, _POSITION, pl.col(item).cast(pl.String)).drop_nulls()
        facts[_SORTED] = sorted_sequence_share(events.sort(_USER, _POSITION))
    return facts


def _facts_of_parts(items: Shards, interactions: pl.DataFrame | Shards) -> dict[str, float | None]:
    """The same numbers, a part at a time; interactions that are no parts are none at all."""
    if not isinstance(interactions, Shards):
        return {"num_items": items.num_rows, "num_interactions": interactions.height}
    item, in_order, num_orphans = Interactions.ITEM_ID, SortedSequences(), 0
    known = IdRows(items.scan().select(Items.ITEM_ID).collect().to_series())
    for events in with_whole_keys(interactions.frames([_USER, item]), _USER):
        in_order.add(events)
        num_orphans += int((known.of(events[item]) < 0).sum())
    return {
        "num_items": items.num_rows,
        "num_interactions": interactions.num_rows,
        "num_orphan_interactions": num_orphans,
        _SORTED: in_order.share,
    }


def _fact_rules(
    expected_items: int | None, expected_interactions: int | None, has_log: bool
) -> list[Rule]:
    if not has_log:
        asked = [] if expected_interactions is None else [expected_interactions]
        counts = [_count("num_interactions", expected) for expected in asked]
        return [_count("num_items", expected_items), *counts]
    return [
        _count("num_items", expected_items),
        _count("num_interactions", expected_interactions),
        Rule("num_orphan_interactions", "num_orphan_interactions", "critical", high=0),
        Rule(_SORTED, _SORTED, "critical", high=MAX_SORTED_SHARE),
    ]


def _count(name: str, expected: int | None) -> Rule:
    """Exactly as many as expected, or at least one."""
    return Rule(name, name, "critical", low=1 if expected is None else expected, high=expected)


def _row(name: str, passed: bool, reason: str) -> dict[str, Any]:
    return {"name": name, "severity": "critical", "passed": passed, "reason": reason}
