"""The sources of `embed.sources`, read and joined: what each says of an item, side by side.

Shape letters: N items, d dimensions of a source as it comes, D of the joined vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.contracts import Items
from sidmint.diagnostics import geometry, mean_cosine
from sidmint.embedding import (
    Encode,
    FittedSource,
    SourceParams,
    check_vectors,
    fit_source,
    has_vector,
    item_texts,
    join,
    load_encoder,
    name_of_model,
    unit_norm,
)
from sidmint.embedding.source import JOINED
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.params import Params
from sidmint.sources.item_vectors import known_vectors_of_items, vectors_of_items
from sidmint.types import Floats

_LARGEST_SAMPLE = 20_000
"""Items that geometry is measured on, as DRQ 5.2 takes them."""


@dataclass(frozen=True)
class Read:
    """One source of N items, as it came and as it goes into the vectors."""

    fitted: FittedSource
    described: dict[str, Any]
    """For embed.json, the manifest, and whoever encodes new items."""
    vectors: Floats
    """(N, d); a row of NaN is an item without one."""
    part: Floats
    """(N, m)."""


def read_sources(
    params: Params, items: pl.DataFrame, layout: Layout, encode: Encode
) -> tuple[Read, ...]:
    """Every source of `embed.sources` for the rows of `items`, by name; `BadInput` names one.

    `encode` reads the texts of those that have an encoder.

    What is fitted is fitted on all items that have a vector, whatever `train.fit_on` says: content
    is known of each, and the stage does not wait for who may be learned from.
    """
    wanted = params.embed.sources or {}
    return tuple(_read(name, each, params, items, layout, encode) for name, each in wanted.items())


def joined(sources: tuple[Read, ...]) -> Floats:
    """The parts (N, D) of those sources whose weight is above 0."""
    return join([source.part for source in sources if source.fitted.weight])


def tensors_of(sources: tuple[Read, ...]) -> dict[str, npt.NDArray[Any]]:
    """What was fitted of those sources, by "NAME.what"; none where no setting fits anything."""
    found: dict[str, npt.NDArray[Any]] = {}
    for source in sources:
        if source.fitted.weight:
            found |= source.fitted.tensors()
    return found


def _read(
    name: str,
    settings: SourceParams,
    params: Params,
    items: pl.DataFrame,
    layout: Layout,
    encode: Encode,
) -> Read:
    item_ids = items[Items.ITEM_ID].to_list()
    described = settings.model_dump()
    if settings.path is None:
        described["template"] = settings.template or params.embed.template
        vectors, described["model"] = _encoded(
            settings, described["template"], params, items, layout, encode
        )
    else:
        described["model"] = settings.path
        read = vectors_of_items if settings.missing == "refuse" else known_vectors_of_items
        vectors = read(settings.path, item_ids, params, layout)
    there = has_vector(vectors)
    known_ids = [item_ids[row] for row in np.flatnonzero(there)]
    check_vectors(vectors[there], known_ids, f"source {name} ({described['model']})")
    fitted = fit_source(name, settings, vectors, item_ids)
    part = fitted.part(vectors, item_ids)
    described |= {
        "num_dimensions": vectors.shape[1],
        "num_part_dimensions": part.shape[1],
        "num_items": int(there.sum()),
    }
    return Read(fitted, described, vectors, part)


def _encoded(
    settings: SourceParams,
    template: str,
    params: Params,
    items: pl.DataFrame,
    layout: Layout,
    encode: Encode,
) -> tuple[Floats, str]:
    """Vectors of the items' texts, and what they are made by: a folder, or the model's own name."""
    model = settings.model or params.embed.model
    encoder = load_encoder(str(settings.encoder), model, layout.root)
    texts = item_texts(template, items)
    vectors = encode(encoder, texts)
    return vectors, name_of_model(encoder, model, layout.root)


def measure_sources(sources: tuple[Read, ...], whole: Floats, item_ids: list[str]) -> pl.DataFrame:
    """Geometry of each source and of the joined vectors, before and after: a row each.

    `before` is a source as it came, and for `joined` all of them at unit norm side by side, without
    weights, PCA or whitening; `after` is its part, and for `joined` what is stored, `whole` (N, D).
    An item without a vector is not counted, but for `joined`. Over at most 20,000 items, evenly
    spaced in the order of the ids. A figure that cannot be measured (nothing varies) is null.
    """
    rows = _sample(len(whole))
    measured = []
    for source in sources:
        there = rows[has_vector(source.vectors[rows])]
        name, weight = source.fitted.name, source.fitted.weight
        measured.append(_row(name, "before", weight, source.vectors[there]))
        measured.append(_row(name, "after", weight, source.part[there]))
    ids = [item_ids[row] for row in rows]
    plain = join([_plain(source, rows, ids) for source in sources if source.fitted.weight])
    measured.append(_row(JOINED, "before", None, plain))
    measured.append(_row(JOINED, "after", None, whole[rows]))
    return pl.DataFrame(measured, schema=_SCHEMA)


_SCHEMA = {
    "source": pl.String,
    "state": pl.String,
    "weight": pl.Float64,
    "num_items": pl.Int64,
    "dimensions": pl.Int64,
    "mean_cosine": pl.Float64,
    "effective_rank": pl.Float64,
    "participation_ratio": pl.Float64,
    "top_eigenvalue_share": pl.Float64,
    "dimension_correlation": pl.Float64,
}


def _sample(num_items: int) -> npt.NDArray[np.int64]:
    size = min(num_items, _LARGEST_SAMPLE)
    return np.linspace(0, num_items - 1, size).astype(np.int64)


def _plain(source: Read, rows: npt.NDArray[np.int64], item_ids: list[str]) -> Floats:
    """At unit norm, zeros for items without a vector."""
    vectors = source.vectors[rows]
    there = np.flatnonzero(has_vector(vectors))
    found = np.zeros_like(vectors)
    named = [item_ids[row] for row in there]
    found[there] = unit_norm(vectors[there], named, f"source {source.fitted.name}")
    return found


def _row(name: str, state: str, weight: float | None, vectors: Floats) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_SCHEMA)
    row |= {"source": name, "state": state, "weight": weight}
    row |= {"num_items": len(vectors), "dimensions": vectors.shape[1]}
    try:
        row["mean_cosine"] = mean_cosine(vectors)
        cloud = geometry(vectors)
    except BadInput:  # of a cloud that has no spread, the page says that nothing was measured
        return row
    return row | {
        "effective_rank": cloud.effective_rank,
        "participation_ratio": cloud.participation_ratio,
        "top_eigenvalue_share": cloud.top_eigenvalue_share,
        "dimension_correlation": cloud.dimension_correlation,
    }
