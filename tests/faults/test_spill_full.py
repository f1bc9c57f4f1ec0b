"""A disk that is full while rows are parted says so, and what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sidmint.diagnostics import count_code_blocks
from sidmint.errors import StorageFailed
from sidmint.execution.sorting import sorted_frames
from sidmint.spill_files import FileSpill, FrameSpill, spilling


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    spill = FileSpill(tmp_path)
    (tmp_path / "00000.rows").symlink_to("/dev/full")
    codes = np.zeros((10, 2), dtype=np.int32)
    with pytest.raises(StorageFailed, match=f"{tmp_path} takes no more rows .No space left"):
        count_code_blocks([codes], (4, 4), spill=spill, memory=2**20, num_partitions=1)


def test_so_it_is_where_frames_are_sorted(tmp_path: Path) -> None:
    spill = FrameSpill(tmp_path)
    (tmp_path / "00000.frames").symlink_to("/dev/full")
    frame = pl.DataFrame({"key": range(10)})
    with pytest.raises(StorageFailed, match=f"{tmp_path} takes no more rows .No space left"):
        list(sorted_frames(lambda: [frame], "key", spill, most_rows=5))


def test_nothing_stays_where_work_ends_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), spilling(tmp_path) as spill:  # noqa: PT012
        spill.append(0, np.arange(3))
        spill.below(0).append(1, np.arange(3))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_others_use_stays(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from sidmint.spill_files import spilling\n"
        f"with spilling(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    foreign = tmp_path / "sidmint-spill-another.machine-1-x"
    foreign.mkdir()
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with spilling(tmp_path), spilling(tmp_path):
        assert len(list(tmp_path.iterdir())) == 3
    assert list(tmp_path.iterdir()) == [foreign]
