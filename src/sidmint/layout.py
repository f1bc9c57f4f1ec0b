"""Every path of a workspace, worked out once. Nothing here reads or writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sidmint.errors import BadInput

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def safe_name(name: str, what: str) -> str:
    """`name` if it can be one path component and nothing else; else `BadInput`.

    Letters, digits, dot, dash and underscore, at most 64, not starting with a dot:
    a name from the command line or from a file can so never leave its folder.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{what} {name!r} cannot be used as a name; use letters, digits, '.', '-' and '_', "
            "at most 64, and begin with a letter or digit"
        )
    return name


def registry_path(path: str) -> str:
    """`path` if it can hold a registry: s3://BUCKET/PREFIX, or a folder that nothing else writes.

    `BadInput` for other addresses (`file://...`), for what a shell or DVC would read otherwise,
    for the workspace itself, and for folders that stages, DVC or git keep.
    """
    parts = path.split("/")
    if is_address(path):
        if _BUCKET.fullmatch(parts[2]) and parts[3:] and all(map(_NAME.fullmatch, parts[3:])):
            return path
        why = "is no s3://BUCKET/PREFIX: small letters, digits, '.' and '-', then plain names"
    elif "://" in path:
        why = "is an address of another kind than s3://BUCKET/PREFIX"
    elif ".." in parts or path.startswith("/"):
        why = "lies outside the workspace, or names it from the root of the disk"
    elif not all(map(_NAME.fullmatch, parts)):
        why = "is no plain folder name: letters, digits, '.', '-', '_', not beginning with a dot"
    elif parts[0] in _KEPT:
        why = f"lies in {parts[0]}, which the project itself keeps"
    else:
        return path
    raise BadInput(f"registry.path {path[:80]!r} {why}; name a folder such as registry/shop")


def is_address(path: str) -> bool:
    """Whether the registry lies in a bucket, and not in a folder of the workspace."""
    return path.startswith("s3://")


_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEPT = frozenset({"data", "decisions", "docs", "flows", "src", "tests"})


@dataclass(frozen=True)
class Layout:
    """The folders of the workspace at `root`: a clone, or what `sidmint new` made."""

    root: Path

    @property
    def params(self) -> Path:
        """`params.yaml`: every value a run depends on."""
        return self.root / "params.yaml"

    @property
    def result_versions(self) -> Path:
        """`result_versions.yaml`: which results the installed sidmint makes, by stage."""
        return self.root / "result_versions.yaml"

    @property
    def raw(self) -> Path:
        """The user's own files, under DVC."""
        return self.root / "data" / "raw"

    @property
    def champion(self) -> Path:
        """Snapshot of the published version that the gate compares with; tracked by git."""
        return self.root / "data" / "champion.json"

    @property
    def champion_folder(self) -> Path:
        """The champion's test cases and the history of versions, for the report; not in git."""
        return self.root / "data" / "champion"

    @property
    def build(self) -> Path:
        """What the stages make; every folder in it is one DVC output."""
        return self.root / "data" / "build"

    @property
    def local(self) -> Path:
        """Machine-local side effects (MLflow's database, Data Docs); never tracked."""
        return self.root / ".sidmint"

    @property
    def tries(self) -> Path:
        """What `sidmint choose` has tried, so that it can go on."""
        return self.local / "choose"

    @property
    def vectors(self) -> Path:
        """Vectors of texts that were encoded, so that none is encoded twice."""
        return self.local / "vectors"

    @property
    def data_docs(self) -> Path:
        """Great Expectations' project folder with its static HTML."""
        return self.local / "great_expectations"

    @property
    def mlflow_database(self) -> Path:
        """The default MLflow store."""
        return self.local / "mlflow.db"

    def stage(self, stage: str, tokenizer: str | None = None) -> Path:
        """The folder that `stage` writes, for one tokenizer where the stage fans out."""
        folder = self.build / stage
        return folder if tokenizer is None else folder / safe_name(tokenizer, "tokenizer")

    def inside(self, path: str | Path) -> Path:
        """`path` resolved against the root; `BadInput` if it leads outside of it."""
        resolved = (self.root / path).resolve()
        if not resolved.is_relative_to(self.root.resolve()):
            raise BadInput(
                f"{path} lies outside the workspace {self.root}; "
                "`sidmint init --items ... --interactions ...` brings files in"
            )
        return resolved

    def registry(self, path: str) -> Path:
        """The folder of the registry that `registry_path` let pass, as it lies on this disk.

        `BadInput` where a link leads it out of the workspace or to what the project keeps, or
        where it or a folder above it is a file.
        """
        folder = self.inside(path)
        inner = folder.relative_to(self.root.resolve()).parts
        if not inner or inner[0] in _KEPT or inner[0].startswith("."):
            raise BadInput(
                f"registry.path {path!r} is a link to {folder}, which the project itself keeps; "
                "name a folder such as registry/shop"
            )
        for part in (folder, *folder.parents):
            if part.exists() and not part.is_dir():
                raise BadInput(
                    f"registry.path {path!r}: {part} is a file, where the registry wants a folder; "
                    "name a folder such as registry/shop"
                )
        return folder


def find_workspace(start: Path) -> Layout:
    """The workspace that `start` lies in: the nearest folder with params.yaml and dvc.yaml."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return Layout(folder)
    raise BadInput(
        f"no sidmint workspace at {start} or above it (looked for params.yaml beside dvc.yaml); "
        "`sidmint new FOLDER` makes one; run inside it, or name it with --workspace"
    )
