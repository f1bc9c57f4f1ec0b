"""A workspace of its own for a test: what a clone has, with its own git and DVC."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
_PARTS = ("dvc.yaml", "params.yaml", "flows", "src/sidmint/stages")
NO_CHAMPION: dict[str, Any] = {"version": None, "tokenizer": None, "metrics": {}}
"""data/champion.json of a workspace that has published nothing. The repository's own may name
what its demo published."""


def make_workspace(root: Path) -> Path:
    """A fresh workspace at `root` with the demo's params.yaml: git and DVC are initialised."""
    root.mkdir(parents=True, exist_ok=True)
    for part in _PARTS:
        origin, target = REPOSITORY / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(origin, target)
    for name in (".gitignore", ".dvcignore"):
        shutil.copyfile(REPOSITORY / name, root / name)
    (root / "data" / "raw").mkdir(parents=True)
    champion = json.dumps(NO_CHAMPION, indent=2, sort_keys=True) + "\n"
    (root / "data" / "champion.json").write_text(champion, encoding="utf-8")
    shutil.copyfile(REPOSITORY / "data/raw/.gitignore", root / "data/raw/.gitignore")
    (root / "data" / "champion").mkdir()
    shutil.copyfile(REPOSITORY / "data/champion/.gitignore", root / "data/champion/.gitignore")
    shutil.copyfile(REPOSITORY / "src/sidmint/params.demo.yaml", root / "params.yaml")
    for command in (
        ["git", "init", "-q", "."],
        ["git", "config", "user.email", "test@example.org"],
        ["git", "config", "user.name", "test"],
        [sys.executable, "-m", "dvc", "init", "-q"],
    ):
        subprocess.run(command, cwd=root, check=True, env=environment(root))
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
