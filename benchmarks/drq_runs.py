"""How each tokenizer is trained: settings as under `tokenizers` in params.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidmint.tokenizers.training import NUM_CHECKS

LATENT = {"hidden": [512], "latent_dim": 256}
"""Wide enough for an effective rank of 189.54 (DRQ Table 1), and a hidden layer that passes it on:
a ReLU unit passes half a line, so 256 dimensions want 512."""
START_STEPS = 600
JOINT_STEPS, JOINT_STEPS_AT_SCALE = 2400, 1500
"""Of the joint ones, whose codebooks go on moving: on Beauty RQP-VAE ends with a perplexity of 81
at the last level after 600 joint steps, and of 198 after 2,400. Fewer at scale, where one takes
a quarter of a second. The decoupled ones take as many steps in all."""
BATCH_SIZE = 1024
FROM_ITEMS = 100_000
"""Where scale begins."""
LEARNING_RATE_AT_SCALE = 1e-3
"""Of 4,096 codes each gets a use in every fourth batch. RQ-VAE on 200,000 items after 400 joint
steps: error of the batches .2531 at .001 and .2546 at .0003, from .260 at the start; .2651 at the
default .003 (with a start that had seen the held-out items)."""
PATIENCE_AT_SCALE = NUM_CHECKS
"""Held-out error rises with the rate and falls below that of the start only after a third of the
schedule, so nothing stops early."""
ITERATIONS = 10
"""Of k-means a level, at scale, where each takes seconds."""


def settings(name: str, sizes: Sequence[int], num_items: int) -> dict[str, Any]:
    """Of run `name` on `num_items` items, with `type`; what is not here is default."""
    at_scale = num_items >= FROM_ITEMS
    joint_steps = JOINT_STEPS_AT_SCALE if at_scale else JOINT_STEPS
    clustering: dict[str, Any] = {}
    trained = {**LATENT, "batch_size": BATCH_SIZE, "validation_share": 0.05}
    if at_scale:
        clustering = {"iterations": ITERATIONS}
        trained |= {
            "validation_share": 0.01,  # some thousand items are enough to judge checkpoints by
            "learning_rate": LEARNING_RATE_AT_SCALE,
            "patience": PATIENCE_AT_SCALE,
        }
    joint = {**trained, "start_steps": START_STEPS, "steps": joint_steps}
    decoupled = {**trained, **clustering, "steps": START_STEPS + joint_steps}
    # A code comes back when it has less than half the uses of an even one (or one a batch).
    threshold = min(1.0, BATCH_SIZE / max(sizes) / 2)
    own: dict[str, dict[str, Any]] = {
        "rq_vae": joint,
        "rqp_vae": {**joint, "revival_threshold": threshold},
        "rq_kmeans": clustering,
        "drq_vae": decoupled,
        "drq_vae_cl": decoupled,
        "rq_vae_untrained_start": {
            **trained,
            "type": "rq_vae",
            "start": "latents",
            "steps": START_STEPS + joint_steps,
        },
    }
    return {"type": name, **own[name], "sizes": list(sizes)}
