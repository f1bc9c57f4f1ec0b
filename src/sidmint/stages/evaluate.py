"""evaluate: item-to-item retrieval on held-out events, by vectors, by ids and by chance.

Reads ingest, embed, train and assign; writes hit_rates.parquet, cases.parquet (ranks case by
case, from which segments are made) and metrics.json. Without an interaction log nobody can be
asked: both tables are there without a row, there is no metric, and skipped.json says why.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import NO_LOG, Interactions, Items
from sidmint.evaluation import Cases, ItemToItem, held_out_cases, item_to_item, random_negatives
from sidmint.evaluation.protocol import joined
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.seeds import generator_for, seed_for
from sidmint.types import Outcome

RESULT_VERSION = 2


_SPACES = ("original", "reconstructed", "prefix")
_HIT_RATES = {"space": pl.String, "k": pl.Int32, "hit_rate": pl.Float64}
_CASES = {Interactions.USER_ID: pl.String, "query_row": pl.Int32, "target_row": pl.Int32} | {
    f"{space}_{side}": pl.Int32 for space in _SPACES for side in ("better", "tied")
}


def evaluate(
    params: Params, artifacts: Artifacts, tokenizer: str, track: Track = silent
) -> Outcome:
    """Hit rates, retention and AUCs of one tokenizer's published ids (DRQ 5.5).

    Cases are of items with events; each is searched among all items that have an id.
    """
    from sidmint.tokenizers import storage

    if not artifacts.has_log():
        return _skipped(artifacts, tokenizer)
    model = storage.load(artifacts.folder("train", tokenizer))
    vectors = artifacts.vectors()
    all_users, all_cases = test_cases(artifacts)
    user_ids, cases = _drawn(params, all_users, all_cases)
    negatives = random_negatives(
        cases,
        len(vectors),
        params.evaluate.negatives,
        generator_for(params.seed, "evaluate", "negatives"),
    )
    result = item_to_item(
        vectors,
        artifacts.codes("sids", tokenizer),
        model.reconstruct,
        cases,
        negatives,
        model.hierarchical,
        track,
    )
    metrics = _metrics(result, params.evaluate.cutoffs)
    with artifacts.writing("evaluate", tokenizer) as out:
        out.table("hit_rates", _hit_rates(result, params.evaluate.cutoffs))
        out.table("cases", _case_table(user_ids, cases, result))
        out.metrics(metrics)
    headline = _headline(tokenizer, metrics, params.evaluate.cutoffs)
    if len(cases) < len(all_cases):
        headline += f"; cases drawn from {len(all_cases):,}"
    return Outcome(headline, metrics)


def _skipped(artifacts: Artifacts, tokenizer: str) -> Outcome:
    with artifacts.writing("evaluate", tokenizer) as out:
        out.table("hit_rates", pl.DataFrame(schema=_HIT_RATES))
        out.table("cases", pl.DataFrame(schema=_CASES))
        out.json("skipped", {"reason": NO_LOG})
        out.metrics({})
    return Outcome(f"{tokenizer}: nothing is evaluated: {NO_LOG}")


def test_cases(artifacts: Artifacts) -> tuple[pl.Series, Cases]:
    """Test cases from the events that training was kept from (split "test" and "cold").

    With the id of each case's user.
    """
    rows = artifacts.items(Items.ITEM_ID).with_row_index("row")
    found, user_ids, num_users = list[Cases](), list[pl.Series](), 0
    for some in artifacts.events():
        events = some.join(rows, on=Interactions.ITEM_ID, how="left", maintain_order="left")
        ids = events[Interactions.USER_ID].unique().sort()
        cases = held_out_cases(
            users=events[Interactions.USER_ID].rank("dense").to_numpy().astype(np.int64) - 1,
            positions=events[Interactions.POSITION].to_numpy().astype(np.int64),
            items=events["row"].cast(pl.Int64).fill_null(-1).to_numpy(),
            held_out=events[Interactions.SPLIT].is_in(["test", "cold"]).to_numpy(),
        )
        user_ids.append(ids.gather(np.asarray(cases.users)))
        found.append(Cases(cases.queries, cases.targets, np.asarray(cases.users) + num_users))
        num_users += len(ids)
    return pl.concat(user_ids), joined(found)


def _drawn(params: Params, user_ids: pl.Series, cases: Cases) -> tuple[pl.Series, Cases]:
    """At most `evaluate.most_cases` of them: those of the users that come first in a seeded order.

    A user's place is a digest of its id, so that a log that has grown is asked of the same users,
    and two tables are compared on cases that both have answered.
    """
    most = params.evaluate.most_cases
    if most is None or most >= len(cases):
        return user_ids, cases
    key = str(seed_for(params.seed, "evaluate", "cases")).encode()
    distinct = user_ids.unique(maintain_order=True)  # cases come by user
    places = np.array([_place_of(user_id, key) for user_id in distinct.to_list()])
    of_case = places[np.cumsum(np.diff(np.asarray(cases.users), prepend=-1) > 0) - 1]
    rows = np.sort(np.argsort(of_case, kind="stable")[:most])
    return user_ids.gather(rows), cases.take(rows)


def _place_of(user_id: str, key: bytes) -> int:
    digest = blake2b(user_id.encode(), digest_size=8, key=key).digest()
    return int.from_bytes(digest, "big") >> 1  # a signed number of numpy


def _metrics(result: ItemToItem, cutoffs: tuple[int, ...]) -> dict[str, float]:
    metrics: dict[str, float] = {"num_cases": len(result.original)}
    for cutoff in cutoffs:
        rates = result.hit_rates(cutoff)
        metrics[f"hr_original_at_{cutoff}"] = rates["original"]
        metrics[f"hr_at_{cutoff}"] = rates["reconstructed"]
        metrics[f"prefix_hr_at_{cutoff}"] = rates["prefix"]
        metrics[f"retention_at_{cutoff}"] = result.retention(cutoff)
    return metrics | {
        "auc_embedding": result.auc_embedding,
        "auc_prefix": result.auc_prefix,
        "auc_exact": result.auc_exact,
    }


def _hit_rates(result: ItemToItem, cutoffs: tuple[int, ...]) -> pl.DataFrame:
    rows = [
        (space, cutoff, rate)
        for cutoff in sorted(cutoffs)
        for space, rate in result.hit_rates(cutoff).items()
    ]
    return pl.DataFrame(rows, schema=_HIT_RATES, orient="row").sort("space", "k")


def _case_table(user_ids: pl.Series, cases: Cases, result: ItemToItem) -> pl.DataFrame:
    """One row a case: SPACE_better items score above the target, SPACE_tied others as high."""
    columns = {
        Interactions.USER_ID: user_ids,
        "query_row": cases.queries,
        "target_row": cases.targets,
    }
    for space in _SPACES:
        ranks = getattr(result, space)
        columns[f"{space}_better"] = ranks.num_better.astype(np.int32)
        columns[f"{space}_tied"] = ranks.num_tied.astype(np.int32)
    return pl.DataFrame(columns)


def _headline(tokenizer: str, metrics: dict[str, float], cutoffs: tuple[int, ...]) -> str:
    kept = ", ".join(f"@{cutoff} {metrics[f'retention_at_{cutoff}']:.1%}" for cutoff in cutoffs)
    return f"{tokenizer}: {metrics['num_cases']:,} cases; retention {kept or 'not asked for'}"
