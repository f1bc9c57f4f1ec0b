"""Tries that are kept: killed, damaged, of another catalogue. None is made twice, none believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from choose_world import catalogue
from sidmint.choosing.candidates import Candidate
from sidmint.choosing.measuring import Attempt, Measuring
from sidmint.choosing.tries import HITS, LINES, KeptTries, read_rows
from sidmint.errors import StorageFailed

ATTEMPT = Attempt(Candidate("rq_kmeans", {"sizes": [8, 8, 8]}), 1.0, 0)


def opened(folder: Path, **changes: object) -> KeptTries:
    return KeptTries(folder, Measuring(replace(catalogue(), **changes), root=7))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with one try in it."""
    opened(tmp_path)(ATTEMPT)
    return tmp_path


def test_a_kept_try_is_read_and_is_the_same(kept: Path):
    made = opened(kept / "fresh")(ATTEMPT)
    again = opened(kept)
    found = again(ATTEMPT)
    assert not again.made
    assert np.array_equal(found.hits, made.hits)
    assert np.array_equal(found.codes, made.codes)
    assert found.row.metrics == made.row.metrics
    assert found.row.quality == made.row.quality


def test_a_line_that_a_killed_process_left_without_its_end_is_passed_over(kept: Path):
    path = kept / LINES
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    again = opened(kept)
    assert again.knows(ATTEMPT)
    other = replace(ATTEMPT, seed=1)
    again(other)
    assert {row.seed for row in read_rows(kept)} == {0, 1}


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_try_whose_answers_are_damaged_is_made_again(kept: Path, damage: str):
    path = next((kept / HITS).iterdir())
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    again = opened(kept)
    assert not again.knows(ATTEMPT)
    again(ATTEMPT)
    assert len(again.made) == 1
    assert opened(kept).knows(ATTEMPT)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        "nonsense",
        "[" * 5000,
        json.dumps({"key": "../../etc", "sizes": [1]}),
        "null",
    ],
)
def test_lines_that_are_no_row_are_passed_over(kept: Path, line: str):
    with (kept / LINES).open("a", encoding="utf-8") as out:
        out.write(line + "\n")
    assert len(read_rows(kept)) == 1


def test_a_key_that_leads_out_of_the_folder_is_no_key(kept: Path):
    values = json.loads((kept / LINES).read_text(encoding="utf-8"))
    with (kept / LINES).open("a", encoding="utf-8") as out:
        out.write(json.dumps({**values, "key": "../../secret"}) + "\n")
    assert [row.key for row in read_rows(kept)] == [values["key"]]


@pytest.mark.parametrize(
    "change",
    ["vectors", "fitted", "pairs", "champion", "cutoff"],
)
def test_a_try_of_another_catalogue_is_not_believed(kept: Path, change: str):
    known = catalogue()
    other = {
        "vectors": {"vectors": known.vectors + np.float32(1e-4)},
        "fitted": {"fitted": np.arange(len(known.fitted)) > 0},
        "pairs": {"pairs": replace(known.pairs, scores=known.pairs.scores + 1)},
        "champion": {"champion": np.zeros((len(known.vectors), 3), dtype=np.int32)},
        "cutoff": {"questions": replace(known.questions, cutoff=11)},
    }[change]
    assert opened(kept).knows(ATTEMPT)
    assert not opened(kept, **other).knows(ATTEMPT)


def test_a_key_hangs_on_settings_seed_and_the_items_that_are_fitted_and_on_no_device(kept: Path):
    measuring = Measuring(catalogue(), root=7)
    changed = [
        replace(ATTEMPT, seed=1),
        replace(ATTEMPT, share=0.5),
        Attempt(Candidate("rq_kmeans", {"sizes": [8, 8, 16]}), 1.0, 0),
        Attempt(Candidate("rq_kmeans", {"sizes": [8, 8, 8], "iterations": 7}), 1.0, 0),
    ]
    keys = {measuring.key(each) for each in (ATTEMPT, *changed)}
    assert len(keys) == 5
    assert Measuring(catalogue(), root=8).key(ATTEMPT) not in keys
    assert Measuring(catalogue(), root=7, revision=9).key(ATTEMPT) not in keys
    assert Measuring(replace(catalogue(), device="auto"), root=7).key(ATTEMPT) in keys


def test_on_a_small_catalogue_a_share_may_be_all_and_then_its_codes_are_kept(tmp_path: Path):
    """400 items are fewer than 32 for each of 16 codes: k-means fits them all at any share."""
    eighth = Attempt(Candidate("rq_kmeans", {"sizes": [16, 8, 8]}), 1 / 8, 0)
    opened(tmp_path)(eighth)
    whole = opened(tmp_path)
    assert whole(replace(eighth, share=1.0)).codes.shape == (400, 3)
    assert not whole.made
    trained = Attempt(Candidate("rq_vae", {"sizes": [16, 8, 8]}), 1 / 8, 0)
    assert not whole.make.is_whole(trained)  # an eighth of the steps is another fit
    assert whole.make.is_whole(replace(trained, share=1.0))


def test_a_failed_try_is_kept_with_its_reason_and_not_made_again(tmp_path: Path):
    attempt = Attempt(Candidate("rq_kmeans", {"sizes": [500, 8, 8]}), 1.0, 0)
    row = opened(tmp_path)(attempt).row
    assert row.failed is not None
    assert "500 codes but only 400 distinct items" in row.failed
    again = opened(tmp_path)
    assert again(attempt).row == row
    assert not again.made


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path):
    (tmp_path / "choose").write_text("a file")
    with pytest.raises(StorageFailed, match="cannot be kept"):
        opened(tmp_path / "choose" / "below")(ATTEMPT)
