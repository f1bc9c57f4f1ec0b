"""Rows of docs/RESULTS.md: one a catalogue, name and seed, and the newest of them."""

import json

import quality


def test_a_row_takes_the_place_of_one_that_older_code_made(monkeypatch, tmp_path):
    monkeypatch.setattr(quality, "ROWS", tmp_path / "rows.jsonl")
    older = {"catalogue": "toys", "name": "pq", "seed": 7, "key": "z", "result_version": 2}
    other = {**older, "seed": 8, "key": "y"}
    newer = {**older, "key": "a", "result_version": 3}
    for row in (older, other, newer):
        quality._append(row)
    kept = [json.loads(line) for line in quality.ROWS.read_text().splitlines()]
    assert kept == [newer, other]
    assert quality.read_rows() == kept
