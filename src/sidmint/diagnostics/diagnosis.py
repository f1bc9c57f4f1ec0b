"""Everything this package can say about one tokenizer on one catalogue, in one value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.code_counts import count_codes
from sidmint.diagnostics.collisions import Collisions, duplicate_floor
from sidmint.diagnostics.conflicts import QualifiedCollisions, qualified_collisions
from sidmint.diagnostics.geometry import Geometry, geometry
from sidmint.diagnostics.overlap import Overlap, latent_variance, overlap, own_overlap
from sidmint.diagnostics.reconstruction import Reconstruction, reconstruction, total
from sidmint.diagnostics.robustness import Encode, Robustness, robustness_sweep
from sidmint.diagnostics.utilization import Branching, Utilization
from sidmint.errors import BadInput
from sidmint.information import LevelInformation, information
from sidmint.progress import Track, silent
from sidmint.rows import ROWS_AT_ONCE, Rows, mean_of
from sidmint.types import Codebooks, Floats, Ints, Pairs

QUOTED_KAPPA = 1.0
"""The noise that overlap and robustness metrics are quoted at; every sweep contains it."""


@dataclass(frozen=True)
class Subject:
    """What is diagnosed: N items as vectors (N, D), latent (N, d) and raw codes (N, L).

    Vectors and latent may lie in a file: they are read a piece at a time, several times.

    `reconstruct(codes, num_levels)` gives (n, D) vectors back from the first levels of codes.
    `variances` are those of codes that are Gaussians, one array a level; None for all others.
    `encode(latent)` gives the codes of latent vectors; None where codes do not come from the
    latent, or where robustness is not to be measured. Its noise is drawn from `noise_seed`.
    """

    vectors: Rows
    latent: Rows
    codes: Ints
    codebooks: Codebooks
    reconstruct: Callable[[Ints, int], Floats]
    encode: Encode | None = None
    noise_seed: int = 0
    variances: tuple[Floats, ...] | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The results; sequences have one entry a level, `overlaps` one by (level from 1, kappa).

    `robustness` has one entry by kappa, and none where noisy latents were not encoded. `spectra`
    lacks a space in which all vectors coincide (the quantized one of a collapsed tokenizer): it
    has no spectrum. `own_overlaps` has one entry a level for codes with variances of their own, and
    none for others. `metrics` leaves out the figures of what is not there.
    """

    usage: tuple[Utilization, ...]
    branching: Branching
    collisions: Collisions
    qualified: QualifiedCollisions
    duplicate_floor: float
    overlaps: Mapping[tuple[int, float], Overlap]
    robustness: Mapping[float, Robustness]
    input_errors: tuple[Reconstruction, ...]
    latent_errors: tuple[Reconstruction, ...]
    spectra: Mapping[str, Geometry]
    own_overlaps: tuple[Overlap, ...] = ()

    @property
    def information(self) -> tuple[LevelInformation, ...]:
        """What each level adds, beside what it could."""
        sizes = [used.size for used in self.usage]
        return information(self.branching.effective, sizes, int(self.usage[0].counts.sum()))

    def metrics(self) -> dict[str, float]:
        """Figures by their names in `contracts.METRICS`."""
        found: dict[str, float] = {
            "conflict_rate": self.qualified.conflict_rate,
            "benign_pair_share": self.qualified.benign_pair_share,
            "duplicate_floor": self.duplicate_floor,
            "composition_entropy": self.collisions.composition_entropy,
            "n_eff": self.collisions.n_eff,
            "n_eff_share": self.collisions.n_eff_share,
            "reconstruction_mse": self.input_errors[-1].mse,
            "relative_mse": self.input_errors[-1].relative_mse,
            "reconstruction_cosine": self.input_errors[-1].cosine,
        }
        for level, (used, children, added) in enumerate(
            zip(self.usage, self.branching.effective, self.information, strict=True), start=1
        ):
            quoted = self.overlaps[level, QUOTED_KAPPA]
            found[f"perplexity_{level}"] = used.perplexity
            found[f"perplexity_share_{level}"] = used.perplexity / used.size
            found[f"dead_codes_{level}"] = used.num_dead
            found[f"dead_code_share_{level}"] = used.num_dead / used.size
            found[f"gini_{level}"] = used.gini
            found[f"branching_{level}"] = children
            found[f"information_{level}"] = added.bits
            found[f"information_share_{level}"] = added.share
            found[f"top_code_share_{level}"] = used.top_share
            found[f"overlap_rate_{level}"] = quoted.overlap_rate
            found[f"effective_codebook_size_{level}"] = quoted.effective_codebook_size
        for level, own in enumerate(self.own_overlaps, start=1):
            found[f"own_overlap_rate_{level}"] = own.overlap_rate
            found[f"own_effective_codebook_size_{level}"] = own.effective_codebook_size
        if QUOTED_KAPPA in self.robustness:
            under_noise = self.robustness[QUOTED_KAPPA]
            for level, share in enumerate(under_noise.changed_codes, start=1):
                found[f"changed_code_share_{level}"] = share
            for length, share in enumerate(under_noise.changed_prefixes, start=1):
                found[f"changed_prefix_share_{length}"] = share
        for space, cloud in self.spectra.items():
            found[f"effective_rank_{space}"] = cloud.effective_rank
            found[f"participation_ratio_{space}"] = cloud.participation_ratio
            found[f"top_eigenvalue_share_{space}"] = cloud.top_eigenvalue_share
            found[f"dimension_correlation_{space}"] = cloud.dimension_correlation
        return found


def diagnose_subject(
    subject: Subject,
    pairs: Pairs,
    kappas: Sequence[float],
    near_duplicate_cosine: float,
    sample: npt.NDArray[np.int64],
    track: Track = silent,
) -> Diagnosis:
    """`Diagnosis` of `subject`, over all items; geometry over the rows in `sample`.

    `kappas` are noise variances as multiples of the latent variance a dimension; `pairs` and
    `near_duplicate_cosine` tell benign collisions from conflicts.
    """
    codes, codebooks = subject.codes, subject.codebooks
    counts = count_codes(codes, codebooks.sizes)
    noise = _noise(subject.latent, kappas)
    input_errors, latent_errors = _errors_by_level(subject, track)
    return Diagnosis(
        usage=counts.usage,
        branching=counts.branching,
        collisions=counts.collisions,
        qualified=qualified_collisions(codes, subject.vectors, pairs, near_duplicate_cosine, track),
        duplicate_floor=duplicate_floor(subject.vectors),
        overlaps=_overlaps(codebooks, counts.usage, noise),
        robustness=_robustness(subject, noise, track),
        input_errors=input_errors,
        latent_errors=latent_errors,
        spectra=_spectra(
            raw=subject.vectors[sample],
            latent=subject.latent[sample],
            quantized=codebooks.decode(codes[sample]),
        ),
        own_overlaps=_own_overlaps(subject, counts.usage),
    )


def _noise(latent: Rows, kappas: Sequence[float]) -> dict[float, float]:
    """The standard deviation of the noise by kappa, rising; the quoted one is always there."""
    swept = sorted({*kappas, QUOTED_KAPPA})
    if swept[0] <= 0:
        raise BadInput(f"diagnose.noise wants numbers above 0, got {swept[0]}")
    variance = latent_variance(latent)
    return {kappa: float(np.sqrt(kappa * variance)) for kappa in swept}


def _overlaps(
    codebooks: Codebooks, usage: Sequence[Utilization], noise: Mapping[float, float]
) -> dict[tuple[int, float], Overlap]:
    sigmas = list(noise.values())
    return {
        (level, kappa): each
        for level, (table, used) in enumerate(zip(codebooks.levels, usage, strict=True), start=1)
        for kappa, each in zip(noise, overlap(table, used.prior, sigmas), strict=True)
    }


def _own_overlaps(subject: Subject, usage: Sequence[Utilization]) -> tuple[Overlap, ...]:
    levels = zip(subject.codebooks.levels, usage, subject.variances or (), strict=False)
    return tuple(own_overlap(table, used.prior, own) for table, used, own in levels)


def _robustness(
    subject: Subject, noise: Mapping[float, float], track: Track
) -> dict[float, Robustness]:
    if subject.encode is None:
        return {}
    generator = np.random.default_rng(subject.noise_seed)
    sigmas = list(noise.values())
    found = robustness_sweep(subject.encode, subject.latent, sigmas, generator, track)
    return dict(zip(noise, found, strict=True))


def _errors_by_level(
    subject: Subject, track: Track
) -> tuple[tuple[Reconstruction, ...], tuple[Reconstruction, ...]]:
    """Reconstruction after each level, in input space and in latent space."""
    levels = track(range(1, subject.codes.shape[1] + 1), "reconstructing")
    means = [mean_of(table) for table in (subject.vectors, subject.latent)]
    by_level = [
        [total(parts) for parts in zip(*_errors(subject, level, *means), strict=True)]
        for level in levels
    ]
    in_input, in_latent = zip(*by_level, strict=True)
    return in_input, in_latent


def _errors(
    subject: Subject,
    level: int,
    input_mean: npt.NDArray[np.float64],
    latent_mean: npt.NDArray[np.float64],
) -> Iterator[tuple[Reconstruction, Reconstruction]]:
    for start in range(0, len(subject.codes), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        back = subject.reconstruct(subject.codes[rows], level)
        quantized = subject.codebooks.decode(subject.codes[rows], level)
        yield (
            reconstruction(subject.vectors[rows], back, input_mean),
            reconstruction(subject.latent[rows], quantized, latent_mean),
        )


def _spectra(**spaces: Floats) -> dict[str, Geometry]:
    spectra = {}
    for space, points in spaces.items():
        try:
            spectra[space] = geometry(points)
        except BadInput:
            continue  # a collapsed space is a finding, told by what is missing: see `Diagnosis`
    return spectra
