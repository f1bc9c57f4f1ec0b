"""Random numbers by name: adding a stage disturbs no other."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_for(root: int, *names: str) -> int:
    """A 63-bit seed that depends on the root seed and on the names alone.

    `seed_for(7, "train", "rq_vae")` is the same on every machine and in every
    Python (it is a SHA-256, not `hash`), and fits torch and numpy alike.
    """
    text = "/".join((str(root), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_for(root: int, *names: str) -> np.random.Generator:
    """A numpy generator seeded by `seed_for`."""
    return np.random.default_rng(seed_for(root, *names))
