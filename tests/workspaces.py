"""A workspace of its own for a test, with its own git and DVC."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from sidmint.adapters.dvc_repo import start
from sidmint.adapters.git_repo import start_repository
from sidmint.templates import write_workspace

NO_CHAMPION: dict[str, Any] = {"version": None, "tokenizer": None, "metrics": {}}
"""data/champion.json of a workspace that has published nothing. The repository's own may name
what its demo published."""


def make_workspace(root: Path) -> Path:
    """A fresh workspace at `root` with the demo's params.yaml, as `sidmint new` makes one."""
    root.mkdir(parents=True, exist_ok=True)
    write_workspace(root)
    start_repository(root)
    for name, value in (("user.email", "test@example.org"), ("user.name", "test")):
        subprocess.run(["git", "config", name, value], cwd=root, check=True)
    start(root, inside_another=False)
    return root


def environment(root: Path) -> dict[str, str]:
    """The environment of a user who has activated the virtual environment, in an own home."""
    home = root / ".home"
    home.mkdir(exist_ok=True)
    return {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PREFECT_HOME": os.environ.get("PREFECT_HOME", str(home / ".prefect")),
        "DVC_NO_ANALYTICS": "1",
        "COLUMNS": "160",
        "NO_COLOR": "1",
    }


def sidmint(root: Path, *arguments: str, code: int = 0) -> str:
    """What `sidmint ARGUMENTS` printed on stdout; fails unless it left with `code`."""
    ended = subprocess.run(
        [sys.executable, "-m", "sidmint", *arguments],
        cwd=root,
        env=environment(root),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == code, (
        f"sidmint {' '.join(arguments)} left with {ended.returncode}, wanted {code}\n"
        f"{ended.stdout[-6000:]}\n{ended.stderr[-6000:]}"
    )
    return ended.stdout if code == 0 else ended.stdout + ended.stderr


def edit_params(root: Path, **changes: Any) -> None:
    """Set values in params.yaml by dotted key, e.g. `edit_params(root, **{"pairs.top": 5})`."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def tree_digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below `folder`, by its path in it."""
    import hashlib

    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
