"""DRQ (arXiv 2606.01844): printed numbers that arithmetic alone can check."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sidmint.diagnostics import Overlap, collisions, utilization
from sidmint.packing import bits_of_levels

TABLE_1 = {  # participation ratio, effective rank, largest eigenvalue share, mean absolute cosine
    "Raw Input": (106.05, 131.17, 0.0307, 0.0795),
    "RQ-VAE": (73.08, 116.77, 0.0456, 0.0865),
    "RQP-VAE": (104.91, 137.77, 0.0313, 0.0720),
    "RQ-KMeans": (105.92, 131.15, 0.0309, 0.0752),
    "DRQ-VAE": (71.79, 103.01, 0.0400, 0.0894),
    "DRQ-VAE+CL": (149.19, 189.54, 0.0159, 0.4622),
}
TABLE_2 = {  # overlap rate and effective codebook size, levels 0, 1, 2
    "RQ-VAE": [("0.002196", 455.46), ("0.000466", 2146.12), ("0.000427", 2344.55)],
    "RQP-VAE": [("0.000273", 3667.92), ("0.000314", 3180.69), ("0.000310", 3221.32)],
    "RQ-KMeans": [("0.000285", 3506.33), ("0.000575", 1738.18), ("0.000644", 1553.27)],
    "DRQ-VAE": [("0.000286", 3495.31), ("0.000512", 1951.97), ("0.000549", 1821.62)],
    "DRQ-VAE+CL": [("0.000297", 3365.96), ("0.001075", 930.04), ("0.001962", 509.73)],
}
TABLE_3 = {  # perplexity, active codes, Gini at levels 0 and 2
    "RQ-VAE": [(480.96, 512, 0.899), (2815.64, 3377, 0.445)],
    "RQP-VAE": [(3872.12, 4096, 0.184), (3692.76, 4096, 0.239)],
    "RQ-KMeans": [(3765.45, 4096, 0.225), (1912.13, 3371, 0.636)],
    "DRQ-VAE": [(3758.63, 4096, 0.229), (2130.85, 3464, 0.592)],
    "DRQ-VAE+CL": [(3665.12, 4096, 0.258), (698.71, 2389, 0.865)],
}


@pytest.mark.parametrize(
    ("printed", "num_distinct"), [("0.074680", 462_660), ("0.228898", 385_551)]
)
def test_both_collision_rates_are_of_500_000_items(printed, num_distinct):
    assert round(num_distinct / (1 - float(printed)), -1) == 500_000
    codes = (np.arange(500_000) % num_distinct).astype(np.int32)
    rate = collisions(np.stack((codes >> 10, codes & 1023), axis=1)).collision_rate
    assert f"{rate:.6f}" == printed


@pytest.mark.parametrize(
    ("printed", "num_distinct"), [("0.074680", 462_660), ("0.228898", 385_551)]
)
def test_no_other_number_of_items_fits_a_printed_collision_rate(printed, num_distinct):
    half = Fraction(1, 2_000_000)  # of the last printed digit
    least = num_distinct / (1 - (Fraction(printed) - half))
    most = num_distinct / (1 - (Fraction(printed) + half))
    assert [n for n in range(499_000, 501_000) if least <= n <= most] == [500_000]


def test_three_levels_of_4096_codes_have_36_bits():
    corners = np.array([(0, 0, 0), (4095, 4095, 4095)], dtype=np.int32)
    assert sum(bits_of_levels(corners)) == 36
    assert 3 * math.log2(4096) == 36
    assert 2**36 / 500_000 > 137_000  # codes an item: collisions are no lack of room


@pytest.mark.parametrize("model", TABLE_1)
def test_printed_spectra_keep_the_order_of_their_figures(model):
    participation, effective_rank, top_share, cosine = TABLE_1[model]
    # exp of the Renyi entropies of order 2 and 1, and of order infinity.
    assert 1 / (top_share + 0.00005) <= participation <= effective_rank
    assert 0 <= cosine <= 1


def test_512_of_4096_codes_force_a_gini_of_seven_eighths():
    evenly = utilization(np.arange(512, dtype=np.int32), 4096)
    assert evenly.gini == pytest.approx(0.875)
    uneven = np.repeat(np.arange(512), np.arange(1, 513)).astype(np.int32)
    assert utilization(uneven, 4096).gini > 0.875
    assert TABLE_3["RQ-VAE"][0][2] >= 0.875


@pytest.mark.parametrize("model", TABLE_3)
def test_printed_gini_keeps_the_bound_that_dead_codes_set(model):
    for perplexity, num_active, gini in TABLE_3[model]:
        assert gini >= 1 - num_active / 4096
        assert perplexity <= num_active


@pytest.mark.parametrize("model", TABLE_2)
def test_effective_codebook_size_is_the_inverse_overlap_rate(model):
    for printed_rate, printed_size in TABLE_2[model]:
        each = Overlap(distribution_penalty=1 / printed_size, geometry_penalty=0.0)
        assert f"{each.overlap_rate:.6f}" == printed_rate
        assert f"{each.effective_codebook_size:.2f}" == f"{printed_size:.2f}"


@pytest.mark.parametrize("model", TABLE_2)
def test_every_printed_rate_and_size_are_inverses_within_their_rounding(model):
    for printed_rate, printed_size in TABLE_2[model]:
        rate, size = Fraction(printed_rate), Fraction(str(printed_size))
        most = 1 / (rate - Fraction(1, 2_000_000))
        least = 1 / (rate + Fraction(1, 2_000_000))
        assert least <= size + Fraction(1, 200)
        assert size - Fraction(1, 200) <= most


@pytest.mark.parametrize("model", TABLE_2)
def test_printed_rates_leave_room_for_the_codes_in_use(model):
    # 1 / sum p^2 is at least the size and at most the codes in use: OR >= 1 / active.
    for (rate, size), (_, num_active, _) in zip(TABLE_2[model][::2], TABLE_3[model], strict=True):
        assert float(rate) + 5e-7 >= 1 / num_active
        assert size <= num_active


@pytest.mark.parametrize("model", TABLE_2)
def test_effective_codebook_size_stays_below_perplexity(model):
    for (_, size), (perplexity, _, _) in zip(TABLE_2[model][::2], TABLE_3[model], strict=True):
        assert size <= perplexity


@pytest.mark.parametrize(
    ("num_items", "ceiling", "quasid_prints"), [(12_101, 9.4010, 9.3901), (11_924, 9.3863, 9.3794)]
)
def test_composition_entropy_ends_at_ln_n(num_items, ceiling, quasid_prints):
    distinct = np.arange(num_items, dtype=np.int32)[:, None]
    assert collisions(distinct).composition_entropy == pytest.approx(math.log(num_items))
    assert math.log(num_items) == pytest.approx(ceiling, abs=5e-5)
    assert quasid_prints < ceiling
