"""The category path as codes: the control that needs no vector.

What the catalogue's own tree gives, then a counter. The counter is what `assign.resolution:
suffix` adds to codes that collide, and nearly all do: every leaf of the tree is one bucket.

Shape letters: N items, D embedding size, L levels, K codes of a level.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.tokenizers.base import (
    TOKENIZERS,
    Categories,
    TokenizerConfig,
    TrainingLog,
    check_vectors,
    describe_fit,
)
from sidmint.tokenizers.plain import PlainTokenizer, describing_codebooks
from sidmint.types import Floats, Ints, Pairs

NO_SUCH_LEVEL = 0
"""The code below the end of a path, and from the first part on that the fit did not see."""

Tree = dict[tuple[int, ...], dict[str, int]]
"""Codes so far -> the parts that follow, each with its code."""


@TOKENIZERS.register("category")
class Category(PlainTokenizer):
    """Level l's code is the number of the path's l-th part among its siblings, from 1.

    Siblings are numbered from the most frequent down, equals by name. With more siblings than
    codes the most frequent get their own and all others share the last one; the training log
    says so. Parts beyond the last level are left out. An item without category, a path that
    ends early and a part never seen in the fit get code 0 from there on: an unknown path
    joins its nearest known prefix. A number means something under its prefix alone, while a
    codeword is the mean over all prefixes: the first level's reconstruct well, deeper ones
    hardly.
    """

    type_name: ClassVar[str] = "category"
    hierarchical: ClassVar[bool] = True
    walks: ClassVar[bool] = False
    uses_categories: ClassVar[bool] = True

    class Config(TokenizerConfig):
        """Settings under `tokenizers.category`."""

        separator: str = Field(" > ", min_length=1)
        """What joins the parts of a path."""

    config: Config

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        super().__init__(config, name)
        self._tree: Tree = {}

    def fit(
        self,
        vectors: Floats,
        pairs: Pairs | None = None,
        seed: int = 0,
        device: str = "auto",
        track: Track = silent,
        categories: Categories | None = None,
    ) -> TrainingLog:
        """Number the categories. The curve holds inertia_1.., what each level leaves."""
        values = check_vectors(vectors)
        paths = self._paths(categories, len(values))
        if not any(paths):
            raise BadInput(
                f"tokenizer {self.name!r} codes category paths and no item has one; map a column "
                "to categories under ingest.columns, or leave it out of train.tokenizers"
            )
        self._tree, notes = number_categories(paths, self.config.sizes)
        if len(self.config.sizes) > 1 and max(map(len, paths)) == 1:
            notes.append(
                f"no category path holds {self.config.separator!r}, so all are one level deep; "
                f"set tokenizers.{self.name}.separator if theirs is another"
            )
        codes = self._codes(paths)
        self._codebooks, curve = describing_codebooks(values, codes, self.config.sizes)
        return replace(describe_fit(codes, self.config.sizes, curve, 0), notes=tuple(notes))

    def encode(
        self, vectors: Floats, device: str = "cpu", categories: Categories | None = None
    ) -> Ints:
        """Codes (N, L) int32 of the categories; the vectors are only checked."""
        return self._codes(self._paths(categories, len(self.latent(vectors))))

    def state(self) -> dict[str, np.ndarray]:
        """The codebooks, and the numbered categories as JSON in UTF-8."""
        rows = [
            [*prefix, part, code]
            for prefix, known in self._tree.items()
            for part, code in known.items()
        ]
        text = json.dumps(rows, ensure_ascii=False)
        return super().state() | {"categories": np.frombuffer(text.encode(), dtype=np.uint8)}

    @classmethod
    def from_state(
        cls, config: TokenizerConfig, state: Mapping[str, np.ndarray], name: str | None = None
    ) -> Self:
        """The fitted tokenizer that `state()` came from."""
        tokenizer = super().from_state(config, state, name)
        for *prefix, part, code in json.loads(state["categories"].tobytes().decode()):
            tokenizer._tree.setdefault(tuple(prefix), {})[part] = code
        return tokenizer

    def _paths(self, categories: Categories | None, num_items: int) -> list[list[str]]:
        """The parts of each path, as many as there are levels; none for an item without."""
        if categories is None or len(categories) != num_items:
            raise BadInput(
                f"tokenizer {self.name!r} codes category paths and wants one an item; got "
                f"{'none' if categories is None else len(categories)} for {num_items} items: "
                "hand over the column `categories` of the items"
            )
        split = [(path or "").split(self.config.separator) for path in categories]
        kept = [[part.strip() for part in parts if part.strip()] for parts in split]
        return [parts[: len(self.config.sizes)] for parts in kept]

    def _codes(self, paths: list[list[str]]) -> Ints:
        codes = np.full((len(paths), len(self.config.sizes)), NO_SUCH_LEVEL, dtype=np.int32)
        for row, parts in enumerate(paths):
            prefix: tuple[int, ...] = ()
            for level, part in enumerate(parts):
                code = self._tree.get(prefix, {}).get(part)
                if code is None:
                    break
                codes[row, level] = code
                prefix = (*prefix, code)
        return codes


def number_categories(paths: list[list[str]], sizes: tuple[int, ...]) -> tuple[Tree, list[str]]:
    """Every part's code among its siblings, and what had to share one, in words.

    Siblings are the parts that follow one code prefix: what shares a code has its children
    numbered together.
    """
    tree: Tree = {}
    notes = []
    prefixes: dict[int, tuple[int, ...]] = dict.fromkeys(range(len(paths)), ())
    for level, size in enumerate(sizes):
        prefixes = {row: known for row, known in prefixes.items() if level < len(paths[row])}
        counts: dict[tuple[int, ...], Counter[str]] = {}
        for row, prefix in prefixes.items():
            counts.setdefault(prefix, Counter())[paths[row][level]] += 1
        num_shared = 0
        for prefix in sorted(counts):
            ranked = sorted(counts[prefix], key=lambda part: (-counts[prefix][part], part))
            num_shared += max(0, len(ranked) - (size - 2)) if len(ranked) > size - 1 else 0
            tree[prefix] = {part: min(place, size - 1) for place, part in enumerate(ranked, 1)}
        if num_shared:
            notes.append(
                f"level {level + 1} has more categories than codes: {num_shared} of "
                f"{sum(map(len, counts.values()))} share the last code of their prefix"
            )
        prefixes = {
            row: (*prefix, tree[prefix][paths[row][level]]) for row, prefix in prefixes.items()
        }
    return tree, notes
