"""What lies near a vector: a faiss index over items, built the same way every time.

For lists that people and recommenders are shown. Ranks that judge a tokenizer stay exact and
stay in `evaluation` (decisions/0009 and 0013).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput, SidmintError
from sidmint.rows import Rows, slices
from sidmint.types import Floats, Ints

Kind = Literal["flat", "ivf", "hnsw"]

FLAT_BELOW = 1_000_000
"""Fewer vectors are searched in full: exact, and fast enough."""
_HNSW_LINKS = 32
_MOST_LISTS = 4096
_TRAINED_PER_LIST = 64
_LEAST_PROBES = 8
_ROWS_AT_ONCE = 1 << 14


def kind_for(num_vectors: int) -> Kind:
    """`flat` below a million vectors, `ivf` from there on."""
    return "flat" if num_vectors < FLAT_BELOW else "ivf"


def build_index(vectors: Rows, kind: Kind | None = None, seed: int = 0) -> Any:
    """A faiss index of `vectors` (N, D) by cosine; item n has the number n.

    Vectors are scaled to unit norm, so that inner products are cosines; a vector of zeros is
    like nothing. They are read a piece at a time, `hnsw` apart. `kind` is that of `kind_for`
    unless given. `flat` holds 4 N D bytes, and so does `hnsw`, which links each vector to 32.
    Raises `BadInput` for vectors that are not finite.

    `ivf` holds 2 N D bytes, float16, in lists by direction: 4 sqrt(N) of them, at most 4,096, so
    that to build it takes a time that grows as N. Their directions are a k-means of a seeded draw,
    64 vectors a list. A search looks into a sixteenth of the lists, eight at least. The same
    vectors and seed give the same bytes, whatever the number of threads. Eight bits a value would
    halve the bytes; they found .983 of the ten nearest where float16 found .990, and held a vector
    .008 of its norm from where it was, float16 .0001 (100,000 x 128, synthetic).
    """
    if len(vectors.shape) != 2 or not len(vectors):
        raise BadInput(f"an index wants finite vectors (N, D), got an array {vectors.shape}")
    chosen = kind or kind_for(len(vectors))
    if chosen == "ivf":
        return _in_lists(vectors, seed)
    faiss = _faiss()
    width = vectors.shape[1]
    index: Any
    if chosen == "hnsw":
        index = faiss.IndexHNSWFlat(width, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 128
        index.add(_finite_unit(vectors[:]))  # its links depend on what comes together
        return index
    index = faiss.IndexFlatIP(width)
    for rows in slices(len(vectors), _ROWS_AT_ONCE):
        index.add(_finite_unit(vectors[rows]))
    return index


def _in_lists(vectors: Rows, seed: int) -> Any:
    """Each vector in the list whose direction is nearest; see `build_index`.

    Directions and lists are found exactly: what faiss's own products round to depends on the
    number of threads, and of vectors at a time.
    """
    import torch

    from sidmint.quantization.assignment import Assigner
    from sidmint.quantization.spherical import spherical_kmeans

    faiss = _faiss()
    num, width = len(vectors), vectors.shape[1]
    num_lists = max(1, min(round(4 * num**0.5), num // _TRAINED_PER_LIST, _MOST_LISTS))
    num_drawn = min(num, num_lists * _TRAINED_PER_LIST)
    drawn = np.random.default_rng(seed).choice(num, num_drawn, replace=False, shuffle=False)
    sample = torch.from_numpy(_finite_unit(vectors[np.sort(drawn)]))
    generator = torch.Generator().manual_seed(seed)
    directions = spherical_kmeans(sample, num_lists, generator)
    quantizer = faiss.IndexFlatIP(width)
    quantizer.add(directions.numpy())
    index = faiss.IndexIVFScalarQuantizer(
        quantizer,
        width,
        num_lists,
        faiss.ScalarQuantizer.QT_fp16,
        faiss.METRIC_INNER_PRODUCT,
        False,  # the vectors themselves, not what they differ by from the list's direction
    )
    index.nprobe = min(num_lists, max(_LEAST_PROBES, num_lists // 16))
    index.train(sample[:1].numpy())  # the directions are there, and float16 learns nothing
    assign = Assigner(directions)
    list_of = np.empty(num, dtype=np.int64)
    for rows in slices(num, _ROWS_AT_ONCE):
        list_of[rows] = assign(torch.from_numpy(_finite_unit(vectors[rows]))).numpy()
    for number, size in enumerate(np.bincount(list_of, minlength=num_lists).tolist()):
        # Room for all at once: lists that grow hold up to twice what is in them.
        index.invlists.resize(number, size)
        index.invlists.resize(number, 0)
    for rows in slices(num, _ROWS_AT_ONCE):
        piece, lists = unit(vectors[rows]), list_of[rows]
        index.add_core(len(piece), faiss.swig_ptr(piece), None, faiss.swig_ptr(lists))
    return index


def _finite_unit(vectors: Floats) -> Floats:
    if not np.isfinite(vectors).all():
        raise BadInput(f"an index wants finite vectors (N, D), got an array {vectors.shape}")
    return unit(vectors)


def search(index: Any, queries: Floats, k: int) -> tuple[Ints, Floats]:
    """The `k` nearest items of each query (B, D): rows (B, k) and cosines, falling.

    Equal cosines go to the lower row. k is at most the number of items; a place that an
    approximate index could not fill is -1 with a cosine of -inf.
    """
    k = min(k, index.ntotal)
    cosines, rows = index.search(unit(queries), k)
    missing = rows < 0
    cosines = np.where(missing, -np.inf, cosines)
    order = np.lexsort((rows, -cosines), axis=1)
    return (
        np.take_along_axis(rows, order, axis=1).astype(np.int32),
        np.take_along_axis(cosines, order, axis=1).astype(np.float32),
    )


def vector_of(index: Any, row: int) -> Floats:
    """The unit vector (D,) that item `row` has in an index that `load_index` gave.

    As exact as the index holds it: `ivf` rounds values to float16, some 3e-4 of the norm.
    """
    return np.asarray(index.reconstruct(row), dtype=np.float32)


def extend_index(index: Any, vectors: Floats) -> None:
    """Add `vectors` (n, D) behind the items of an index that `load_index` gave, of any kind.

    Items keep their numbers. A flat index stays flat, so that its lists stay exact, and one with
    lists keeps the lists it has. `BadInput` for vectors of another width, or not finite.
    """
    _require_width(index, vectors)
    index.add(unit(vectors))


def replace_vectors(index: Any, rows: npt.NDArray[np.integer[Any]], vectors: Floats) -> None:
    """Give the items `rows` (n,) other vectors (n, D). Not in an `hnsw` index: `BadInput`."""
    _require_width(index, vectors)
    kind = kind_of(index)
    if kind == "flat":
        all_of_it = index.reconstruct_n(0, index.ntotal)
        all_of_it[rows] = unit(vectors)
        index.reset()
        index.add(all_of_it)
    elif kind == "ivf":
        index.update_vectors(rows.astype(np.int64), unit(vectors))
    else:
        raise BadInput("an hnsw index cannot move items; build it again")


def vectors_of(index: Any, rows: npt.NDArray[np.integer[Any]]) -> Floats:
    """The unit vectors (n, D) of the items `rows` in an index that `load_index` gave."""
    return np.asarray(index.reconstruct_batch(rows.astype(np.int64)), dtype=np.float32)


def save_index(index: Any, path: Path) -> None:
    """Write an index of this machine's memory as faiss's own file: equal vectors, equal bytes.

    `flat` is a copy of the vectors in float32, `ivf` one in float16. How many lists `ivf` looks
    into is kept, and so is where each item lies, so that a reader needs no settings and can ask
    with an item's vector.
    """
    if kind_of(index) == "ivf":
        index.make_direct_map()
    _faiss().write_index(index, str(path))


def load_index(path: Path) -> Any:
    """The index in a file that `save_index`, or faiss itself, wrote; `BadInput` if it is none."""
    faiss = _faiss()
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise BadInput(f"{path} is not readable as an index of faiss; fetch it again") from error


def kind_of(index: Any) -> Kind:
    """What `build_index` made."""
    name = type(index).__name__
    return "ivf" if "IVF" in name else "hnsw" if "HNSW" in name else "flat"


def on_device(index: Any) -> Any:
    """The index on a GPU where faiss sees one, else as it is."""
    faiss = _faiss()
    if not hasattr(faiss, "get_num_gpus") or faiss.get_num_gpus() < 1:
        return index
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)


def _require_width(index: Any, vectors: Floats) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != index.d or not np.isfinite(vectors).all():
        raise BadInput(
            f"the index holds vectors of {index.d} dimensions and wants finite ones, got an array "
            f"{vectors.shape}"
        )


def unit(vectors: Floats) -> Floats:
    """`vectors` (n, D) of unit norm; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(norms > 0, norms, 1.0), dtype=np.float32)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise SidmintError(
            "faiss is not installed; `pip install faiss-cpu`, or on a CUDA machine "
            "`pip install 'sidmint[gpu]'`"
        ) from error
    return faiss
