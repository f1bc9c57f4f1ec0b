"""The nearest codeword of each point, exactly.

Shape letters: N points, B points of one block, K codewords, d their size, G groups of M
codewords, P (point, codeword) pairs.

A matrix product finds the nearest codeword fast, but it rounds, and rounds differently with
the number of rows, the threads and the processor. So products only propose: where a rigorous
error bound leaves more than one codeword possible, those few are compared more finely, and
at last in float64 by operations that round in the same way wherever they run. The code of a
point therefore depends on the point and the codebook alone: not on the other points, their
order, the block size, the product or the machine.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sidmint.devices import in_blocks
from sidmint.quantization.groups import Groups, possible, where
from sidmint.quantization.products import Kind, fast_product, float32_error, norms

SCORES_IN_CACHE = 1 << 20
"""Scores a block: 4 MB of float32, so that they are read again before they leave the cache."""

SCORES_ON_CUDA = 1 << 28
"""The same on a device, which has no use for a small block: 1 GB, where a quarter of what is free
holds it. A block of a million scores leaves a large chip waiting for the next launch."""

VALUES_IN_FLIGHT = 1 << 22
"""Float64 values a piece of the exact comparison."""

DISTANCE_ROUNDOFF = 2.0**-48
"""Bounds the roundings of `pair_distances`: 4 + log2 d of 2^-53 each, for d up to 2^28."""

LOST_BELOW_FLOAT32 = 2.0**-60
"""What underflow may take from a score, for each of its d terms, where codewords are near 1."""


def nearest(points_Nd: Tensor, codewords_Kd: Tensor) -> Tensor:
    """The code (N,) int64 of the codeword nearest to each point; ties go to the lowest code.

    argmin_k ||x - c_k||^2 over float32 points (N, d) and codewords (K, d) on one device.
    Distances are those of `pair_distances`, so equal codewords are exact ties. Carries
    no gradient. Memory beyond the input is bounded by one block.
    """
    return Assigner(codewords_Kd)(points_Nd)


class Assigner:
    """`nearest` for one codebook, made ready once for any number of pieces.

    A score is s_k = ||c_k||^2 / 2 - x.c_k; the nearest codeword has the lowest. Points and
    codewords may be centred, and scaled by a power of two: that changes no comparison and
    keeps the bounds tight and free of overflow. A coarse `product` proposes; by
    default that which pays on this processor. Float32 does where none pays, and where a
    coarse one leaves too much open.
    """

    def __init__(self, codewords_Kd: Tensor, product: Kind | None = None) -> None:
        codewords_Kd = codewords_Kd.detach()
        # Equal codewords, as a collapsed level has them, would leave every comparison open.
        self.code_of = first_of_equals(codewords_Kd)
        self.distinct_Kd = codewords_Kd if self.code_of is None else codewords_Kd[self.code_of]
        kind = product or fast_product(self.distinct_Kd)
        self.factor = 1.0
        self.minus_centre_d: Tensor | None = None
        self.moved_Kd = self.distinct_Kd
        factor = _power_of_two_near_1_over(self.distinct_Kd)
        if kind is not None or not 2.0**-8 < factor < 2.0**8:
            self.factor = factor
            self.minus_centre_d = -(self.distinct_Kd * factor).mean(dim=0)
            self.moved_Kd = self._moved(self.distinct_Kd)
        self.half_norms_K = (self.moved_Kd.double().square().sum(dim=1) / 2).float()
        self.largest_norm = self.half_norms_K.max().mul(2).sqrt()
        self.directions_dK = (-self.moved_Kd).T.contiguous()
        self.error = float32_error(codewords_Kd.shape[1])
        self.floor = codewords_Kd.shape[1] * LOST_BELOW_FLOAT32
        self.groups: Groups | None = None
        if kind is not None:
            self.groups = Groups(self.distinct_Kd, self.moved_Kd, self.half_norms_K, kind)

    def __call__(self, points_Nd: Tensor) -> Tensor:
        """The codes (N,) int64 of these points; see `nearest`."""
        points_Nd = points_Nd.detach()
        codes_N = torch.empty(len(points_Nd), dtype=torch.int64, device=points_Nd.device)
        scores = _scores_at_once(points_Nd.device) * (1 if self.groups is None else 2)

        def assign(rows: slice) -> None:
            codes_N[rows] = self._of_block(points_Nd[rows])

        in_blocks(assign, len(points_Nd), max(64, scores // len(self.distinct_Kd)))
        return codes_N if self.code_of is None else self.code_of[codes_N]

    def _of_block(self, points_Bd: Tensor) -> Tensor:
        moved_Bd = self._moved(points_Bd)
        if self.groups is not None:
            codes_B = self._by_coarse(self.groups, points_Bd, moved_Bd)
            if codes_B is not None:
                return codes_B
        return self._by_float32(points_Bd, moved_Bd)

    def _moved(self, rows_Bd: Tensor) -> Tensor:
        """Rows centred and scaled; as they are where nothing is gained by it."""
        if self.minus_centre_d is None:
            return rows_Bd
        return torch.add(self.minus_centre_d, rows_Bd, alpha=self.factor)

    def _doubts(self, norms_B: Tensor) -> Tensor:
        """How far a score (B,) may be from the float64 distance it stands for, products apart.

        Underflow, and what `pair_distances` rounds itself: what is a tie there is one here.
        """
        return (norms_B + self.largest_norm).square_() * DISTANCE_ROUNDOFF + self.floor

    def _by_float32(self, points_Bd: Tensor, moved_Bd: Tensor) -> Tensor:
        """The codes (B,) of a block, proposed by a float32 product with every codeword.

        Both scores of a comparison may err: twice the bound.
        """
        scores_BK = torch.addmm(self.half_norms_K, moved_Bd, self.directions_dK)
        best_B, codes_B = scores_BK.min(dim=1)
        norms_B = norms(moved_Bd)
        errors_B = (norms_B + self.largest_norm / 2) * (self.error * self.largest_norm)
        limit_B = best_B + 2 * (errors_B + self._doubts(norms_B))
        scores_BK.scatter_(1, codes_B[:, None], torch.inf)
        open_rows = (scores_BK.amin(dim=1) > limit_B).logical_not_().nonzero()[:, 0]
        if len(open_rows):
            closed_BK = scores_BK[open_rows] > limit_B[open_rows, None]
            closed_BK.scatter_(1, codes_B[open_rows, None], False)
            rows_P, codes_P = where(closed_BK.logical_not_())
            codes_B[open_rows] = _settle(points_Bd[open_rows], self.distinct_Kd, rows_P, codes_P)
        return codes_B

    def _by_coarse(self, groups: Groups, points_Bd: Tensor, moved_Bd: Tensor) -> Tensor | None:
        """The same by the coarse product; None where that leaves too many codewords possible."""
        norms_B = norms(moved_Bd)
        doubts_B = self._doubts(norms_B)
        proposed = groups.possible(moved_Bd, doubts_B)
        if proposed is None:
            return None
        rows_P, codes_P = proposed
        codes_B = torch.empty(len(points_Bd), dtype=torch.int64)
        rows_P, codes_P = _without_single(rows_P, codes_P, codes_B)
        half_norms_P = self.half_norms_K[codes_P]
        scores_P = half_norms_P - _pair_products(moved_Bd, self.moved_Kd, rows_P, codes_P)
        errors_P = norms_B[rows_P] * half_norms_P.mul(2).sqrt() + half_norms_P
        errors_P = errors_P * self.error + doubts_B[rows_P]
        keep_P = possible(rows_P, scores_P[:, None], errors_P, len(points_Bd))[:, 0]
        rows_P, codes_P = _without_single(rows_P[keep_P], codes_P[keep_P], codes_B)
        rows_R, rows_P = torch.unique(rows_P, return_inverse=True)
        codes_B[rows_R] = _settle(points_Bd[rows_R], self.distinct_Kd, rows_P, codes_P)
        return codes_B


def _scores_at_once(device: torch.device) -> int:
    """Scores of a block on `device`."""
    if device.type != "cuda":
        return SCORES_IN_CACHE
    free, _ = torch.cuda.mem_get_info(device)
    return max(SCORES_IN_CACHE, min(SCORES_ON_CUDA, free // 16))


def first_of_equals(codewords_Kd: Tensor) -> Tensor | None:
    """The lowest code of each distinct codeword, rising; None where all differ.

    Equal rows have equal norms of their first values, to the last bit as `pair_distances` rounds:
    where those norms all differ nothing else is looked at.
    """
    begin_K8 = codewords_Kd[:, :8]
    norms_K = pair_distances(begin_K8, torch.zeros_like(begin_K8)).sort().values
    if not (norms_K[1:] == norms_K[:-1]).any():
        return None
    distinct_Ud, which_K = torch.unique(codewords_Kd, dim=0, return_inverse=True)
    if len(distinct_Ud) == len(codewords_Kd):
        return None
    codes_K = torch.arange(len(codewords_Kd), device=codewords_Kd.device)
    firsts_U = codes_K.new_full((len(distinct_Ud),), len(codes_K))
    return firsts_U.scatter_reduce_(0, which_K, codes_K, "amin").sort().values


def pair_distances(left_Pd: Tensor, right_Pd: Tensor) -> Tensor:
    """Squared distances (P,) float64 of paired rows, the same to the last bit wherever they run.

    A library sum may add in another order when a tensor has another shape. Here every
    operation is elementwise and correctly rounded, and halves are folded onto each other
    in a fixed order, so a pair's distance does not depend on the pairs beside it.
    """
    terms_Pd = (left_Pd.double() - right_Pd.double()).square_()
    while terms_Pd.shape[1] > 1:
        half = terms_Pd.shape[1] // 2
        folded = terms_Pd[:, :half] + terms_Pd[:, half : 2 * half]
        if terms_Pd.shape[1] % 2:
            folded[:, 0] += terms_Pd[:, -1]
        terms_Pd = folded
    return terms_Pd[:, 0]


def all_distances(points_Nd: Tensor, codewords_Kd: Tensor) -> Tensor:
    """`pair_distances` of every point to every codeword, (N, K) float64, in bounded pieces."""
    distances_NK = torch.empty(
        (len(points_Nd), len(codewords_Kd)), dtype=torch.float64, device=points_Nd.device
    )
    block = max(1, VALUES_IN_FLIGHT // codewords_Kd.numel())
    for start in range(0, len(points_Nd), block):
        points_Bd = points_Nd[start : start + block]
        left = points_Bd.repeat_interleave(len(codewords_Kd), dim=0)
        right = codewords_Kd.repeat(len(points_Bd), 1)
        distances_NK[start : start + block] = pair_distances(left, right).view(len(points_Bd), -1)
    return distances_NK


def _power_of_two_near_1_over(codewords_Kd: Tensor) -> float:
    """The factor that brings the largest value between 1/2 and 1."""
    _, exponent = math.frexp(float(codewords_Kd.abs().max()))
    return math.ldexp(1.0, max(-126, min(126, -exponent)))


def _without_single(rows_P: Tensor, codes_P: Tensor, codes_B: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs of rows that have several; the code of a row that has one goes to `codes_B`."""
    several_P = torch.bincount(rows_P, minlength=len(codes_B))[rows_P] > 1
    codes_B[rows_P] = codes_P  # those of several are written again later
    return rows_P[several_P], codes_P[several_P]


def _pair_products(points_Bd: Tensor, codewords_Kd: Tensor, rows_P: Tensor, at_P: Tensor) -> Tensor:
    """x.c (P,) of pairs in float32, without copying their rows side by side.

    The gradient of `embedding_bag` to its weights is this very product.
    """
    products_P: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        points_Bd, codewords_Kd, at_P, rows_P[:1], rows_P, 0
    )
    return products_P


def _settle(points_Bd: Tensor, codewords_Kd: Tensor, rows_P: Tensor, codes_P: Tensor) -> Tensor:
    """The nearest (B,) among the possible codes of each row, by exact comparison."""
    distances_P = torch.empty(len(rows_P), dtype=torch.float64, device=points_Bd.device)
    piece = max(1, VALUES_IN_FLIGHT // points_Bd.shape[1])
    for start in range(0, len(rows_P), piece):
        rows, codes = rows_P[start : start + piece], codes_P[start : start + piece]
        distances_P[start : start + piece] = pair_distances(points_Bd[rows], codewords_Kd[codes])
    least_B = distances_P.new_full((len(points_Bd),), torch.inf)
    least_B.scatter_reduce_(0, rows_P, distances_P, "amin")
    first_P = distances_P > least_B[rows_P]
    codes_P = codes_P.masked_fill(first_P, len(codewords_Kd) - 1)
    codes_B = torch.full_like(codes_P[:1], len(codewords_Kd) - 1).expand(len(points_Bd)).clone()
    return codes_B.scatter_reduce_(0, rows_P, codes_P, "amin")
