"""What rows of docs/RECOMMENDERS.md have in common, and what a reader calls each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RESULT_VERSION = 3
"""Of all but `tiger`: version 4 of the stage changed that alone, and 5 a default of `hybrid`, whose
rows name what they used."""

TIGER_VERSION = 4

COMMON_EPOCHS = 24
"""Of `causal` where all tables are compared: six minutes of two cores."""


def used_by(row: Mapping[str, Any]) -> str:
    """The recommender of a row; `causal` stands for the common backbone alone."""
    kind, settings = row["recommender"], row["recommender_settings"]
    if kind == "causal" and settings["epochs"] != COMMON_EPOCHS:
        return f"causal, {settings['epochs']} epochs"
    if kind == "hybrid":
        of = "" if settings["base"] == "causal" else f" of {settings['base']}"
        return f"hybrid{of}, 1 in {settings['one_in']}"
    return str(kind)
