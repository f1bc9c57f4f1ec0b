"""One source of vectors (text, image, behaviour) and the part that it gives an item's vector.

Shape letters: n items, d dimensions of a source as it comes, m of the part that it gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sidmint.embedding.checks import check_rows
from sidmint.embedding.projection import Projection, fit_projection
from sidmint.embedding.scaling import unit_norm
from sidmint.errors import BadInput
from sidmint.settings import Settings
from sidmint.types import Floats

SOURCES = "sources"
"""What embed.json calls the encoder of vectors that were joined from several sources."""
JOINED = "joined"
"""What the table of geometry calls the vectors of all sources side by side."""


class SourceParams(Settings):
    """One of `embed.sources`: where its vectors come from, and what becomes of them."""

    encoder: Literal["wordllama", "sentence_transformer"] | None = None
    """Of a source that reads the text of an item; else `path`."""
    model: str | None = None
    """For `sentence_transformer`; null: `embed.model`."""
    template: str | None = None
    """Text from columns of the items; null: `embed.template`."""
    path: str | None = None
    """Parquet with item_id, or .npy with the rows of the file `ingest.items`; else `encoder`."""
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    """The part is multiplied by it, its squared distances by the square. 0: the source is read and
    measured, and has no part in the vectors."""
    pca: int | None = Field(None, ge=1)
    """How many principal directions are kept, fitted on the items that have a vector; null: all
    dimensions as they are."""
    whiten: bool = False
    """Every direction gets the same variance, so that a few common ones do not drown the others."""
    unit_norm: bool = True
    """Vectors are scaled to unit norm before `pca` and `whiten`, and after them: neither the scale
    nor the number of dimensions of a source changes its say."""
    missing: Literal["refuse", "zeros", "mean"] = "refuse"
    """Items that `path` has no vector for: an error; a part of zeros, which leaves similarity to
    the other sources; or the mean of the parts that are there."""

    @model_validator(mode="after")
    def _from_text_or_from_a_file(self) -> SourceParams:
        if (self.encoder is None) == (self.path is None):
            raise ValueError("a source wants encoder (it reads text) or path (a file), one of two")
        if self.encoder is None and (self.model, self.template) != (None, None):
            raise ValueError("model and template are of a source with an encoder; take them out")
        if self.encoder == "wordllama" and self.model is not None:
            raise ValueError("wordllama has one model, inside its package; take model out")
        if self.encoder is not None and self.missing != "refuse":
            raise ValueError("missing is of a source with a path: every item has a text")
        return self


@dataclass(frozen=True)
class FittedSource:
    """How a vector of one source becomes its part, as fitted on a catalogue."""

    name: str
    num_dimensions: int
    """d."""
    is_unit: bool
    weight: float
    projection: Projection | None
    filler: Floats | None
    """(m,) the part, before the weight, of an item without a vector; None: it must have one."""

    def part(self, vectors: Floats, item_ids: Sequence[str]) -> Floats:
        """The parts (n, m) of `vectors` (n, d), in which a row of NaN is an item without one.

        `BadInput` names an item whose vector is not finite or has no direction to scale, one
        without a vector where that is refused, and another number of dimensions.
        """
        if vectors.shape[1] != self.num_dimensions:
            raise BadInput(
                f"source {self.name} wants vectors of {self.num_dimensions} dimensions, got "
                f"{vectors.shape[1]}; it wants the source that the catalogue's own came from"
            )
        there = has_vector(vectors)
        if self.filler is None and not there.all():
            raise BadInput(
                f"source {self.name} has no vector for {np.count_nonzero(~there):,} of "
                f"{len(there):,} items, the first of them {item_ids[int(np.argmin(there))]}; bring "
                f"it (embed.sources.{self.name}.missing says whether items may go without)"
            )
        named = _where(item_ids, there)
        parts = _transformed(vectors[there], named, self.name, self.is_unit, self.projection)
        if there.all():
            return np.float32(self.weight) * parts
        whole = np.tile(np.asarray(self.filler, dtype=np.float32), (len(vectors), 1))
        whole[there] = parts
        return np.float32(self.weight) * whole

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What was fitted, by "NAME.what"; with what the settings say it is all of the source."""
        found = {}
        if self.projection is not None:
            found["mean"], found["axes"] = self.projection.mean, self.projection.axes
        if self.filler is not None:
            found["filler"] = self.filler
        return {f"{self.name}.{what}": value for what, value in found.items()}

    @classmethod
    def from_tensors(
        cls, name: str, described: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
    ) -> FittedSource:
        """The source that gave `tensors`; `described` is what embed.json says of it.

        `KeyError` where the two do not belong together.
        """
        has_axes = described["pca"] is not None or described["whiten"]
        return cls(
            name=name,
            num_dimensions=int(described["num_dimensions"]),
            is_unit=bool(described["unit_norm"]),
            weight=float(described["weight"]),
            projection=Projection(tensors[f"{name}.mean"], tensors[f"{name}.axes"])
            if has_axes
            else None,
            filler=None if described["missing"] == "refuse" else tensors[f"{name}.filler"],
        )


def fit_source(
    name: str, settings: SourceParams, vectors: Floats, item_ids: Sequence[str]
) -> FittedSource:
    """What `settings` make of `vectors` (n, d), in which a row of NaN is an item without one.

    PCA, whitening and the mean part are fitted on the items that have a vector, whatever their
    standing: content is known of an item that nothing is learned from too. `BadInput` as
    `FittedSource.part`.
    """
    there = has_vector(vectors)
    named = _where(item_ids, there)
    known = vectors[there]
    projection = None
    if settings.pca is not None or settings.whiten:
        scaled = _transformed(known, named, name, settings.unit_norm, None)
        projection = fit_projection(scaled, settings.pca, settings.whiten, f"source {name}")
    filler: Floats | None = None
    if settings.missing != "refuse":
        parts = _transformed(known, named, name, settings.unit_norm, projection)
        mean = parts.mean(axis=0, dtype=np.float64).astype(np.float32)
        filler = mean if settings.missing == "mean" else np.zeros_like(mean)
    return FittedSource(
        name, vectors.shape[1], settings.unit_norm, settings.weight, projection, filler
    )


def has_vector(vectors: Floats) -> npt.NDArray[np.bool_]:
    """(n,): False where a row is NaN throughout, as `known_rows` marks an item without vector."""
    return np.asarray(~np.isnan(vectors).all(axis=1), dtype=np.bool_)


def join(parts: Sequence[Floats]) -> Floats:
    """Parts (n, m_1), (n, m_2), ... side by side.

    Squared distances add up over the sources. Where all parts have unit norm before their weights
    w, the cosine of two joined vectors is sum w^2 cos / sum w^2.
    """
    return np.concatenate(parts, axis=1)


def _where(item_ids: Sequence[str], there: npt.NDArray[np.bool_]) -> list[str]:
    return [item_id for item_id, is_there in zip(item_ids, there, strict=True) if is_there]


def _transformed(
    vectors: Floats, item_ids: Sequence[str], name: str, is_unit: bool, how: Projection | None
) -> Floats:
    check_rows(vectors, item_ids, f"source {name}")
    scaled = unit_norm(vectors, item_ids, f"source {name}") if is_unit else vectors
    if how is None:
        return scaled
    turned = how.apply(scaled)
    after = f"source {name}, less its mean"
    return unit_norm(turned, item_ids, after) if is_unit else turned
