"""Where a registry lies: what the store asks of a folder or of a bucket, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

from sidmint.publishing.audit import AuditLog
from sidmint.publishing.versions import Release

CHAMPION, LOG, VERSIONS = "champion.json", "log.jsonl", "versions"
"""A registry's own names, in a folder and in a bucket alike."""


class Backend(ABC):
    """The place of one registry. Making one reads and writes nothing.

    A backend promises three things: a version is there whole or not at all, it never changes,
    and of two that replace the pointer at once one is told that it came second.
    """

    where: str
    """The place as messages name it: a path, or an address."""
    folder: Path
    """Where its files lie on this disk: the registry itself, or what was fetched of it."""
    log: AuditLog

    @abstractmethod
    def exists(self) -> bool:
        """Whether anything was ever written there."""

    @abstractmethod
    def pointer_bytes(self) -> bytes | None:
        """champion.json as it is now; None where there is none."""

    @abstractmethod
    def version_names(self) -> list[str]:
        """Names of what stands as whole versions, in no order."""

    @abstractmethod
    def release(self, version: str) -> Release | None:
        """A version to read from; None where there is none of that name."""

    @abstractmethod
    def as_stored(self, version: str) -> AbstractContextManager[Path]:
        """A folder with the version's files as the place holds them now, not as once fetched."""

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """Writing begins and ends; what the place refuses becomes `StorageFailed`.

        A folder lets one process in at a time. A bucket lets in all: there the conditional
        writes of `claim` and `replace_pointer` decide.
        """

    @abstractmethod
    def storing(self, meanwhile: str) -> AbstractContextManager[None]:
        """Turns what the place refuses into `StorageFailed`; `meanwhile` says how things stand."""

    @abstractmethod
    def drafting(self) -> AbstractContextManager[Path]:
        """An empty folder for a draft, gone afterwards; within `alone`."""

    @abstractmethod
    def claim(self, version: str) -> bool:
        """Whether nobody else has taken that number for a version; if not, it is ours now."""

    @abstractmethod
    def add(self, version: str, draft: Path) -> None:
        """Make the finished `draft` the version, its manifest.json last."""

    @abstractmethod
    def withdraw(self, version: str) -> None:
        """Take a version away that was added and did not become champion, if that is possible."""

    @abstractmethod
    def replace_pointer(self, before: bytes | None, after: bytes) -> bool:
        """Replace champion.json in one step; false where it is no longer `before`."""

    @abstractmethod
    def flush_pointer(self) -> None:
        """Wait until the replaced pointer would survive a power cut."""

    @abstractmethod
    def misplaced(self) -> list[str]:
        """What lies in the place of the registry's own files and is something else."""

    @abstractmethod
    def strangers(self, versions: Collection[str]) -> list[str]:
        """Names that nobody here writes; `versions` are the registry's."""
