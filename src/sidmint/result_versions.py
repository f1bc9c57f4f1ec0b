"""Which results the installed sidmint makes, in a file that DVC can see.

Each stage's module says so in its constant `RESULT_VERSION`. The package lies outside the
workspace, where DVC cannot look, so `result_versions.yaml` repeats the constants there and the
stages of dvc.yaml depend on its lines. After an upgrade the lines that changed make just the
stages stale whose results change.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.yaml_files import parse_yaml

_CONSTANT = "RESULT_VERSION"
_HEAD = """\
# Which results the installed sidmint makes, by stage: the stages of dvc.yaml depend on it.
# `sidmint run` writes it, so that an upgrade runs again what it changes and nothing else.
"""


def installed_versions() -> dict[str, int]:
    """`RESULT_VERSION` of every stage of the installed sidmint, sorted by stage.

    Read from the source: importing the stages takes seconds.
    """
    found = {}
    for module in (files("sidmint") / "stages").iterdir():
        stem, dot, kind = module.name.partition(".")
        if (dot, kind) == (".", "py"):
            found[stem] = _constant(module.read_text(encoding="utf-8"))
    return {stage: version for stage, version in sorted(found.items()) if version is not None}


def as_text(versions: Mapping[str, int]) -> str:
    """The bytes of `result_versions.yaml`."""
    return _HEAD + "".join(f"{stage}: {version}\n" for stage, version in versions.items())


def differing_versions(layout: Layout) -> dict[str, tuple[int | None, int | None]]:
    """Stage -> (what the workspace says, what is installed), where they differ.

    None: one of them does not know the stage. A workspace without the file differs in all.
    """
    known, installed = _workspace_versions(layout.result_versions), installed_versions()
    return {
        stage: (known.get(stage), installed.get(stage))
        for stage in sorted(known.keys() | installed.keys())
        if known.get(stage) != installed.get(stage)
    }


def write_versions(layout: Layout) -> None:
    """Bring the workspace's file level with the installed sidmint."""
    layout.result_versions.write_text(as_text(installed_versions()), encoding="utf-8")


def require_level(layout: Layout, stage: str) -> None:
    """Raise `BadInput` where the results of `stage` would be recorded under another's version.

    Without the file there is nothing to mislead: DVC names it where a stage wants it.
    """
    if not layout.result_versions.is_file():
        return
    if (pair := differing_versions(layout).get(stage)) is not None:
        raise BadInput(
            f"{layout.result_versions.name} says {stage}: {pair[0]}, but the installed sidmint "
            f"makes {stage}: {pair[1]}; `sidmint run` brings the file level, or install the "
            "sidmint that it was written by"
        )


def _workspace_versions(path: Path) -> dict[str, int | None]:
    if not path.is_file():
        return {}
    read = parse_yaml(path.read_bytes(), str(path))
    if not isinstance(read, dict):
        raise BadInput(f"{path} holds no stages; delete it, and `sidmint run` writes it anew")
    return {str(stage): version for stage, version in read.items()}


def _constant(source: str) -> int | None:
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
            if _CONSTANT in names and isinstance(statement.value.value, int):
                return statement.value.value
    return None
