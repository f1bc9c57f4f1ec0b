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
from sidmint.tokenizers.category import Category
from sidmint.tokenizers.drq_vae import DrqVae
from sidmint.tokenizers.drq_vae_cl import DrqVaeCl
from sidmint.tokenizers.fsq import Fsq
from sidmint.tokenizers.gradient import GradientTokenizer
from sidmint.tokenizers.grvq import Grvq
from sidmint.tokenizers.improved_vqgan import ImprovedVqgan
from sidmint.tokenizers.letter import Letter
from sidmint.tokenizers.lsh import Lsh
from sidmint.tokenizers.opq import Opq
from sidmint.tokenizers.pq import Pq
from sidmint.tokenizers.quasid import Quasid
from sidmint.tokenizers.random import Random
from sidmint.tokenizers.rq_gmm import RqGmm
from sidmint.tokenizers.rq_kmeans import RqKmeans
from sidmint.tokenizers.rq_opq import RqOpq
from sidmint.tokenizers.rq_vae import RqVae
from sidmint.tokenizers.rq_vae_rotation import RqVaeRotation
from sidmint.tokenizers.rqp_vae import RqpVae
from sidmint.tokenizers.sim_rq import SimRq

__all__ = [
    "TOKENIZERS",
    "Category",
    "CurvePoint",
    "DrqVae",
    "DrqVaeCl",
    "Fsq",
    "GradientTokenizer",
    "Grvq",
    "ImprovedVqgan",
    "Letter",
    "Lsh",
    "Opq",
    "Pq",
    "Quasid",
    "Random",
    "RqGmm",
    "RqKmeans",
    "RqOpq",
    "RqVae",
    "RqVaeRotation",
    "RqpVae",
    "SimRq",
    "Tokenizer",
    "TokenizerConfig",
    "TrainingLog",
    "check_vectors",
    "make_tokenizer",
]
