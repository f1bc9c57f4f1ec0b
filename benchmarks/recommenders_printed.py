"""What QuaSID prints of ids under its own recommender (its Tables 2, 3 and 5)."""

from __future__ import annotations

Pair = tuple[float, float]

TABLE_2: dict[str, dict[str, Pair]] = {
    "beauty": {
        "rq_vae": (0.0300, 0.0195),
        "improved_vqgan": (0.0304, 0.0189),
        "grvq": (0.0302, 0.0187),
        "rq_opq": (0.0271, 0.0180),
        "rq_vae_rotation": (0.0308, 0.0198),
        "sim_rq": (0.0297, 0.0193),
        "rq_kmeans": (0.0379, 0.0211),
        "quasid": (0.0392, 0.0230),
    },
    "toys": {
        "rq_vae": (0.0256, 0.0180),
        "improved_vqgan": (0.0245, 0.0172),
        "grvq": (0.0242, 0.0173),
        "rq_opq": (0.0278, 0.0195),
        "rq_vae_rotation": (0.0257, 0.0187),
        "sim_rq": (0.0279, 0.0190),
        "rq_kmeans": (0.0347, 0.0213),
        "quasid": (0.0366, 0.0225),
    },
}
"""HR@10 and NDCG@10."""

TABLE_3: dict[str, dict[str, Pair]] = {
    "beauty": {
        "rq_vae+hamr": (0.0348, 0.0215),
        "improved_vqgan+hamr": (0.0340, 0.0218),
        "grvq+hamr": (0.0341, 0.0210),
        "rq_opq+hamr": (0.0317, 0.0203),
        "rq_vae_rotation+hamr": (0.0327, 0.0202),
        "sim_rq+hamr": (0.0323, 0.0201),
    },
    "toys": {
        "rq_vae+hamr": (0.0290, 0.0203),
        "improved_vqgan+hamr": (0.0301, 0.0207),
        "grvq+hamr": (0.0284, 0.0202),
        "rq_opq+hamr": (0.0280, 0.0197),
        "rq_vae_rotation+hamr": (0.0272, 0.0191),
        "sim_rq+hamr": (0.0283, 0.0200),
    },
}
"""HR@10 and NDCG@10 of the baselines with HaMR."""

TABLE_5: dict[str, dict[str, Pair]] = {
    "beauty": {
        "quasid": (0.0277, 0.0193),
        "quasid_without_cvpm": (0.0263, 0.0181),
        "quasid_without_hamr": (0.0254, 0.0170),
    },
    "toys": {
        "quasid": (0.0266, 0.0193),
        "quasid_without_cvpm": (0.0264, 0.0190),
        "quasid_without_hamr": (0.0261, 0.0189),
    },
}
"""HR@5 and NDCG@5 of the ablations."""

TIGER = {"beauty": (0.0648, 0.0384), "toys": (0.0712, 0.0432)}
"""HR@10 and NDCG@10 of TIGER's own paper (Rajput et al. 2023), with Sentence-T5 vectors."""

RPG = {"beauty": (0.0809, 0.0464), "toys": (0.0869, 0.0490)}
"""The same of RPG's (Hou et al. 2025), with long ids of a large text encoder's vectors."""

DEEP_DIVE_NDCG = 0.018
"""NDCG@10 on Beauty of RQ-KMeans 3 x 256 in the deep dive into Semantic IDs."""
