"""What a gradient tokenizer minimises: one loss a file, attached by `losses:` in params.yaml."""

from sidmint.losses.base import LOSSES, Loss, LossTerm, TokenizerStep, term
from sidmint.losses.collaborative import Collaborative
from sidmint.losses.commitment import Commitment
from sidmint.losses.diversity import Diversity
from sidmint.losses.entropy import Entropy
from sidmint.losses.hamr import Hamr, valid_pairs
from sidmint.losses.info_nce import InfoNce
from sidmint.losses.kl import Kl
from sidmint.losses.reconstruction import Reconstruction

__all__ = [
    "LOSSES",
    "Collaborative",
    "Commitment",
    "Diversity",
    "Entropy",
    "Hamr",
    "InfoNce",
    "Kl",
    "Loss",
    "LossTerm",
    "Reconstruction",
    "TokenizerStep",
    "term",
    "valid_pairs",
]
