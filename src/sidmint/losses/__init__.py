"""What a gradient tokenizer minimises: one loss a file, attached by `losses:` in params.yaml."""

from sidmint.losses.base import LOSSES, Loss, LossTerm, TokenizerStep, term
from sidmint.losses.commitment import Commitment
from sidmint.losses.reconstruction import Reconstruction

__all__ = ["LOSSES", "Commitment", "Loss", "LossTerm", "Reconstruction", "TokenizerStep", "term"]
