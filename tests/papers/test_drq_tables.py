"""DRQ's findings as checks: the paper's own figures must pass them, exchanged ones must not."""

import re

import numpy as np
import pytest
from drq_findings import findings
from drq_page import judged, page
from drq_printed import LABELS, PRINTED, RAW
from drq_tables import TABLE_1, laid_out
from fit_version import FIT_VERSION as RESULT_VERSION

PAPERS_OWN = {name: dict(figures) for name, figures in PRINTED.items() if name != RAW}
BY_NAME = {finding.claim: finding for finding in findings(4096)}


def refuted(figures):
    return {claim for claim, finding in BY_NAME.items() if finding.holds(figures) is False}


def exchanged(first, second, names=None):
    """The paper's figures with those of two tokenizers exchanged; all, or the `names` ones."""
    figures = {name: dict(values) for name, values in PAPERS_OWN.items()}
    for figure in names or {*figures[first], *figures[second]}:
        values = [figures[name].pop(figure, None) for name in (second, first)]
        for name, value in zip((first, second), values, strict=True):
            if value is not None:
                figures[name][figure] = value
    return figures


def claims(*beginnings):
    found = {claim for claim in BY_NAME if claim.startswith(beginnings)}
    assert len(found) >= len(beginnings)
    return found


def rows_of_the_papers_own_figures(seeds=(7,), factor=1.0):
    """Rows as the benchmark writes them, where we had measured exactly what is printed."""
    rows = []
    for at, seed in enumerate(seeds):
        for name, figures in PAPERS_OWN.items():
            metrics = {figure: value * factor**at for figure, value in figures.items()}
            for column in TABLE_1:
                metrics[f"{column.figure}_raw"] = PRINTED[RAW][column.figure]
                metrics[f"{column.figure}_quantized"] = metrics[column.figure]
                metrics[f"{column.figure}_latent"] = metrics.pop(column.figure)
            rows.append(
                {
                    "name": name,
                    "catalogue": "industrial",
                    "num_items": 500_000,
                    "settings": {"sizes": [4096, 4096, 4096]},
                    "seed": seed,
                    "cpu_s": 1.0,
                    "num_steps": 2100,
                    "result_version": RESULT_VERSION,
                    "collapsed": [],
                    "metrics": metrics | {"num_cases": 10_000},
                }
            )
    return rows


@pytest.mark.parametrize("claim", BY_NAME)
def test_every_finding_holds_on_the_papers_own_figures(claim):
    assert BY_NAME[claim].holds(PAPERS_OWN) is True


@pytest.mark.parametrize(
    ("first", "second", "fall"),
    [
        ("rq_vae", "rqp_vae", ("RQP-VAE", "RQ-VAE")),
        ("rqp_vae", "rq_kmeans", ("RQP-VAE",)),
        ("rq_vae", "rq_kmeans", ("RQ-VAE",)),
        (
            "drq_vae",
            "drq_vae_cl",
            ("DRQ-VAE has", "DRQ-VAE keeps", "DRQ-VAE reconstructs", "DRQ-VAE+CL"),
        ),
    ],
)
def test_exchanging_two_tokenizers_refutes_what_is_said_of_them_and_no_more(first, second, fall):
    expected = claims(*fall)
    if "rq_kmeans" in (first, second) or "drq_vae" in (first, second):
        # Only one tokenizer's error, cosine and bucket are in print: they lead wherever they go.
        expected -= claims("DRQ-VAE reconstructs", "DRQ-VAE has the fewest")
    assert refuted(exchanged(first, second)) == expected


@pytest.mark.parametrize(
    ("figure", "claim"),
    [
        ("participation_ratio", "DRQ-VAE+CL spreads"),
        ("effective_rank", "DRQ-VAE+CL spreads"),
        ("top_eigenvalue_share", "DRQ-VAE+CL spreads"),
        ("gini_3", "DRQ-VAE+CL uses"),
        ("perplexity_3", "DRQ-VAE+CL uses"),
        ("active_codes_3", "DRQ-VAE+CL uses"),
        ("retention_at_200", "DRQ-VAE+CL keeps"),
        ("auc_prefix", "DRQ-VAE+CL matches"),
    ],
)
def test_one_figure_taken_by_another_refutes_the_finding(figure, claim):
    assert refuted(exchanged("drq_vae_cl", "rq_kmeans", [figure])) == claims(claim)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("figure", ["overlap_rate", "effective_codebook_size"])
def test_rqp_vae_must_lead_at_every_level(level, figure):
    taken = exchanged("rqp_vae", "drq_vae", [f"{figure}_{level}"])
    assert claims("RQP-VAE overlaps") <= refuted(taken)


def test_reconstruction_is_judged_by_error_and_by_cosine():
    for error, cosine, holds in [(0.5, 0.9, True), (0.0004, 0.9, False), (0.5, 0.9999, False)]:
        figures = PAPERS_OWN | {"rq_vae": {"squared_error": error, "cosine": cosine}}
        (claim,) = claims("DRQ-VAE reconstructs")
        assert BY_NAME[claim].holds(figures) is holds


def test_exact_matches_and_collisions_must_have_one_leader():
    (claim,) = claims("Exact matching")
    elsewhere = PAPERS_OWN | {"rqp_vae": {**PAPERS_OWN["rqp_vae"], "collision_rate": 0.3}}
    assert BY_NAME[claim].holds(elsewhere) is False


def test_a_tie_for_the_first_place_is_no_refutation_and_one_of_all_decides_nothing():
    (claim,) = claims("RQP-VAE uses")
    assert PAPERS_OWN["rqp_vae"]["active_codes_1"] == PAPERS_OWN["rq_kmeans"]["active_codes_1"]
    assert BY_NAME[claim].holds(PAPERS_OWN) is True
    in_full = {name: {**figures, "active_codes_1": 4096} for name, figures in PAPERS_OWN.items()}
    undecided = {part.said for part in BY_NAME[claim].check(in_full) if part.holds is None}
    assert undecided == {"highest active_codes_1"}
    assert BY_NAME[claim].holds(in_full) is True


def test_what_was_not_measured_is_not_judged():
    without = {name: figures for name, figures in PAPERS_OWN.items() if name != "rqp_vae"}
    verdicts = {claim: finding.holds(without) for claim, finding in BY_NAME.items()}
    assert {claim for claim, holds in verdicts.items() if holds is None} == claims("RQP-VAE")


def test_findings_wait_until_all_five_tokenizers_have_run():
    rows = rows_of_the_papers_own_figures()
    assert "Not judged yet, not run: RQ-VAE." in judged(rows[1:], 4096)
    assert "Not judged" not in judged(rows, 4096)


def test_every_cell_shows_ours_and_the_papers_figure_in_its_own_place():
    text = page(rows_of_the_papers_own_figures())
    cells = re.findall(r"(?<=\| )([\d.,]+) \(([\d.,]+)\)", text)
    num_quantized = 4 * len(LABELS)
    assert len(cells) == sum(map(len, PRINTED.values())) + num_quantized
    assert all(ours == papers for ours, papers in cells)
    assert f"{len(BY_NAME)} of {len(BY_NAME)} findings hold" in text
    assert "not examined" not in text


def test_rows_of_older_code_are_counted_and_said():
    rows = rows_of_the_papers_own_figures()
    assert "training code" not in page(rows)
    rows[1]["result_version"] -= 1
    assert f"**1 of {len(rows)} rows are of training code before the present one**" in page(rows)


def test_two_seeds_are_shown_as_mean_and_spread_and_judged_alone():
    rows = rows_of_the_papers_own_figures(seeds=(7, 8), factor=2.0)
    assert "109.62 ± 51.68 (73.08)" in page(rows)  # 73.08 and 146.16
    assert "(in 2 of 2 seeds)" in judged(rows, 4096)


def test_a_laid_out_table_has_equal_lines():
    lines = laid_out(["a", "long head"], [["a cell", "1"], ["b", "2"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ------ | --------- |"


def test_the_printed_mse_is_the_squared_distance_of_unit_vectors():
    figures = PRINTED["drq_vae"]
    assert figures["squared_error"] == pytest.approx(2 * (1 - figures["cosine"]), abs=1e-9)


def test_dimensions_of_equal_variance_cannot_be_both_many_and_alike():
    """Mean square >= squared mean: sum lambda^2 = sum of squared cosines, so PR <= 1 / mean^2."""
    rng = np.random.default_rng(0)
    for shared in (0.0, 0.3, 3.0):
        points = rng.normal(size=(500, 40)) + shared * rng.normal(size=(500, 1))
        correlations = np.corrcoef(points, rowvar=False)
        shares = np.linalg.eigvalsh(correlations) / 40
        assert 1 / (shares**2).sum() <= 1 / np.abs(correlations).mean() ** 2
    assert 1 / PRINTED["drq_vae_cl"]["dimension_cosine"] ** 2 < 4.7
    assert PRINTED["drq_vae_cl"]["participation_ratio"] > 149
