"""What a reader sees of the registry: the pointer, and one version folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidmint.artifacts import require_numbers
from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.json_text import dump_json
from sidmint.publishing.acts import moves
from sidmint.publishing.audit import Entry, entry_hash, is_entry

_TEXTS = ("created_at", "created_by", "tokenizer", "version")
_MANIFEST: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_TEXTS, str),
    "files": dict,
    "num_items": int,
    "overruled": list,
    "override": (dict, type(None)),
    "parent": (str, type(None)),
    "semantic_ids": dict,
}
"""What every manifest says, and as what."""
_OPTIONAL = ("neighbours", "raw", "refresh")
"""What a manifest may describe; raw: a description of each input."""


@dataclass(frozen=True)
class Pointer:
    """Who is champion, and by which move."""

    version: str
    manifest_sha256: str
    sequence: int
    """Of the log line that made it champion."""
    move_hash: str
    """Of the same line."""

    @classmethod
    def after(cls, entry: Entry) -> Pointer | None:
        """The champion after the line `entry`; None where nothing was ever champion by then."""
        if moves(entry):
            return cls(entry["version"], entry["manifest_sha256"], entry["sequence"], entry["hash"])
        return cls(**entry["champion"]) if entry["champion"] is not None else None


@dataclass(frozen=True)
class Head:
    """The contents of champion.json: the newest log line, with what readers need on top."""

    entry: Entry

    @property
    def champion(self) -> Pointer | None:
        """Who is served; None where there are proposals and refusals alone."""
        return Pointer.after(self.entry)

    @classmethod
    def parse(cls, text: bytes) -> Head | None:
        """The head that `to_bytes` gave as `text`; None if a single byte is another."""
        try:
            entry = json.loads(text)["entry"]
            if not is_entry(entry) or entry_hash(entry) != entry["hash"]:
                return None
            head = cls(entry)
            champion = head.champion
            texts = (champion.version, champion.manifest_sha256) if champion else ()
            if not all(isinstance(value, str) for value in texts):
                return None
            return head if head.to_bytes() == text else None
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def to_bytes(self) -> bytes:
        """The one way to write champion.json."""
        champion = self.champion
        value = {
            "version": champion.version if champion else None,
            "manifest_sha256": champion.manifest_sha256 if champion else None,
            "sequence": self.entry["sequence"],
            "entry": dict(self.entry),
        }
        return dump_json(value).encode()


@dataclass(frozen=True)
class IdLayout:
    """How the ids of a version are laid out, as its manifest says."""

    levels: int
    sizes: tuple[int, ...]
    """Codewords a level."""
    suffix_size: int
    """How many suffixes there are; 0 where ids have none."""
    columns: tuple[str, ...]
    """Of the table, the parts of an id in their order."""

    @property
    def part_sizes(self) -> tuple[int, ...]:
        """How many values each part of an id can take."""
        return (*self.sizes, *([self.suffix_size] if self.suffix_size else []))

    @classmethod
    def parse(cls, value: Any) -> IdLayout | None:
        """`semantic_ids` of a manifest; None where it does not describe ids."""
        try:
            layout = cls(
                value["levels"],
                tuple(value["sizes"]),
                value["suffix_size"],
                tuple(value["columns"]),
            )
        except (KeyError, TypeError):
            return None
        numbers = (layout.levels, layout.suffix_size, *layout.sizes)
        is_right = (
            all(type(number) is int and 0 <= number < 2**31 for number in numbers)
            and all(isinstance(column, str) for column in layout.columns)
            and len(layout.sizes) == layout.levels > 0
            and len(layout.columns) == len(layout.part_sizes) == len(set(layout.columns))
        )
        return layout if is_right else None


@dataclass(frozen=True)
class Release:
    """One version folder, as a reader sees it."""

    version: str
    folder: Path

    @property
    def where(self) -> str:
        """The place as messages name it."""
        return str(self.folder)

    def has(self, name: str) -> bool:
        """Whether the version has a file of that name."""
        return (self.folder / name).is_file()

    def whole(self, below: str = "") -> Path:
        """The folder `below` (the version's own by default) with all of its files in it."""
        return self.folder / below

    @property
    def manifest(self) -> dict[str, Any]:
        """manifest.json: origin, layout of the ids, and the sha256 of every other file."""
        manifest = self._json("manifest.json")
        wrong = [name for name, kind in _MANIFEST.items() if not _is(manifest, name, kind)]
        wrong += [name for name in _OPTIONAL if not isinstance(manifest.get(name) or {}, dict)]
        if not wrong and not all(isinstance(each, dict) for each in _inputs(manifest)):
            wrong.append("raw")
        if wrong or not _is_listing(manifest["files"]):
            raise BadInput(
                f"{self.where}/manifest.json lacks, or says in no known form, "
                f"{', '.join(wrong) or 'its files'}; `sidmint verify {self.version}` says what is "
                "damaged"
            )
        return manifest

    @property
    def ids(self) -> IdLayout:
        """How its ids are laid out."""
        layout = IdLayout.parse(self.manifest["semantic_ids"])
        if layout is None:
            raise BadInput(
                f"{self.where}/manifest.json describes its ids in no known form; `sidmint verify "
                f"{self.version}` says what is damaged"
            )
        return layout

    @property
    def metrics(self) -> dict[str, float]:
        """Every metric of the stages that judged this table."""
        return require_numbers(self._json("metrics.json"), f"{self.where}/metrics.json")

    @property
    def verdict(self) -> dict[str, Any]:
        """The gate's verdict that it was published on."""
        return self._json("verdict.json")

    def file(self, name: str) -> Path:
        """The path of a file of the release; `BadInput` if it is not there."""
        path = self.folder / name
        if not path.is_file():
            raise BadInput(
                f"{self.where}/{name} is not there; `sidmint verify {self.version}` says what is "
                "damaged"
            )
        return path

    def intact_file(self, name: str) -> Path:
        """`file`, if its bytes are those that were published: the manifest has their sha256."""
        path = self.file(name)
        listed = self.manifest["files"].get(name)
        if listed is None or digest(path) != listed["sha256"]:
            raise BadInput(
                f"{self.where}/{name} is not what was published: its sha256 is not the one in the "
                f"manifest; `sidmint verify {self.version}` says what is damaged"
            )
        return path

    def _json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads(self.file(name).read_bytes())
        except (ValueError, RecursionError) as error:
            raise BadInput(
                f"{self.where}/{name} is not readable JSON ({error}); "
                f"`sidmint verify {self.version}` says what is damaged"
            ) from error
        if not isinstance(value, dict):
            raise BadInput(f"{self.where}/{name} wants a JSON object, has {type(value).__name__}")
        return value


def _inputs(manifest: dict[str, Any]) -> list[Any]:
    return list((manifest.get("raw") or {}).values())


def _is(manifest: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> bool:
    return name in manifest and isinstance(manifest[name], kind)


def _is_listing(files: Any) -> bool:
    """Whether it has a digest of every file."""
    return isinstance(files, dict) and all(
        isinstance(file, dict) and "sha256" in file for file in files.values()
    )
