"""Vectors to codes: one tokenizer a file, all behind `Tokenizer`."""

from sidmint.tokenizers.base import (
    TOKENIZERS,
    CurvePoint,
    Tokenizer,
    TokenizerConfig,
    TrainingLog,
    check_vectors,
    make_tokenizer,
)
from sidmint.tokenizers.gradient import GradientTokenizer
from sidmint.tokenizers.rq_kmeans import RqKmeans
from sidmint.tokenizers.rq_vae import RqVae

__all__ = [
    "TOKENIZERS",
    "CurvePoint",
    "GradientTokenizer",
    "RqKmeans",
    "RqVae",
    "Tokenizer",
    "TokenizerConfig",
    "TrainingLog",
    "check_vectors",
    "make_tokenizer",
]
