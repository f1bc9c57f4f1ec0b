"""Noise on the latent of real tokenizers: who is asked, who is left out, what is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import worlds
from sidmint.diagnostics.diagnosis import Diagnosis, Subject, diagnose_subject
from sidmint.diagnostics.tables import robustness_table
from sidmint.stages.diagnose import latent_encoder
from sidmint.tokenizers import Tokenizer, make_tokenizer
from sidmint.types import Floats, Ints, Pairs
from tokenizer_settings import SETTINGS

VECTORS = worlds.smooth_items()
NOBODY = Pairs(*np.zeros((2, 0), dtype=np.int32), np.zeros(0, dtype=np.float32))
KAPPAS = (1e-9, 0.25, 1.0)
# One of each kind: with an encoder and without, blocks, groups, a sphere, and the controls.
ASKED = (
    "rq_kmeans",
    "rq_kmeans_aligned",
    "rq_opq",
    "pq",
    "rq_vae",
    "grvq",
    "improved_vqgan",
    "lsh",
)
_FITTED: dict[str, Tokenizer] = {}


def always_zero(latent: Floats) -> Ints:
    return np.zeros((len(latent), 3), dtype=np.int32)


def fitted(name: str) -> Tokenizer:
    if name not in _FITTED:
        tokenizer = make_tokenizer(name, SETTINGS[name])
        pairs = worlds.neighbour_pairs(VECTORS) if tokenizer.uses_pairs else None
        tokenizer.fit(VECTORS, pairs, 3, "cpu", categories=worlds.category_paths(VECTORS))
        _FITTED[name] = tokenizer
    return _FITTED[name]


def diagnosed(name: str, **changes: Any) -> Diagnosis:
    tokenizer = fitted(name)
    settings = {"encode": latent_encoder(tokenizer), "noise_seed": 5} | changes
    subject = Subject(
        vectors=VECTORS,
        latent=tokenizer.latent(VECTORS),
        codes=tokenizer.encode(VECTORS, categories=worlds.category_paths(VECTORS)),
        codebooks=tokenizer.codebooks(),
        reconstruct=tokenizer.reconstruct,
        **settings,
    )
    return diagnose_subject(subject, NOBODY, KAPPAS, 0.95, np.arange(len(VECTORS)))


@pytest.mark.parametrize("name", [*ASKED, "random"])
def test_without_noise_the_latent_gets_the_codes_of_its_item(name: str) -> None:
    tokenizer = fitted(name)
    encode = latent_encoder(tokenizer)
    assert encode is not None
    codes = encode(tokenizer.latent(VECTORS))
    assert codes.tolist() == tokenizer.encode(VECTORS).tolist()


@pytest.mark.parametrize("name", ASKED)
def test_noise_changes_few_codes_when_small_and_many_when_as_large_as_the_data(name: str) -> None:
    found = diagnosed(name)
    small, quoted = found.robustness[KAPPAS[0]], found.robustness[1.0]
    assert max(small.changed_prefixes) < 0.02
    for length in range(3):
        assert small.changed_prefixes[length] < quoted.changed_prefixes[length] <= 1
    metrics = found.metrics()
    for level, share in enumerate(quoted.changed_codes, start=1):
        assert metrics[f"changed_code_share_{level}"] == share
    assert metrics["changed_prefix_share_3"] == quoted.changed_prefixes[2]


def test_random_codes_change_with_any_noise_but_by_chance() -> None:
    changed = diagnosed("random").robustness[KAPPAS[0]].changed_codes
    sizes = SETTINGS["random"]["sizes"]
    assert changed == pytest.approx([1 - 1 / size for size in sizes], abs=0.06)


def test_codes_that_do_not_come_from_vectors_are_left_out() -> None:
    assert latent_encoder(fitted("category")) is None
    found = diagnosed("category")
    assert found.robustness == {}
    assert not [name for name in found.metrics() if name.startswith("changed_")]
    left_out = robustness_table(found)
    assert left_out.is_empty()
    assert left_out.schema == robustness_table(diagnosed("rq_kmeans")).schema


def test_a_subject_that_names_no_encoder_is_diagnosed_as_before() -> None:
    alone, asked = diagnosed("rq_kmeans", encode=None), diagnosed("rq_kmeans")
    changed = {name for name in asked.metrics() if name.startswith("changed_")}
    assert len(changed) == 6
    assert alone.metrics() == {k: v for k, v in asked.metrics().items() if k not in changed}


def test_the_table_has_one_row_a_level_and_kappa_in_order() -> None:
    found = diagnosed("pq")
    table = robustness_table(found)
    assert table.schema == {
        "level": pl.Int32,
        "kappa": pl.Float64,
        "changed_code_share": pl.Float64,
        "changed_prefix_share": pl.Float64,
    }
    wanted = [(level, kappa) for level in (1, 2, 3) for kappa in KAPPAS]
    assert table.select("level", "kappa").rows() == wanted
    second = table.filter(level=2, kappa=0.25).row(0)[2:]
    each = found.robustness[0.25]
    assert second == (each.changed_codes[1], each.changed_prefixes[1])


def test_the_seed_of_the_noise_decides_and_nothing_else() -> None:
    one, same, other = (diagnosed("rq_kmeans", noise_seed=seed).robustness for seed in (1, 1, 2))
    assert one == same != other


def test_robustness_is_that_of_the_encoder_and_not_of_the_table() -> None:
    constant = diagnosed("rq_kmeans", encode=always_zero).robustness[1.0]
    assert constant.changed_prefixes == (0, 0, 0)
