"""Was a version made again the same? Its files, beside those of another run, hash by hash."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidmint import __version__
from sidmint.artifacts import Artifacts
from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.publishing.bundle import contents, fill
from sidmint.publishing.files import walk
from sidmint.publishing.release import require_whole
from sidmint.publishing.snapshot import write_snapshot_before
from sidmint.publishing.store import VersionStore
from sidmint.publishing.versions import Release

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_RESTORED = ("params.yaml", "dvc.lock", "data/champion.json")
"""Files that a release, or the registry, holds itself: git need not."""


@dataclass(frozen=True)
class FileAgain:
    """One file of a version. None: it is not there."""

    name: str
    published: str | None
    """SHA-256, by the manifest."""
    again: str | None
    """SHA-256 of what the run made."""
    same: bool


@dataclass(frozen=True)
class Reproduction:
    """What became of running a version again."""

    version: str
    git_commit: str
    notes: tuple[str, ...]
    """What may explain a difference: it is not in git, or is another now."""
    files: tuple[FileAgain, ...]
    """Every file of the manifest, and every other that the run made; sorted by name."""
    folder: str | None
    """Where the run lies, if it was kept."""

    @property
    def differing(self) -> tuple[str, ...]:
        """Names of the files that are not the same."""
        return tuple(file.name for file in self.files if not file.same)


def commit_of(store: VersionStore, release: Release) -> str:
    """The commit that `release` was made at; `BadInput` if there was none.

    `Refused` if its files are not those that the log knows: nothing can be compared with them.
    """
    require_whole(store, release, store.entries())
    commit = release.manifest.get("git_commit")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise BadInput(
            f"{release.version} was made outside of git, so nobody knows its code; commit the "
            "workspace before you publish, and the next version can be made again"
        )
    return commit


def inputs_of(release: Release) -> dict[str, dict[str, Any]]:
    """The data revision: path below data/raw -> what DVC knows of it; none of another place."""
    tracked: dict[str, dict[str, Any]] = release.manifest.get("raw") or {}
    for path in tracked:
        if not (Path("/w") / path).resolve().is_relative_to("/w/data/raw"):
            raise BadInput(f"{release.version} names an input {path!r} outside of data/raw")
    return tracked


def prepare(root: Path, store: VersionStore, release: Release) -> None:
    """Put beside the code at `root` what it read then and a commit does not hold.

    The parameters and dvc.lock come out of the release; what was known of the champion, out of
    the registry as its log stood then.
    """
    for name in ("params.yaml", "dvc.lock"):
        if release.has(name):
            shutil.copyfile(release.file(name), root / name)
            (root / name).chmod(0o644)
    write_snapshot_before(Layout(root), store, release.version)


def compare_again(root: Path, release: Release) -> tuple[FileAgain, ...]:
    """The files of `release` beside those that the stages made at `root`, put together alike."""
    again = root / ".sidmint" / "again"
    again.mkdir(parents=True)
    artifacts = Artifacts(Layout(root))
    tokenizer = release.manifest["tokenizer"]
    fill(again, artifacts, contents(artifacts, tokenizer))
    listed = {name: file["sha256"] for name, file in release.manifest["files"].items()}
    made = {name: digest(path) for name, path in walk(again)[0].items()}
    return tuple(
        FileAgain(name, listed.get(name), made.get(name), listed.get(name) == made.get(name))
        for name in sorted(listed.keys() | made.keys())
    )


def caveats(release: Release, has_own_code: bool) -> tuple[str, ...]:
    """What of the run back then is not there again.

    `has_own_code`: sidmint itself came with the commit.
    """
    manifest = release.manifest
    changed: Sequence[str] | None = manifest.get("git_changed_files")
    notes = []
    if changed is None and manifest.get("git_changed"):
        notes.append("it was made with uncommitted changes, of which git knows nothing")
    restored = (*_RESTORED, *(f"{path}.dvc" for path in manifest.get("raw") or ()))
    notes += [
        f"{name} had uncommitted changes, of which git knows nothing"
        for name in changed or ()
        if name not in restored
    ]
    then = manifest.get("sidmint_version")
    if not has_own_code and then != __version__:
        notes.append(f"sidmint {then} made it; {__version__} is installed, and ran")
    return tuple(notes)
