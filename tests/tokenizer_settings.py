"""Settings under which every registered tokenizer is tested: small and quick, any sizes."""

from __future__ import annotations

from typing import Any

import worlds
from sidmint.tokenizers import Tokenizer
from sidmint.types import Floats

SIZES = (12, 9, 7)
FAST = {"hidden": (32,), "latent_dim": 8, "start_steps": 40, "steps": 40, "batch_size": 128}
DECOUPLED = {"hidden": (32,), "latent_dim": 8, "steps": 80, "batch_size": 128}
SETTINGS: dict[str, dict[str, Any]] = {
    "category": {"sizes": SIZES},
    "drq_vae": {"sizes": SIZES, **DECOUPLED},
    "drq_vae_cl": {"sizes": SIZES, **DECOUPLED},
    "fsq": {"sizes": SIZES, **FAST, "latent_dim": 0, "steps": 80},
    "grvq": {"sizes": SIZES, **FAST, "latent_dim": 9},
    "improved_vqgan": {"sizes": SIZES, **FAST},
    "letter": {"sizes": SIZES, **FAST},
    "lsh": {"sizes": SIZES},
    "opq": {"sizes": SIZES, "rounds": 8},
    "pq": {"sizes": SIZES},
    "quasid": {"sizes": SIZES, **FAST},
    "random": {"sizes": SIZES},
    "rq_gmm": {"sizes": SIZES},
    "rq_gmm_diagonal": {"type": "rq_gmm", "sizes": SIZES, "covariance": "diagonal"},
    "rq_kmeans": {"sizes": SIZES},
    "rq_kmeans_aligned": {"type": "rq_kmeans", "sizes": SIZES, "align": {"steps": 40}},
    "rq_kmeans_balanced": {"type": "rq_kmeans", "sizes": SIZES, "balance": 1.25},
    "rq_opq": {"sizes": SIZES},
    "rq_opq_mlp": {"type": "rq_opq", "encoder": "mlp", "sizes": SIZES, **FAST},
    "rq_vae": {"sizes": SIZES, **FAST},
    "rq_vae_balanced": {"type": "rq_vae", "sizes": SIZES, **FAST, "sinkhorn": {"levels": [3]}},
    "rq_vae_entropy": {
        "type": "rq_vae",
        "sizes": SIZES,
        **FAST,
        "losses": [
            {"name": "reconstruction"},
            {"name": "commitment"},
            {"name": "entropy", "weight": 0.05},
        ],
    },
    "rq_vae_gumbel": {"type": "rq_vae", "sizes": SIZES, **FAST, "gumbel": {}},
    "rq_vae_rotation": {"sizes": SIZES, **FAST},
    "rqp_vae": {"sizes": SIZES, **FAST},
    "sim_rq": {"sizes": SIZES, **FAST},
}
"""One line a registered tokenizer, and more where a setting changes what it is."""


def also_given(tokenizer: Tokenizer, vectors: Floats) -> dict[str, Any]:
    """What `fit` wants beside vectors and pairs: collaborative vectors, where it reads them."""
    if not tokenizer.uses_collaborative:
        return {}
    return {"collaborative": worlds.collaborative_vectors(vectors)}
