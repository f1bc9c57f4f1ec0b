"""One plain sentence a rule: what was measured, what was allowed, and what is missing."""

from __future__ import annotations

import math

from sidmint.gate.rules import Comparison, Measurements, Rule


def bound_in_words(rule: Rule) -> str:
    """What the rule asks for: "at most 0.300", "at most 0.050 worse than champion v0003"."""
    if rule.champion is not None and rule.high is not None:
        return f"at most {_shown(rule.high)[0]} worse than champion {rule.champion.version}"
    return _bound(rule)


def reason(rule: Rule, measurements: Measurements) -> str:
    """Why the rule holds or does not, in one sentence without a full stop.

    "collision_rate is 0.412, above the 0.300 allowed"; "retention_at_100 is missing";
    "n_eff_share fell by 0.080 against champion v0003 (0.910 -> 0.830); at most 0.050 is allowed".
    """
    value = measurements.get(rule.metric)
    if value is None:
        return f"{rule.metric} is missing"
    if not math.isfinite(value):
        return f"{rule.metric} is {value}, which is no finite number"
    if rule.champion is not None:
        return _relative(rule, rule.champion, value, measurements)
    if rule.low is not None and value < rule.low:
        texts = _shown(value, rule.low)
        return f"{rule.metric} is {texts[0]}, below the {texts[1]} required"
    if rule.high is not None and value > rule.high:
        texts = _shown(value, rule.high)
        return f"{rule.metric} is {texts[0]}, above the {texts[1]} allowed"
    return f"{rule.metric} is {_shown(value)[0]}; {_bound(rule)} is wanted"


def _relative(rule: Rule, champion: Comparison, value: float, measurements: Measurements) -> str:
    if champion.value is None:
        return f"champion {champion.version} has no {rule.metric} to compare with"
    if not math.isfinite(champion.value):
        return f"{rule.metric} of champion {champion.version} is {champion.value}"
    if champion.losses is not None:
        return _by_interval(rule, champion, champion.losses, measurements)
    if value == champion.value:
        return f"{rule.metric} is {_shown(value)[0]}, as in champion {champion.version}"
    before, after = _shown(champion.value, value)
    worse, allowed = _shown(abs(rule.quantity(measurements) or 0.0), rule.high or 0.0)
    verb = "rose" if value > champion.value else "fell"
    change = f"{rule.metric} {verb} by {worse} against champion {champion.version}"
    is_better = (verb == "rose") == (champion.better == "higher")
    end = "" if is_better else f"; at most {allowed} is allowed"
    return f"{change} ({before} -> {after}){end}"


def _by_interval(
    rule: Rule, champion: Comparison, losses: tuple[float, float], measurements: Measurements
) -> str:
    """The four outcomes in words: better, within the allowance, worse, cannot tell."""
    least, most = (round(loss, 9) for loss in losses)
    allowed = rule.high or 0.0
    before, after = _shown(champion.value or 0.0, measurements.get(rule.metric) or 0.0)
    change = f"{rule.metric} {before} -> {after} against champion {champion.version}"
    low, high = f"{-most:+.4f}", f"{-least:+.4f}"
    if champion.better == "lower":
        low, high = f"{least:+.4f}", f"{most:+.4f}"
    change = f"{change} (difference {low} to {high} by its 95 % interval)"
    outcome = rule.outcome(measurements)
    if outcome == "better":
        return f"{change}: better"
    if outcome == "worse":
        return f"{change}: worse by more than the {_shown(allowed)[0]} allowed"
    if outcome == "within":
        return f"{change}: within the {_shown(allowed)[0]} allowed"
    if outcome is None:
        return f"{change}, which is no finite interval"
    num_cases = champion.paired.num_cases if champion.paired else None
    source = "" if num_cases is None else f" from {num_cases:,} case{'s' * (num_cases != 1)}"
    return (
        f"{change}: whether more than the {_shown(allowed)[0]} allowed was lost cannot be told"
        f"{source}"
    )


def _bound(rule: Rule) -> str:
    if rule.low is not None and rule.high is not None:
        if rule.low == rule.high:
            return f"exactly {_shown(rule.low)[0]}"
        low, high = _shown(rule.low, rule.high)
        return f"between {low} and {high}"
    if rule.low is not None:
        return f"at least {_shown(rule.low)[0]}"
    return f"at most {_shown(rule.high or 0.0)[0]}"


def _shown(*values: float) -> list[str]:
    """Numbers as text with three decimals, or as many more as tell different ones apart."""
    for digits in (3, 6, 9):
        if len({round(value, digits) for value in values}) == len(set(values)):
            return [f"{v:.0f}" if v == int(v) else f"{v:.{digits}f}" for v in values]
    return [repr(value) for value in values]
