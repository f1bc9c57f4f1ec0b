"""How the lists and Swing of a log grow with the catalogue, the log in memory.

    python benchmarks/swing_growth.py [--items 1000000 3000000]

The log is that of `scale_world` (5 events an item). CPU seconds of one thread, and the exponent
from the least to the most items.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from scale_world import events_in_numbers

from sidmint.event_log import build_event_log
from sidmint.pairs import swing_of_log
from sidmint.partitions import MemorySpill


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000, 3_000_000])
    seconds = {num_items: measure(num_items) for num_items in sorted(parser.parse_args().items)}
    least, most = min(seconds), max(seconds)
    if least < most:
        slope = math.log(seconds[most] / seconds[least]) / math.log(most / least)
        print(f"exponent {slope:.2f}")


def measure(num_items: int) -> float:
    """CPU seconds of both together."""
    blocks = [
        (users.astype(np.int32), items.astype(np.int32))
        for users, items, _ in events_in_numbers(num_items)
    ]
    began = time.process_time()
    log = build_event_log(
        blocks,
        num_users=num_items // 2,
        num_items=num_items,
        most_users=1000,
        seed=1,
        spill=MemorySpill(),
    )
    listed = time.process_time() - began
    num_pairs = sum(map(len, swing_of_log(log)))
    total = time.process_time() - began
    print(
        f"{num_items:>11,} items: lists {listed:.1f} s, Swing {total - listed:.1f} s, "
        f"{num_pairs:,} pairs",
        flush=True,
    )
    return total


if __name__ == "__main__":
    main()
