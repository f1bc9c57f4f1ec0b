"""tiger: an encoder reads the codes of a history, a decoder writes those of the next item.

Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023. The recommender
that most papers on Semantic IDs measure with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sidmint.devices import keep_freed_memory
from sidmint.progress import Track
from sidmint.recommenders.base import RECOMMENDERS, Recommendations
from sidmint.recommenders.beam import beam_search
from sidmint.recommenders.beam_steps import BeamSteps, look_back
from sidmint.recommenders.encoder_decoder import EncoderDecoder, Memory, Shape
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.moving import level_by_level
from sidmint.recommenders.neural import Best, NeuralConfig, NeuralRecommender
from sidmint.recommenders.sequences import Sequences
from sidmint.recommenders.trie import Trie
from sidmint.settings import Settings

_PIECE_TOKENS = 1024
"""Of a training batch at a time: what layers leave behind for the gradients is 20 kB a token."""
_FIRST_LOOKS = 1 << 17
"""The most prefixes that are looked up, not looked back on beam by beam: 4 kB each meanwhile."""


class TigerConfig(NeuralConfig):
    """Settings of `tiger`: the paper's network, this package's training loop."""

    width: int = Field(128, ge=4)
    layers: int = Field(4, ge=1)
    """Of the encoder, and as many of the decoder."""
    heads: int = Field(6, ge=1)
    head_width: int = Field(64, ge=1)
    feed_forward: int = Field(1024, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    max_length: int = Field(20, ge=1)
    """Newest items of a history that are read."""
    batch_size: int = Field(256, ge=1)
    """Pairs of a history and its next item a step."""
    user_tokens: int = Field(2000, ge=1)
    """Users share this many tokens, by their number modulo it. Sequences that do not name their
    users have token 0, as everybody has at 1."""
    beam: int = Field(50, ge=1)
    """Beams at decoding time; at least as many as items are asked for."""


QUASID_BACKBONE = TigerConfig(
    layers=4,
    heads=8,
    head_width=16,
    feed_forward=512,
    learning_rate=3e-4,
    weight_decay=1e-5,
    patience=10,
)
"""QuaSID A.2: 8 layers, 8 heads, embeddings of 128, hidden 512, 3e-4, 1e-5, ten checks.

Our reading: 8 layers are 4 + 4, as in the open framework that it names, and heads add up to the
width. It checks NDCG@5 + HR@5, where this package checks NDCG@10.
"""


class TigerModule(nn.Module):
    """Code tokens, read and written alike; a token a user; places; the two stacks.

    An item's codes share a place, counted back from the newest item, which stands at 0 whatever
    the length of its history; the tables of the levels tell its codes apart. TIGER has T5's
    relative positions in their stead.
    """

    codes: Tensor
    """Tokens (N, L) of the items: a level's codes come after those of the levels before."""
    starts: Tensor
    """The first token (L,) of each level."""

    def __init__(self, codes: Tensor, sizes: Sequence[int], config: TigerConfig) -> None:
        super().__init__()
        width = config.width
        self.sizes = list(sizes)
        starts = torch.tensor([0, *accumulate(sizes)][:-1])
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("codes", codes + starts, persistent=False)
        self.tokens = nn.Parameter(torch.randn(sum(sizes), width) * 0.02)
        self.users = nn.Parameter(torch.randn(config.user_tokens, width) * 0.02)
        self.ages = nn.Parameter(torch.randn(config.max_length, width) * 0.02)
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.places = nn.Parameter(torch.randn(len(sizes), width) * 0.02)
        shape = Shape(width, config.heads, config.head_width, config.feed_forward, config.dropout)
        self.body = EncoderDecoder(shape, config.layers)

    def encode(self, users_B: Tensor, rows_BT: Tensor) -> Memory:
        """What is known after histories of item rows, padded on the right by -1."""
        is_item = rows_BT >= 0
        ages = is_item.sum(dim=1, keepdim=True) - 1 - torch.arange(rows_BT.shape[1]).to(rows_BT)
        tokens = self.tokens[self.codes[rows_BT.clamp(min=0)]]
        tokens = (tokens + self.ages[ages.clamp(min=0)].unsqueeze(2)).flatten(1, 2)
        x = torch.cat([self.users[users_B].unsqueeze(1), tokens], dim=1)
        is_token = is_item.repeat_interleave(len(self.sizes), dim=1)
        return self.body.encode(x, functional.pad(is_token, (1, 0), value=True))

    def log_probabilities(self, memory: Memory, targets_B: Tensor) -> list[Tensor]:
        """(B, K_l) of every level, given the target's own codes before it: teacher-forced."""
        before = self.tokens[self.codes[targets_B, :-1]]
        start = self.start.expand(len(before), 1, -1)
        states = self.body.decode(torch.cat([start, before], dim=1) + self.places, memory)
        return [self.of_level(level, states[:, level]) for level in range(len(self.sizes))]

    def of_level(self, level: int, states: Tensor) -> Tensor:
        """Log-probabilities (..., K_level) of states (..., d): a softmax within the level."""
        return functional.log_softmax(states @ self.table(level).T, dim=-1)

    def table(self, level: int) -> Tensor:
        """Token embeddings (K_level, d)."""
        return torch.split(self.tokens, self.sizes)[level]


@RECOMMENDERS.register("tiger")
class Tiger(NeuralRecommender):
    """p(item | history) = prod_l p(c_l | history, c_1 .. c_l-1), each code a token.

    Trained as TIGER is: every event is a target once, given up to `max_length` items before it.
    First events too, so that an empty history has an answer. Sequences that name their `users`
    put a user's token before the history; a user whom training did not see has a token that
    others share, or an untrained one.
    """

    name = "tiger"
    reads_codes = True
    Config: ClassVar[type[Settings]] = TigerConfig
    config: TigerConfig
    module: TigerModule
    _first_look: FirstLook | None = None

    def build(self, table: IdTable) -> TigerModule:
        """Sets up the trie as well: ids are part of what is decoded."""
        # Caches of a processor hold the beams of few users.
        self.batch_users = 16 if self._device.type == "cpu" else 256
        if self._device.type == "cpu":
            keep_freed_memory()
        self._trie = Trie.of(table.codes.values, self._device)
        codes = torch.from_numpy(table.codes.values).long()
        return TigerModule(codes, table.sizes, self.config)

    def moved_to(self, table: IdTable) -> Self:
        """Tokens of codes that nobody has met are zero."""
        sizes = self.module.sizes
        return self._moved_to(
            table,
            lambda to: {"tokens": level_by_level(self.module.tokens, sizes, to.module.sizes)},
        )

    def examples(self, sequences: Sequences) -> Sequences:
        """One an event: user token, history, and the event last.

        Memory: 4 (max_length + 2) bytes an event, on the device.
        """
        pairs = sequences.up_to_each_event(self.config.max_length + 1)
        at = pairs.offsets[:-1]
        items = np.insert(pairs.items, at, self._user_tokens(pairs))
        return Sequences(items.astype(np.int32), pairs.offsets + np.arange(len(pairs) + 1))

    def num_targets(self, examples: Sequences) -> npt.NDArray[np.int64]:
        """One an example: its last event."""
        return np.ones(len(examples), dtype=np.int64)

    def loss(self, rows_BT: Tensor) -> Tensor:
        """Mean over examples of the sum over levels of -log p(code | history, codes before it).

        That is L times the mean over tokens that T5 trains on.
        """
        last = (rows_BT >= 0).sum(dim=1, keepdim=True) - 1
        targets = rows_BT.gather(1, last).squeeze(1)
        histories = rows_BT.scatter(1, last, -1)
        memory = self.module.encode(histories[:, 0], histories[:, 1:-1])
        total = rows_BT.new_zeros((), dtype=torch.float32)
        first = 0
        for level, log_probs in enumerate(self.module.log_probabilities(memory, targets)):
            total = total + functional.nll_loss(
                log_probs, self.module.codes[targets, level] - first
            )
            first += self.module.sizes[level]
        return total

    def add_gradients(self, rows_BT: Tensor) -> Tensor:
        """Piece by piece on a processor, so that what a layer leaves behind stays in its caches.

        And with little padding, since a piece holds examples of like length.
        """
        if self._device.type != "cpu":
            return super().add_gradients(rows_BT)
        total = rows_BT.new_zeros((), dtype=torch.float32)
        for piece in self._pieces(rows_BT):
            loss = self.loss(piece) * (len(piece) / len(rows_BT))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _pieces(self, rows_BT: Tensor) -> Iterator[Tensor]:
        """Examples of like length, about `_PIECE_TOKENS` tokens of history together."""
        lengths, order = (rows_BT >= 0).sum(dim=1).sort(stable=True)
        tokens = (len(self.module.sizes) * lengths).cumsum(0)
        sizes = (tokens // _PIECE_TOKENS).bincount()
        for size, last in zip(sizes.tolist(), sizes.cumsum(0).tolist(), strict=True):
            if size:
                yield rows_BT[order[last - size : last], : int(lengths[last - 1])]

    def known_after(self, histories: Sequences) -> Memory:
        """By the encoder, once a history."""
        longest = int(min(histories.lengths.max(initial=0), self.config.max_length))
        rows = torch.from_numpy(histories.padded(longest).astype(np.int64))
        users = torch.from_numpy(self._user_tokens(histories))
        return self.module.encode(users.to(self._device), rows.to(self._device))

    def best(self, known: Memory, k: int) -> tuple[Tensor, Tensor]:
        """By a beam of `beam`, or of `k` where more items are asked for."""
        return self._search(known, k, max(self.config.beam, k))

    def quick_best(self, known: Memory, k: int) -> tuple[Tensor, Tensor]:
        """By a beam as wide as the list."""
        return self._search(known, k, k)

    def _search(self, known: Memory, k: int, width: int) -> tuple[Tensor, Tensor]:
        scorer = TigerScorer(self.module, known, self._first_look)
        rows, scores = beam_search(self._trie, scorer, width)
        return rows[:, :k], scores[:, :k]

    def _lists(self, histories: Sequences, k: int, best: Best, track: Track) -> Recommendations:
        """With a `FirstLook` meanwhile, where lists ask for more beams than there are prefixes."""
        prefixes = sum(map(len, self._trie.codes[:-1]))
        if prefixes <= min(len(histories) * k, _FIRST_LOOKS):
            with torch.no_grad():
                self._first_look = FirstLook(self.module, self._trie)
        try:
            return super()._lists(histories, k, best, track)
        finally:
            self._first_look = None

    def log_probabilities(self, known: Memory) -> Tensor:
        """Over first codes (B, K_1)."""
        return TigerScorer(self.module, known).first()

    def _user_tokens(self, sequences: Sequences) -> np.ndarray:  # type: ignore[type-arg]
        if sequences.users is None:
            return np.zeros(len(sequences), dtype=np.int64)
        return sequences.users.astype(np.int64) % self.config.user_tokens


class FirstLook:
    """What the first decoder layer finds in the codes so far: once a prefix, not once a beam.

    No history changes it. For the prefixes of a trie and weights that stand still.
    """

    def __init__(self, module: TigerModule, trie: Trie) -> None:
        layer = module.body.decoder_layers[0]
        _, start = look_back(layer, (module.start + module.places[0]).unsqueeze(0), [])
        paths = [start]
        self.levels: list[Tensor] = []
        """(n, d) of the nodes of each level but the last, as `BeamSteps` goes on from them."""
        for level, codes in enumerate(trie.codes[:-1]):
            above = trie.parents(level)
            paths = [each.index_select(0, above) for each in paths]
            x = module.table(level)[codes] + module.places[level + 1]
            found, own = look_back(layer, x, paths)
            paths.append(own)
            self.levels.append(found)


class TigerScorer:
    """`CodeScorer` of histories: a step of the decoder a level."""

    def __init__(
        self, module: TigerModule, memory: Memory, first_look: FirstLook | None = None
    ) -> None:
        self.module, self._batch, self._first_look = module, len(memory), first_look
        self._step = BeamSteps(module.body, memory)

    def first(self) -> Tensor:
        """From the start token: one beam."""
        start = self.module.start + self.module.places[0]
        states = self._step(start.expand(self._batch, 1, -1), None)
        return self.module.of_level(0, states.squeeze(1))

    def following(
        self, level: int, parents_BW: Tensor, codes_BW: Tensor, nodes_BW: Tensor | None = None
    ) -> Tensor:
        """From the code before."""
        if self._first_look is not None and nodes_BW is not None:
            states = self._step(self._first_look.levels[level - 1][nodes_BW], parents_BW, True)
        else:
            x = self.module.table(level - 1)[codes_BW] + self.module.places[level]
            states = self._step(x, parents_BW)
        return self.module.of_level(level, states)
