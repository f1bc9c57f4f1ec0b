"""Vectors that one encoder gave to texts, kept on disk by the content of the text.

    FOLDER/identity.json        what the vectors depend on beside the text
    FOLDER/DIGEST.safetensors   a part: `digests` uint8 (n, 32), `vectors` float32 (n, D)

A part is written once, under the SHA-256 of its bytes, and put in place by a rename: one that is
half written, or was damaged later, does not have the bytes that its name says, and is passed over.
So several processes may write at once. The folder can be deleted at any time.

Shape letters: n rows, D dimensions.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sidmint.embedding.encoding import NothingKnown, Rows
from sidmint.errors import StorageFailed
from sidmint.types import Floats

SECONDS_BETWEEN_PARTS = 5.0
"""What a process that is killed loses at most."""
_PART_BYTES = 64 << 20
"""Of one part, so that memory is bounded; a smaller one is put together with others."""
_MOST_SMALL_PARTS = 16

IDENTITY, _SUFFIX = "identity.json", ".safetensors"
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Part:
    """One file of the store, as it was read."""

    path: Path
    digests: list[bytes]
    """SHA-256 of each text."""
    vectors: Floats


@dataclass
class KeptVectors:
    """The `encoding.Known` of the encoder whose vectors lie in `folder`."""

    folder: Path
    identity: Mapping[str, str]
    problems: list[str] = field(default_factory=list)
    """What was passed over, for the person who ran the command."""

    def __post_init__(self) -> None:
        self.num_known = 0
        """Of the texts last looked for."""
        self._asked: set[bytes] = set()
        self._sizes: dict[Path, tuple[int, bool]] = {}
        """Rows of each part that this process has read or written, and whether it is small."""
        self._waiting: list[tuple[bytes, npt.NDArray[np.float32]]] = []
        self._written = time.monotonic()

    def find(self, texts: Sequence[str]) -> tuple[Rows, Floats]:
        """Rows, rising, of those texts that are known, and their vectors (n, D)."""
        wanted = {digest_of(text): row for row, text in enumerate(texts)}
        self._asked.update(wanted)
        rows: list[Rows] = []
        vectors: list[Floats] = []
        for part in self._parts(self._paths()):
            self._sizes[part.path] = (len(part.digests), _is_small(part.vectors))
            there = [n for n, digest in enumerate(part.digests) if digest in wanted]
            taken = [wanted.pop(part.digests[n]) for n in there]
            rows.append(np.array(taken, dtype=np.int64))
            vectors.append(part.vectors[there])
        self.num_known = 0
        if not rows:
            return NothingKnown().find(texts)
        found = np.concatenate(rows)
        self.num_known = len(found)
        order = np.argsort(found)
        return found[order], np.concatenate(vectors)[order]

    def keep(self, texts: Sequence[str], vectors: Floats) -> None:
        """Know these from now on; on disk some seconds later. `StorageFailed` where it is full."""
        # Others are an error today, and no error for ever.
        finite = np.asarray(np.isfinite(vectors).all(axis=1))
        self._waiting += [
            (digest_of(text), vector)
            for text, vector, good in zip(texts, vectors, finite, strict=True)
            if good
        ]
        is_full = len(self._waiting) * vectors[0].nbytes >= _PART_BYTES
        if is_full or time.monotonic() - self._written >= SECONDS_BETWEEN_PARTS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a part."""
        waiting, self._waiting = self._waiting, []
        self._written = time.monotonic()
        if waiting:
            digests, vectors = zip(*waiting, strict=True)
            self._write(list(digests), np.stack(vectors))

    def forget(self, why: str) -> None:
        """Know nothing any more, and say `why`."""
        self._waiting, self.num_known, self._sizes = [], 0, {}
        self.problems.append(f"{why}; vectors in {self.folder} were thrown away")
        for path in self._paths():
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Bound what is kept: vectors that nobody asked for go once they outnumber the others.

        So a text that comes back finds its vector for a while, and the folder holds at most twice
        what the last run asked for. Small parts become large ones.
        """
        unused = sum(rows for rows, _ in self._sizes.values()) - len(self._asked)
        drop = unused > len(self._asked)
        small = [path for path, (_, is_small) in self._sizes.items() if is_small]
        if drop or len(small) > _MOST_SMALL_PARTS:
            self._rewrite(list(self._sizes) if drop else small, drop)

    def _rewrite(self, paths: Sequence[Path], drop: bool) -> None:
        """Put parts together, without doubles and, under `drop`, without what was not asked for."""
        seen: set[bytes] = set()
        written: set[Path] = set()
        digests: list[bytes] = []
        vectors: list[npt.NDArray[np.float32]] = []
        for part in self._parts(paths):
            for digest, vector in zip(part.digests, part.vectors, strict=True):
                if digest in seen or (drop and digest not in self._asked):
                    continue
                seen.add(digest)
                digests.append(digest)
                vectors.append(vector)
                if len(vectors) * vector.nbytes >= _PART_BYTES:
                    written.add(self._write(digests, np.stack(vectors)))
                    digests, vectors = [], []
        if vectors:
            written.add(self._write(digests, np.stack(vectors)))
        for path in set(paths) - written:
            path.unlink(missing_ok=True)

    def _parts(self, paths: Sequence[Path]) -> Iterator[Part]:
        """Those parts that are whole and have the dimensions of the first."""
        size: int | None = None
        for path in paths:
            part = _read(path)
            if part is None or (size is not None and part.vectors.shape[1] != size):
                self._pass_over(path)
                continue
            size = part.vectors.shape[1]
            yield part

    def _pass_over(self, path: Path) -> None:
        """Say so once, and take it away: its vectors are made again."""
        if path.exists():
            self.problems.append(f"{path} was damaged; its vectors were made again")
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{_SUFFIX}"))

    def _write(self, digests: list[bytes], vectors: Floats) -> Path:
        """One part, in one step. Not synced: after a power cut its name tells that it is torn."""
        rows = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, _DIGEST_BYTES)
        content = save({"digests": rows, "vectors": np.ascontiguousarray(vectors)})
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}{_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _put(self.folder / IDENTITY, _as_json(self.identity))
            _put(path, content)
        except OSError as error:
            raise StorageFailed(
                f"vectors cannot be kept in {self.folder} ({error.strerror}); make room, and run "
                "the command again: it goes on from those that are kept"
            ) from error
        self._sizes[path] = (len(digests), _is_small(vectors))
        return path


def folder_of(root: Path, identity: Mapping[str, str]) -> Path:
    """Where the vectors of the encoder with this identity lie below `root`."""
    return root / f"{identity['encoder']}-{hashlib.sha256(_as_json(identity)).hexdigest()[:16]}"


def digest_of(text: str) -> bytes:
    """SHA-256 of the text; what no UTF-8 can say has one too."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _read(path: Path) -> Part | None:
    """The part at `path`; None where it is not what its name says, or gone."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.stem:
            return None
        tensors = load(content)
        digests, vectors = tensors["digests"], tensors["vectors"]
    except (OSError, SafetensorError, KeyError):
        return None
    return Part(path, [row.tobytes() for row in digests], vectors)


def _is_small(vectors: Floats) -> bool:
    """Whether a part may be put together with others."""
    return vectors.nbytes < _PART_BYTES // 2


def _as_json(identity: Mapping[str, str]) -> bytes:
    return (json.dumps(dict(identity), indent=2, sort_keys=True) + "\n").encode()


def _put(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    draft.write_bytes(content)
    draft.replace(path)
