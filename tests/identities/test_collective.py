"""Several processes that share a fit: what each does, and that all end as one would alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from processes import Task, in_processes
from shared_fits import batch_share, fit, overflow_in_the_last, refusal, shares
from sidmint.quantization.collective import from_first, gathered, summed

pytestmark = pytest.mark.slow

FAST: dict[str, Any] = {
    "sizes": (8, 8),
    "hidden": (16,),
    "latent_dim": 4,
    "batch_size": 63,  # its halves differ
    "steps": 20,
    "precision": "float32",
}
JOINT = {**FAST, "start_steps": 20}
SETTINGS: dict[str, dict[str, Any]] = {
    "rq_vae": JOINT,
    "rqp_vae": {**JOINT, "revival_threshold": 4.0},  # some codes are revived
    "drq_vae": FAST,  # its encoder draws random numbers
    "rq_kmeans": {"sizes": (33, 17, 7)},  # some clusters are empty on the way
    "rq_kmeans_balanced": {"type": "rq_kmeans", "sizes": (33, 17, 7), "balance": 1.1},
    "pq": {"sizes": (33, 17)},
    "rq_gmm": {"sizes": (9, 8)},
    "gumbel": {**JOINT, "type": "rq_vae", "gumbel": {}},  # codes are drawn
    "rq_opq": {"sizes": (9, 8, 7)},
}
PAIRS = ([1, 2, 3, 11, 12, 13], 3)
TASKS: dict[str, Task] = {
    "seven rows": (shares, (7,)),
    "one row": (shares, (1,)),
    "pairs": (batch_share, PAIRS),
    "too few": (refusal, ([1, 2], 1)),
    "overflow": (overflow_in_the_last, ()),
    **{name: (fit, (name, settings)) for name, settings in SETTINGS.items()},
    "quasid": (fit, ("quasid", JOINT, True)),
}


@pytest.fixture(scope="module")
def both() -> dict[str, list[Any]]:
    """What two processes made of every task."""
    return dict(zip(TASKS, in_processes(2, list(TASKS.values())), strict=True))


def test_alone_everything_is_the_identity() -> None:
    rows = torch.arange(6.0)
    assert summed(rows) is from_first(rows) is gathered(rows, 6) is rows
    alone = shares(3)
    assert alone["own"] == (0, 3)
    assert alone["picked"] == [[4, 5], [0, 1], [2, 3], [0, 1]]
    assert (alone["num_rows"], alone["num_processes"]) == (3, 1)


@pytest.mark.parametrize(("task", "num_rows"), [("seven rows", 7), ("one row", 1)])
def test_shares_put_together_are_the_whole(
    both: dict[str, list[Any]], task: str, num_rows: int
) -> None:
    alone, (first, second) = shares(num_rows), both[task]
    assert first["own"] == (0, (num_rows + 1) // 2)
    assert second["own"] == ((num_rows + 1) // 2, num_rows)
    for seen in (first, second):
        for what in ("gathered", "picked", "num_rows"):
            assert seen[what] == alone[what]
        assert (seen["summed"], seen["first"], seen["num_processes"]) == ([1, 2], 10, 2)


def test_a_trigger_stays_with_its_target_and_random_numbers_with_their_row(
    both: dict[str, list[Any]],
) -> None:
    _, _, whole, after = batch_share(*PAIRS)
    first, second = both["pairs"]
    assert first == ([1, 2, 11, 12], 2, [whole[row] for row in (0, 1, 3, 4)], after)
    assert second == ([3, 13], 1, [whole[row] for row in (2, 5)], after)


def test_a_batch_with_fewer_pairs_than_processes_is_refused(both: dict[str, list[Any]]) -> None:
    first, second = both["too few"]
    assert first == second
    assert "a batch of 1 pairs cannot be shared by 2 processes" in first


def test_a_loss_that_is_not_finite_in_one_process_stops_both(both: dict[str, list[Any]]) -> None:
    first, second = both["overflow"]
    assert first == second
    assert "loss large is not a finite number at step 1" in first


@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_end_alike_and_as_one_does(both: dict[str, list[Any]], name: str) -> None:
    first, second = both[name]
    assert same_bits(first, second)
    state, curve, perplexities = fit(name, SETTINGS[name])
    for key, value in state.items():
        np.testing.assert_allclose(first[0][key], value, rtol=1e-4, atol=1e-5, err_msg=key)
    assert [point[:2] for point in first[1]] == [point[:2] for point in curve]
    values = [[point[2] for point in points] for points in (first[1], curve)]
    np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first[2], perplexities, rtol=1e-6)


def test_losses_over_the_pairs_of_a_batch_end_alike(both: dict[str, list[Any]]) -> None:
    assert same_bits(*both["quasid"])


def same_bits(first: Any, second: Any) -> bool:
    """Whether two fits have the same state, curve and code usage."""
    states = first[0].keys() == second[0].keys() and all(
        first[0][key].tobytes() == second[0][key].tobytes() for key in first[0]
    )
    return bool(states and first[1:] == second[1:])
