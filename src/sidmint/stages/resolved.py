"""What is said of a table of Semantic IDs, however it was made."""

from __future__ import annotations

from dataclasses import dataclass

from sidmint.semantic_ids import SharedCodes


@dataclass(frozen=True)
class Resolved:
    """How items shared codes before resolution, and what it cost to tell them apart."""

    before: SharedCodes
    """By the tokenizer's codes."""
    after: SharedCodes
    """By the published numbers."""
    without_suffix: SharedCodes
    """By the published numbers but the suffix."""
    num_null_ids: int
    num_moved: int
    added_distance: float
    """Squared, summed over all items."""
    num_oversized_groups: int
    has_suffix: bool

    def metrics(self) -> dict[str, float]:
        """By their names in `contracts.METRICS`."""
        num_items = self.before.num_items
        return {
            "num_items": num_items,
            "num_null_ids": self.num_null_ids,
            "num_distinct_codes": self.before.num_distinct_codes,
            "collision_rate": self.before.collision_rate,
            "collided_item_rate": self.before.collided_item_rate,
            "largest_bucket": self.before.largest_bucket,
            "resolved_collision_rate": self.after.collision_rate,
            "moved_item_rate": self.num_moved / num_items,
            "suffixed_item_rate": self.without_suffix.collided_item_rate,
            "added_distortion": self.added_distance / num_items,
        }

    def report(self, policy: str) -> dict[str, object]:
        """The content of collisions.json."""
        return {
            "policy": policy,
            "before": _as_plain(self.before),
            "after": _as_plain(self.after),
            "moves": self.num_moved,
            "added_squared_distance": self.added_distance,
            "num_suffixed_items": self.without_suffix.num_collided_items,
            "num_oversized_groups": self.num_oversized_groups,
        }

    def headline(self, tokenizer: str, policy: str) -> str:
        """What a terminal says."""
        said = (
            f"{tokenizer}: {self.before.num_items:,} items in {self.before.num_distinct_codes:,} "
            f"codes (collision rate {self.before.collision_rate:.3f}), made unique by {policy}"
        )
        if policy != "suffix":
            said += f", {self.num_moved:,} moved"
        if self.num_oversized_groups:
            said += (
                f"; {self.num_oversized_groups:,} groups hold more items than the last level has "
                "codes and got suffixes"
            )
        if policy == "sinkhorn" and self.has_suffix:
            num_left = self.without_suffix.num_collided_items
            said += f"; {num_left:,} items still share a code and got suffixes"
        return said


def _as_plain(shared: SharedCodes) -> dict[str, float]:
    return {
        "num_items": shared.num_items,
        "num_distinct_codes": shared.num_distinct_codes,
        "collision_rate": shared.collision_rate,
        "collided_item_rate": shared.collided_item_rate,
        "largest_bucket": shared.largest_bucket,
    }
