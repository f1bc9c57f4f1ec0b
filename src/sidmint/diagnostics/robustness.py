"""How many codes noise really changes: the measured side of the overlap rate (DRQ 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.overlap import check_noise
from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.rows import ROWS_AT_ONCE, Rows
from sidmint.types import Floats, Ints

Encode = Callable[[Floats], Ints]
"""Latent vectors (n, d) -> codes (n, L); the codes of a row depend on that row alone."""


@dataclass(frozen=True)
class Robustness:
    """Shares of all items at one level of noise; both tuples have one entry a level."""

    changed_codes: tuple[float, ...]
    """Items whose code at that level is another one under noise, whatever the levels before."""
    changed_prefixes: tuple[float, ...]
    """Items of which any of the first 1, 2, ... L codes is another one; never falls with length."""


def robustness(
    encode: Encode, latent: Rows, sigma: float, generator: np.random.Generator
) -> Robustness:
    """`Robustness` at noise `sigma`; see `robustness_sweep`."""
    return robustness_sweep(encode, latent, (sigma,), generator)[0]


def robustness_sweep(
    encode: Encode,
    latent: Rows,
    sigmas: Sequence[float],
    generator: np.random.Generator,
    track: Track = silent,
) -> tuple[Robustness, ...]:
    """`Robustness` for each standard deviation of the noise, a dimension of `latent` (N, d).

    Gaussian noise is added to every latent vector once, and the codes of `encode` before and
    after are compared. It is the noise that `overlap` takes as given, so the two stand side by
    side: the overlap rate is a proxy from codewords alone, this is what happens to the items.
    They can disagree: random codes have codewords far apart, and hardly one survives any noise.
    Noise so large that it alone decides changes 1 - sum over codes of p q of the items, p the
    shares of codes before and q those under such noise. It is as large in every dimension, and
    of many dimensions few part codewords: compare tokenizers of one latent size.

    One draw serves every sigma, scaled: curves over sigma differ by sigma and not by luck.
    Results depend on the state of `generator` and not on how many items are encoded at once.
    The standard error of a share s is sqrt(s (1 - s) / N). Time: one encoding of all items, and
    one more for each sigma.
    """
    check_noise(sigmas)
    if len(latent.shape) != 2 or len(latent) == 0:
        raise BadInput(f"robustness wants latent vectors (N, d), got shape {latent.shape}")
    counts = np.zeros((len(sigmas), 2, 1), dtype=np.int64)
    for start in track(range(0, len(latent), ROWS_AT_ONCE), "encoding under noise"):
        piece = np.asarray(latent[start : start + ROWS_AT_ONCE], dtype=np.float32)
        noise = generator.standard_normal(piece.shape, dtype=np.float32)
        before = encode(piece)
        after = (encode(piece + np.float32(sigma) * noise) for sigma in sigmas)
        counts = counts + np.array([_count_changed(before, codes) for codes in after])
    shares = (counts / len(latent)).tolist()
    return tuple(Robustness(tuple(codes), tuple(prefixes)) for codes, prefixes in shares)


def _count_changed(before: Ints, after: Ints) -> npt.NDArray[np.int64]:
    """Items (2, L) whose code at each level changed, and whose prefix of each length did."""
    changed = before != after
    prefixes = np.logical_or.accumulate(changed, axis=1)
    return np.stack([changed.sum(axis=0), prefixes.sum(axis=0)])
