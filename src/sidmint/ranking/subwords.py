"""Pieces of codes, learned as SentencePiece learns pieces of words: byte-pair merges of runs."""

from __future__ import annotations

from itertools import chain, repeat

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, models, trainers

from sidmint.errors import BadInput
from sidmint.types import Codes

_FIRST = 0x10000
"""The first code point of a letter: from here on there are no surrogates."""
_MOST_LETTERS = 0x110000 - _FIRST


def subword_pieces(
    codes: Codes, num_train: npt.NDArray[np.int64], num_pieces: int
) -> list[list[int]]:
    """The pieces of each item's code, numbered from 0; at most `num_pieces` different ones.

    A code of a level is a letter, an item's codes are a word, and the text is what was clicked
    before the cut, a word as often as its item (YouTube learns from items as they are shown).
    Starting from letters, the most frequent neighbours become one piece until there are
    `num_pieces`, or none that stands twice is left (BPE, one of SentencePiece's two models:
    Kudo and Richardson 2018). Every code in use stays a piece, so that every item can be
    spelled; where these alone are more than `num_pieces`, they are all that there is.

    BPE and not the unigram model: `tokenizers` breaks the ties of the latter by the order of a
    hash table, another one each time.
    """
    words = _words(codes)
    text = chain.from_iterable(map(repeat, words, num_train.tolist()))
    trainer = trainers.BpeTrainer(
        vocab_size=num_pieces,
        min_frequency=2,
        special_tokens=[],
        initial_alphabet=sorted(set("".join(words))),
        show_progress=False,
    )
    model = Tokenizer(models.BPE())
    model.train_from_iterator(text, trainer)
    return [encoding.ids for encoding in model.encode_batch(words)]


def _words(codes: Codes) -> list[str]:
    """A string an item, a letter a code; letters of different levels differ."""
    if sum(codes.sizes) > _MOST_LETTERS:
        raise BadInput(
            f"pieces of code want at most {_MOST_LETTERS:,} codes over all levels, got "
            f"{sum(codes.sizes):,}; leave subwords out"
        )
    firsts = _FIRST + np.concatenate([[0], np.cumsum(codes.sizes[:-1])])
    letters = (codes.values + firsts).astype("<u4")
    return [row.tobytes().decode("utf-32-le") for row in letters]
