"""Columns of each table and names of each metric, written once.

A table that crosses a border between stages is described here; `require_columns`
is the check at that border.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from sidmint.errors import BadInput

STAGES = (
    "ingest",
    "embed",
    "pairs",
    "train",
    "assign",
    "diagnose",
    "evaluate",
    "recommend",
    "segments",
    "gate",
    "report",
)
"""Every stage of the graph. Those that run once a tokenizer are in `TOKENIZER_STAGES`."""

TOKENIZER_STAGES = ("train", "assign", "diagnose", "evaluate", "recommend", "segments", "gate")


class Items:
    """`items.parquet`: one row an item, sorted by `item_id`; the row number is the item's index.

    Other columns of the source (brand, description, price ...) are kept as they are and
    may be named in the text template.
    """

    ITEM_ID = "item_id"  # str, unique
    TITLE = "title"  # str, not empty
    CATEGORIES = "categories"  # str or null: a path joined by " > "
    PRICE = "price"  # float or null
    COLD = "cold"  # bool: no training interaction may speak of it; every standing but "warm"
    STANDING = "standing"  # one of STANDINGS: how the item stands to the interactions
    NUM_TRAIN = "num_train"  # int: training interactions of the item


STANDINGS = ("warm", "withheld", "below_core", "without_events")
"""`warm`: in the k-core, may be trained on. `withheld`: in it too, kept from training as the true
cold start. `below_core`: has events, and the k-core keeps none of them. `without_events`: nobody
has met it, or there is no interaction log. Every one of them gets a Semantic ID."""


class Interactions:
    """`interactions.parquet`: one row an event, sorted by `user_id`, `position`."""

    USER_ID = "user_id"  # str
    ITEM_ID = "item_id"  # str
    POSITION = "position"  # int: 0, 1, ... within the user, oldest first
    TIMESTAMP = "timestamp"  # int seconds since 1970, or null where the source has no time
    SPLIT = "split"  # "train", "validation", "test", or "cold": an event on a withheld item


NO_LOG = "there is no interaction log"
"""Why what needs events was left out, in the words that headline, verdict and page use."""


class PairsTable:
    """`pairs.parquet`: collaborative pairs by `trigger`, then falling score, then `target`."""

    TRIGGER = "trigger"  # str item id
    TARGET = "target"  # str item id
    SCORE = "score"  # float32, Swing


class SemanticIds:
    """`sids.parquet`: what is published, one row an item in the order of items.

    `code_1 .. code_L` are the resolved codes; `suffix` is 0, 1, 2 ... inside a bucket and 0
    where the item stands alone; `semantic_id` is the published string, e.g. "12-7-201" or,
    under the suffix policy, "12-7-201-0".
    """

    ITEM_ID = "item_id"
    SUFFIX = "suffix"
    SEMANTIC_ID = "semantic_id"

    @staticmethod
    def code(level: int) -> str:
        """Column of `level`, counted from 1."""
        return f"code_{level}"


@dataclass(frozen=True)
class Metric:
    """What a metric means and which way is better ("higher", "lower", or None: neither)."""

    better: Literal["higher", "lower"] | None
    meaning: str


METRICS: dict[str, Metric] = {
    # train
    "num_fitted_items": Metric(None, "items that the tokenizer was fitted on"),
    "num_steps": Metric(None, "training steps, or k-means iterations over all levels"),
    "fitted_perplexity_{level}": Metric("higher", "perplexity_{level} over the fitted items"),
    "fitted_dead_codes_{level}": Metric("lower", "dead_codes_{level} over the fitted items"),
    # assign
    "num_items": Metric(None, "items with a published Semantic ID"),
    "num_null_ids": Metric("lower", "items without a Semantic ID"),
    "num_distinct_codes": Metric("higher", "distinct codes before resolution"),
    "collision_rate": Metric("lower", "1 - distinct codes / items, before resolution"),
    "collided_item_rate": Metric("lower", "share of items not alone in their code"),
    "largest_bucket": Metric("lower", "items in the fullest code"),
    "resolved_collision_rate": Metric("lower", "1 - distinct Semantic IDs / items, as published"),
    "moved_item_rate": Metric("lower", "share of items that resolution gave another last code"),
    "suffixed_item_rate": Metric("lower", "share of items told apart by a suffix alone"),
    "added_distortion": Metric("lower", "mean squared distance added by moved codes"),
    # diagnose
    "conflict_rate": Metric("lower", "share of items that collide with an unrelated item"),
    "benign_pair_share": Metric(None, "collided pairs that are duplicates or seen together"),
    "duplicate_floor": Metric(None, "least possible collision rate, given duplicate vectors"),
    "composition_entropy": Metric("higher", "entropy of whole codes, nats"),
    "n_eff": Metric("higher", "exp(composition entropy): effective number of codes"),
    "n_eff_share": Metric("higher", "n_eff / items"),
    "perplexity_{level}": Metric("higher", "exp(entropy of code usage) at a level"),
    "perplexity_share_{level}": Metric("higher", "perplexity / codebook size"),
    "dead_codes_{level}": Metric("lower", "codes never used at a level"),
    "dead_code_share_{level}": Metric("lower", "codes never used / codebook size"),
    "gini_{level}": Metric("lower", "Gini index of usage over all codes"),
    "branching_{level}": Metric("higher", "exp(H(code | prefix)): effective children a prefix"),
    "information_{level}": Metric("higher", "H(code | codes before it): bits a level adds"),
    "information_share_{level}": Metric("higher", "information / the most that it could be"),
    "top_code_share_{level}": Metric("lower", "share of items with a level's most frequent code"),
    "overlap_rate_{level}": Metric("lower", "expected codeword confusion at kappa = 1"),
    "effective_codebook_size_{level}": Metric("higher", "1 / overlap rate at kappa = 1"),
    "own_overlap_rate_{level}": Metric("lower", "codeword confusion at the codes' own variances"),
    "own_effective_codebook_size_{level}": Metric("higher", "1 / own overlap rate"),
    "changed_code_share_{level}": Metric("lower", "items whose code changes with noise, kappa = 1"),
    "changed_prefix_share_{level}": Metric("lower", "items whose prefix does: any code down to it"),
    "reconstruction_mse": Metric("lower", "mean squared error a dimension, input space"),
    "relative_mse": Metric("lower", "squared error / variance, input space"),
    "reconstruction_cosine": Metric("higher", "mean cosine of input and reconstruction"),
    "effective_rank_{space}": Metric(None, "exp(H(eigenvalues)) of raw, latent, quantized"),
    "participation_ratio_{space}": Metric(None, "(sum eigenvalues)^2 / sum of squares"),
    "top_eigenvalue_share_{space}": Metric(None, "largest eigenvalue / trace"),
    "dimension_correlation_{space}": Metric("lower", "mean absolute cosine of dimensions"),
    # evaluate
    "num_cases": Metric(None, "held-out item-to-item test cases"),
    "hr_original_at_{k}": Metric(None, "item-to-item hit rate of the original vectors"),
    "hr_at_{k}": Metric("higher", "item-to-item hit rate of the reconstructed vectors"),
    "retention_at_{k}": Metric("higher", "hit rate kept by the ids, against original and random"),
    "prefix_hr_at_{k}": Metric("higher", "item-to-item hit rate by common prefix alone"),
    "auc_embedding": Metric("higher", "pairs against random negatives, cosine of reconstructions"),
    "auc_prefix": Metric("higher", "the same, weighted common prefix"),
    "auc_exact": Metric("higher", "the same, all codes equal"),
    # recommend
    "num_recommend_cases": Metric(None, "held-out events that the recommender is asked for"),
    "recommend_hr_at_{k}": Metric("higher", "next-item hit rate of a recommender on the ids"),
    "recommend_ndcg_at_{k}": Metric("higher", "the same, hits weighted by place"),
    "recommend_mrr_at_{k}": Metric("higher", "the same, hits weighted by 1 / place"),
    "recommend_tuple_hr_at_{k}": Metric(None, "the same, an item with the target's codes counts"),
    "recommend_ndcg_spread": Metric("lower", "standard deviation of NDCG@10 over seeds"),
    "recommend_coverage": Metric("higher", "share of items in anybody's top 10"),
    "recommend_gini": Metric("lower", "Gini index of how often items are recommended"),
    "recommend_cold_share": Metric("higher", "share of recommended places that cold items get"),
    "recommend_history_effect": Metric("higher", "mean KL of predictions with and without history"),
    "recommend_distinct_items": Metric("higher", "distinct items in the top 10 of 2,000 users"),
    "decodable_{level}": Metric("higher", "cold items whose prefix training has seen"),
    # segments
    "num_recommend_cases_{segment}": Metric(None, "recommender's cases with a target in it"),
    "recommend_hr_at_{k}_{segment}": Metric("higher", "recommend_hr_at over a segment's cases"),
    "recommend_ndcg_at_{k}_{segment}": Metric("higher", "recommend_ndcg_at over a segment"),
    "change_recommend_{figure}": Metric("higher", "candidate - champion, user by user"),
    "change_recommend_{figure}_{segment}": Metric("higher", "the same over a segment's cases"),
    "change_{end}_recommend_{figure}": Metric("higher", "low or high end of its 95 % interval"),
    "change_{end}_recommend_{figure}_{segment}": Metric("higher", "the same over a segment"),
    "num_cold_items": Metric(None, "items kept from every training interaction, or without any"),
    "cold_coverage": Metric("higher", "share of cold items whose every code a warm item also uses"),
    "cold_new_id_share": Metric(None, "share of cold items whose full code no warm item has"),
    "cold_new_prefix_share": Metric("lower", "share of cold items whose first two codes are new"),
    "cold_relative_mse": Metric("lower", "relative_mse over cold items new to the tokenizer"),
    "num_cases_{segment}": Metric(None, "test cases whose target lies in the segment"),
    "hr_original_at_{k}_{segment}": Metric(None, "hr_original_at over a segment's cases"),
    "hr_at_{k}_{segment}": Metric("higher", "hr_at over a segment's cases"),
    "retention_at_{k}_{segment}": Metric("higher", "retention_at over a segment's cases"),
    # beside the champion: over the items that both tables have
    "churn": Metric("lower", "items whose codes are others than the champion's"),
    "churn_{level}": Metric("lower", "items whose prefix is another than the champion's"),
    "aligned_churn": Metric("lower", "churn, had each level's codes the champion's names"),
    "aligned_churn_{level}": Metric("lower", "churn of the prefix, had codes the champion's names"),
    # refresh: of the items that got an id without training, beside those published before
    "refresh_num_new": Metric(None, "new items of a refresh"),
    "refresh_num_moved": Metric(None, "published items whose text changed and whose id moved"),
    "refresh_decodable_{level}": Metric("higher", "new items whose prefix a published item has"),
    "refresh_error_ratio": Metric("lower", "squared error of new items / of published ones"),
    "refresh_psi_{level}": Metric("lower", "stability index of code usage, new against published"),
    "refresh_shift_{level}": Metric("lower", "stability index beyond what chance gives, or 0"),
    "refresh_largest_shift": Metric("lower", "refresh_shift of the level where it is largest"),
    "refresh_collision_rate": Metric("lower", "1 - codes that new items add / new items"),
    "refresh_without_room": Metric("lower", "new items for which reassignment has no free code"),
    "full_prefix_share_{level}": Metric("lower", "prefixes whose every next code is in use"),
    "doubled_collision_rate": Metric("lower", "expected collision rate at twice the items"),
}
"""Every metric by its name pattern: {level} is 1..L, {k} a cutoff, {figure} hr_at_10 or ndcg_at_10,
{end} low or high, {space} and {segment} words."""


def describe_metric(name: str) -> Metric:
    """The entry of `METRICS` that `name` is an instance of; one nobody described is an error."""
    import re

    if name in METRICS:
        return METRICS[name]
    for pattern, metric in METRICS.items():
        if "{" not in pattern:
            continue
        regex = re.escape(pattern)
        for field, values in (
            ("level", r"\d+"),
            ("k", r"\d+"),
            ("space", "raw|latent|quantized"),
            ("segment", "head|torso|tail|cold|few_shot"),
            ("figure", r"(?:hr|ndcg)_at_10"),
            ("end", "low|high"),
        ):
            regex = regex.replace(re.escape("{" + field + "}"), f"(?:{values})")
        if re.fullmatch(regex, name):
            return metric
    raise BadInput(f"unknown metric {name!r}; `sidmint metrics` lists them")


def require_columns(frame: pl.DataFrame | pl.LazyFrame, columns: Iterable[str], where: str) -> None:
    """Raise `BadInput` naming `where`, what is missing and what is there."""
    there = frame.collect_schema().names()
    missing = [column for column in columns if column not in there]
    if missing:
        raise BadInput(
            f"{where} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"it has {', '.join(there)}. Map names under ingest.columns in params.yaml"
        )
