"""Encoders whose vector of a text is known, and which processes that import this can be sent."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


def vector_of(text: str, model: str = "digest") -> np.ndarray:
    """(32,) float32 around 0, from the SHA-256 of model and text."""
    digest = hashlib.sha256(f"{model} {text}".encode()).digest()
    return np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - 127.5


def alike(num: int) -> list[str]:
    """Distinct texts, all of one length, so that they are encoded in this order."""
    return [f"text number {n:04d}" for n in range(num)]


@dataclass
class DigestEncoder:
    """`vector_of` each text, and a note of what was asked, batch by batch."""

    model: str = "digest"
    asked: list[list[str]] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        return np.stack([vector_of(text, self.model) for text in texts])

    def identity(self) -> Mapping[str, str]:
        return {"encoder": "digest", "files": self.model}

    @property
    def batched(self) -> list[str]:
        """What was asked in company; texts that were asked alone may be spot checks."""
        return [text for batch in self.asked if len(batch) > 1 for text in batch]


@dataclass
class DyingEncoder(DigestEncoder):
    """Kills its process, as the system does when memory is short, in place of the last text."""

    last: str = ""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        if self.last in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(texts)


@dataclass
class SleepingEncoder(DigestEncoder):
    """Tells which process asked for the first batch, and never gives it back."""

    told_in: Path = Path()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        draft = self.told_in.with_suffix(f".{os.getpid()}")
        draft.write_text(str(os.getpid()))
        draft.replace(self.told_in)
        time.sleep(600)
        return super().encode(texts)


class DeviceEncoder(DigestEncoder):
    """Says that it computes on a card."""

    device = "cuda"
