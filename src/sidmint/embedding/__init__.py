"""Item text to vectors: one encoder a file. Importing the package files them in `ENCODERS`."""

from sidmint.embedding import sentence_transformer, wordllama
from sidmint.embedding.base import ENCODERS, TextEncoder, encode_texts
from sidmint.embedding.checks import check_rows, check_vectors, stored, summarise
from sidmint.embedding.combine import combine, unit_norm
from sidmint.embedding.precomputed import (
    align_rows,
    as_vectors,
    known_rows,
    vectors_in_table,
)
from sidmint.embedding.text import item_texts

__all__ = [
    "ENCODERS",
    "TextEncoder",
    "align_rows",
    "as_vectors",
    "check_rows",
    "check_vectors",
    "combine",
    "encode_texts",
    "item_texts",
    "known_rows",
    "sentence_transformer",
    "stored",
    "summarise",
    "unit_norm",
    "vectors_in_table",
    "wordllama",
]
