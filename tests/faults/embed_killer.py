"""A process that embeds: `embed_killer.py ROOT NUM [LAST | sleeping FILE]`.

It is killed in place of the text LAST; or its workers tell their number in FILE and wait.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sidmint import kept_vectors
from sidmint.embedding import encode_texts
from sidmint.layout import Layout
from sidmint.text_vectors import TextVectors
from text_encoders import DigestEncoder, DyingEncoder, SleepingEncoder, alike


def main(root: str, num: str, *how: str) -> None:
    kept_vectors.SECONDS_BETWEEN_PARTS = 0.0
    wanted = alike(int(num))
    if how[:1] == ("sleeping",):
        encode_texts(SleepingEncoder(told_in=Path(how[1])), wanted, 4, workers=2)
        return
    encoder = DyingEncoder(last=how[0]) if how else DigestEncoder()
    TextVectors(Layout(Path(root)), batch_size=4)(encoder, wanted)


if __name__ == "__main__":
    main(*sys.argv[1:])
