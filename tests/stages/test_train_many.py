"""Stage train on vectors that stay in their file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

import worlds
from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.params import Params, parse_params
from sidmint.rows import rows_made
from sidmint.stages import train as stage

NUM = 300


def workspace(root: Path, vectors: np.ndarray) -> Artifacts:
    """After ingest and embed; every third item is cold."""
    artifacts = Artifacts(Layout(root))
    names = [f"i{row:04d}" for row in range(len(vectors))]
    cold = [row % 3 == 0 for row in range(len(vectors))]
    with artifacts.writing("ingest") as out:
        out.table("items", pl.DataFrame({"item_id": names, "title": names, "cold": cold}))
    with artifacts.writing("embed") as out:
        out.array("embeddings", vectors.astype(np.float16))
    return artifacts


def params(**settings: Any) -> Params:
    given = {"type": "rq_kmeans", "sizes": [16, 8], **settings}
    train = {"tokenizers": ["some"], "device": "cpu"}
    return parse_params({"train": train, "tokenizers": {"some": given}}, "params.yaml")


def fitted(artifacts: Artifacts, given: Params) -> tuple[dict[str, np.ndarray], str]:
    said = stage.train(given, artifacts, "some").headline
    return load_file(artifacts.folder("train", "some") / "tokenizer.safetensors"), said


@pytest.fixture
def in_file(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Vectors stay in their file; what the tokenizer was given."""
    given: list[Any] = []

    def made(*arguments: Any) -> Any:
        given.append(rows_made(*arguments, most_bytes=0))
        return given[-1]

    monkeypatch.setattr(stage, "rows_made", made)
    return given


@pytest.mark.parametrize("settings", [{}, {"swap_rounds": 1}, {"type": "pq"}], ids=str)
def test_the_fit_is_that_of_vectors_in_memory(
    tmp_path: Path, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    artifacts = workspace(tmp_path, worlds.smooth_items(NUM))
    state, said = fitted(artifacts, params(**settings))
    given = request.getfixturevalue("in_file")
    again, said_again = fitted(artifacts, params(**settings))
    assert said_again == said
    assert "fitted on 200 warm items" in said
    assert given[0].shape == (200, 24)
    for key, value in state.items():
        np.testing.assert_allclose(again[key], value, rtol=1e-5, atol=1e-6)


def test_an_item_without_a_finite_vector_is_named(tmp_path: Path, in_file: list[Any]) -> None:
    vectors = worlds.smooth_items(NUM)
    vectors[100] = np.nan
    with pytest.raises(BadInput, match="item 'i0100' holds NaN"):
        fitted(workspace(tmp_path, vectors), params())
