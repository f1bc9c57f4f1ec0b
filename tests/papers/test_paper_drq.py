"""`make paper-drq` in small: every figure is measured, and nothing is measured twice."""

import json
import sys

import drq_runs
import drq_world
import numpy as np
import paper_drq
import pytest
from drq_measures import KAPPAS, dimension_cosine
from drq_printed import PRINTED, RAW
from drq_tables import NAMES, SPACES, TABLE_1

from sidmint.diagnostics import geometry
from sidmint.tokenizers import make_tokenizer


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Runs the command on a world of 1,000 items; returns its rows."""
    monkeypatch.setattr(drq_world, "PROBES", 1_000)
    monkeypatch.setattr(drq_runs, "START_STEPS", 10)
    monkeypatch.setattr(drq_runs, "JOINT_STEPS", 10)

    def run(*arguments):
        whole = ["paper_drq.py", "--catalogues", "industrial", "--items", "1000", "--cases", "200"]
        whole += ["--sizes", "16,12,8", "--threads", "1", "--out", str(tmp_path), *arguments]
        monkeypatch.setattr(sys, "argv", whole)
        paper_drq.main()
        lines = (tmp_path / "results" / "paper_drq.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    return run


@pytest.mark.slow
def test_every_printed_figure_is_measured_for_every_tokenizer(small):
    rows = {row["name"]: row["metrics"] for row in small()}
    assert set(rows) == set(NAMES)
    of_table_1 = {column.figure for column in TABLE_1}
    printed = {figure for figures in PRINTED.values() for figure in figures} - of_table_1
    printed |= {f"{figure}_{space}" for figure in of_table_1 for space in (*SPACES, RAW)}
    for name, metrics in rows.items():
        assert printed <= set(metrics), name
        assert all(np.isfinite(value) for value in metrics.values())
        sizes = [metrics[f"effective_codebook_size_1_kappa_{k:g}"] for k in KAPPAS if k != 1]
        assert sizes == sorted(sizes, reverse=True)  # more noise, fewer codes to tell apart
    assert "retention_at_20_unquantized" in rows["drq_vae"]
    assert rows["rq_kmeans"]["effective_rank_latent"] == rows["rq_kmeans"]["effective_rank_raw"]


def test_a_finished_tokenizer_is_not_fitted_again(small, capsys):
    first = small("--only", "rq_kmeans")
    capsys.readouterr()
    assert small("--only", "rq_kmeans") == first
    assert "industrial: 0 tokenizers to fit" in capsys.readouterr().out
    both = small("--only", "rq_kmeans", "--seeds", "7,8")
    assert first[0] in both
    assert [row["seed"] for row in both] == [7, 8]


def test_a_row_of_older_code_gives_up_its_place(small, monkeypatch):
    (old,) = small("--only", "rq_kmeans")
    monkeypatch.setattr(paper_drq.Run, "key", "another")
    (new,) = small("--only", "rq_kmeans")
    assert old["key"] != new["key"] == "another"
    assert old["metrics"] == new["metrics"]


def test_a_public_catalogue_that_is_not_there_is_left_out(small, capsys, tmp_path):
    small("--only", "rq_kmeans", "--catalogues", "beauty,industrial", "--data", str(tmp_path))
    assert "beauty: left out" in capsys.readouterr().out


@pytest.mark.parametrize("num_items", [12_000, 500_000])
@pytest.mark.parametrize("sizes", [(256, 256, 256), (4096, 4096, 4096)])
def test_encoders_of_all_runs_get_equal_steps_and_latents(num_items, sizes):
    configs = [
        make_tokenizer(name, drq_runs.settings(name, sizes, num_items)).config for name in NAMES
    ]
    trained = [config for config in configs if hasattr(config, "latent_dim")]
    steps = {
        config.steps + (config.start_steps if getattr(config, "start", "") == "autoencoder" else 0)
        for config in trained
    }
    assert len(trained) == len(NAMES) - 1
    assert len(steps) == 1
    shared_by_all = (
        "latent_dim",
        "hidden",
        "batch_size",
        "learning_rate",
        "patience",
        "validation_share",
    )
    for shared in shared_by_all:
        assert len({getattr(config, shared) for config in trained}) == 1


def test_dimension_cosine_is_that_of_columns_as_they_are():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2_000, 12)).astype(np.float32)
    points -= points.mean(axis=0)
    assert dimension_cosine(points) == pytest.approx(geometry(points).dimension_correlation)
    assert dimension_cosine(points) < 0.05
    assert dimension_cosine(points + 100) > 0.99  # a common mean is likeness
    assert geometry(points + 100).dimension_correlation < 0.05
    assert dimension_cosine(np.eye(4, dtype=np.float32)) == 0
    beside_nothing = np.hstack([points, np.zeros((2_000, 3), dtype=np.float32)])
    assert dimension_cosine(beside_nothing) == pytest.approx(dimension_cosine(points))
