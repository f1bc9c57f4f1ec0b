"""Stage `embed`: one vector an item, and what is near it.

Reads the items of `ingest` (and, for `precomputed` and `second`, a file under data/raw);
writes embeddings.npy, float16 (N, D) in the row order of the items, neighbours.faiss, an index of
them by cosine under the same row numbers, and embed.json. The index holds the vectors once more,
in float32: twice the bytes of embeddings.npy. It is published, the vectors are not. With
`collaborative` also collaborative.npy, float32 (N, c), NaN for items that its file does not have.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from sidmint.artifacts import Artifacts
from sidmint.contracts import Items
from sidmint.embedding import (
    ENCODERS,
    align_rows,
    check_vectors,
    combine,
    encode_texts,
    item_texts,
    known_rows,
    stored,
    summarise,
    unit_norm,
)
from sidmint.embedding.checks import norms
from sidmint.embedding.precomputed import as_ids
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.neighbours import build_index
from sidmint.params import EmbedParams, Params
from sidmint.progress import Track, silent
from sidmint.sources.frames import read_frame
from sidmint.sources.vectors import read_vectors
from sidmint.types import Floats, Outcome

RESULT_VERSION = 2


def embed(params: Params, artifacts: Artifacts, track: Track = silent) -> Outcome:
    """Vectors of the catalogue on disk, or `BadInput` and nothing written.

    Text is encoded batch by batch; precomputed vectors are matched to the items by id. What is
    stored is float16; norms are taken in float32 and wider, before the rounding.
    """
    items = artifacts.items()
    item_ids = items[Items.ITEM_ID].to_list()
    settings = params.embed
    texts = None
    if settings.encoder == "precomputed":
        name = model = str(settings.path)
        vectors = _vectors_from_file(name, item_ids, params, artifacts.layout)
    else:
        texts = item_texts(settings.template, items)
        folder = artifacts.layout.root / settings.model
        encoder = ENCODERS[settings.encoder](str(folder) if folder.is_dir() else settings.model)
        name, model = settings.encoder, settings.model if folder.is_dir() else encoder.model
        vectors = encode_texts(encoder, texts, settings.batch_size, track)
    check_vectors(vectors, item_ids, name)
    raw_norms = norms(vectors)
    if settings.second is not None:
        second = _vectors_from_file(settings.second.path, item_ids, params, artifacts.layout)
        check_vectors(second, item_ids, settings.second.path)
        vectors = combine(vectors, second, item_ids, settings.second.weight)
    if settings.unit_norm:
        vectors = unit_norm(vectors, item_ids, name)
    halves = stored(vectors, item_ids)
    summary = _origin(settings, model) | summarise(halves, raw_norms, texts)
    known = _collaborative(item_ids, params, artifacts.layout)
    if known is not None:
        summary["collaborative"] = _summary_of_known(str(settings.collaborative), known)
    with artifacts.writing("embed") as out:
        out.array("embeddings", halves)
        if known is not None:
            out.array("collaborative", known)
        out.index("neighbours", build_index(halves.astype(np.float32)))
        out.json("embed", summary)
    return Outcome(_headline(summary))


def _vectors_from_file(path: str, item_ids: list[str], params: Params, layout: Layout) -> Floats:
    """The vectors in `path`, in the order of `item_ids`."""
    vector_ids, vectors = _read(path, params, layout)
    return align_rows(vectors, vector_ids, item_ids, path)


def _collaborative(item_ids: list[str], params: Params, layout: Layout) -> Floats | None:
    """What the file of collaborative vectors has of each item; NaN for those it does not have."""
    path = params.embed.collaborative
    if path is None:
        return None
    vector_ids, vectors = _read(path, params, layout)
    known = known_rows(vectors, vector_ids, item_ids, path)
    rows = np.flatnonzero(~np.isnan(known).all(axis=1))
    check_vectors(known[rows], [item_ids[row] for row in rows], path)
    return known


def _summary_of_known(path: str, known: Floats) -> dict[str, Any]:
    num_known = int((~np.isnan(known).all(axis=1)).sum())
    return {"path": path, "dim": known.shape[1], "num_items": num_known}


def _read(path: str, params: Params, layout: Layout) -> tuple[list[str], Floats]:
    """Item ids and vectors of the file `path`, in its own order."""
    file = layout.inside(path)
    if not file.exists():
        raise BadInput(
            f"{path} is not there; embed.path, embed.second.path and embed.collaborative name "
            "vector files"
        )
    ids = partial(_ids_of_rows, path, params, layout)
    return read_vectors(file, path, _id_column(params), ids)


def _ids_of_rows(path: str, params: Params, layout: Layout) -> tuple[list[str], str]:
    """Ids of the rows of an .npy file, which follow the user's own items file, and its name.

    `ingest` sorts and filters, so the rows of the catalogue on disk are not those of the file.
    """
    if params.ingest.source != "table" or params.ingest.items is None:
        raise BadInput(
            f"{path}: rows of an .npy file follow the items file of source table, and "
            f"ingest.source is {params.ingest.source}; bring Parquet with an item_id column"
        )
    items = read_frame(layout.inside(params.ingest.items), params.ingest.encoding)
    column = _id_column(params)
    if column not in items.columns:
        raise BadInput(f"{params.ingest.items} lacks the column {column!r} of item ids")
    return as_ids(items[column], params.ingest.items), params.ingest.items


def _id_column(params: Params) -> str:
    """What the user's items file calls the item id."""
    columns = params.ingest.columns
    return columns.get("items.item_id", columns.get(Items.ITEM_ID, Items.ITEM_ID))


def _origin(settings: EmbedParams, model: str) -> dict[str, Any]:
    """What of the settings went into the vectors."""
    return {
        "encoder": settings.encoder,
        "model": model,
        "template": None if settings.encoder == "precomputed" else settings.template,
        "unit_norm": settings.unit_norm,
        "second": None if settings.second is None else settings.second.model_dump(),
    }


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
