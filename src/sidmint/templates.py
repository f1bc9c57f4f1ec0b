"""What a new workspace consists of, before anything has run in it.

A clone of the repository is a workspace, and its files are the template: the wheel carries the
same bytes.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from sidmint.errors import BadInput
from sidmint.json_text import dump_json
from sidmint.layout import Layout
from sidmint.result_versions import as_text, installed_versions

_COPIED = (
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "data/raw/.gitignore",
    "data/champion/.gitignore",
)
_NO_CHAMPION: dict[str, Any] = {"version": None, "tokenizer": None, "metrics": {}}


def demo_params() -> str:
    """The params.yaml of the built-in catalogue, as shipped."""
    return (files("sidmint") / "params.demo.yaml").read_text(encoding="utf-8")


def workspace_files() -> dict[str, str]:
    """Path in the workspace -> text, sorted: the graph, the built-in catalogue, what git ignores.

    git and DVC are initialised by `adapters`.
    """
    origin = _origin()
    layout = Layout(Path())
    made = {
        layout.params.as_posix(): demo_params(),
        layout.result_versions.as_posix(): as_text(installed_versions()),
        layout.champion.as_posix(): dump_json(_NO_CHAMPION),
    }
    copied = {name: origin.joinpath(name).read_text(encoding="utf-8") for name in _COPIED}
    return dict(sorted((made | copied).items()))


def write_workspace(folder: Path) -> None:
    """Write the files of a new workspace into `folder`, which holds none of them yet."""
    for name, text in workspace_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _origin() -> Traversable:
    """The template in the wheel, or the clone that sidmint runs from."""
    package = files("sidmint")
    shipped = package / "template"
    if shipped.is_dir():
        return shipped
    clone = Path(str(package)).parents[1]
    if not (clone / "dvc.yaml").is_file():
        raise BadInput(
            f"the sidmint at {package} has no template of a workspace; install it from its wheel "
            "(`make dist`) or from a clone (`pip install -e .`)"
        )
    return clone
