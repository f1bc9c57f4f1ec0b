"""What DRQ prints (arXiv 2606.01844, Tables 1-5 and section 5.5), by the names of our figures.

Levels are counted from 1 here, from 0 there.
"""

from __future__ import annotations

from collections.abc import Mapping

LABELS = {
    "rq_vae": "RQ-VAE",
    "rqp_vae": "RQP-VAE",
    "rq_kmeans": "RQ-KMeans",
    "drq_vae": "DRQ-VAE",
    "drq_vae_cl": "DRQ-VAE+CL",
}
"""The five tokenizers, in the order of the paper."""
RAW = "raw"
"""Table 1's first row, the input itself, beside the names of tokenizers."""

_COLUMNS = (
    (
        "participation_ratio",
        "effective_rank",
        "top_eigenvalue_share",
        "dimension_cosine",
    ),
    (
        "overlap_rate_1",
        "effective_codebook_size_1",
        "overlap_rate_2",
        "effective_codebook_size_2",
        "overlap_rate_3",
        "effective_codebook_size_3",
    ),
    ("perplexity_1", "active_codes_1", "gini_1", "perplexity_3", "active_codes_3", "gini_3"),
    ("retention_at_20", "retention_at_50", "retention_at_100", "retention_at_200"),
    ("auc_embedding", "auc_prefix", "auc_exact"),
    ("squared_error", "cosine", "collision_rate", "distinct_codes", "largest_bucket"),
)
"""Tables 1 to 5, then what section 5.5 prints in words."""

_VALUES: dict[str, tuple[tuple[float, ...], ...]] = {
    RAW: ((106.05, 131.17, 0.0307, 0.0795),),
    "rq_vae": (
        (73.08, 116.77, 0.0456, 0.0865),
        (0.002196, 455.46, 0.000466, 2146.12, 0.000427, 2344.55),
        (480.96, 512, 0.899, 2815.64, 3377, 0.445),
        (0.5561, 0.6472, 0.7162, 0.7707),
        (0.9112, 0.9127, 0.7946),
    ),
    "rqp_vae": (
        (104.91, 137.77, 0.0313, 0.0720),
        (0.000273, 3667.92, 0.000314, 3180.69, 0.000310, 3221.32),
        (3872.12, 4096, 0.184, 3692.76, 4096, 0.239),
        (0.6625, 0.7365, 0.7984, 0.8551),
        (0.9112, 0.8907, 0.7579),
    ),
    "rq_kmeans": (
        (105.92, 131.15, 0.0309, 0.0752),
        (0.000285, 3506.33, 0.000575, 1738.18, 0.000644, 1553.27),
        (3765.45, 4096, 0.225, 1912.13, 3371, 0.636),
        (0.5589, 0.6297, 0.6985, 0.7765),
        (0.9103, 0.8872, 0.7527),
    ),
    "drq_vae": (
        (71.79, 103.01, 0.0400, 0.0894),
        (0.000286, 3495.31, 0.000512, 1951.97, 0.000549, 1821.62),
        (3758.63, 4096, 0.229, 2130.85, 3464, 0.592),
        (0.9999, 0.9998, 0.9999, 0.9997),
        (0.9114, 0.9016, 0.7466),
        (0.000432, 0.999784, 0.074680, 462_660, 35),
    ),
    "drq_vae_cl": (
        (149.19, 189.54, 0.0159, 0.4622),
        (0.000297, 3365.96, 0.001075, 930.04, 0.001962, 509.73),
        (3665.12, 4096, 0.258, 698.71, 2389, 0.865),
        (0.9976, 0.9991, 1.0016, 1.0045),
        (0.9121, 0.9240, 0.7553),
    ),
}

_RQ_VAE_IN_WORDS = {"collision_rate": 0.228898, "distinct_codes": 385_551, "largest_bucket": 76}


def _by_name() -> dict[str, dict[str, float]]:
    printed = {}
    for name, tables in _VALUES.items():
        columns = [column for table in _COLUMNS[: len(tables)] for column in table]
        values = [value for table in tables for value in table]
        printed[name] = dict(zip(columns, values, strict=True))
    printed["rq_vae"] |= _RQ_VAE_IN_WORDS
    return printed


PRINTED: Mapping[str, Mapping[str, float]] = _by_name()
"""By tokenizer (or `RAW`), then figure. What the paper does not print is not there."""
