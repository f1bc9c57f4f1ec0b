"""What may follow a prefix of a published id: for a model that writes ids part by part.

Shape letters: N items, M parts of an id (L levels and the suffix, where there is one), B prefixes
of P parts, K values of one part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sidmint.errors import BadInput
from sidmint.recommenders.trie import Trie
from sidmint.semantic_ids import tokens_of
from sidmint.types import Ints

Numbers = npt.NDArray[np.int64]

AllowedTokens = Callable[[int, Iterable[int]], list[int]]
"""`prefix_allowed_tokens_fn` of transformers: row of the batch, token ids so far -> next ids."""


class IdTrie:
    """The ids of a table, by prefix. `parts` (N, M) are distinct rows; `sizes` K of each part."""

    def __init__(self, parts: Ints, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self._parts = parts

    def following(self, prefix: Sequence[int] = ()) -> list[int]:
        """The parts, rising, that follow `prefix` in some id.

        None after a whole id, nor after a prefix that no id has.
        """
        level = len(prefix)
        if level >= len(self.sizes):
            return []
        codes = self._trie.codes[level].numpy()
        if level == 0:
            return [int(part) for part in codes]
        nodes, known = self._walk(np.array([prefix], dtype=np.int64))
        if not known[0]:
            return []
        first, last = self._trie.first_child[level - 1][nodes[0] : nodes[0] + 2].tolist()
        return [int(part) for part in codes[first:last]]

    def allowed(self, prefixes: Tensor | Ints) -> Tensor:
        """Which parts may follow each of `prefixes` (B, P), P < M: a bool mask (B, K).

        K is `sizes[P]`. A row is all False where no id has the prefix. One pass over all rows:
        for beams that mask the logits of a level. `BadInput` for prefixes of M parts or more.
        """
        rows = np.asarray(prefixes, dtype=np.int64)
        if rows.ndim != 2 or rows.shape[1] >= len(self.sizes):
            raise BadInput(
                f"prefixes want the shape (prefixes, 0 to {len(self.sizes) - 1} parts), got "
                f"{rows.shape}"
            )
        level = rows.shape[1]
        mask = torch.zeros((len(rows), self.sizes[level]), dtype=torch.bool)
        if level == 0:
            mask[:, self._trie.codes[0]] = True
            return mask
        nodes, known = self._walk(rows)
        kept = np.flatnonzero(known)
        starts, children = self._trie.child_rows(level, torch.from_numpy(nodes[kept]))
        owners = torch.repeat_interleave(torch.from_numpy(kept), starts.diff())
        mask[owners, self._trie.codes[level][children]] = True
        return mask

    def words(self) -> tuple[str, ...]:
        """Every token "<a_0>", "<a_1>", ... "<b_0>", ...: what to add to a language model's.

        In the order of the numbers that `lookup.tokens_of` gives; sum(sizes) of them.
        """
        return tuple(
            tokens_of([0] * level + [part])[level]
            for level, size in enumerate(self.sizes)
            for part in range(size)
        )

    def for_generate(
        self, end: int, skip: int = 1, token_ids: Mapping[str, int] | None = None
    ) -> AllowedTokens:
        """A `prefix_allowed_tokens_fn` for `generate` of transformers, which then writes ids only.

        `skip` is how many tokens stand before the id: 1 for an encoder-decoder (its start token),
        for a decoder the length of the padded prompt. After a whole id only `end` may follow. A
        beam that left the trie has a score of -inf already; it too may only end.

        `token_ids` maps the words "<a_12>" to the model's ids, as `tokenizer.get_vocab()` does
        once `words()` were added. Without it the ids are those of `lookup.tokens_of`: 0 to
        sum(sizes) - 1. `BadInput` names a word that is missing, and two with one id.
        """
        ids, parts = self._numbering(token_ids)

        def allowed(batch: int, tokens: Iterable[int]) -> list[int]:
            written = [int(token) for token in tokens][skip:]
            if len(written) >= len(self.sizes):
                return [end]
            known = [by_id.get(token) for by_id, token in zip(parts, written, strict=False)]
            prefix = [part for part in known if part is not None]
            following = self.following(prefix) if len(prefix) == len(written) else []
            return [ids[len(prefix)][part] for part in following] or [end]

        return allowed

    def _numbering(
        self, token_ids: Mapping[str, int] | None
    ) -> tuple[list[list[int]], list[dict[int, int]]]:
        """The id of each value of each part, and the way back."""
        flat = list(range(sum(self.sizes))) if token_ids is None else self._looked_up(token_ids)
        edges = np.cumsum([0, *self.sizes]).tolist()
        ids = [flat[a:b] for a, b in pairwise(edges)]
        return ids, [{token: part for part, token in enumerate(level)} for level in ids]

    def _looked_up(self, token_ids: Mapping[str, int]) -> list[int]:
        words = self.words()
        missing = [word for word in words if word not in token_ids]
        if missing:
            raise BadInput(
                f"token_ids lacks {missing[0]} ({len(missing):,} of {len(words):,} words); add "
                "trie.words() to the tokenizer, then pass its get_vocab()"
            )
        found = [int(token_ids[word]) for word in words]
        if len(set(found)) < len(found):
            raise BadInput("token_ids gives two words one id; every word wants its own")
        return found

    @cached_property
    def _trie(self) -> Trie:
        order = np.lexsort(self._parts.T[::-1])
        return Trie.of(np.ascontiguousarray(self._parts[order]))

    @cached_property
    def _keys(self) -> list[Numbers]:
        """Of each level, node of the level before * K + code: rising, one a node."""
        keys = [self._trie.codes[0].numpy()]
        for level, edges in enumerate(self._trie.first_child, start=1):
            parents = np.repeat(np.arange(len(edges) - 1), np.diff(edges.numpy()))
            keys.append(parents * self.sizes[level] + self._trie.codes[level].numpy())
        return keys

    def _walk(self, rows: Numbers) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """The node (B,) that each of `rows` (B, P) ends in, and whether there is one."""
        nodes = np.zeros(len(rows), dtype=np.int64)
        known = np.ones(len(rows), dtype=np.bool_)
        for level, (keys, code) in enumerate(zip(self._keys, rows.T, strict=False)):
            wanted = nodes * self.sizes[level] + code if level else code
            nodes = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            known &= (keys[nodes] == wanted) & (code >= 0) & (code < self.sizes[level])
        return nodes, known
