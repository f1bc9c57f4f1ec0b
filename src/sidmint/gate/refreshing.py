"""The refresh section of params.yaml: how far new items may stray before one must train again."""

from __future__ import annotations

from pydantic import Field, field_validator

from sidmint.gate.thresholds import RuleParams, digest_of, require_sense
from sidmint.settings import Settings

_DEFAULT_RULES = {
    # What a recommender cannot write, it cannot recommend.
    "refresh_decodable_1": RuleParams(min=0.99),
    "refresh_decodable_2": RuleParams(min=0.5, severity="warning"),
    "refresh_error_ratio": RuleParams(max=1.5),
    "refresh_shift_level": RuleParams(max=0.2),
    "refresh_largest_shift": RuleParams(max=0.1, severity="warning"),
    "refresh_collision_rate": RuleParams(max=0.5),
}


class RefreshParams(Settings):
    """When new items may get ids without training.

    Keys of `rules` are metrics of a refresh, or of the whole table as it would be published
    (`collision_rate`, `num_items` ...), as under `gate.rules`.
    """

    rules: dict[str, RuleParams] = Field(default_factory=lambda: dict(_DEFAULT_RULES))

    @field_validator("rules")
    @classmethod
    def _bounds_make_sense(cls, rules: dict[str, RuleParams]) -> dict[str, RuleParams]:
        require_sense(rules, "refresh.rules")
        return rules

    def digest(self) -> str:
        """SHA-256 of the section's meaning."""
        return digest_of(self)
