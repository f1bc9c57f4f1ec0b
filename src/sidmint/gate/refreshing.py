"""The refresh section of params.yaml: how far new items may stray before one must train again."""

from __future__ import annotations

from pydantic import Field, field_validator

from sidmint.gate.thresholds import RuleParams, digest_of, require_sense
from sidmint.settings import Settings

# Bounds between what was measured of items that came later and of items from elsewhere, at 3 x 64
# and 3 x 256. Of a random tenth of Beauty and of Office the error ratio is 1.03 to 1.21 (1.32 for
# 61 items), of another catalogue's items 2.5 to 3.6; the shift is 0 and .7 to 5. The newest tenth
# of Beauty has 1.36 and .69: it is refused, for its first codes are not used as those before were.
_DEFAULT_RULES = {
    # What a recommender cannot write, it cannot recommend.
    "refresh_decodable_1": RuleParams(min=0.99),
    "refresh_decodable_2": RuleParams(min=0.5, severity="warning"),
    "refresh_error_ratio": RuleParams(max=1.5),
    "refresh_shift_level": RuleParams(max=0.2),
    "refresh_largest_shift": RuleParams(max=0.1, severity="warning"),
    # A warning: variants of published items collide with them, and training again parts no twins.
    "refresh_collision_rate": RuleParams(max=0.5, severity="warning"),
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
