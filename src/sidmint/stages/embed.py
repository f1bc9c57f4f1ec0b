"""Stage `embed`: one vector an item, and what is near it.

Reads the items of `ingest` (and, for `precomputed` and `sources`, files under data/raw);
writes embeddings.npy, float16 (N, D) in the row order of the items, neighbours.faiss, an index of
them by cosine under the same row numbers, and embed.json. The index holds the vectors once more,
in float32: twice the bytes of embeddings.npy; from a million items on in float16, and embed.json
says how many of the nearest it finds. It is published, the vectors are not. With
`collaborative` also collaborative.npy, float32 (N, c), NaN for items that its file does not have;
with `sources` sources.safetensors, what was fitted of each (means, axes), and sources.parquet, the
geometry of each before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import Items
from sidmint.embedding import (
    SOURCES,
    check_vectors,
    has_vector,
    item_texts,
    load_encoder,
    name_of_model,
    store,
    summarise,
    unit_rows,
)
from sidmint.embedding.checks import norms
from sidmint.embedding.settings import EmbedParams
from sidmint.layout import Layout
from sidmint.neighbour_recall import NEIGHBOURS, QUERIES, recall
from sidmint.neighbours import build_index, kind_of
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.rows import Rows, as_float32, rows_made
from sidmint.sources.fusion import Read, joined, measure_sources, read_sources, tensors_of
from sidmint.sources.item_vectors import known_vectors_of_items
from sidmint.sources.vector_rows import rows_of_items
from sidmint.text_vectors import TextVectors
from sidmint.types import Floats, Outcome

RESULT_VERSION = 4


def embed(params: Params, artifacts: Artifacts, track: Track = silent) -> Outcome:
    """Vectors of the catalogue on disk, or `BadInput` and nothing written.

    Text is encoded batch by batch, and only text that no run before has encoded
    (`text_vectors`); precomputed vectors are matched to the items by id. What is stored is
    float16; norms are taken in float32 and wider, before the rounding.

    Of `precomputed` vectors a piece is in memory at a time where they are many; vectors of texts
    and of `sources` are held as float32, 4 N D bytes and more.
    """
    item_ids = artifacts.items(Items.ITEM_ID)[Items.ITEM_ID]
    settings = params.embed
    encode = TextVectors(artifacts.layout, settings.batch_size, settings.workers, track)
    with artifacts.writing("embed") as out, out.scratch() as scratch:
        found = _found(params, artifacts, item_ids, encode, scratch)
        check_vectors(found.vectors, item_ids, found.name)
        raw_norms = norms(found.vectors)
        vectors = found.vectors
        if settings.unit_norm:
            vectors = unit_rows(vectors, item_ids, found.name)
        halves = out.rows("embeddings", vectors.shape, np.float16)
        store(vectors, item_ids, halves)
        summary = _origin(settings, found) | summarise(halves, raw_norms, found.texts)
        known = _collaborative(item_ids, params, artifacts.layout)
        if known is not None:
            summary["collaborative"] = _summary_of_known(str(settings.collaborative), known)
            out.array("collaborative", known)
        whole = rows_made(halves, as_float32)
        if found.sources:
            out.table("sources", measure_sources(found.sources, whole[:], item_ids.to_list()))
            out.tensors("sources", tensors_of(found.sources))
        index = build_index(whole)
        if kind_of(index) != "flat":
            summary["neighbours"] = _summary_of_index(index, whole)
        out.index("neighbours", index)
        out.json("embed", summary)
    encode.tidy()
    return Outcome(_headline(summary) + (f"; {encode.told}" if encode.num_texts else ""))


@dataclass(frozen=True)
class _Found:
    """Vectors before any scaling, and what they came from."""

    name: str
    """What errors call them."""
    model: str
    vectors: Rows
    texts: list[str] | None = None
    sources: tuple[Read, ...] = ()


def _found(
    params: Params, artifacts: Artifacts, item_ids: pl.Series, encode: TextVectors, scratch: Path
) -> _Found:
    settings, layout = params.embed, artifacts.layout
    if settings.encoder == "precomputed":
        path = str(settings.path)
        return _Found(path, path, rows_of_items(path, item_ids, params, layout, scratch))
    items = artifacts.items()
    sources = read_sources(params, items, layout, encode)
    if sources:
        model = ", ".join(_named(source) for source in sources)
        return _Found("the joined sources", model, joined(sources), sources=sources)
    texts = item_texts(settings.template, items)
    encoder = load_encoder(settings.encoder, settings.model, layout.root)
    model = name_of_model(encoder, settings.model, layout.root)
    return _Found(settings.encoder, model, encode(encoder, texts), texts)


def _named(source: Read) -> str:
    return f"{source.fitted.name} ({source.described['model']})"


def _collaborative(item_ids: pl.Series, params: Params, layout: Layout) -> Floats | None:
    """What the file of collaborative vectors has of each item; NaN for those it does not have."""
    path = params.embed.collaborative
    if path is None:
        return None
    listed = item_ids.to_list()
    known = known_vectors_of_items(path, listed, params, layout, nan_is_none=True)
    rows = np.flatnonzero(has_vector(known))
    check_vectors(known[rows], [listed[row] for row in rows], path)
    return known


def _summary_of_known(path: str, known: Floats) -> dict[str, Any]:
    num_known = int((has_vector(known)).sum())
    return {"path": path, "dim": known.shape[1], "num_items": num_known}


def _summary_of_index(index: Any, vectors: Rows) -> dict[str, Any]:
    """Of an index that is not exact: how many of the nearest it finds."""
    return {
        "kind": kind_of(index),
        "recall": recall(index, vectors),
        "num_neighbours": NEIGHBOURS,
        "num_queries": QUERIES,
    }


def _origin(settings: EmbedParams, found: _Found) -> dict[str, Any]:
    """What of the settings went into the vectors.

    `second` is null in every file of this version: it is what an older one called a second source,
    and those who read a manifest ask for it.
    """
    origin = {"model": found.model, "unit_norm": settings.unit_norm, "second": None}
    if found.sources:
        described = {source.fitted.name: source.described for source in found.sources}
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
    if "neighbours" in summary:
        line += (
            f", neighbours by {summary['neighbours']['kind']} (recall@{NEIGHBOURS} "
            f"{summary['neighbours']['recall']:.3f} on {QUERIES} items)"
        )
    follows = summary["norm_length_correlation"]
    if not summary["unit_norm"] and follows is not None and abs(follows) > 0.5:
        line += (
            f"; warning: the norm follows the length of the text (rank correlation "
            f"{follows:+.2f}): set embed.unit_norm"
        )
    return line
