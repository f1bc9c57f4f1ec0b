"""What the machine offers and what sidmint would take of it: for `sidmint doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sidmint import __version__
from sidmint.cli.findings import Finding, check
from sidmint.execution.cores import num_cores

if TYPE_CHECKING:
    import torch

    from sidmint.params import Params

_GIB = 1 << 30
_LEAST_DISK, _LEAST_MEMORY = 2 * _GIB, 2 * _GIB
"""Below these the demo has failed, or has waited for swap."""
_PACKAGES = ("torch", "dvc", "prefect", "mlflow", "great-expectations", "polars", "pyarrow")


def machine_findings(root: Path, params: Params | None) -> Iterator[Finding]:
    """Versions, device, precision, kernels, threads, memory and disk.

    `root`: whose disk is asked. Without `params` the defaults of a run stand in.
    """
    yield Finding(
        "sidmint", "ok", f"{__version__}, Python {platform.python_version()} at {sys.prefix}"
    )
    yield _packages()
    yield _git()
    yield _faiss()
    yield from _computing(params)
    yield _memory()
    yield _disk(root)


def _packages() -> Finding:
    found, absent = [], []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(package)
    if absent:
        way_out = f"pip install {' '.join(absent)}, or install sidmint again"
        return Finding("packages", "missing", f"without {', '.join(absent)}", way_out)
    return Finding("packages", "ok", ", ".join(found))


def _git() -> Finding:
    if shutil.which("git") is None:
        way_out = "install git: workspaces keep their history in it"
        return Finding("git", "missing", "not on the PATH", way_out)
    ended = subprocess.run(["git", "--version"], capture_output=True, text=True)
    return Finding("git", "ok", ended.stdout.strip().removeprefix("git version "))


def _faiss() -> Finding:
    try:
        import faiss
    except ImportError as error:
        way_out = "pip install faiss-cpu, or faiss-gpu on a machine with CUDA"
        return Finding("faiss", "missing", str(error), way_out)
    num_gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    kernels = faiss.get_compile_options().strip()
    return Finding("faiss", "ok", f"{faiss.__version__}, {kernels}; {num_gpus} CUDA devices")


def _computing(params: Params | None) -> Iterator[Finding]:
    from sidmint.devices import resolve_device
    from sidmint.params import TrainParams

    settings = params.train if params else TrainParams()
    asked = settings.device
    named = check("device", lambda: str(resolve_device(asked)))
    if named.state != "ok":
        yield named
    else:
        device = resolve_device(asked)
        yield Finding("device", "ok", f"{device}, since train.device is {asked}{_why(asked)}")
        yield from _cuda(device)
        yield from _precisions(device, params)
    yield _kernels()
    yield _threads(params)


def _why(asked: str) -> str:
    import torch

    if asked != "auto":
        return ""
    num_devices = torch.cuda.device_count() if torch.cuda.is_available() else "no"
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return f" and torch, {build}, sees {num_devices} CUDA device(s)"


def _cuda(device: torch.device) -> Iterator[Finding]:
    """The card, its memory and its driver; nothing where the device is the processor."""
    import torch

    if device.type != "cuda":
        return
    free, total = torch.cuda.mem_get_info(device)
    card = torch.cuda.get_device_name(device)
    memory = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    yield Finding("card", "ok", f"{card}, {memory}, driver {_driver()}")


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown (nvidia-smi does not answer)"
    return ended.stdout.split("\n")[0].strip() or "unknown (nvidia-smi names none)"


def _precisions(device: torch.device, params: Params | None) -> Iterator[Finding]:
    """The precision of training by tokenizer; only those that are trained by gradients have one."""
    from sidmint.errors import SidmintError
    from sidmint.params import TrainParams
    from sidmint.tokenizers import make_tokenizer
    from sidmint.tokenizers.precision import resolve_precision

    settings = params.tokenizers if params else {}
    said = []
    for name in (params.train if params else TrainParams()).tokenizers:
        try:
            config = make_tokenizer(name, settings.get(name, {})).config
        except SidmintError:
            continue  # the settings are a finding of their own
        asked = getattr(config, "precision", None)
        if asked is not None:
            said.append(f"{name} trains in {resolve_precision(asked, device)} ({asked})")
    said.append("codes are assigned in float64")
    yield Finding("precision", "ok", "; ".join(said))


def _kernels() -> Finding:
    import torch

    tiles = "with" if torch.cpu._is_amx_tile_supported() else "without"
    capability = torch.backends.cpu.get_cpu_capability()
    return Finding("kernels", "ok", f"torch {capability} {tiles} AMX tiles on the processor")


def _threads(params: Params | None) -> Finding:
    import torch

    given = os.environ.get("OMP_NUM_THREADS")
    why = f"OMP_NUM_THREADS is {given}" if given else "OMP_NUM_THREADS is not set"
    parts = [f"cores: {num_cores()}, and as many stages at a time"]
    parts.append(f"threads of a stage: {torch.get_num_threads()} ({why})")
    if params is not None and params.recommend is not None:
        parts.append(f"of recommend: {params.recommend.threads} (recommend.threads)")
    if params is not None and params.train.processes > 1:
        parts.append(f"processes of train: {params.train.processes} (train.processes)")
    return Finding("threads", "ok", ", ".join(parts))


def _memory() -> Finding:
    free = _free_memory()
    if free is None:
        return Finding("memory", "ok", "unknown: this system has no /proc/meminfo")
    found = f"{free / _GIB:.1f} GiB free"
    if free < _LEAST_MEMORY:
        return Finding("memory", "warning", found, "run fewer stages at a time: --jobs 1")
    return Finding("memory", "ok", found)


def _free_memory() -> int | None:
    """Bytes that processes may still take: of the machine, or of the container if that is less."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or "max": no limit
        return free
    return min(free, max(0, limit - used))


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    found = f"{free / _GIB:.1f} GiB free at {root}"
    if free < _LEAST_DISK:
        way_out = "make room: DVC keeps every build (`dvc gc --workspace` drops what is not in use)"
        return Finding("disk", "warning", found, way_out)
    return Finding("disk", "ok", found)
