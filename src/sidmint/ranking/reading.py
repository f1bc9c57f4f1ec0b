"""How good probabilities are: AUC and normalised entropy, over all examples or some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.evaluation import area_under_curve

AGES = ("old", "new", "unseen")
"""In the order of the numbers that `item_ages` gives."""


@dataclass(frozen=True)
class Reading:
    """Figures over `num_examples` pairs of a user and an item, `num_clicks` of them clicks.

    `auc` and `normalised_entropy` are None where clicks or others are missing: neither is
    defined then.
    """

    num_examples: int
    num_clicks: int
    auc: float | None
    normalised_entropy: float | None


def normalised_entropy(
    clicked: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.floating]
) -> float:
    """Mean log-loss / entropy of the base rate p (He et al. 2014, "Practical Lessons", 3).

        NE = -mean(y log q + (1 - y) log(1 - q)) / -(p log p + (1 - p) log(1 - p))

    1 for who knows the base rate and nothing else, lower is better, above 1 is worse than
    knowing nothing. Unlike AUC it falls for a wrong level of probability. Raises `BadInput`
    where nothing or everything is a click: the base rate has no entropy then.
    """
    rate = float(clicked.mean()) if clicked.size else 0.0
    if not 0 < rate < 1:
        raise BadInput(
            f"a normalised entropy wants clicks and others, got {int(clicked.sum())} clicks among "
            f"{clicked.size} examples"
        )
    chosen = np.where(clicked, probabilities, 1 - np.asarray(probabilities, dtype=np.float64))
    with np.errstate(divide="ignore"):  # sure and wrong: infinite, and that is the answer
        loss = -np.log(chosen).mean()
    return float(loss / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)))


def read(clicked: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]) -> Reading:
    """`Reading` of probabilities of any shape, `clicked` of the same."""
    count, clicks = clicked.size, int(clicked.sum())
    if clicks in (0, count):
        return Reading(count, clicks, None, None)
    auc = area_under_curve(probabilities[clicked], probabilities[~clicked])
    return Reading(count, clicks, auc, normalised_entropy(clicked, probabilities))


def read_by(
    names: Sequence[str],
    group: npt.NDArray[np.int8],
    clicked: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.float64],
) -> Mapping[str, Reading]:
    """A `Reading` a name, over examples whose `group` is its place in `names`.

    An AUC inside a group compares clicks with others of that group alone: that popular items
    are clicked more than rare ones helps nobody here.
    """
    return {
        name: read(clicked[group == at], probabilities[group == at])
        for at, name in enumerate(names)
    }


def same_click_auc(
    probabilities: npt.NDArray[np.float64], among: npt.NDArray[np.bool_]
) -> float | None:
    """Share of pairs of a click and a negative of the same click in which the click is higher.

    `probabilities` (B, 1 + k) with the click first; pairs count where both are `among` the
    chosen. Ties count one half. Unlike an AUC it compares items for one user, never users: who
    knows nothing of the items has one half. None without a pair.
    """
    is_pair = among[:, :1] & among[:, 1:]
    if not is_pair.any():
        return None
    ahead = np.sign(probabilities[:, :1] - probabilities[:, 1:])[is_pair]
    return float((ahead.mean() + 1) / 2)


def item_ages(
    first_times: npt.NDArray[np.int64], cut: int, new_share: float
) -> npt.NDArray[np.int8]:
    """Age (N,) of each item as an index into `AGES`, by its first click.

    `unseen`: not clicked before `cut`. `new`: first clicked in the last `new_share` of the time
    from the first click of all to `cut`. `old`: before that.
    """
    began = int(first_times.min())
    ages = np.full(len(first_times), AGES.index("old"), dtype=np.int8)
    ages[first_times >= cut - new_share * (cut - began)] = AGES.index("new")
    ages[first_times >= cut] = AGES.index("unseen")
    return ages
