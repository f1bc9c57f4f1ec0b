"""Item text to vectors: one encoder a file. Importing the package files them in `ENCODERS`."""

from sidmint.embedding import sentence_transformer, wordllama
from sidmint.embedding.base import (
    ENCODERS,
    Identified,
    TextEncoder,
    load_encoder,
    name_of_model,
)
from sidmint.embedding.checks import (
    check_rows,
    check_rows_of,
    check_vectors,
    store,
    stored,
    summarise,
)
from sidmint.embedding.encoding import Encode, NothingKnown, encode_texts
from sidmint.embedding.precomputed import (
    align_rows,
    as_vectors,
    known_rows,
    vectors_in_table,
)
from sidmint.embedding.projection import Projection, fit_projection
from sidmint.embedding.scaling import unit_norm, unit_rows
from sidmint.embedding.source import (
    SOURCES,
    FittedSource,
    SourceParams,
    fit_source,
    has_vector,
    join,
)
from sidmint.embedding.text import item_texts

__all__ = [
    "ENCODERS",
    "SOURCES",
    "Encode",
    "FittedSource",
    "Identified",
    "NothingKnown",
    "Projection",
    "SourceParams",
    "TextEncoder",
    "align_rows",
    "as_vectors",
    "check_rows",
    "check_rows_of",
    "check_vectors",
    "encode_texts",
    "fit_projection",
    "fit_source",
    "has_vector",
    "item_texts",
    "join",
    "known_rows",
    "load_encoder",
    "name_of_model",
    "sentence_transformer",
    "store",
    "stored",
    "summarise",
    "unit_norm",
    "unit_rows",
    "vectors_in_table",
    "wordllama",
]
