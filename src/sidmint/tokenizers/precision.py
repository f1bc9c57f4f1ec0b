"""How coarse the matrix products of training may be. Codes are always assigned in full."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def matrix_products(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """A context in which layers multiply in bfloat16, or in float32.

    `auto`: bfloat16 where the processor has units for it, which are many times faster there
    (CUDA from Ampere on, AMX); elsewhere it is slower than float32. Weights, losses,
    codebooks and distances stay float32 in either, and inference is float64.
    """
    if resolve_precision(precision, device) == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def resolve_precision(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """What `precision` comes to on `device`."""
    if precision == "auto":
        return "bfloat16" if _has_bfloat16_units(device) else "float32"
    return precision


def _has_bfloat16_units(device: torch.device) -> bool:
    if device.type == "cuda":
        supported: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return supported
    return bool(torch.cpu._is_amx_tile_supported())
