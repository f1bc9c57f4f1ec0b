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
from sidmint.tokenizers.drq_vae import DrqVae
from sidmint.tokenizers.drq_vae_cl import DrqVaeCl
from sidmint.tokenizers.gradient import GradientTokenizer
from sidmint.tokenizers.quasid import Quasid
from sidmint.tokenizers.rq_kmeans import RqKmeans
from sidmint.tokenizers.rq_vae import RqVae

__all__ = [
    "TOKENIZERS",
    "CurvePoint",
    "DrqVae",
    "DrqVaeCl",
    "GradientTokenizer",
    "Quasid",
    "RqKmeans",
    "RqVae",
    "Tokenizer",
    "TokenizerConfig",
    "TrainingLog",
    "check_vectors",
    "make_tokenizer",
]
