"""One try: a candidate is fitted on a part of the items and measured on all of them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.choosing.candidates import Candidate
from sidmint.choosing.questions import Catalogue
from sidmint.choosing.sizes import bits_share, rate_above_floor
from sidmint.diagnostics import doubled_collision_rate, robustness, stability
from sidmint.diagnostics.diagnosis import Subject, diagnose_subject
from sidmint.diagnostics.overlap import latent_variance
from sidmint.errors import BadInput
from sidmint.evaluation import expected_hits, retention
from sidmint.evaluation.cosines import CosineSearch
from sidmint.evaluation.pool import Pool
from sidmint.progress import Track, silent
from sidmint.seeds import generator_for, seed_for
from sidmint.tokenizers import Tokenizer
from sidmint.types import Ints

MEASURES = 1
"""Raise when a try of the same settings would give other figures: old rows are not read then."""

NOISE = 0.1
"""Variance of the noise of `noisy_code_share`, in variances of the vectors a dimension. It is
added to vectors and not to latents, so that tokenizers of other latent sizes get the same."""

FEWEST_ITEMS_A_CODE = 32
"""Of the largest codebook, in a sample: `rq_kmeans` at 3 x 256 learned from 2,048 items of Beauty
collided at .77 over all of them, from all 12,101 at .12. A small sample saves time where there are
many items, and training by steps costs the same on any number."""

_NOISY_ITEMS, _GEOMETRY_ITEMS = 4_096, 1_000
_KAPPAS = (1.0,)

Floats64 = npt.NDArray[np.float64]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Attempt:
    """What is to be tried: a candidate on a share of items and steps, with the seed so numbered."""

    candidate: Candidate
    share: float
    seed: int


@dataclass(frozen=True)
class Row:
    """What became of an attempt; JSON as it stands."""

    key: str
    name: str
    sizes: tuple[int, ...]
    settings: Mapping[str, Any]
    share: float
    seed: int
    num_fitted: int
    fit_seconds: float
    measure_seconds: float
    quality: float | None
    metrics: Mapping[str, float]
    failed: str | None = None
    """Why it could not be fitted or measured; None where it was."""

    @property
    def seconds(self) -> float:
        """Wall time of the try."""
        return self.fit_seconds + self.measure_seconds


@dataclass(frozen=True)
class Tried:
    """A row, the chance (T,) of each case to be hit, and the codes (N, L); none where it failed."""

    row: Row
    hits: Floats64
    codes: Ints = field(default_factory=lambda: np.empty((0, 0), dtype=np.int32))


class Measuring:
    """Makes tries on one catalogue. `root` is the seed of params.yaml; `clock` gives seconds.

    `revision` is that of fitting (`stages.train.RESULT_VERSION`): tries of another are not read.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        root: int,
        revision: int = 0,
        track: Track = silent,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.catalogue, self.root = catalogue, root
        self._track, self._clock = track, clock
        self._fixed = [catalogue_digest(catalogue), MEASURES, revision, root]

    def key(self, attempt: Attempt) -> str:
        """A digest of all that the figures of `attempt` depend on: equal keys, equal figures."""
        candidate = attempt.candidate
        config = candidate.build(attempt.share).config.model_dump(mode="json")
        settings = {"type": candidate.settings.get("type", candidate.name), **config}
        known = [*self._fixed, candidate.name, settings, attempt.seed]
        text = json.dumps([*known, self.num_fitted(attempt)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def num_fitted(self, attempt: Attempt) -> int:
        """Items that the attempt fits: its share, and no fewer than the codebooks need."""
        num_items = int(self.catalogue.fitted.sum())
        least = FEWEST_ITEMS_A_CODE * max(attempt.candidate.sizes)
        return min(num_items, max(round(attempt.share * num_items), least))

    def is_whole(self, attempt: Attempt) -> bool:
        """Whether it fits all items, with all steps: small catalogues do at any share."""
        candidate = attempt.candidate
        shorter = candidate.build(attempt.share).config != candidate.build().config
        return not shorter and self.num_fitted(attempt) == int(self.catalogue.fitted.sum())

    def __call__(self, attempt: Attempt) -> Tried:
        """Fit and measure. What the catalogue does not allow is a row that says why."""
        started = fitted = self._clock()
        rows = self._rows(attempt)
        facts: dict[str, Any] = {"quality": None, "metrics": {}, "failed": None}
        hits, codes = np.empty(0), np.empty((0, 0), dtype=np.int32)
        try:
            tokenizer = self._fit(attempt, rows)
            fitted = self._clock()
            codes = self._encode(tokenizer)
            hits = self._hits(tokenizer, codes)
            facts["quality"] = self.catalogue.quality(hits)
            facts["metrics"] = self._metrics(tokenizer, codes, hits)
        except BadInput as error:
            facts["failed"], hits = str(error), np.empty(0)
        row = Row(
            key=self.key(attempt),
            name=attempt.candidate.name,
            sizes=attempt.candidate.sizes,
            settings=dict(attempt.candidate.settings),
            share=attempt.share,
            seed=attempt.seed,
            num_fitted=len(rows),
            fit_seconds=round(fitted - started, 3),
            measure_seconds=round(self._clock() - fitted, 3),
            **facts,
        )
        return Tried(row, hits, codes)

    def _rows(self, attempt: Attempt) -> npt.NDArray[np.int64]:
        """A seeded sample, the same for all candidates of a size and share; smaller ones within."""
        every = np.flatnonzero(self.catalogue.fitted)
        order = generator_for(self.root, "choose", "sample", str(attempt.seed)).permutation(every)
        return np.sort(order[: self.num_fitted(attempt)])

    def _fit(self, attempt: Attempt, rows: npt.NDArray[np.int64]) -> Tokenizer:
        """With the seed that `sidmint train` would use at the root seed + the attempt's."""
        known, name = self.catalogue, attempt.candidate.name
        tokenizer = attempt.candidate.build(attempt.share)
        categories = [known.categories[row] for row in rows] if known.categories else None
        is_in = np.zeros(len(known.vectors), dtype=bool)
        is_in[rows] = True
        tokenizer.fit(
            known.vectors[rows],
            known.pairs.among(is_in) if tokenizer.uses_pairs else None,
            seed_for(self.root + attempt.seed, "train", name),
            known.device,
            self._track,
            categories if tokenizer.uses_categories else None,
        )
        return tokenizer

    def _encode(self, tokenizer: Tokenizer) -> Ints:
        known = self.catalogue
        return tokenizer.encode(
            known.vectors, categories=known.categories if tokenizer.uses_categories else None
        )

    def _hits(self, tokenizer: Tokenizer, codes: Ints) -> Floats64:
        known = self.catalogue
        search = CosineSearch(Pool.of(codes).through(tokenizer.reconstruct), known.device)
        return expected_hits(search.rank(known.questions.cases), known.questions.cutoff)

    def _metrics(self, tokenizer: Tokenizer, codes: Ints, hits: Floats64) -> dict[str, float]:
        """Under the names of `contracts.METRICS` where they are such, so that gate rules apply."""
        known, sizes = self.catalogue, tokenizer.config.sizes
        subject = Subject(
            vectors=known.vectors,
            latent=tokenizer.latent(known.vectors),
            codes=codes,
            codebooks=tokenizer.codebooks(),
            reconstruct=tokenizer.reconstruct,
        )
        sample = np.arange(min(_GEOMETRY_ITEMS, len(codes)))
        found = diagnose_subject(
            subject, known.pairs, _KAPPAS, known.near_duplicate_cosine, sample, self._track
        )
        rate, num_items = found.collisions.collision_rate, len(codes)
        num_distinct = round((1 - found.duplicate_floor) * num_items)
        above = rate_above_floor(rate, found.duplicate_floor)
        metrics = found.metrics() | {
            "num_items": num_items,
            "collision_rate": rate,
            "doubled_collision_rate": doubled_collision_rate(found.collisions.buckets),
            "id_bits": float(np.log2(np.asarray(sizes, dtype=float)).sum()),
            "bits_share": bits_share(above, num_distinct, sizes),
            "tokenizer_bytes": sum(array.nbytes for array in tokenizer.state().values()),
        }
        return metrics | self._retention(hits) | self._noisy(tokenizer) | self._churn(codes, sizes)

    def _retention(self, hits: Floats64) -> dict[str, float]:
        known = self.catalogue
        if known.questions.by_content:
            return {}
        kept = retention(float(hits.mean()), float(known.original_hits.mean()), known.chance)
        return {f"retention_at_{known.questions.cutoff}": kept}

    def _noisy(self, tokenizer: Tokenizer) -> dict[str, float]:
        """Share of items with another first code, and another id, once vectors are noisy."""
        if tokenizer.uses_categories:
            return {}
        generator = generator_for(self.root, "choose", "noise")
        vectors = self.catalogue.vectors
        count = min(_NOISY_ITEMS, len(vectors))
        rows = np.sort(generator.choice(len(vectors), count, replace=False))
        sigma = float(np.sqrt(NOISE * latent_variance(vectors)))
        changed = robustness(tokenizer.encode, vectors[rows], sigma, generator).changed_prefixes
        return {"noisy_first_code_share": changed[0], "noisy_code_share": changed[-1]}

    def _churn(self, codes: Ints, sizes: tuple[int, ...]) -> dict[str, float]:
        """Beside the champion; every id is another where levels are others."""
        champion = self.catalogue.champion
        if champion is None:
            return {}
        both = (champion >= 0).all(axis=1)
        if champion.shape[1] != len(sizes) or not both.any():
            return {"churn": 1.0, "aligned_churn": 1.0}
        found = stability(champion[both], codes[both])
        return {"churn": found.churn[-1], "aligned_churn": found.aligned_churn[-1]}


def catalogue_digest(catalogue: Catalogue) -> str:
    """SHA-256 of everything in `catalogue` that a figure depends on; the device is not."""
    asked = catalogue.questions
    digest = hashlib.sha256()
    for array in (
        catalogue.vectors,
        catalogue.fitted,
        catalogue.pairs.triggers,
        catalogue.pairs.targets,
        catalogue.pairs.scores,
        asked.cases.queries,
        asked.cases.targets,
        np.empty(0) if asked.cases.users is None else asked.cases.users,
        np.empty(0) if catalogue.champion is None else catalogue.champion,
    ):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    words = [catalogue.categories, asked.cutoff, asked.by_content, catalogue.near_duplicate_cosine]
    digest.update(json.dumps(words).encode())
    return digest.hexdigest()


def row_of(values: Mapping[str, Any]) -> Row:
    """The row that `asdict` gave, through JSON. Raises TypeError or KeyError for anything else."""
    return Row(**{**values, "sizes": tuple(values["sizes"])})


def as_plain(row: Row) -> dict[str, Any]:
    """`row` for JSON."""
    return {**asdict(row), "sizes": list(row.sizes)}
