"""Recommenders that use a table of Semantic IDs: what an id is worth to those who read it.

Each is one file behind `Recommender`; none knows a tokenizer or a path. They get item
sequences and a table of unique ids, and give a ranked list for each history.
"""

from sidmint.recommenders import (
    causal,
    hybrid,
    last_item,
    parallel,
    popularity,
    sasrec,
    semantic_knn,
    tiger,
)
from sidmint.recommenders.base import RECOMMENDERS, FitReport, Recommendations, Recommender
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.sequences import HeldOut, Sequences

__all__ = [
    "RECOMMENDERS",
    "FitReport",
    "HeldOut",
    "IdTable",
    "Recommendations",
    "Recommender",
    "Sequences",
    "causal",
    "hybrid",
    "last_item",
    "parallel",
    "popularity",
    "sasrec",
    "semantic_knn",
    "tiger",
]
