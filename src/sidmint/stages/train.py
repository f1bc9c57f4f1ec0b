"""train: fit one tokenizer on the item vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import Items
from sidmint.errors import BadInput
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.rows import Rows, as_float32, rows_made, rows_picked, slices
from sidmint.seeds import seed_for
from sidmint.types import Floats, Outcome

if TYPE_CHECKING:
    from sidmint.tokenizers import CurvePoint, TrainingLog

RESULT_VERSION = 5


def train(params: Params, artifacts: Artifacts, tokenizer: str, track: Track = silent) -> Outcome:
    """Fit `tokenizer` on the items that `train.fit_on` says, or on a draw of them; keep its curve.

    Vectors of other items are not read; those of a tokenizer that `fits_in_passes` stay in their
    file where they are many. The headline says in words which level collapsed, if one
    did: the gate will refuse it. Where several processes share the fit, the first alone writes.
    """
    from sidmint.quantization.collective import rank
    from sidmint.tokenizers import GradientTokenizer, make_tokenizer, storage

    model = make_tokenizer(tokenizer, params.tokenizers.get(tokenizer, {}))
    wanted = fitted_rows(artifacts, params.train.fit_on)
    fitted = drawn_rows(wanted, params.train.fit_rows, seed_for(params.seed, "train", "rows"))
    vectors = _vectors_of(artifacts, fitted)
    if not model.fits_in_passes:
        vectors = vectors[:]
    _require_finite(vectors, artifacts, fitted)
    pairs = artifacts.pairs().among(fitted) if model.uses_pairs else None
    seed = seed_for(params.seed, "train", tokenizer)
    categories = _categories(artifacts, fitted) if model.uses_categories else None
    # Where vectors are no array, the tokenizer has said that it takes them.
    given = (cast(Floats, vectors), pairs, seed, params.train.device, track, categories)
    if isinstance(model, GradientTokenizer) and model.uses_collaborative:
        known = artifacts.collaborative()
        log = model.fit(*given, collaborative=None if known is None else known[fitted])
    else:
        log = model.fit(*given)
    metrics = _metrics(log, int(fitted.sum()))
    if rank() == 0:  # every process has the same in its hands
        with artifacts.writing("train", tokenizer) as out:
            storage.save(model, out.folder, params.train.fit_on, int(fitted.sum()))
            out.table("curve", _curve_table(log.curve))
            out.metrics(metrics)
    drawn = "" if fitted.sum() == wanted.sum() else f" of {wanted.sum():,}"
    said = [f"{tokenizer}: fitted on {fitted.sum():,}{drawn} {params.train.fit_on} items"]
    said += log.collapsed or [_usage_words(log.perplexities, model.config.sizes)]
    said += log.notes
    return Outcome("; ".join(said), metrics)


def check_settings(params: Params) -> None:
    """Build every tokenizer of the run, untrained, so that a wrong setting is found at once."""
    from sidmint.tokenizers import make_tokenizer

    for tokenizer in params.train.tokenizers:
        if tokenizer not in params.tokenizers:
            raise BadInput(
                f"train.tokenizers names {tokenizer!r} but tokenizers.{tokenizer} is missing in "
                f"params.yaml; add it ({{}} takes the defaults)"
            )
        model = make_tokenizer(tokenizer, params.tokenizers[tokenizer])
        if model.uses_collaborative and params.embed.collaborative is None:
            raise BadInput(
                f"tokenizer {tokenizer!r} aligns codes with collaborative vectors, and "
                "embed.collaborative names none; set it to a Parquet or .npy file of vectors by "
                "item id, as a recommender has them, or take "
                f"{tokenizer!r} out of train.tokenizers"
            )


def fitted_rows(artifacts: Artifacts, fit_on: str) -> npt.NDArray[np.bool_]:
    """Which rows of the items `train.fit_on` means, as a mask (N,).

    What nobody has met, or the k-core leaves out, still has content: `known` reads
    it, and leaves only the withheld items to be new.
    """
    if fit_on == "known":
        fitted = (artifacts.items(Items.STANDING).to_series() != "withheld").to_numpy()
    else:
        fitted = ~artifacts.items(Items.COLD).to_series().to_numpy() | (fit_on == "all")
    if not fitted.any():
        raise BadInput(
            f"train.fit_on is {fit_on}, and no item is: without interactions set train.fit_on to "
            "all, else lower ingest.cold_share"
        )
    return np.asarray(fitted)


def drawn_rows(
    wanted: npt.NDArray[np.bool_], fit_rows: int | None, seed: int
) -> npt.NDArray[np.bool_]:
    """At most `fit_rows` of the `wanted` rows, drawn without replacement, as a mask (N,).

    None draws nothing: all of them. The same rows for every tokenizer of a seed.
    """
    rows = np.flatnonzero(wanted)
    if fit_rows is None or fit_rows >= len(rows):
        return wanted
    drawn = np.zeros_like(wanted)
    drawn[np.random.default_rng(seed).choice(rows, fit_rows, replace=False)] = True
    return drawn


def _vectors_of(artifacts: Artifacts, fitted: npt.NDArray[np.bool_]) -> Rows:
    """The vectors of the fitted items, float32; many stay in their file."""
    stored = rows_picked(artifacts.array_file("embed", "embeddings"), np.flatnonzero(fitted))
    return rows_made(stored, as_float32)


def _require_finite(vectors: Rows, artifacts: Artifacts, fitted: npt.NDArray[np.bool_]) -> None:
    from sidmint.tokenizers import check_vectors

    item_ids = artifacts.items(Items.ITEM_ID)[Items.ITEM_ID].filter(fitted)
    for rows in slices(len(vectors)):
        check_vectors(vectors[rows], None, item_ids[rows].to_list())


def _categories(artifacts: Artifacts, fitted: npt.NDArray[np.bool_]) -> list[str | None]:
    return artifacts.categories().filter(fitted).to_list()


def _metrics(log: TrainingLog, num_fitted: int) -> dict[str, float]:
    metrics: dict[str, float] = {"num_fitted_items": num_fitted, "num_steps": log.num_steps}
    for level, (perplexity, dead) in enumerate(
        zip(log.perplexities, log.num_dead, strict=True), start=1
    ):
        metrics[f"fitted_perplexity_{level}"] = perplexity
        metrics[f"fitted_dead_codes_{level}"] = dead
    return metrics


def _usage_words(perplexities: tuple[float, ...], sizes: tuple[int, ...]) -> str:
    shares = ", ".join(
        f"{value / size:.0%}" for value, size in zip(perplexities, sizes, strict=True)
    )
    return f"perplexity by level {shares} of the codebook"


def _curve_table(curve: tuple[CurvePoint, ...]) -> pl.DataFrame:
    """Sorted by metric, then step, so that equal curves are equal bytes."""
    columns = {"step": pl.Int64, "metric": pl.String, "value": pl.Float64}
    rows = sorted((point.metric, point.step, point.value) for point in curve)
    ordered = [(step, metric, value) for metric, step, value in rows]
    return pl.DataFrame(ordered, columns, orient="row")
