"""What the gate asks of a table, and in which words: answers worked out by hand."""

from __future__ import annotations

import math

import pytest

from sidmint.errors import BadInput
from sidmint.gate.reasons import bound_in_words, reason
from sidmint.gate.rules import Champion, Rule, rules_for, unapplied
from sidmint.gate.thresholds import AllowanceParams, GateParams, RuleParams
from sidmint.params import parse_params

V3 = Champion("v0003", {"n_eff_share": 0.91, "collision_rate": 0.10})


def gate(rules: dict[str, RuleParams] | None = None, **champion: float) -> GateParams:
    return GateParams(
        rules=rules or {"num_items": RuleParams(min=1)},
        champion={name: AllowanceParams(may_worsen_by=by) for name, by in champion.items()},
    )


def relative(metric: str, allowed: float, champion: Champion = V3) -> Rule:
    (rule,) = (r for r in rules_for(gate(**{metric: allowed}), 3, champion) if r.champion)
    return rule


def test_a_level_rule_asks_it_of_every_level():
    rules = rules_for(gate({"dead_code_share_level": RuleParams(max=0.2)}), 3, None)
    assert [rule.metric for rule in rules] == [f"dead_code_share_{level}" for level in (1, 2, 3)]
    assert {rule.high for rule in rules} == {0.2}


def test_a_rule_that_names_its_level_wins_over_the_level_rule():
    thresholds = {
        "perplexity_share_1": RuleParams(min=0.4),
        "perplexity_share_level": RuleParams(min=0.2),
    }
    lows = {r.metric: (r.low, r.severity) for r in rules_for(gate(thresholds), 2, None)}
    assert lows == {
        "perplexity_share_1": (0.4, "critical"),
        "perplexity_share_2": (0.2, "critical"),
    }


def test_a_level_rule_compares_every_level_with_the_champion():
    champion = Champion("v0001", {"gini_1": 0.5, "gini_2": 0.6})
    rules = [r for r in rules_for(gate(gini_level=0.1), 2, champion) if r.champion]
    assert [r.champion.value for r in rules if r.champion] == [0.5, 0.6]


def test_bounds_are_inclusive():
    rule = Rule("x", "x", "critical", low=0.2, high=0.4)
    held = [rule.holds({"x": value}) for value in (0.19, 0.2, 0.3, 0.4, 0.41)]
    assert held == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("metric", "value", "holds"),
    [
        ("n_eff_share", 0.86, True),  # higher is better: .91 - .86 = .05, just allowed
        ("n_eff_share", 0.85, False),
        ("n_eff_share", 1.00, True),
        ("collision_rate", 0.15, True),  # lower is better
        ("collision_rate", 0.16, False),
        ("collision_rate", 0.00, True),
    ],
)
def test_a_candidate_may_fall_behind_its_champion_by_the_allowance_and_no_more(
    metric: str, value: float, holds: bool
):
    assert relative(metric, 0.05).holds({metric: value}) is holds


@pytest.mark.parametrize("before", [None, math.nan, math.inf, -math.inf])
def test_a_champion_without_a_number_fails_the_comparison(before: float | None):
    champion = Champion("v0003", {"n_eff_share": before})
    assert not relative("n_eff_share", 0.05, champion).holds({"n_eff_share": 0.9})
    assert not relative("n_eff_share", 0.05, Champion("v0003", {})).holds({"n_eff_share": 0.9})


def test_without_a_champion_relative_rules_wait_and_say_so():
    thresholds = gate(n_eff_share=0.05, collision_rate=0.05)
    assert [rule.name for rule in rules_for(thresholds, 3, None)] == ["num_items"]
    assert unapplied(thresholds, None) == (
        "champion.collision_rate: no champion yet",
        "champion.n_eff_share: no champion yet",
    )
    assert unapplied(thresholds, V3) == ()


def test_full_usage_with_65_percent_distinct_ids_is_told_from_94_percent():
    """1,000 items in pairs and alone: 350 pairs leave 650 ids, 60 pairs leave 940."""
    refused, passed = (_judged_by_default(num_pairs=pairs) for pairs in (350, 60))
    assert "collision_rate" in refused
    assert passed == []


def _judged_by_default(num_pairs: int) -> list[str]:
    """Critical default rules that fail on a table whose ids collide in `num_pairs` pairs only."""
    measurements = {
        "num_items": 1000,
        "num_null_ids": 0,
        "collision_rate": num_pairs / 1000,
        "conflict_rate": 0.0,  # every pair is a duplicate: distinct ids alone must decide
        "resolved_collision_rate": 0.0,
        "n_eff_share": 2 ** (-2 * num_pairs / 1000),  # ln N_eff = ln N - share in pairs * ln 2
        **{f"perplexity_share_{level}": 1.0 for level in (1, 2, 3)},
        **{f"dead_code_share_{level}": 0.0 for level in (1, 2, 3)},
        **{f"information_share_{level}": 1.0 for level in (1, 2, 3)},
        "retention_at_100": 0.9,
    }
    rules = rules_for(GateParams(), 3, None)
    failed = [rule for rule in rules if not rule.holds(measurements)]
    return [rule.metric for rule in failed if rule.severity == "critical"]


def test_a_first_level_that_collapsed_is_refused_behind_a_good_collision_rate():
    """RQ-VAE on Beauty started from an untrained encoder: perplexities 29, 81, 171 of 256."""
    measured = {
        "perplexity_share_1": 29 / 256,
        "perplexity_share_2": 81 / 256,
        "perplexity_share_3": 171 / 256,
        "collision_rate": 0.215,
        "n_eff_share": math.exp(9.023) / 12_101,
    }
    failed = [
        rule.metric
        for rule in rules_for(GateParams(), 3, None)
        if rule.metric in measured and not rule.holds(measured)
    ]
    assert failed == ["perplexity_share_1"]


@pytest.mark.parametrize(
    ("rule", "value", "sentence"),
    [
        (Rule("r", "collision_rate", "critical", high=0.3), 0.412,
         "collision_rate is 0.412, above the 0.300 allowed"),
        (Rule("r", "num_items", "critical", low=100), 50,
         "num_items is 50, below the 100 required"),
        (Rule("r", "collision_rate", "critical", high=0.3), 0.3000001,
         "collision_rate is 0.300000100, above the 0.300000000 allowed"),
        (Rule("r", "retention_at_100", "critical", low=0.5), None, "retention_at_100 is missing"),
        (Rule("r", "auc_exact", "critical", low=0.5), math.nan,
         "auc_exact is nan, which is no finite number"),
        (Rule("r", "num_items", "critical", low=100, high=100), 100,
         "num_items is 100; exactly 100 is wanted"),
        (relative("n_eff_share", 0.05), 0.83,
         "n_eff_share fell by 0.080 against champion v0003 (0.910 -> 0.830); "
         "at most 0.050 is allowed"),
        (relative("collision_rate", 0.05), 0.08,
         "collision_rate fell by 0.020 against champion v0003 (0.100 -> 0.080)"),
        (relative("n_eff_share", 0.05), None, "n_eff_share is missing"),
        (relative("auc_exact", 0.05), 0.8, "champion v0003 has no auc_exact to compare with"),
    ],
)  # fmt: skip
def test_the_reason_is_one_plain_sentence(rule: Rule, value: float | None, sentence: str):
    assert reason(rule, {rule.metric: value}) == sentence


def test_bounds_are_put_in_words():
    assert bound_in_words(Rule("r", "m", "critical", low=0.2, high=0.4)) == (
        "between 0.200 and 0.400"
    )
    assert bound_in_words(relative("n_eff_share", 0.05)) == (
        "at most 0.050 worse than champion v0003"
    )


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"rules": {"colision_rate": {"max": 1}}}, "gate.rules.colision_rate.*collision_rate"),
        ({"rules": {"collision_rate": {}}}, "gate.rules.collision_rate.*without a bound"),
        ({"rules": {"collision_rate": {"min": 0.1}}}, "gate.rules.collision_rate.*wants a max"),
        ({"rules": {"collision_rate": {"min": 2, "max": 1}}}, "collision_rate.*min lies above"),
        ({"rules": {"collision_rate": {"max": math.nan}}}, "gate.rules.collision_rate.max"),
        ({"rules": {"collision_rate": {"max": math.inf}}}, "gate.rules.collision_rate.max"),
        ({"rules": {"cold_coverage": {"min": 1, "severity": "warning"}}}, "no critical rule"),
        ({"rules": {}}, "no critical rule"),
        ({"champion": {"num_items": {"may_worsen_by": 1}}}, "gate.champion.num_items"),
        ({"champion": {"nonsense": {"may_worsen_by": 1}}}, "gate.champion.nonsense"),
        ({"champion": {"n_eff": {"may_worsen_by": -1}}}, "gate.champion.n_eff.may_worsen_by"),
        ({"select_by": "num_items"}, "gate.select_by"),
    ],
)
def test_a_threshold_that_cannot_work_is_refused_by_its_key(section: dict, words: str):
    with pytest.raises(BadInput, match=words):
        parse_params({"gate": section}, "params.yaml")


@pytest.mark.parametrize(
    "snapshot",
    [None, [], {}, {"version": "v1"}, {"version": "v1", "metrics": {"n_eff": "many"}}],
)
def test_a_champion_snapshot_that_is_none_is_refused(snapshot: object):
    with pytest.raises(BadInput, match=r"champion\.json"):
        Champion.parse(snapshot, "data/champion.json")


def test_no_published_version_means_no_champion():
    assert Champion.parse({"version": None, "tokenizer": None, "metrics": {}}, "x") is None
