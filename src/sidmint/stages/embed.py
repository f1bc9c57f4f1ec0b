"""Stage `embed`: one vector an item, and what is near it.

Reads the items of `ingest` (and, for `precomputed` and `sources`, files under data/raw);
writes embeddings.npy, float16 (N, D) in the row order of the items, neighbours.faiss, an index of
them by cosine under the same row numbers, and embed.json. The index holds the vectors once more,
in float32: twice the bytes of embeddings.npy. It is published, the vectors are not. With
`collaborative` also collaborative.npy, float32 (N, c), NaN for items that its file does not have;
with `sources` sources.safetensors, what was fitted of each (means, axes), and sources.parquet, the
geometry of each before and after.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sidmint.artifacts import Artifacts
from sidmint.contracts import Items
from sidmint.embedding import (
    SOURCES,
    check_vectors,
    has_vector,
    item_texts,
    load_encoder,
    name_of_model,
    stored,
    summarise,
    unit_norm,
)
from sidmint.embedding.checks import norms
from sidmint.embedding.settings import EmbedParams
from sidmint.layout import Layout
from sidmint.neighbours import build_index
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.sources.fusion import Read, joined, measure_sources, read_sources, tensors_of
from sidmint.sources.item_vectors import known_vectors_of_items, vectors_of_items
from sidmint.text_vectors import TextVectors
from sidmint.types import Floats, Outcome

RESULT_VERSION = 3


def embed(params: Params, artifacts: Artifacts, track: Track = silent) -> Outcome:
    """Vectors of the catalogue on disk, or `BadInput` and nothing written.

    Text is encoded batch by batch, and only text that no run before has encoded
    (`text_vectors`); precomputed vectors are matched to the items by id. What is stored is
    float16; norms are taken in float32 and wider, before the rounding.
    """
    items = artifacts.items()
    item_ids = items[Items.ITEM_ID].to_list()
    settings = params.embed
    encode = TextVectors(artifacts.layout, settings.batch_size, settings.workers, track)
    sources = read_sources(params, items, artifacts.layout, encode)
    texts = None
    if sources:
        name, model = "the joined sources", ", ".join(_named(source) for source in sources)
        vectors = joined(sources)
    elif settings.encoder == "precomputed":
        name = model = str(settings.path)
        vectors = vectors_of_items(name, item_ids, params, artifacts.layout)
    else:
        texts = item_texts(settings.template, items)
        encoder = load_encoder(settings.encoder, settings.model, artifacts.layout.root)
        name = settings.encoder
        model = name_of_model(encoder, settings.model, artifacts.layout.root)
        vectors = encode(encoder, texts)
    check_vectors(vectors, item_ids, name)
    raw_norms = norms(vectors)
    if settings.unit_norm:
        vectors = unit_norm(vectors, item_ids, name)
    halves = stored(vectors, item_ids)
    summary = _origin(settings, model, sources) | summarise(halves, raw_norms, texts)
    known = _collaborative(item_ids, params, artifacts.layout)
    if known is not None:
        summary["collaborative"] = _summary_of_known(str(settings.collaborative), known)
    with artifacts.writing("embed") as out:
        out.array("embeddings", halves)
        if known is not None:
            out.array("collaborative", known)
        if sources:
            whole = halves.astype(np.float32)
            out.table("sources", measure_sources(sources, whole, item_ids))
            out.tensors("sources", tensors_of(sources))
        out.index("neighbours", build_index(halves.astype(np.float32)))
        out.json("embed", summary)
    encode.tidy()
    return Outcome(_headline(summary) + (f"; {encode.told}" if encode.num_texts else ""))


def _named(source: Read) -> str:
    return f"{source.fitted.name} ({source.described['model']})"


def _collaborative(item_ids: list[str], params: Params, layout: Layout) -> Floats | None:
    """What the file of collaborative vectors has of each item; NaN for those it does not have."""
    path = params.embed.collaborative
    if path is None:
        return None
    known = known_vectors_of_items(path, item_ids, params, layout, nan_is_none=True)
    rows = np.flatnonzero(has_vector(known))
    check_vectors(known[rows], [item_ids[row] for row in rows], path)
    return known


def _summary_of_known(path: str, known: Floats) -> dict[str, Any]:
    num_known = int((has_vector(known)).sum())
    return {"path": path, "dim": known.shape[1], "num_items": num_known}


def _origin(settings: EmbedParams, model: str, sources: tuple[Read, ...]) -> dict[str, Any]:
    """What of the settings went into the vectors.

    `second` is null in every file of this version: it is what an older one called a second source,
    and those who read a manifest ask for it.
    """
    origin = {"model": model, "unit_norm": settings.unit_norm, "second": None}
    if sources:
        described = {source.fitted.name: source.described for source in sources}
        return origin | {"encoder": SOURCES, "template": None, "sources": described}
    is_text = settings.encoder != "precomputed"
    template = settings.template if is_text else None
    return origin | {"encoder": settings.encoder, "template": template}


def _headline(summary: dict[str, Any]) -> str:
    line = (
        f"{summary['num_items']:,} vectors of {summary['dim']} dimensions by {summary['model']}, "
        f"{summary['num_exact_duplicates']:,} exact duplicates"
    )
    if "collaborative" in summary:
        line += (
            f", collaborative vectors for {summary['collaborative']['num_items']:,} of them by "
            f"{summary['collaborative']['path']}"
        )
    follows = summary["norm_length_correlation"]
    if not summary["unit_norm"] and follows is not None and abs(follows) > 0.5:
        line += (
            f"; warning: the norm follows the length of the text (rank correlation "
            f"{follows:+.2f}): set embed.unit_norm"
        )
    return line
