"""Where tensors are computed: one reading of `device` for everything that takes one."""

from __future__ import annotations

import torch

from sidmint.errors import BadInput


def resolve_device(device: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a torch device; auto is CUDA where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        return torch.device("cpu")
    if device.split(":")[0] != "cuda":
        raise BadInput(f"train.device is {device!r}; choose auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise BadInput(
            f"train.device is {device!r}, but torch sees no CUDA device; use auto or cpu"
        )
    return torch.device(device)
