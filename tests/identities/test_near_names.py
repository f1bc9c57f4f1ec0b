"""An unknown name is answered with the nearest known ones, by one rule everywhere."""

from __future__ import annotations

import pytest

import sidmint.recommenders  # noqa: F401 (files the recommenders)
from sidmint.errors import BadInput, did_you_mean
from sidmint.params import parse_params
from sidmint.registry import Registry
from sidmint.stages.recommend import check_recommender


def test_near_names_come_nearest_first_and_far_ones_not_at_all():
    known = ["popularity", "causal", "casual"]
    assert did_you_mean("causl", known) == "; did you mean causal?"
    assert did_you_mean("causl", known, most=3) == "; did you mean causal, casual?"
    assert did_you_mean("xyz", known) == ""
    assert did_you_mean("causl", []) == ""


def test_a_registry_names_what_is_near_beside_what_there_is():
    plants: Registry[int] = Registry("plant")
    plants.register("oak")(1)
    plants.register("larch")(2)
    with pytest.raises(BadInput, match=r"^unknown plant 'lark'; .*: larch, oak; .* mean larch"):
        plants["lark"]
    with pytest.raises(BadInput, match=r"^unknown plant 'moss'; choose one of: larch, oak$"):
        plants["moss"]


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        ({"recommender": "causl"}, r"unknown recommender 'causl'.*; did you mean causal\?"),
        (
            {"recommender": "causal", "settings": {"widht": 64}},
            r"recommend\.settings \(causal\): unknown key widht; did you mean width\?",
        ),
        (
            {"recommender": "hybrid", "settings": {"base": "popularty"}},
            r"did you mean popularity\?",
        ),
        (
            {"recommender": "semantic_knn", "settings": {"lats": 3}},
            r"unknown key lats; did you mean last\?",
        ),
        ({"recomender": "causal"}, r"unknown key recommend\.recomender; .* recommender\?"),
    ],
)
def test_a_misspelt_recommender_or_setting_is_found_before_anything_runs(section, wanted):
    with pytest.raises(BadInput, match=wanted):
        check_recommender(parse_params({"recommend": section}, "params.yaml"))
