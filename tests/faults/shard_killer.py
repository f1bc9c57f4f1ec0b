"""Writes a table of two parts and is stopped at one of the calls that change the disk.

`python shard_killer.py FOLDER STEP killed|full`; prints how many calls there were.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shard_world import write_two_parts
from sidmint.errors import StorageFailed
from stopping import stop_before

if __name__ == "__main__":
    folder, step, is_full = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "full"
    calls = stop_before(step, is_full)
    try:
        write_two_parts(folder)
    except StorageFailed as error:
        sys.exit(str(error))
    print(calls())
