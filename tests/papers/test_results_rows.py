"""Rows of docs/RESULTS.md: one a catalogue, name and seed, and the newest of them."""

import json

import levels_page
import quality
from row_files import put_rows


def test_a_row_takes_the_place_of_one_that_older_code_made(monkeypatch, tmp_path):
    monkeypatch.setattr(quality, "ROWS", tmp_path / "rows.jsonl")
    older = {"catalogue": "toys", "name": "pq", "seed": 7, "key": "z", "result_version": 2}
    other = {**older, "seed": 8, "key": "y"}
    newer = {**older, "key": "a", "result_version": 3}
    for row in (older, other, newer):
        put_rows(quality.ROWS, [row], quality.row_place)
    kept = [json.loads(line) for line in quality.ROWS.read_text().splitlines()]
    assert kept == [newer, other]
    assert quality.read_rows() == kept


def test_the_page_tells_extremes_of_sound_tables_and_names_whom_the_gate_refuses():
    def row(name, perplexities):
        levels = range(1, 4)
        metrics = {f"perplexity_share_{n}": p for n, p in zip(levels, perplexities, strict=True)}
        for measure, value in (("dead_code", 0.0), ("information", 0.5), ("top_code", 0.1)):
            metrics |= {f"{measure}_share_{n}": value for n in levels}
        settings = {"sizes": [8, 8, 8]}
        return {"catalogue": "office", "name": name, "seed": 7, "settings": settings} | {
            "metrics": metrics
        }

    rows = [row("rq_vae", (0.9, 0.8, 0.7)), row("rq_kmeans", (0.85, 0.13, 0.03))]
    part = levels_page.levels_part([], [*rows, row("random", (0.1, 0.1, 0.1))])
    assert "| office | 2 | 0.85 rq_kmeans | 0.03 rq_kmeans |" in part
    refused = [line for line in part.splitlines() if line.startswith("- ")]
    assert refused == [
        "- office, random, seed 7: perplexity 0.10 / 0.10 / 0.10",
        "- office, rq_kmeans, seed 7: perplexity 0.85 / 0.13 / 0.03",
    ]
    assert levels_page.levels_part(rows, []) == ""
