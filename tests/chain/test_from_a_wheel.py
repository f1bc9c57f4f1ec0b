"""The product outside its clone: a wheel in an empty environment, and a stranger's first hour."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from sidmint.params import IngestParams, SyntheticParams
from sidmint.sources.base import SourceFiles
from sidmint.sources.synthetic import read_synthetic
from workspaces import edit_params, make_workspace, tree_digests

_SOURCES = ("src", "flows", "pyproject.toml", "setup.py", "README.md", "LICENSE", "dvc.yaml")
_SOURCES += (".dvcignore", ".gitignore", "data/raw/.gitignore", "data/champion/.gitignore")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The wheel, built from a copy: setuptools leaves files beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in _SOURCES:
        origin, target = repository / name, folder / "clone" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, target, ignore=_LEFT_OUT)
        else:
            shutil.copyfile(origin, target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", "--quiet", *alone, "--no-build-isolation", "--wheel-dir", "dist"]
    subprocess.run([*build, "./clone"], cwd=folder, check=True)
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; what sidmint depends on is that of these tests.

    A path in a .pth file brings no .pth files of its own along: the clone stays out.
    """
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    return folder


def environment(installed: Path, home: Path) -> dict[str, str]:
    """That of somebody who knows no clone and has activated the environment."""
    own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SIDMINT_WORKSPACE")}
    home.mkdir(exist_ok=True)
    path = os.pathsep.join((str(installed / "bin"), os.environ["PATH"]))
    others = {"HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "COLUMNS": "160"}
    return {**own, **others, "PATH": path, "NO_COLOR": "1"}


def call(installed: Path, folder: Path, *command: str) -> str:
    """What `command` printed in `folder`; fails unless it left with 0."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment(installed, folder.parent / "home"),
        capture_output=True,
        text=True,
    )
    said = f"{shlex.join(command)} left with {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    assert ended.returncode == 0, said[-8000:]
    return ended.stdout


@pytest.mark.slow
def test_the_wheel_makes_the_workspace_that_the_clone_makes(
    installed: Path, tmp_path: Path
) -> None:
    code = "import flows, sidmint; print(flows.__file__); print(sidmint.__file__)"
    for path in call(installed, tmp_path, "python", "-c", code).split():
        assert Path(path).is_relative_to(installed)
    call(installed, tmp_path, "sidmint", "new", "shop")
    cloned = make_workspace(tmp_path / "cloned")

    def files(root: Path) -> dict[str, str]:
        return {
            name: digest
            for name, digest in tree_digests(root).items()
            if not name.startswith((".git/", ".dvc/tmp/"))
        }

    assert files(tmp_path / "shop") == files(cloned)


@pytest.mark.slow
def test_the_first_hour_ends_with_a_published_table(
    installed: Path, repository: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path)
    folder = tmp_path
    page = (repository / "docs" / "FIRST_HOUR.md").read_text(encoding="utf-8")
    said = {}
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for line in "".join(blocks).splitlines():
        command = shlex.split(line)
        if command[:1] == ["cd"]:
            folder = folder / command[1]
        elif command:
            if command[1] == "run":
                # One tokenizer and no recommender: the page shows the way, not the figures.
                edit_params(folder, **{"train.tokenizers": ["rq_kmeans"], "recommend": None})
            said[command[1]] = call(installed, folder, *command)
    assert list(said) == ["new", "init", "run", "publish", "versions", "lookup", "neighbours"]
    assert "gate passed rq_kmeans" in said["run"]
    assert "item_id = sku" in said["init"]
    assert "P000" in said["lookup"]
    assert (folder / "registry/shop/versions/v0001/sids.parquet").is_file()


def write_csv(folder: Path) -> None:
    """products.csv and clicks.csv: 400 items of the built-in world, columns named by a shop."""
    world = SyntheticParams(num_items=400, num_users=600, duplicate_share=0.02, new_item_share=0.02)
    raw = read_synthetic(IngestParams(synthetic=world), SourceFiles(None, None), seed=7)
    items = raw.items.select("item_id", "title", "brand", "categories", "price")
    items.rename({"item_id": "sku", "title": "name"}).write_csv(folder / "products.csv")
    names = {"item_id": "sku", "user_id": "customer", "timestamp": "time"}
    assert raw.interactions is not None
    raw.interactions.rename(names).write_csv(folder / "clicks.csv")
