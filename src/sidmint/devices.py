"""Where tensors are computed: one reading of `device` for everything that takes one.

And how their memory is kept on a processor.
"""

from __future__ import annotations

import ctypes
import sys

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


def keep_freed_memory(limit: int = 256 << 20) -> bool:
    """Let this process keep up to `limit` bytes of freed memory; whether its C library can.

    glibc hands memory back at the end of a batch and has it faulted in again, page by page, at
    the next one: an eighth of the time of `tiger`'s lists. Blocks up to 32 MB, the most that
    glibc allows, come from what is kept. Says False and does nothing without glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(_MMAP_THRESHOLD, 32 << 20)) and bool(set_option(_TRIM_THRESHOLD, limit))


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""
