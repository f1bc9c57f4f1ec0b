"""How ids serve a ranking model: a click model at one budget, over six representations of items.

Arrays in, frozen results out; knows no path and no tokenizer.
"""

from sidmint.ranking.examples import ClickLog, Examples, require_honest, split_examples
from sidmint.ranking.probe import (
    ProbeSettings,
    RankingProbe,
    RepresentationScore,
    budget_for,
    probe_representation,
    probe_world,
    ranking_probe,
    summarized,
)
from sidmint.ranking.reading import AGES, Reading, normalised_entropy
from sidmint.ranking.representations import REPRESENTATIONS, ItemTable

__all__ = [
    "REPRESENTATIONS",
    "ItemTable",
    "ClickLog",
    "Examples",
    "split_examples",
    "require_honest",
    "ProbeSettings",
    "RankingProbe",
    "RepresentationScore",
    "ranking_probe",
    "probe_world",
    "probe_representation",
    "summarized",
    "budget_for",
    "AGES",
    "Reading",
    "normalised_entropy",
]
