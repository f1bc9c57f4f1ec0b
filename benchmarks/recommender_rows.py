"""Which version of the stage `recommend` last changed what docs/RECOMMENDERS.md has rows of."""

RESULT_VERSION = 3
"""Version 4 of the stage changed `tiger` alone, which has no row there."""
