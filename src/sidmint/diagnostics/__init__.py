"""What a tokenizer did to a catalogue, as numbers. Arrays in, frozen results out.

Nothing here knows a path, a parameter file or a tokenizer. Levels are counted from 0 in
arrays and from 1 in the names that stages give to metrics. Entropies are in nats.
"""

from sidmint.diagnostics.alignment import alignment, renamed
from sidmint.diagnostics.buckets import BucketSizes, bucket_sizes
from sidmint.diagnostics.code_blocks import count_code_blocks
from sidmint.diagnostics.code_counts import CodeCounts, count_codes
from sidmint.diagnostics.collisions import Collisions, collisions, duplicate_floor
from sidmint.diagnostics.conflicts import QualifiedCollisions, qualified_collisions
from sidmint.diagnostics.drift import (
    chance_stability,
    doubled_collision_rate,
    full_prefix_shares,
    known_prefix_shares,
    population_stability,
)
from sidmint.diagnostics.geometry import Geometry, geometry, mean_cosine
from sidmint.diagnostics.overlap import (
    Overlap,
    effective_codebook_size,
    latent_variance,
    overlap,
    overlap_rate,
)
from sidmint.diagnostics.reconstruction import Reconstruction, reconstruction
from sidmint.diagnostics.robustness import Robustness, robustness, robustness_sweep
from sidmint.diagnostics.stability import Stability, stability, stability_of_blocks
from sidmint.diagnostics.utilization import Branching, Utilization, branching, utilization

__all__ = [
    "Utilization",
    "utilization",
    "Branching",
    "branching",
    "BucketSizes",
    "bucket_sizes",
    "Collisions",
    "collisions",
    "CodeCounts",
    "count_codes",
    "count_code_blocks",
    "QualifiedCollisions",
    "qualified_collisions",
    "duplicate_floor",
    "chance_stability",
    "doubled_collision_rate",
    "full_prefix_shares",
    "known_prefix_shares",
    "population_stability",
    "Overlap",
    "overlap",
    "overlap_rate",
    "effective_codebook_size",
    "latent_variance",
    "Robustness",
    "robustness",
    "robustness_sweep",
    "Geometry",
    "geometry",
    "mean_cosine",
    "Reconstruction",
    "reconstruction",
    "Stability",
    "stability",
    "stability_of_blocks",
    "alignment",
    "renamed",
]
