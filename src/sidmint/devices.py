"""Where tensors are computed: one reading of `device` for everything that takes one.

And how their memory is kept on a processor, and made to do on a device.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Callable

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


def in_blocks(work: Callable[[slice], None], num_rows: int, block: int) -> None:
    """Call `work` on slices of at most `block` rows, one after another, until all rows are done.

    Where a device has no memory left for a block, that one is begun anew with half the rows, and
    all after it are as small; a warning says so. So what `work` does with a slice may not add to
    what it did before. Raises torch's error where a single row does not fit.
    """
    start = 0
    while start < num_rows:
        try:
            work(slice(start, start + block))
        except torch.OutOfMemoryError:
            if block == 1:
                raise
            block = max(1, min(block, num_rows - start) // 2)
            torch.cuda.empty_cache()
            warnings.warn(
                f"the device had no memory left for a block; going on with {block:,} rows a block, "
                "which is slower: free memory on it, or set train.device to cpu",
                stacklevel=2,
            )
        else:
            start += block


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
