"""Runs a command of sidmint as a process of its own, and watches what it takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

_EVERY_S = 0.2


@dataclass(frozen=True)
class Measured:
    """One process and those that it started: wall and CPU seconds, peaks of memory in MiB."""

    stage: str
    wall_s: float
    cpu_s: float
    peak_mib: float
    """Of the largest of them; pages of files that the system may drop are counted too."""
    peak_without_mapped_files_mib: float
    """Of all of them together, looked at five times a second."""
    said: str
    """The last line of its output, the workspace written as a dot."""


def measure(root: Path, command: Sequence[str]) -> Measured:
    """Run `sidmint COMMAND` in the workspace at `root`; its output comes with a failure."""
    start, anonymous = time.perf_counter(), 0.0
    with TemporaryFile() as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "sidmint", "--workspace", str(root), *command],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            anonymous = max(anonymous, _anonymous_mib(child.pid))
            time.sleep(_EVERY_S)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().decode().strip().splitlines()
    if status:
        raise SystemExit(f"sidmint {' '.join(command)} failed:\n" + "\n".join(lines[-30:]))
    return Measured(
        stage=" ".join(command),
        wall_s=round(time.perf_counter() - start, 2),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 2),
        peak_mib=round(usage.ru_maxrss / 1024, 1),
        peak_without_mapped_files_mib=round(anonymous, 1),
        said=lines[-1].replace(str(root), ".").strip() if lines else "",
    )


def _anonymous_mib(pid: int) -> float:
    """Of a process and all below it; one that has ended meanwhile has none."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")]
    return sum(map(int, own)) / 1024 + sum(_anonymous_mib(int(child)) for child in children)
